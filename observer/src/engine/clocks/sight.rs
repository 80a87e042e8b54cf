//! What is remembered of one clock's frames: a sample of its segments, and of the requests that have a name which a proxy
//! passes on, with their answers.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use smallvec::SmallVec;

use super::{machine::Own, sketch::Sketch};
use crate::engine::{
    anomaly::AnomalyKind,
    event::{Mixup, ProxyHeader, Silence},
    handshake::field,
    http::{Listener, OrdinaryId, RequestHead, ResponseHead, Ticket, TicketOf, TlsConnection, Tunnel, UpgradeId, head},
    knowledge::{FlowClass, Hole},
    packet::Segment,
    tcp::{Closed, Link, Opening, Stamp},
    time::Timestamp,
};

/// Segments and names that are remembered of each clock: some hundred KiB. That many common ones are far more than needed.
const SAMPLE: usize = 4096;
/// Hops of one request; more have a name that many share.
const HOPS: usize = 4;
/// Requests that may await an answer at a time; of further ones only the time counts.
const WAITING: usize = 65_536;
/// The key in the examples of RFC 6455, which is copied into scripts: it names nobody.
const EXAMPLE: &[u8] = b"dGhlIHNhbXBsZSBub25jZQ==";

/// What one clock saw.
#[derive(Debug)]
pub(super) struct Sights {
    pub(super) segments: Sketch<Copies>,
    pub(super) requests: Sketch<Named>,
    /// Connections between the machine's own addresses.
    pub(super) own: Own,
    /// The names of each request that awaits its answer.
    waiting: HashMap<u64, SmallVec<[u64; 2]>, FixedState>,
    next: u64,
}

/// All copies of a segment.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Copies {
    /// When the first and the last were seen.
    times: Option<(Timestamp, Timestamp)>,
    /// Its connection.
    pub(super) connection: u64,
    /// Whether the lower of both ends sent it.
    pub(super) low: bool,
    /// Whether both ends are a machine's own addresses.
    pub(super) own: bool,
}

/// All requests with one name.
#[derive(Clone, Default, Debug)]
pub(super) struct Named {
    pub(super) requests: SmallVec<[Asked; 1]>,
    /// Whether the name is not one request's: two with it asked one server for the same.
    pub(super) shared: bool,
}

/// One hop of a request.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) number: u64,
    pub(super) link: Link,
    /// Sequence and acknowledgment number of its first byte: they name it at whichever place it is captured.
    place: (u32, Option<u32>),
    target: u64,
    pub(super) at: Timestamp,
    /// When the final response came, and its status.
    pub(super) answer: Option<(Timestamp, u16)>,
    /// When it was over, with a response or without.
    pub(super) ended: Option<Timestamp>,
}

impl Default for Sights {
    fn default() -> Self {
        let waiting = HashMap::with_hasher(FixedState::default());
        Self { segments: Sketch::new(SAMPLE), requests: Sketch::new(SAMPLE), own: Own::default(), waiting, next: 0 }
    }
}

impl Sights {
    /// A segment passed. What carries nothing is not looked at: copies of it may be as good as another one.
    #[inline]
    pub(super) fn segment(&mut self, segment: &Segment<'_>, at: Timestamp) {
        let carries = segment.wire_payload > 0 || segment.flags.syn() || segment.flags.fin();
        let Some(acknowledgment) = segment.acknowledgment.filter(|_| carries) else { return };
        // Both numbers begin at random, and no NAT changes them. A segment may be cut in several on its way: only the first
        // of them is known again.
        let name = hash(&(segment.sequence, acknowledgment, segment.flags.syn()));
        if let Some(copies) = self.segments.entry(name) {
            copies.add(segment, at);
        }
        if segment.source.ip().is_loopback() {
            self.own.segment(segment, acknowledgment);
        }
    }

    fn ask(&mut self, link: &Link, head: &RequestHead<'_>) -> Option<Ticket> {
        let names: SmallVec<[u64; 2]> = names(head).filter(|name| self.requests.wants(*name)).collect();
        if names.is_empty() {
            return None;
        }
        let number = self.next;
        self.next += 1;
        let asked = Asked::new(number, link, head);
        for name in &names {
            if let Some(named) = self.requests.entry(*name) {
                named.add(asked.clone());
            }
        }
        (self.waiting.len() < WAITING).then(|| {
            self.waiting.insert(number, names);
            OrdinaryId(number).into()
        })
    }

    fn end(&mut self, ticket: Ticket, at: Option<Timestamp>, status: Option<u16>) {
        let (TicketOf::Upgrade(UpgradeId(number)) | TicketOf::Ordinary(OrdinaryId(number))) = ticket.of();
        for name in self.waiting.remove(&number).unwrap_or_default() {
            let named = self.requests.get_mut(name);
            let found = named.and_then(|named| named.requests.iter_mut().find(|asked| asked.number == number));
            if let Some(asked) = found {
                (asked.answer, asked.ended) = (at.zip(status), at);
            }
        }
    }
}

