//! TCP connections (RFC 9293): a bounded table that puts the bytes of both directions in order and hands them to a
//! [`Reader`].
//!
//! The table decides which end is the client, recognises one connection seen before and after NAT, and tells the reader
//! of every byte that was on the wire but not captured. What the bytes mean is left to the reader.

mod connection;
mod counts;
mod flow;
mod index;
mod key;
mod reader;
mod slots;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

pub use self::counts::Counts;
pub use self::reader::{Closed, ConnectionId, Direction, End, Link, Missing, Opening, Passed, Reader, Stamp, Want};
use self::{
    connection::{Connection, News, Watch},
    index::Index,
    key::Key,
    slots::Slots,
};
use super::{
    demand::{Activity, Control, Demand, Skipped},
    host::Realm,
    packet::Segment,
    time::Timestamp,
};

/// Capture time for which a closed connection is kept, so that late copies of its segments find it.
const LINGER: Duration = Duration::from_secs(2);
/// Capture time after which bytes before others count as lost though nobody acknowledged them.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections among which one without an attempt is looked for, before one with an attempt is thrown out.
const CHOICE: usize = 64;
/// Timers of which it does not matter what they are for.
const FEW_TIMERS: usize = 4096;
/// Bytes that a timer costs in a heap that is half full after it grew.
const TIMER: usize = 2 * size_of::<(Timestamp, ConnectionId, Watch)>();

/// All connections.
#[derive(Debug)]
pub struct Table<R> {
    index: Index,
    slots: Slots<Connection<R>>,
    timers: BinaryHeap<Reverse<(Timestamp, ConnectionId, Watch)>>,
    /// How many timers there must be to look for those of what is gone.
    sweep_at: usize,
    counts: Counts,
    generation: u32,
    /// Bytes waiting in flows and held by readers.
    held: usize,
    /// The latest time of any segment: what a timer finds missing is waited for from now on, not from when it was due.
    latest: Timestamp,
    /// Where the search for something to evict goes on.
    hand: u32,
    /// Slots that are ended for good, as the capture is over.
    finished: u32,
    settle: Duration,
    memory_limit: usize,
    /// What taps may be told of what readers need, where they can use it.
    demands: Option<VecDeque<Demand>>,
}

impl<R: Reader> Table<R> {
    /// An empty table.
    pub fn new(settle: Duration, memory_limit: usize, demanding: bool) -> Self {
        Self {
            index: Index::default(),
            slots: Slots::default(),
            timers: BinaryHeap::new(),
            sweep_at: FEW_TIMERS,
            counts: Counts::default(),
            generation: 0,
            held: 0,
            latest: Timestamp::MIN,
            hand: 0,
            finished: 0,
            settle,
            memory_limit,
            demands: demanding.then(VecDeque::new),
        }
    }

    /// The counters.
    pub fn counts(&self) -> Counts {
        Counts { open: self.slots.len() as u64, ..self.counts }
    }

    /// Bytes of state, by estimate.
    pub fn memory(&self) -> usize {
        let entry = size_of::<Option<Connection<R>>>() + Index::ENTRY;
        self.slots.len() * entry + self.held + self.timers.len() * TIMER
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
        self.latest = self.latest.max(stamp.at);
        let (key, low) = Key::new(segment.source, segment.destination, stamp.realm);
        let Some((slot, side)) = self.find(key, low, segment, stamp, to) else { return };
        let connection = self.connection(slot);
        let (before, initials) = (connection.memory(), connection.initials());
        let usual = connection.usual(side, segment, stamp, to);
        let news = if usual { None } else { Some(connection.segment(side, segment, stamp, to)) };
        let after = connection.memory();
        self.held = (self.held + after).saturating_sub(before);
        if let Some(news) = news {
            if let (Some(before), Some(_)) = (initials, news.initials) {
                self.index.forget_initials(slot, before);
            }
            if !self.note(slot, &news, stamp.at, to) {
                return;
            }
        }
        self.demand(slot);
        while self.memory() > self.memory_limit && self.evict(slot, stamp.at, to) {}
    }

