//! One connection: two flows, which of them is the client's, and the order between them.

mod activity;
mod opening;
mod patience;
mod usual;

use std::{net::SocketAddr, num::NonZeroU32};

use smallvec::SmallVec;

use super::{
    Closed, ConnectionId, Direction, End, Link, Missing, Reader, Stamp,
    flow::{Fin, Flow, Ready},
    key::{Kept, Key},
};
use crate::engine::{
    anomaly::AnomalyKind, demand::Wanted, host::Host, memory::block, packet::Segment, time::Timestamp,
};

/// A connection and its reader. Sides are 0 (lower end of the key) and 1.
#[derive(Debug)]
pub(super) struct Connection<R> {
    id: ConnectionId,
    key: Kept,
    flows: [Flow; 2],
    reader: R,
    /// The side that opened it, once that is known.
    client: Option<u8>,
    touched: bool,
    announced: bool,
    closing: bool,
    /// Of the client's SYN; zero says nothing.
    timestamp_value: Option<NonZeroU32>,
    /// When the client's SYN was captured first.
    syn_at: Timestamp,
    unusual: Option<Box<Unusual>>,
}

/// What few connections have.
#[derive(Default, Debug)]
struct Unusual {
    reset: Option<(u8, Timestamp)>,
    /// Other names, which NAT gave it.
    aliases: SmallVec<[Key; 1]>,
    /// The server's host by the latest of them, and when its SYN was captured.
    inside: Option<(Timestamp, Host)>,
    told: Option<Told>,
}

/// What a tap was told to be wanted of each side.
#[derive(Clone, Copy, Debug)]
struct Told {
    wanted: [Wanted; 2],
    /// Positions up to which bytes were read, not only counted.
    read: [u64; 2],
}

/// Something to look at again later.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Watch {
    /// Whether this side's flow still waits at this position.
    Hole(u8, u64),
    /// Whether what came with a reset has arrived.
    Reset,
    /// Whether the connection can be forgotten.
    Forget,
}

/// How long to wait before.
#[derive(Clone, Copy, Debug)]
pub(super) enum After {
    Settle,
    Patience,
    Linger,
}

/// What a step changed that the table must know.
#[derive(Default, Debug)]
pub(super) struct News {
    pub(super) gaps: u64,
    pub(super) gap_bytes: u64,
    /// RST in answer to a SYN.
    pub(super) refused: bool,
    /// Both initial sequence numbers (client, server), when the second became known.
    pub(super) initials: Option<(u32, u32)>,
    /// Nothing more is expected of it.
    pub(super) over: bool,
    /// A flow went on since its wait began: there may be others to wait for.
    pub(super) moved: bool,
}

impl<R: Reader> Connection<R> {
    pub(super) fn new(id: ConnectionId, key: Key) -> Self {
        Self {
            id,
            key: key.into(),
            flows: [Flow::default(), Flow::default()],
            reader: R::default(),
            client: None,
            touched: true,
            announced: false,
            closing: false,
            timestamp_value: None,
            syn_at: Timestamp::MAX,
            unusual: None,
        }
    }

    pub(super) fn id(&self) -> ConnectionId {
        self.id
    }

    pub(super) fn key(&self) -> Key {
        self.key.key()
    }

    pub(super) fn syn_at(&self) -> Timestamp {
        self.syn_at
    }

    pub(super) fn reader(&self) -> &R {
        &self.reader
    }

    pub(super) fn client_side(&self) -> Option<u8> {
        self.client
    }

    pub(super) fn memory(&self) -> usize {
        let unusual = self.unusual.as_ref().map_or(0, |_| block(size_of::<Unusual>()));
        unusual + self.key.memory() + self.flows[0].memory() + self.flows[1].memory() + self.reader.memory()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        std::iter::once(self.key()).chain(self.aliases())
    }

    /// Its other names.
    pub(super) fn aliases(&self) -> impl Iterator<Item = Key> {
        self.unusual.iter().flat_map(|unusual| unusual.aliases.iter().copied())
    }

    fn reset(&self) -> Option<(u8, Timestamp)> {
        self.unusual.as_ref()?.reset
    }

    /// Takes the names of `other`, which is this connection on the other side of a NAT.
    pub(super) fn alias(&mut self, other: &Self) {
        let inside = other.inside().or_else(|| Some((other.syn_at, other.link()?.reached)));
        let unusual = self.unusual.get_or_insert_default();
        unusual.aliases.extend(other.keys());
        unusual.inside = unusual.inside.max(inside);
    }

    /// Where NAT leads the server's clients, and when that was first seen.
    fn inside(&self) -> Option<(Timestamp, Host)> {
        self.unusual.as_ref()?.inside
    }

