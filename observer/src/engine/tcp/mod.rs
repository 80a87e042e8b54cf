//! TCP connections (RFC 9293): a bounded table that puts the bytes of both directions in order and hands them to a
//! [`Reader`].
//!
//! The table decides which end is the client, recognises one connection seen before and after NAT, and tells the reader
//! of every byte that was on the wire but not captured. What the bytes mean is left to the reader.

mod connection;
mod flow;
mod key;

use std::{cmp::Reverse, collections::BinaryHeap, net::SocketAddr, time::Duration};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use self::{
    connection::{Connection, Watch},
    key::Key,
};
use super::{anomaly::AnomalyKind, frame::InterfaceId, packet::Segment, time::Timestamp};

/// Capture time for which a closed connection is kept, so that late copies of its segments find it.
const LINGER: Duration = Duration::from_secs(2);
/// Capture time after which bytes before others count as lost though nobody acknowledged them.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections among which one without an attempt is looked for, before one with an attempt is thrown out.
const CHOICE: usize = 64;
/// Bytes that a connection costs in the table, apart from what waits in it and what its reader holds.
const ENTRY: usize = 96;

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

impl Direction {
    /// The other way.
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }
}

/// Where bytes come from: the segment that carried their first copy.
#[derive(Clone, Copy, Default, Debug)]
pub struct Stamp {
    /// Capture time of its frame.
    pub at: Timestamp,
    /// Number of its frame.
    pub frame: u64,
    /// Interface of its frame.
    pub interface: InterfaceId,
    /// Sequence number of the first of these bytes.
    pub sequence: u32,
    /// Its acknowledgment number.
    pub acknowledgment: Option<u32>,
}

/// Names a connection in the table; never used again for another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnectionId {
    slot: u32,
    generation: u32,
}

/// A connection as its reader sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// Its name.
    pub id: ConnectionId,
    /// The client's end.
    pub client: SocketAddr,
    /// The server's end.
    pub server: SocketAddr,
}

/// How a direction ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// FIN, after all bytes.
    Fin,
    /// RST.
    Reset,
}

/// Why a connection leaves the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closed {
    /// Both directions ended, or one side reset it.
    Ended,
    /// Another connection took over its ports.
    Replaced,
    /// To stay under the memory limit.
    Evicted,
    /// The capture is over.
    CaptureEnded,
}

/// What reads the bytes of one connection.
pub trait Reader: Default {
    /// Where the reader reports.
    type Listener;

    /// Takes bytes in order and says how many it took; fewer means that it waits for the other direction.
    fn bytes(&mut self, to: &mut Self::Listener, link: &Link, way: Direction, bytes: &[u8], stamp: Stamp) -> usize;
    /// `length` bytes were on the wire but not captured; 0 when how many is unknown.
    fn gap(&mut self, to: &mut Self::Listener, link: &Link, way: Direction, length: u64, stamp: Stamp);
    /// No more bytes come this way. A reset ends both ways.
    fn end(&mut self, to: &mut Self::Listener, link: &Link, way: Direction, end: End, at: Timestamp);
    /// The connection leaves the table.
    fn close(&mut self, to: &mut Self::Listener, link: &Link, why: Closed, at: Timestamp);
    /// Something odd below the reader's level.
    fn anomaly(&mut self, to: &mut Self::Listener, link: &Link, kind: AnomalyKind, stamp: Stamp);
    /// A connection was opened (or first seen), or its client's SYN was refused.
    fn opened(&mut self, to: &mut Self::Listener, link: &Link, opening: Opening, at: Timestamp);
    /// Whether the order between the two directions still matters.
    fn needs_order(&self) -> bool;
    /// How likely the bytes look like those of a client (positive) or a server (negative); 0 when they tell nothing.
    fn side(bytes: &[u8]) -> i8;
    /// Bytes held on the heap.
    fn memory(&self) -> usize;
    /// Whether losing it would lose a verdict: such connections are evicted last.
    fn is_precious(&self) -> bool;
}

/// How far the opening of a connection was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opening {
    /// The client's SYN.
    Syn,
    /// The server's answer to it.
    Accepted,
    /// RST in answer to the SYN.
    Refused,
    /// Seen in the middle.
    Middle,
}

/// Counters of the table.
#[derive(Clone, Copy, Default, Debug)]
pub struct Counts {
    /// Connections seen.
    pub connections: u64,
    /// Connections in the table.
    pub open: u64,
    /// Gaps told to readers.
    pub gaps: u64,
    /// Bytes in them.
    pub gap_bytes: u64,
    /// Segments cut by the snapshot length.
    pub cut: u64,
    /// Connections thrown out.
    pub evictions: u64,
}

