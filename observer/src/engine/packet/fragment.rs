//! Puts fragmented datagrams together (RFC 791 3.2, RFC 8200 4.5), in any order and with fragments seen twice. A
//! fragment that contradicts another drops its datagram (RFC 5722).

mod datagram;

use std::{collections::VecDeque, net::IpAddr, time::Duration};

use etherparse::IpNumber;
use hashbrown::{HashMap, hash_map::Entry};

use self::datagram::{Added, Datagram};
use super::{Unread, View, ip::Fragment};
use crate::engine::time::Timestamp;

/// How long a datagram waits for its fragments, as Linux does.
const WAIT: Duration = Duration::from_secs(30);

/// How long a decided datagram is remembered, for copies of its fragments from another interface.
const REMEMBER: Duration = Duration::from_secs(1);

/// What belongs together. A second interface sees the same datagram, so no interface is in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Key {
    source: IpAddr,
    destination: IpAddr,
    identification: u32,
    /// IPv4 only: in IPv6 the first fragment decides.
    protocol: Option<IpNumber>,
}

impl Key {
    pub(super) fn new(source: IpAddr, destination: IpAddr, fragment: &Fragment) -> Self {
        Self {
            source,
            destination,
            identification: fragment.identification,
            protocol: source.is_ipv4().then_some(fragment.protocol),
        }
    }
}

/// A datagram in a queue. Out of date when the table holds another `serial` under its key.
#[derive(Clone, Copy, Debug)]
struct Ticket {
    at: Timestamp,
    serial: u64,
    key: Key,
}

/// What a datagram costs beside its bytes: its entry, and ranges as many as they may become.
const ENTRY_COST: usize = size_of::<(Key, Datagram)>() + datagram::MAX_RANGES_COST;

/// Datagrams that are not whole yet, and those decided a moment ago.
#[derive(Debug)]
pub(super) struct Table {
    limit: usize,
    datagrams: HashMap<Key, Datagram>,
    /// By arrival of the first fragment.
    open: VecDeque<Ticket>,
    /// By decision.
    decided: VecDeque<Ticket>,
    /// Bytes buffered in `datagrams`.
    buffered: usize,
    serial: u64,
    /// Datagrams dropped and not yet mentioned.
    dropped: u64,
}

impl Table {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            datagrams: HashMap::new(),
            open: VecDeque::new(),
            decided: VecDeque::new(),
            buffered: 0,
            serial: 0,
            dropped: 0,
        }
    }

    /// Bytes held, at most.
    pub(super) fn memory(&self) -> usize {
        self.buffered + self.datagrams.len() * ENTRY_COST + (self.open.len() + self.decided.len()) * size_of::<Ticket>()
    }

    /// How many datagrams were dropped since this was last asked.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Forgets what is too old at `now`, or so far ahead of it that capture time must have stepped back.
    pub(super) fn expire(&mut self, now: Timestamp) {
        while self.decided.front().is_some_and(|ticket| ticket.at.distance(now) > REMEMBER) {
            self.forget_decided();
        }
        while self.open.front().is_some_and(|ticket| ticket.at.distance(now) > WAIT) {
            self.drop_oldest();
        }
    }

    /// Takes a fragment. Gives the datagram that it completes, with its protocol.
    pub(super) fn insert(
        &mut self,
        at: Timestamp,
        key: Key,
        fragment: &Fragment,
        payload: View<'_>,
    ) -> Result<(IpNumber, View<'_>), Unread> {
        datagram::check(fragment, payload)?;
        self.expire(at);
        self.forget_if_reused(&key, fragment, payload);
        if !self.make_room(&key, fragment.offset + payload.bytes.len()) {
            self.dropped += 1;
        } else if let Some(ticket) = self.add(at, key, fragment, payload) {
            self.decided.push_back(ticket);
            if let Some(whole) = self.datagrams.get(&key).and_then(Datagram::whole) {
                return Ok(whole);
            }
        }
        // What was dropped on the way is told with the next frame that has nothing else to say.
        Err(if std::mem::take(&mut self.dropped) > 0 { Unread::FragmentsDropped } else { Unread::Skipped })
    }

    /// Adds a fragment to its datagram; a ticket says that this decided it, for good or ill.
    fn add(&mut self, at: Timestamp, key: Key, fragment: &Fragment, payload: View<'_>) -> Option<Ticket> {
        let datagram = match self.datagrams.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                self.serial += 1;
                self.open.push_back(Ticket { at, serial: self.serial, key });
                entry.insert(Datagram::new(self.serial, fragment.protocol))
            }
        };
        let before = datagram.buffered();
        let added = datagram.add(fragment, payload);
        let serial = datagram.serial();
        self.buffered = self.buffered + datagram.buffered() - before;
        match added {
            Added::Waits => None,
            Added::Completes => Some(Ticket { at, serial, key }),
            Added::Contradicts => {
                self.dropped += 1;
                Some(Ticket { at, serial, key })
            }
        }
    }

    /// The 16 bits of IPv4 identification come round again soon on a fast path.
    fn forget_if_reused(&mut self, key: &Key, fragment: &Fragment, payload: View<'_>) {
        if self.datagrams.get(key).is_some_and(|datagram| datagram.is_reused_by(fragment, payload)) {
            self.remove(key);
        }
    }

    /// Throws out decided datagrams, then open ones, until `end` bytes of this one fit.
    fn make_room(&mut self, key: &Key, end: usize) -> bool {
        loop {
            let held = self.datagrams.get(key).map_or(0, |datagram| ENTRY_COST + datagram.buffered());
            let needed = (ENTRY_COST + end).saturating_sub(held) + 2 * size_of::<Ticket>();
            if self.memory() + needed <= self.limit {
                return true;
            }
            if !self.forget_decided() && !self.drop_oldest() {
                return false;
            }
        }
    }

    fn forget_decided(&mut self) -> bool {
        let Some(ticket) = self.decided.pop_front() else {
            return false;
        };
        if self.holds(&ticket) {
            self.remove(&ticket.key);
        }
        true
    }

    fn drop_oldest(&mut self) -> bool {
        let Some(ticket) = self.open.pop_front() else {
            return false;
        };
        if self.holds(&ticket) && self.datagrams.get(&ticket.key).is_some_and(Datagram::is_open) {
            self.remove(&ticket.key);
            self.dropped += 1;
        }
        true
    }

    fn holds(&self, ticket: &Ticket) -> bool {
        self.datagrams.get(&ticket.key).is_some_and(|datagram| datagram.serial() == ticket.serial)
    }

    fn remove(&mut self, key: &Key) {
        if let Some(datagram) = self.datagrams.remove(key) {
            self.buffered -= datagram.buffered();
        }
    }
}
