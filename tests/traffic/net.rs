//! Connections on a virtual clock: who sends which segment when. What of it is captured, and how, is `tap`'s.

use std::net::SocketAddr;

use super::{
    random::Random,
    wire::{ACK, FIN, RST, SYN, Segment},
};

/// Nanoseconds since the world began.
pub type Time = i64;
pub const MICRO: Time = 1_000;
pub const MILLI: Time = 1_000_000;
pub const SECOND: Time = 1_000_000_000;

/// Who speaks on a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Client,
    Server,
}
pub use Side::{Client, Server};

impl Side {
    fn index(self) -> usize {
        usize::from(self == Server)
    }

    fn other(self) -> Self {
        if self == Client { Server } else { Client }
    }
}

/// Names a connection of a [`Net`].
pub type Id = usize;

/// One connection.
#[derive(Debug)]
pub struct Connection {
    pub client: SocketAddr,
    pub server: SocketAddr,
    /// How many proxies are before it.
    pub level: usize,
    /// When its last segment was sent.
    pub last: Time,
    pub ended: [bool; 2],
    next: [u32; 2],
}

/// A segment that was sent.
pub struct Sent {
    pub at: Time,
    pub connection: Id,
    pub segment: Segment,
}

/// All connections and all that was sent on them.
pub struct Net {
    pub connections: Vec<Connection>,
    pub sent: Vec<Sent>,
    random: Random,
}

/// The largest segment.
const MSS: usize = 1448;

impl Net {
    pub fn new(random: Random) -> Self {
        Self { connections: Vec::new(), sent: Vec::new(), random }
    }

    /// A connection whose SYN was answered.
    pub fn open(&mut self, client: SocketAddr, server: SocketAddr, level: usize, at: Time) -> Id {
        let id = self.connection(client, server, level, at);
        self.segment(id, Client, at, SYN, b"");
        self.segment(id, Server, at + 30 * MICRO, SYN | ACK, b"");
        self.segment(id, Client, at + 60 * MICRO, ACK, b"");
        id
    }

    /// A connection that was open before the world began.
    pub fn found(&mut self, client: SocketAddr, server: SocketAddr, level: usize, at: Time) -> Id {
        self.connection(client, server, level, at)
    }

    /// A SYN that was answered with RST.
    pub fn refused(&mut self, client: SocketAddr, server: SocketAddr, level: usize, at: Time) -> Id {
        let id = self.connection(client, server, level, at);
        self.segment(id, Client, at, SYN, b"");
        self.connections[id].next[1] = 0;
        self.segment(id, Server, at + 30 * MICRO, RST | ACK, b"");
        id
    }

    /// SYNs that nobody answered, until the client gave up (RFC 6298 2.1).
    pub fn unanswered(&mut self, ends: (SocketAddr, SocketAddr), level: usize, at: Time, until: Time) -> Id {
        let id = self.connection(ends.0, ends.1, level, at);
        for after in [0, 1, 3, 7, 15].map(|seconds| at + seconds * SECOND).into_iter().filter(|at| *at < until) {
            self.connections[id].next[0] = self.connections[id].next[0].wrapping_sub(u32::from(after > at));
            self.segment(id, Client, after, SYN, b"");
        }
        id
    }

    /// Sends bytes; returns when the last of them was on the wire.
    pub fn say(&mut self, id: Id, side: Side, at: Time, bytes: &[u8]) -> Time {
        for piece in bytes.chunks(MSS) {
            self.segment(id, side, at, ACK, piece);
        }
        let sent = self.connections[id].last;
        if self.random.chance(60) {
            self.segment(id, side.other(), sent + 20 * MICRO, ACK, b"");
        }
        sent
    }

    pub fn fin(&mut self, id: Id, side: Side, at: Time) -> Time {
        self.end(id, side, at, ACK | FIN)
    }

    pub fn reset(&mut self, id: Id, side: Side, at: Time) -> Time {
        self.end(id, side, at, ACK | RST)
    }

    fn end(&mut self, id: Id, side: Side, at: Time, flags: u8) -> Time {
        if !self.connections[id].ended[side.index()] {
            self.segment(id, side, at, flags, b"");
            self.connections[id].ended[side.index()] = true;
            if flags & RST != 0 {
                self.connections[id].ended = [true; 2];
            }
        }
        self.connections[id].last
    }

    /// Both sides end, the given one first; nothing happens where both have.
    pub fn close(&mut self, id: Id, first: Side, at: Time) -> Time {
        let was_open = self.connections[id].ended != [true; 2];
        self.fin(id, first, at);
        let done = self.fin(id, first.other(), at + 50 * MICRO);
        if was_open {
            self.segment(id, first, done + 20 * MICRO, ACK, b"");
        }
        done
    }

    /// One side closes; the other takes note of it and does nothing.
    pub fn leave(&mut self, id: Id, side: Side, at: Time) -> Time {
        let done = self.fin(id, side, at);
        self.segment(id, side.other(), done + 20 * MICRO, ACK, b"");
        done
    }

    fn connection(&mut self, client: SocketAddr, server: SocketAddr, level: usize, at: Time) -> Id {
        let mut initial = || u32::try_from(self.random.next() >> 32).expect("32 bits") | 1 << 20;
        let next = [initial(), initial()];
        self.connections.push(Connection { client, server, level, last: at, ended: [false; 2], next });
        self.connections.len() - 1
    }

    fn segment(&mut self, id: Id, side: Side, at: Time, flags: u8, payload: &[u8]) {
        let connection = &mut self.connections[id];
        let own = side.index();
        let at = at.max(connection.last + MICRO);
        connection.last = at;
        let ends = [connection.client, connection.server];
        let segment = Segment::said(ends, &mut connection.next, own, flags, payload);
        self.sent.push(Sent { at, connection: id, segment });
    }
}