    /// Both initial sequence numbers: the client's and the server's.
    pub(super) fn initials(&self) -> Option<(u32, u32)> {
        let client = usize::from(self.client?);
        Some((self.flows[client].initial?, self.flows[1 - client].initial?))
    }

    pub(super) fn is_precious(&self) -> bool {
        self.reader.is_precious()
    }

    /// Whether it had segments since the last call.
    pub(super) fn was_touched(&mut self) -> bool {
        std::mem::take(&mut self.touched)
    }

    fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        let client = usize::from(self.client?);
        Some((self.key.end(client), self.key.end(1 - client)))
    }

    fn link(&self) -> Option<Link> {
        let (client, server) = self.ends()?;
        let link = Link::new(self.id, client, server, self.key.realm());
        Some(self.inside().map_or(link, |(_, reached)| Link { reached, ..link }))
    }

    fn way(&self, side: usize) -> Direction {
        if self.client == u8::try_from(side).ok() { Direction::ToServer } else { Direction::ToClient }
    }

    /// Whether both see the same bytes, one before and one after NAT: initial sequence numbers alone could be equal in
    /// made-up traffic, so the client's port or its TCP timestamp must agree as well.
    pub(super) fn is_twin_of(&self, other: &Self) -> bool {
        let made_up = self.initials().is_none_or(|(client, server)| client.min(server) < 1 << 16);
        let ports = self.ends().zip(other.ends()).is_some_and(|(one, two)| one.0.port() == two.0.port());
        let clocks = self.timestamp_value.is_some_and(|value| other.timestamp_value == Some(value));
        !made_up && (ports || clocks)
    }

    /// Whether a segment begins another connection on the same ports.
    pub(super) fn is_replaced_by(&self, side: usize, segment: &Segment<'_>) -> bool {
        if !segment.flags.syn() || segment.acknowledgment.is_some() {
            return false;
        }
        let flow = &self.flows[side];
        match flow.initial {
            Some(initial) => initial != segment.sequence,
            // Seen from the middle: a SYN just before what was seen is its own, come late.
            None if flow.next == 0 => false,
            None => {
                let behind = flow.next.wrapping_sub(flow.position(segment.sequence));
                behind == 0 || behind > 1 << 24
            }
        }
    }

    /// Takes a segment that `side` sent.
    pub(super) fn segment(&mut self, side: usize, segment: &Segment<'_>, stamp: Stamp, to: &mut R::Listener) -> News {
        let mut news = News::default();
        self.touched = true;
        if segment.flags.syn() {
            self.syn(side, segment, stamp.at, &mut news);
            if self.was_refused(side, segment) {
                self.refuse(stamp, to, &mut news);
                return news;
            }
        }
        if let Some(acknowledgment) = segment.acknowledgment {
            self.opens_other(side, segment, acknowledgment);
            self.flows[1 - side].acknowledge(acknowledgment, &stamp);
        }
        if segment.flags.rst() {
            self.rst(side, stamp, to, &mut news);
            return news;
        }
        let first = segment.sequence.wrapping_add(u32::from(segment.flags.syn()));
        if segment.wire_payload > 0 {
            self.payload(side, first, segment, stamp, to);
        } else {
            self.flows[side].stands(first, &stamp);
        }
        if segment.flags.fin() {
            let flow = &mut self.flows[side];
            let position = flow.position(first) + u64::from(segment.wire_payload);
            flow.close(Fin { position, at: stamp.at, acknowledgment: segment.acknowledgment });
        }
        self.announce(stamp, to);
        self.pump(to, &mut news);
        if self.flows[side].is_overfull() {
            // What waits is its own next byte when it is an answer to something that was not seen.
            let hole = if self.flows[side].is_stuck() { side } else { 1 - side };
            self.give_up(hole, false, (stamp.at, stamp.at), to, &mut news);
            self.pump(to, &mut news);
        }
        self.flows.iter_mut().for_each(Flow::tidy);
        news
    }

    fn payload(&mut self, side: usize, first: u32, segment: &Segment<'_>, stamp: Stamp, to: &mut R::Listener) {
        let stamp = Stamp { sequence: first, ..stamp };
        let length = u64::from(segment.wire_payload);
        let ready = self.may_read(side, segment.acknowledgment);
        let flow = &mut self.flows[side];
        if !flow.started {
            flow.anchor(first);
        }
        let start = flow.position(first);
        if flow.started && start + length <= flow.next {
            return;
        }
        let whole = segment.payload.len() == segment.wire_payload as usize;
        let next = start == flow.next && flow.started && flow.is_clear() && !flow.stalled;
        if ready
            && whole
            && next
            && let Some(link) = self.link()
        {
            self.read(&link, side, segment.payload, stamp, to);
            return;
        }
        if self.flows[side].keep(start, segment.payload, length, stamp)
            && let Some(link) = self.link()
        {
            self.reader.anomaly(to, &link, AnomalyKind::ConflictingOverlap, stamp);
        }
    }

    /// Hands the bytes over that `side` sent next.
    fn read(&mut self, link: &Link, side: usize, bytes: &[u8], stamp: Stamp, to: &mut R::Listener) {
        let start = self.flows[side].next;
        let taken = self.reader.bytes(to, link, self.way(side), bytes, stamp);
        let flow = &mut self.flows[side];
        flow.advance(taken as u64);
        flow.stalled = taken < bytes.len();
        if flow.stalled {
            flow.keep(start, bytes, bytes.len() as u64, stamp);
        }
        // The other direction's reader may have waited for this.
        self.flows[1 - side].stalled = false;
        self.note_read(side);
    }

    /// Whether bytes of `side` that acknowledge `acknowledgment` may be read yet. What a server says in answer to a
    /// request is read after that request, also when frames come out of order.
    fn may_read(&self, side: usize, acknowledgment: Option<u32>) -> bool {
        let Some(client) = self.client else { return false };
        if usize::from(client) == side || !self.reader.needs_order() {
            return true;
        }
        let flow = &self.flows[usize::from(client)];
        if flow.stalled {
            return true;
        }
        let Some(acknowledgment) = acknowledgment else { return true };
        let answered = flow.position(acknowledgment);
        let fin = flow.fin().is_some_and(|fin| answered == fin.position + 1);
        flow.started && answered <= flow.next + u64::from(fin)
    }

    /// Hands over all that can be, until neither direction moves.
    fn pump(&mut self, to: &mut R::Listener, news: &mut News) {
        let Some(link) = self.link() else { return };
        let client = usize::from(self.client.unwrap_or(0));
        loop {
            // The client's side first: whether it is stalled decides what may be read of the server's.
            let moved = self.pump_side(&link, client, to, news) | self.pump_side(&link, 1 - client, to, news);
            if !moved {
                return;
            }
            // The reader may take now what it declined before.
            for flow in &mut self.flows {
                flow.stalled = false;
            }
        }
    }

    fn pump_side(&mut self, link: &Link, side: usize, to: &mut R::Listener, news: &mut News) -> bool {
        let way = self.way(side);
        let mut moved = false;
        while self.flows[side].started && !self.flows[side].stalled {
            let Some(stamp) = self.flows[side].next_stamp() else { break };
            if !self.may_read(side, stamp.acknowledgment) {
                break;
            }
            match self.flows[side].take() {
                Some(Ready::Bytes(piece)) => {
                    let taken = self.reader.bytes(to, link, way, &piece.bytes, piece.stamp);
                    let flow = &mut self.flows[side];
                    flow.advance(taken as u64);
                    flow.stalled = taken < piece.bytes.len();
                    if flow.stalled {
                        let skipped = u32::try_from(taken).unwrap_or(0);
                        let rest = Stamp { sequence: piece.stamp.sequence.wrapping_add(skipped), ..piece.stamp };
                        flow.keep(flow.next, &piece.bytes[taken..], (piece.bytes.len() - taken) as u64, rest);
                    }
                    self.note_read(side);
                    // What the other direction's reader waited for may be this: what comes next here may answer that.
                    self.flows[1 - side].stalled &= taken == 0;
                    moved |= taken > 0;
                }
                Some(Ready::Cut(length)) => {
                    self.reader.gap(to, link, way, &Missing { length, stamp, by: stamp.at, clock: Some(stamp.clock) });
                    self.flows[side].advance(length);
                    news.gaps += 1;
                    news.gap_bytes += length;
                    // The other direction goes on first.
                    return true;
                }
                None => break,
            }
        }
        let flow = &self.flows[side];
        let ended = flow.fin().filter(|fin| flow.started && !flow.has_ended() && flow.next >= fin.position);
        if let Some(fin) = ended.filter(|fin| self.may_read(side, fin.acknowledgment)) {
            self.flows[side].end();
            let heard = !self.flows[1 - side].is_missing();
            self.reader.end(to, link, way, End::Fin { heard }, fin.at);
            moved = true;
        }
        moved
    }

    /// Tells the reader that what it read is another connection's.
    pub(super) fn disown(&mut self, to: &mut R::Listener) {
        if let Some(link) = self.link() {
            self.reader.disowned(to, &link);
        }
    }

    /// Tells the reader that it is over.
    pub(super) fn close(&mut self, why: Closed, at: Timestamp, to: &mut R::Listener) {
        if let Some(link) = self.link() {
            self.reader.close(to, &link, why, at);
        }
    }
}
