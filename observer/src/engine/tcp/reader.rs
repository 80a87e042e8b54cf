//! What a connection's bytes are handed to, and the words for it.

use std::net::SocketAddr;

use crate::engine::{
    anomaly::AnomalyKind,
    demand::Skipped,
    frame::{ClockId, InterfaceId},
    host::{Host, Realm, Socket},
    time::Timestamp,
};

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

impl Direction {
    /// 0 to the server, 1 to the client: for pairs of what each direction has.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::ToServer => 0,
            Self::ToClient => 1,
        }
    }

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
    /// The clock that `at` was read from.
    pub clock: ClockId,
    /// Where the machine that captured it has its own addresses.
    pub realm: Realm,
    /// Sequence number of the first of these bytes.
    pub sequence: u32,
    /// Its acknowledgment number.
    pub acknowledgment: Option<u32>,
}

/// Names a connection in the table; never used again for another one.
#[derive(Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnectionId {
    pub(super) slot: u32,
    pub(super) generation: u32,
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
    /// Where its ends have their own addresses.
    pub realm: Realm,
    /// The host that is reached: that of `server` or, where NAT was seen, of what it was translated to.
    pub reached: Host,
}

impl Link {
    /// Between two ends, as a machine of `realm` saw it, without NAT.
    #[must_use]
    pub fn new(id: ConnectionId, client: SocketAddr, server: SocketAddr, realm: Realm) -> Self {
        Self { id, client, server, realm, reached: Host::of(server.ip(), realm) }
    }

    /// The client's end.
    #[inline]
    #[must_use]
    pub fn client_socket(&self) -> Socket {
        Socket::of(self.client, self.realm)
    }

    /// The server's end.
    #[inline]
    #[must_use]
    pub fn server_socket(&self) -> Socket {
        Socket::of(self.server, self.realm)
    }

    /// The client's host.
    #[inline]
    #[must_use]
    pub fn client_host(&self) -> Host {
        Host::of(self.client.ip(), self.realm)
    }

    /// The host of the server's end, as the client names it.
    #[inline]
    #[must_use]
    pub fn server_host(&self) -> Host {
        Host::of(self.server.ip(), self.realm)
    }

    /// Whether both ends are on one host.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.client_host() == self.server_host()
    }

    /// Whether both lead to one server.
    #[inline]
    #[must_use]
    pub fn shares_server(&self, other: &Self) -> bool {
        self.server_socket() == other.server_socket()
    }

    /// Whether one host opened both.
    #[must_use]
    pub fn shares_client(&self, other: &Self) -> bool {
        self.client_host() == other.client_host()
    }

    /// Whether the host that this leads to opened `next`.
    #[must_use]
    pub fn leads_to(&self, next: &Self) -> bool {
        let from = next.client_host();
        from == self.reached || from == self.server_host()
    }

    /// Whether the host that opened this is the one that `next` names as its server.
    #[must_use]
    pub fn comes_from_server_of(&self, next: &Self) -> bool {
        self.client_host() == next.server_host()
    }
}

/// Bytes that were on the wire, but not captured.
#[derive(Clone, Copy, Debug)]
pub struct Missing {
    /// How many; 0 where that is not known.
    pub length: u64,
    /// Of what comes after them.
    pub stamp: Stamp,
    /// When they had been sent, at the latest: a segment after them, or an acknowledgment of them, was seen then.
    pub by: Timestamp,
    /// The clock of that time, where it is known.
    pub clock: Option<ClockId>,
}

/// How a direction ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// FIN, after all bytes.
    Fin {
        /// Whether all was read that its sender had of the other direction.
        heard: bool,
    },
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
    /// Bytes were on the wire, but not captured.
    fn gap(&mut self, to: &mut Self::Listener, link: &Link, way: Direction, missing: &Missing);
    /// No more bytes come this way. A reset ends both ways.
    fn end(&mut self, to: &mut Self::Listener, link: &Link, way: Direction, end: End, at: Timestamp);
    /// It is the same connection as another one, seen before or after NAT, which goes on in its place.
    fn disowned(&mut self, to: &mut Self::Listener, link: &Link);
    /// The connection leaves the table.
    fn close(&mut self, to: &mut Self::Listener, link: &Link, why: Closed, at: Timestamp);
    /// Something odd below the reader's level.
    fn anomaly(&mut self, to: &mut Self::Listener, link: &Link, kind: AnomalyKind, stamp: Stamp);
    /// A connection was opened (or first seen), or its client's SYN was refused.
    fn opened(&mut self, to: &mut Self::Listener, link: &Link, opening: Opening, stamp: Stamp);
    /// Whether the order between the two directions still matters.
    fn needs_order(&self) -> bool;
    /// How likely the bytes look like those of a client (positive) or a server (negative); 0 when they tell nothing.
    fn side(bytes: &[u8]) -> i8;
    /// What is needed of the bytes that come this way next.
    fn wants(&self, way: Direction) -> Want;
    /// Bytes passed that were not wanted.
    fn passed(&mut self, to: &mut Self::Listener, link: &Link, way: Direction, passed: &Passed);
    /// Ordinary requests and their answers passed, so many bytes to the server and to the client.
    fn skipped(&mut self, to: &mut Self::Listener, link: &Link, lengths: [u64; 2], skipped: &Skipped);
    /// The beginning of a control frame in bytes that were not wanted.
    fn control(&mut self, way: Direction, bytes: &[u8], at: Timestamp);
    /// Bytes held on the heap.
    fn memory(&self) -> usize;
    /// Whether losing it would lose a verdict: such connections are evicted last.
    fn is_precious(&self) -> bool;
}

/// What a reader needs of one direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Want {
    /// All bytes.
    All,
    /// Nothing of the next so many bytes.
    After(u64),
    /// WebSocket frame headers, the next of which comes after so many bytes.
    Frames(u64),
    /// Only how many bytes come, and when.
    Nothing,
}

/// Bytes that passed and were not wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passed {
    /// How many.
    pub length: u64,
    /// When the last of them was seen.
    pub at: Timestamp,
    /// Data frames that began in them.
    pub frames: u64,
    /// Bytes up to the next frame header, where that is known.
    pub to_header: Option<u64>,
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
