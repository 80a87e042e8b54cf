//! Recent requests that are no upgrades, kept for a while as raw heads: any of them may turn out to be what a proxy made
//! of an upgrade that has no key, or the ordinary request that a proxy turned into an upgrade.

use std::{collections::VecDeque, hash::BuildHasher, ops::Range, time::Duration};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use smallvec::SmallVec;

use super::super::{
    event::{Request, Response},
    handshake::field,
    host::{Host, Socket},
    http::{OrdinaryId, RequestHead, ResponseHead, head},
    tcp::{Link, Stamp},
    time::Timestamp,
};
use super::near::Checks;

/// Entries with one tail that a search looks at.
const SEARCHED: usize = 64;
/// Declined targets that are looked at for a habit.
const MAX_TRIED: usize = 8;
/// Requests that make a habit.
const CHECKS: usize = 3;
/// Newest entries among which a proxy's upstream side is looked for.
const LOOKED_AT: usize = 1024;

/// A ring of recent requests.
#[derive(Debug)]
pub(super) struct Recent {
    heads: Vec<u8>,
    /// Where the next head goes.
    end: usize,
    entries: VecDeque<Entry>,
    /// The oldest entry.
    base: OrdinaryId,
    /// The newest entry of each tail that a host sent, and of each that a host got.
    newest: HashMap<u32, OrdinaryId, FixedState>,
    /// When the newest of those that were evicted was sent.
    evicted: Option<Timestamp>,
    /// Bytes that responses refer to.
    responses: usize,
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: OrdinaryId,
    pub(super) link: Link,
    pub(super) stamp: Stamp,
    /// Its final response; without its fields where it did not refuse: then they do not matter to an upgrade.
    pub(super) response: Option<Response>,
    /// When the final response came.
    pub(super) ended_at: Option<Timestamp>,
    tail: u32,
    /// Its names in the table of the newest: by its client's host, and by its server's.
    names: [u32; 2],
    /// The entries before with the same names.
    before: [Option<OrdinaryId>; 2],
    head: Range<usize>,
}