    /// Takes a segment by its headers, if its payload is not needed; else this is false, and changes nothing.
    pub fn pass(&mut self, segment: &Segment<'_>, stamp: Stamp, to: &mut R::Listener) -> bool {
        let (key, low) = Key::new(segment.source, segment.destination, stamp.realm);
        let Some((slot, flipped)) = self.index.look_up(&key, &self.slots) else { return false };
        let passes = self.connection(slot).pass(usize::from(low == flipped), segment, stamp, to);
        if passes {
            self.latest = self.latest.max(stamp.at);
            self.demand(slot);
        }
        passes
    }

    /// Does what a segment makes necessary. False where its connection is gone with it.
    fn note(&mut self, slot: u32, news: &News, at: Timestamp, to: &mut R::Listener) -> bool {
        self.counts.gaps += news.gaps;
        self.counts.gap_bytes += news.gap_bytes;
        if let Some(initials) = news.initials
            && self.merge(slot, initials, to)
        {
            return false;
        }
        if news.refused {
            self.remove(slot, Closed::Ended, at, to);
            return false;
        }
        self.watch(slot, at);
        true
    }

    /// Takes what a tap tells of payload that was not wanted.
    pub fn activity(&mut self, activity: &Activity, to: &mut R::Listener) {
        let Some((slot, side)) = self.known(activity.client, activity.server, activity.way) else { return };
        let connection = self.connection(slot);
        let before = connection.memory();
        let news = connection.activity(side, activity, to);
        let after = connection.memory();
        self.held = (self.held + after).saturating_sub(before);
        self.counts.gaps += news.gaps;
        self.counts.gap_bytes += news.gap_bytes;
        self.watch(slot, activity.at);
    }

    /// Takes what a tap tells of ordinary requests that it left out.
    pub fn skipped(&mut self, skipped: &Skipped, to: &mut R::Listener) {
        let Some((slot, side)) = self.known(skipped.client, skipped.server, Direction::ToServer) else { return };
        let connection = self.connection(slot);
        let before = connection.memory();
        connection.skipped(side, skipped, to);
        let after = connection.memory();
        self.held = (self.held + after).saturating_sub(before);
    }

    /// Takes a control frame out of payload that was not wanted.
    pub fn control(&mut self, control: &Control<'_>) {
        if let Some((slot, side)) = self.known(control.client, control.server, control.way) {
            self.connection(slot).control(side, control);
        }
    }

    /// What is needed of a connection's payload from now on.
    pub fn poll_demand(&mut self) -> Option<Demand> {
        self.demands.as_mut()?.pop_front()
    }

    fn demand(&mut self, slot: u32) {
        if self.demands.is_some()
            && let Some(news) = self.connection(slot).demands()
            && let Some(demands) = &mut self.demands
        {
            demands.extend(news);
        }
    }

    /// A connection in the table, and the side that sends this way. Only live taps ask, and those are on one machine.
    fn known(&self, client: SocketAddr, server: SocketAddr, way: Direction) -> Option<(u32, usize)> {
        let (source, destination) = if way == Direction::ToServer { (client, server) } else { (server, client) };
        let (key, low) = Key::new(source, destination, Realm::default());
        // Of a connection behind NAT only what is told by its first name counts.
        Some((self.index.first_name(&key, &self.slots)?, usize::from(!low)))
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
        if let Some((slot, flipped)) = self.index.look_up(&key, &self.slots) {
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
        let generation = self.generation;
        let slot = self.slots.insert(|slot| Connection::new(ConnectionId { slot, generation }, key))?;
        self.index.insert(&key, slot, &self.slots);
        self.counts.connections += 1;
        Some((slot, usize::from(!low)))
    }

    fn connection(&mut self, slot: u32) -> &mut Connection<R> {
        self.slots.get_mut(slot).expect("slots named by keys and live timers are taken")
    }

    /// Both initial sequence numbers of `slot` are known now. If another connection has the same ones, it is the same
    /// connection on the other side of a NAT (docker port publishing): both keys lead to one entry from now on.
    fn merge(&mut self, slot: u32, initials: (u32, u32), to: &mut R::Listener) -> bool {
        let first = self.index.first_with(initials, slot, &self.slots);
        if first == slot {
            return false;
        }
        let (one, other) = (self.slots.get(first), self.slots.get(slot));
        let Some((one, other)) = one.zip(other).filter(|(one, other)| one.is_twin_of(other)) else { return false };
        // The name that the client used stays: its SYN was there first, in whichever order the frames come.
        let named = |connection: &Connection<R>| (connection.syn_at(), connection.key());
        let (stays, goes) = if named(other) < named(one) { (slot, first) } else { (first, slot) };
        self.index.redirect(initials, first, stays);
        self.absorb(stays, goes, to);
        true
    }

    /// Gives the keys of one entry to another. What was read of it will be, or was, read again there.
    fn absorb(&mut self, stays: u32, goes: u32, to: &mut R::Listener) {
        let Some(mut gone) = self.take(goes) else { return };
        gone.disown(to);
        self.counts.connections -= 1;
        let swapped = self.connection(stays).client_side() != gone.client_side();
        for key in gone.keys() {
            self.index.rename(key, stays, swapped);
        }
        self.connection(stays).alias(&gone);
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
        if self.timers.len() > self.sweep_at {
            let (timers, slots) = (&mut self.timers, &self.slots);
            let lives = |id: ConnectionId| slots.get(id.slot).is_some_and(|found| found.id() == id);
            timers.retain(|Reverse((_, id, _))| lives(*id));
            timers.shrink_to_fit();
            self.sweep_at = FEW_TIMERS + 2 * timers.len();
        }
    }

    /// The readers of all connections.
    pub fn readers(&self) -> impl Iterator<Item = &R> {
        self.slots.iter().map(Connection::reader)
    }

    /// When [`Self::advance`] has something to do next.
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.timers.peek().map(|Reverse((at, ..))| *at)
    }