impl Copies {
    fn add(&mut self, segment: &Segment<'_>, at: Timestamp) {
        let (low, high) = (segment.source.min(segment.destination), segment.source.max(segment.destination));
        let connection = hash(&(low, high));
        // Behind NAT a connection has two names: both ways are to go by the same one.
        if self.times.is_none() || connection < self.connection {
            (self.connection, self.low) = (connection, segment.source == low);
        }
        self.own = segment.source.ip().is_loopback();
        let (first, last) = self.times.unwrap_or((at, at));
        self.times = Some((first.min(at), last.max(at)));
    }

    /// When it was seen, if all copies are of one passage: a repeated segment may be seen at one place only.
    pub(super) fn at(&self) -> Option<Timestamp> {
        self.times.filter(|(first, last)| last.since(*first) < super::NOISE).map(|(first, _)| first)
    }
}

impl Asked {
    #[cfg(test)]
    pub(super) const fn sample(link: Link, at: Timestamp) -> Self {
        Self { number: 0, link, place: (0, None), target: 0, at, answer: None, ended: None }
    }

    fn new(number: u64, link: &Link, head: &RequestHead<'_>) -> Self {
        let Stamp { at, sequence, acknowledgment, .. } = head.stamp;
        let (place, target) = ((sequence, acknowledgment), hash(&head.target));
        Self { number, link: *link, place, target, at, answer: None, ended: None }
    }
}

impl Named {
    fn add(&mut self, asked: Asked) {
        // A connection before and after NAT is read twice.
        if self.requests.iter().any(|other| other.place == asked.place) {
            return;
        }
        // What a proxy asks on the side may have the same name, and go to the same server.
        let again = |other: &Asked| (other.link.server, other.target) == (asked.link.server, asked.target);
        self.shared |= self.requests.len() == HOPS || self.requests.iter().any(again);
        if !self.shared {
            self.requests.push(asked);
        }
    }
}

/// What names a request at each hop: its key, and its request id.
fn names(head: &RequestHead<'_>) -> impl Iterator<Item = u64> {
    let text =
        |name| head::values(head.fields, name).next().and_then(|value| std::str::from_utf8(value.trim_ascii()).ok());
    let key = text("sec-websocket-key").filter(|key| !key.is_empty() && key.as_bytes() != EXAMPLE);
    let id = field::request_id(text("x-request-id"), text("traceparent"));
    key.map(|key| hash(&("key", key))).into_iter().chain(id.map(|id| hash(&("id", id))))
}

fn hash(value: &impl Hash) -> u64 {
    FixedState::default().hash_one(value)
}

impl Listener for Sights {
    fn asks(&mut self, _link: &Link, _stamp: Stamp) {}

    fn request(&mut self, link: &Link, head: &RequestHead<'_>, _: Option<&ProxyHeader>) -> Option<Ticket> {
        self.ask(link, head)
    }

    fn response(&mut self, ticket: Ticket, head: &ResponseHead<'_>) {
        self.end(ticket, Some(head.stamp.at), Some(head.status));
    }

    fn unanswered(&mut self, ticket: Ticket, silence: Silence, at: Timestamp) {
        let known = !matches!(silence, Silence::Waiting | Silence::NotCaptured);
        self.end(ticket, known.then_some(at), None);
    }

    fn not_http(&mut self, ticket: Ticket, _bytes: &[u8], stamp: Stamp) {
        self.end(ticket, Some(stamp.at), None);
    }

    fn interim(&mut self, _ticket: Ticket, _head: &ResponseHead<'_>) {}
    fn body(&mut self, _ticket: Ticket, _bytes: &[u8]) {}
    fn left(&mut self, _ticket: Ticket, _silence: Silence, _at: Timestamp) {}
    fn tunnel(&mut self, _ticket: Ticket, _tunnel: &Tunnel, _why: Option<Closed>, _at: Timestamp) {}
    fn spoke(&mut self, _ticket: Ticket) {}
    fn mixup(&mut self, _link: &Link, _mixup: &Mixup, _stamp: Stamp) {}
    fn http2(&mut self, _link: &Link, _stamp: Stamp) {}
    fn hole(&mut self, _link: &Link, _hole: Hole) {}
    fn classified(&mut self, _link: &Link, _class: FlowClass) {}
    fn tls_ended(&mut self, _link: &Link, _connection: &TlsConnection) {}
    fn disowned(&mut self, _link: &Link) {}
    fn closed(&mut self, _link: &Link, _why: Closed) {}
    fn opened(&mut self, _link: &Link, _opening: Opening, _stamp: Stamp) {}
    fn anomaly(&mut self, _link: &Link, _kind: AnomalyKind, _stamp: Stamp) {}
}