/// All connections.
#[derive(Debug)]
pub struct Table<R> {
    by_key: HashMap<Key, Entry, FixedState>,
    /// For NAT: connections by both initial sequence numbers.
    by_initial: HashMap<(u32, u32), u32, FixedState>,
    slots: Vec<Option<Connection<R>>>,
    free: Vec<u32>,
    timers: BinaryHeap<Reverse<(Timestamp, ConnectionId, Watch)>>,
    counts: Counts,
    generation: u32,
    /// Bytes waiting in flows and held by readers.
    held: usize,
    /// Where the search for something to evict goes on.
    hand: usize,
    settle: Duration,
    memory_limit: usize,
}

/// Where a key leads: the connection's slot, and whether its lower end is the connection's second one.
#[derive(Clone, Copy, Debug)]
struct Entry {
    slot: u32,
    flipped: bool,
}

impl<R: Reader> Table<R> {
    /// An empty table.
    pub fn new(settle: Duration, memory_limit: usize) -> Self {
        Self {
            by_key: HashMap::default(),
            by_initial: HashMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            timers: BinaryHeap::new(),
            counts: Counts::default(),
            generation: 0,
            held: 0,
            hand: 0,
            settle,
            memory_limit,
        }
    }

    /// The counters.
    pub fn counts(&self) -> Counts {
        Counts { open: (self.slots.len() - self.free.len()) as u64, ..self.counts }
    }

    /// Bytes of state, by estimate.
    pub fn memory(&self) -> usize {
        let entry = size_of::<Option<Connection<R>>>() + ENTRY;
        (self.slots.len() - self.free.len()) * entry + self.held + self.timers.len() * 32
    }

    /// Sets how many bytes of state to hold at most, from the next segment on.
    pub fn limit_memory(&mut self, limit: usize) {
        self.memory_limit = limit;
    }

    /// Takes one segment.
    pub fn segment(&mut self, segment: &Segment<'_>, stamp: Stamp, to: &mut R::Listener) {
        if segment.wire_payload as usize > segment.payload.len() {
            self.counts.cut += 1;
        }
        let (key, low) = Key::new(segment.source, segment.destination);
        let Some((slot, side)) = self.find(key, low, segment, stamp, to) else { return };
        let (refused, aliased) = {
            let connection = self.connection(slot);
            let before = connection.memory();
            let news = connection.segment(side, segment, stamp, to);
            let after = connection.memory();
            self.held = (self.held + after).saturating_sub(before);
            self.counts.gaps += news.gaps;
            self.counts.gap_bytes += news.gap_bytes;
            (news.refused, news.initials)
        };
        if let Some(initials) = aliased
            && self.merge(slot, initials)
        {
            return;
        }
        if refused {
            self.remove(slot, Closed::Ended, stamp.at, to);
            return;
        }
        self.watch(slot, stamp.at);
        while self.memory() > self.memory_limit && self.evict(slot, stamp.at, to) {}
    }