impl Recent {
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            heads: vec![0; bytes],
            end: 0,
            entries: VecDeque::new(),
            base: OrdinaryId::default(),
            newest: HashMap::default(),
            evicted: None,
            responses: 0,
        }
    }

    pub(super) fn memory(&self) -> usize {
        self.heads.len() + self.entries.len() * 3 / 2 * size_of::<Entry>() + self.newest.len() * 32 + self.responses
    }

    /// Keeps a request.
    pub(super) fn push(&mut self, link: &Link, head: &RequestHead<'_>) -> Option<OrdinaryId> {
        let length = head.raw.len();
        // Of a head that was cut, an absent field would prove nothing.
        if length > self.heads.len() / 8 || !head.complete {
            return None;
        }
        if self.end + length > self.heads.len() {
            self.make_room(&(self.end..self.heads.len()));
            self.end = 0;
        }
        let range = self.end..self.end + length;
        self.make_room(&range);
        self.heads[range.clone()].copy_from_slice(head.raw);
        self.end = range.end;
        let id = OrdinaryId(self.base.0 + self.entries.len() as u64);
        let tail = hash(field::tail(head.target));
        let names = [Side::SentBy, Side::GotBy].map(|side| side.name(tail, side.host(link)));
        let before = names.map(|name| self.newest.insert(name, id).filter(|before| *before >= self.base));
        self.entries.push_back(Entry {
            id,
            link: *link,
            stamp: head.stamp,
            response: None,
            ended_at: None,
            tail,
            names,
            before,
            head: range,
        });
        Some(id)
    }

    /// Forgets the oldest entries while they lie in `range`.
    fn make_room(&mut self, range: &Range<usize>) {
        let overlaps = |entry: &Entry| entry.head.start < range.end && range.start < entry.head.end;
        while self.entries.front().is_some_and(overlaps) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.entries.pop_front() else { return };
        self.base = OrdinaryId(oldest.id.0 + 1);
        self.responses -= oldest.response.as_ref().map_or(0, Response::memory);
        self.evicted = self.evicted.max(Some(oldest.stamp.at));
        for name in oldest.names {
            if self.newest.get(&name) == Some(&oldest.id) {
                self.newest.remove(&name);
            }
        }
    }

    /// Notes a request's answer.
    pub(super) fn answer(&mut self, id: OrdinaryId, head: &ResponseHead<'_>) {
        let Some(entry) = self.get_mut(id) else { return };
        entry.ended_at = Some(head.stamp.at);
        let response = if head.status >= 300 { head.to_owned() } else { head.without_fields() };
        let memory = response.memory();
        let before = entry.response.replace(response).map_or(0, |before| before.memory());
        self.responses = self.responses + memory - before;
        while self.responses > self.heads.len() {
            self.forget_oldest();
        }
    }

    pub(super) fn get(&self, id: OrdinaryId) -> Option<&Entry> {
        self.entries.get(self.place(id)?)
    }

    fn get_mut(&mut self, id: OrdinaryId) -> Option<&mut Entry> {
        let place = self.place(id)?;
        self.entries.get_mut(place)
    }

    fn place(&self, id: OrdinaryId) -> Option<usize> {
        usize::try_from(id.0.checked_sub(self.base.0)?).ok()
    }

    /// Requests whose target has the same tail, and which a host sent or got, newest first.
    pub(super) fn with_tail(&self, target: &str, side: Side, host: Host) -> impl Iterator<Item = &Entry> {
        self.chain(hash(field::tail(target)), side, host)
    }

    /// Whether all that were sent since a time are still there.
    pub(super) fn is_whole_since(&self, at: Timestamp) -> bool {
        self.evicted.is_none_or(|evicted| evicted < at)
    }

    /// Whether any recent request is what the proxy that listens at `proxy` made of another: the same tail, sent by one of
    /// its `hosts` while the other was open; on one host, answered then, too.
    pub(super) fn shows_upstream_of(&self, proxy: Socket, hosts: &[Host]) -> bool {
        let sent = self.entries.iter().rev().take(LOOKED_AT).filter(|up| hosts.contains(&up.link.client_host()));
        // On one host, anybody may ask anybody for the root.
        let root = hash("");
        let sent = sent.filter(|up| up.tail != root || !hosts.contains(&up.link.server_host()));
        sent.filter(|up| up.link.server_socket() != proxy).any(|up| {
            let got = hosts.iter().flat_map(|host| self.chain(up.tail, Side::GotBy, *host));
            got.filter(|down| down.id < up.id).any(|down| {
                let apart = !down.link.client_host().may_be(up.link.client_host());
                let answer = |entry: &Entry| entry.response.as_ref().map(|response| response.status);
                let answered = up.ended_at.is_some() && down.ended_at >= up.ended_at && answer(down) == answer(up);
                let open = down.stamp.at <= up.stamp.at && down.ended_at.is_none_or(|end| end >= up.stamp.at);
                let open = open && (apart || answered);
                down.link.server_socket() == proxy && open
            })
        })
    }

    /// Requests that the proxy at `proxy` sent by itself from one of its `hosts`, again and again to one target, and which
    /// were all declined until a time: health checks. Those of the newest such target.
    pub(super) fn declined_by_itself(&self, proxy: Socket, hosts: &[Host], until: Timestamp) -> Option<Checks> {
        let over = |up: &&Entry| up.ended_at.is_some_and(|end| end <= until);
        let newest = || self.entries.iter().rev().take(LOOKED_AT).filter(over);
        let sent = || newest().filter(|up| hosts.contains(&up.link.client_host()) && up.link.server_socket() != proxy);
        let status = |up: &Entry| up.response.as_ref().map(|response| response.status);
        let is_declined = |up: &Entry| status(up).is_some_and(|status| status >= 400);
        // Not what it made of somebody's request.
        let by_itself = |up: &&Entry| {
            let mut got = hosts.iter().flat_map(|host| self.chain(up.tail, Side::GotBy, *host));
            !got.any(|down| down.link.server_socket() == proxy && down.stamp.at <= up.stamp.at)
        };
        let mut tried: SmallVec<[(Socket, u32); MAX_TRIED]> = SmallVec::new();
        for last in sent().filter(|up| is_declined(up)) {
            let kind = (last.link.server_socket(), last.tail);
            if tried.contains(&kind) {
                continue;
            }
            if tried.len() == MAX_TRIED {
                return None;
            }
            tried.push(kind);
            let same = || sent().filter(|up| (up.link.server_socket(), up.tail) == kind);
            let times: Vec<_> = same().map(|up| up.stamp.at).collect();
            if by_itself(&last) && same().all(is_declined) && is_steady(&times) {
                let request = self.request(last)?;
                return Some(Checks {
                    server: last.link.server,
                    request: format!("{} {}", request.method, field::path(&request.target)),
                    status: status(last)?,
                    count: times.len(),
                    shown: (last.stamp.frame, last.stamp.at),
                });
            }
        }
        None
    }

    /// The entries of one tail at a host, newest first.
    fn chain(&self, tail: u32, side: Side, host: Host) -> impl Iterator<Item = &Entry> {
        let newest = self.newest.get(&side.name(tail, host)).and_then(|id| self.get(*id));
        std::iter::successors(newest, move |entry| self.get(entry.before[side.index()]?))
            .filter(move |entry| entry.tail == tail && side.host(&entry.link) == host)
            .take(SEARCHED)
    }

    /// A request in full.
    pub(super) fn request(&self, entry: &Entry) -> Option<Request> {
        let raw = self.heads.get(entry.head.clone())?;
        #[expect(
            clippy::redundant_closure_for_method_calls,
            reason = "the method's path is not general over lifetimes"
        )]
        head::request(raw, entry.stamp, true, |head| head.to_owned())
    }
}

/// By which end of its connection a request is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    /// The host that sent it.
    SentBy,
    /// The host that got it.
    GotBy,
}

impl Side {
    const fn index(self) -> usize {
        match self {
            Self::SentBy => 0,
            Self::GotBy => 1,
        }
    }

    #[inline]
    fn host(self, link: &Link) -> Host {
        match self {
            Self::SentBy => link.client_host(),
            Self::GotBy => link.reached,
        }
    }

    /// The name of a tail at a host. Made for every ordinary request: entries say for themselves whose they are, so that
    /// it need not be unlike all others.
    #[inline]
    fn name(self, tail: u32, host: Host) -> u32 {
        tail ^ host.mixed().wrapping_mul(SPREAD).rotate_left(if self == Self::SentBy { 7 } else { 0 })
    }
}

/// Whether times, the newest first, are a timer's: each is about as long after the one before it as all others are.
fn is_steady(times: &[Timestamp]) -> bool {
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[0].since(pair[1])).collect();
    let Some(mean) = gaps.iter().sum::<Duration>().checked_div(u32::try_from(gaps.len()).unwrap_or(u32::MAX)) else {
        return false;
    };
    times.len() >= CHECKS && gaps.iter().all(|gap| gap.abs_diff(mean) <= mean / 2)
}

/// An odd number near 2^32 divided by the golden ratio: what is multiplied by it differs in its upper bits (Knuth 6.4).
const SPREAD: u32 = 0x9e37_79b1;

fn hash(text: &str) -> u32 {
    u32::try_from(FixedState::default().hash_one(text) >> 32).unwrap_or(0)
}