    /// Capture time has come to `now`: gives up the first wait that has lasted long enough. False when there is none.
    pub fn advance(&mut self, now: Timestamp, to: &mut R::Listener) -> bool {
        if self.timers.peek().is_none_or(|Reverse((at, ..))| *at > now) {
            return false;
        }
        let Some(Reverse((at, id, watch))) = self.timers.pop() else { return false };
        let Some(connection) = self.slots.get_mut(id.slot) else { return true };
        if connection.id() != id {
            return true;
        }
        let before = connection.memory();
        // A hole may have grown since that time.
        let news = connection.expire(watch, at, at.max(self.latest), to);
        self.held = (self.held + connection.memory()).saturating_sub(before);
        self.counts.gaps += news.gaps;
        self.counts.gap_bytes += news.gap_bytes;
        if news.over {
            self.remove(id.slot, Closed::Ended, at, to);
        } else if news.moved {
            self.watch(id.slot, self.latest);
        }
        true
    }

    /// Ends the first connection in the table. False when there is none.
    pub fn finish(&mut self, now: Timestamp, to: &mut R::Listener) -> bool {
        while self.finished < self.slots.end() {
            let slot = self.finished;
            self.finished += 1;
            let Some(connection) = self.slots.get_mut(slot) else { continue };
            let news = connection.flush((now, now), to);
            self.counts.gaps += news.gaps;
            self.counts.gap_bytes += news.gap_bytes;
            self.remove(slot, Closed::CaptureEnded, now, to);
            return true;
        }
        false
    }

    fn remove(&mut self, slot: u32, why: Closed, at: Timestamp, to: &mut R::Listener) {
        let Some(mut connection) = self.take(slot) else { return };
        for alias in connection.aliases() {
            self.index.forget_alias(&alias);
        }
        connection.close(why, at, to);
    }

    /// Empties a slot; other names go on leading there.
    fn take(&mut self, slot: u32) -> Option<Connection<R>> {
        let connection = self.slots.get(slot)?;
        self.index.forget(slot, &connection.key(), connection.initials());
        let connection = self.slots.take(slot)?;
        self.held = self.held.saturating_sub(connection.memory());
        Some(connection)
    }

    /// Throws out one connection other than `spare`: the first that was quiet since the hand last came by. One that
    /// carries an attempt goes only where there is no other near.
    fn evict(&mut self, spare: u32, now: Timestamp, to: &mut R::Listener) -> bool {
        let (end, mut precious) = (self.slots.end(), None);
        for step in 0..2 * end as usize {
            if step >= CHOICE && precious.is_some() {
                break;
            }
            self.hand = (self.hand + 1) % end;
            let slot = self.hand;
            let Some(connection) = self.slots.get_mut(slot) else { continue };
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