    /// The connection of a segment and the side that sent it; makes a new one where the segment may begin one.
    fn find(
        &mut self,
        key: Key,
        low: bool,
        segment: &Segment<'_>,
        stamp: Stamp,
        to: &mut R::Listener,
    ) -> Option<(u32, usize)> {
        if let Some(&Entry { slot, flipped }) = self.by_key.get(&key) {
            let side = usize::from(low == flipped);
            if !self.connection(slot).is_replaced_by(side, segment) {
                return Some((slot, side));
            }
            self.remove(slot, Closed::Replaced, stamp.at, to);
        }
        // Lone acknowledgments, FINs and RSTs of connections from before the capture are not worth a place. What answers
        // a SYN (RFC 9293 3.10.7.1) may be seen before it.
        let refusal = segment.flags.rst() && segment.sequence == 0 && segment.acknowledgment.is_some();
        if segment.payload.is_empty() && !segment.flags.syn() && !refusal {
            return None;
        }
        self.generation = self.generation.wrapping_add(1);
        let id = |slot| ConnectionId { slot, generation: self.generation };
        let slot = if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Some(Connection::new(id(slot), key));
            slot
        } else {
            let slot = u32::try_from(self.slots.len()).ok()?;
            self.slots.push(Some(Connection::new(id(slot), key)));
            slot
        };
        self.by_key.insert(key, Entry { slot, flipped: false });
        self.counts.connections += 1;
        Some((slot, usize::from(!low)))
    }

    fn connection(&mut self, slot: u32) -> &mut Connection<R> {
        self.slots[slot as usize].as_mut().expect("slots named by keys and live timers are taken")
    }

    /// Both initial sequence numbers of `slot` are known now. If another connection has the same ones, it is the same
    /// connection on the other side of a NAT (docker port publishing): both keys lead to one entry from now on.
    fn merge(&mut self, slot: u32, initials: (u32, u32)) -> bool {
        let Some(&first) = self.by_initial.get(&initials).filter(|first| **first != slot) else {
            self.by_initial.insert(initials, slot);
            return false;
        };
        let (one, other) = (self.slots[first as usize].as_ref(), self.slots[slot as usize].as_ref());
        let Some((one, other)) = one.zip(other).filter(|(one, other)| one.is_twin_of(other)) else { return false };
        // Which one stays does not depend on which was seen first, unless its bytes were read already.
        let (stays, goes) = match (one.is_untouched(), other.is_untouched()) {
            (false, false) => return false,
            (true, true) if other.key() < one.key() => (slot, first),
            (true, false) => (slot, first),
            _ => (first, slot),
        };
        self.by_initial.insert(initials, stays);
        self.absorb(stays, goes);
        true
    }

    /// Gives the keys of one entry to another.
    fn absorb(&mut self, stays: u32, goes: u32) {
        let Some(gone) = self.slots[goes as usize].take() else { return };
        self.free.push(goes);
        self.held = self.held.saturating_sub(gone.memory());
        self.counts.connections -= 1;
        let swapped = self.connection(stays).client_side() != gone.client_side();
        for key in gone.keys() {
            if let Some(entry) = self.by_key.get_mut(&key) {
                *entry = Entry { slot: stays, flipped: entry.flipped != swapped };
            }
            self.connection(stays).alias(key);
        }
    }

    /// Sees to it that what a connection waits for does not wait for ever.
    fn watch(&mut self, slot: u32, now: Timestamp) {
        let settle = self.settle;
        let connection = self.connection(slot);
        let id = connection.id();
        for (after, watch) in connection.watches() {
            let after = match after {
                connection::After::Settle => settle,
                connection::After::Patience => PATIENCE.max(settle),
                connection::After::Linger => LINGER.max(settle * 2),
            };
            self.timers.push(Reverse((now + after, id, watch)));
        }
    }

    /// The readers of all connections.
    pub fn readers(&self) -> impl Iterator<Item = &R> {
        self.slots.iter().flatten().map(Connection::reader)
    }

    /// When [`Self::advance`] has something to do next.
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.timers.peek().map(|Reverse((at, ..))| *at)
    }

    /// Capture time has come to `now`: gives up waiting where it has lasted long enough.
    pub fn advance(&mut self, now: Timestamp, to: &mut R::Listener) {
        while self.timers.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
            let Some(Reverse((at, id, watch))) = self.timers.pop() else { return };
            let Some(Some(connection)) = self.slots.get_mut(id.slot as usize) else { continue };
            if connection.id() != id {
                continue;
            }
            let before = connection.memory();
            let news = connection.expire(watch, at, to);
            self.held = (self.held + connection.memory()).saturating_sub(before);
            self.counts.gaps += news.gaps;
            self.counts.gap_bytes += news.gap_bytes;
            if news.over {
                self.remove(id.slot, Closed::Ended, at, to);
            } else {
                self.watch(id.slot, at);
            }
        }
    }

    /// Ends every connection.
    pub fn finish(&mut self, now: Timestamp, to: &mut R::Listener) {
        for slot in 0..self.slots.len() {
            let Some(connection) = &mut self.slots[slot] else { continue };
            let news = connection.flush(now, to);
            self.counts.gaps += news.gaps;
            self.counts.gap_bytes += news.gap_bytes;
            if let Ok(slot) = u32::try_from(slot) {
                self.remove(slot, Closed::CaptureEnded, now, to);
            }
        }
    }

    fn remove(&mut self, slot: u32, why: Closed, at: Timestamp, to: &mut R::Listener) {
        let Some(mut connection) = self.slots[slot as usize].take() else { return };
        self.free.push(slot);
        self.held = self.held.saturating_sub(connection.memory());
        for key in connection.keys() {
            self.by_key.remove(&key);
        }
        if let Some(initials) = connection.initials()
            && self.by_initial.get(&initials) == Some(&slot)
        {
            self.by_initial.remove(&initials);
        }
        connection.close(why, at, to);
    }

    /// Throws out one connection other than `spare`: the first that was quiet since the hand last came by. One that
    /// carries an attempt goes only where there is no other near.
    fn evict(&mut self, spare: u32, now: Timestamp, to: &mut R::Listener) -> bool {
        let (count, mut precious) = (self.slots.len(), None);
        for step in 0..2 * count {
            if step >= CHOICE && precious.is_some() {
                break;
            }
            self.hand = (self.hand + 1) % count;
            let Some(connection) = &mut self.slots[self.hand] else { continue };
            let Ok(slot) = u32::try_from(self.hand) else { continue };
            if slot == spare || connection.was_touched() {
                continue;
            }
            if connection.is_precious() {
                precious.get_or_insert(slot);
                continue;
            }
            precious = Some(slot);
            break;
        }
        let Some(slot) = precious else { return false };
        self.counts.evictions += 1;
        self.remove(slot, Closed::Evicted, now, to);
        true
    }
}
