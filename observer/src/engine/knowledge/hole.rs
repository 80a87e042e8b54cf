//! One hole: something that was on the wire, or may have been, and is not in the capture.

use std::{fmt, net::SocketAddr};

use crate::engine::{
    frame::ClockId,
    host::{Host, Realm, Socket},
    tcp::{Direction, Link},
    time::Timestamp,
};

/// Something that the capture does not hold, or that was not kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hole {
    /// How it came about.
    pub kind: HoleKind,
    /// The client's end of the connection.
    pub client: Place,
    /// The server's end.
    pub server: Place,
    /// Which way the missing bytes went; `None` where that is not known.
    pub way: Option<Direction>,
    /// When the first of it was sent, at the earliest.
    pub from: Timestamp,
    /// When the last of it was sent, at the latest.
    pub to: Timestamp,
    /// The clock of these times; `None` where that is not known, or where several holes are one.
    pub clock: Option<ClockId>,
    /// Bytes that are missing; 0 where that is not known.
    pub bytes: u64,
    /// What the connection carries.
    pub class: FlowClass,
    /// The frame that shows it; 0 where no single one does.
    pub frame: u64,
    /// The status of the answer to what is missing, where that was captured.
    pub answer: Option<u16>,
    /// How many holes it was merged from.
    pub count: u64,
}

/// How a hole came about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum HoleKind {
    /// Bytes are missing between others, or were acknowledged and not seen.
    Gap,
    /// An answer was seen to a request that was not.
    Unasked,
    /// A connection was opened, and what was asked on it was not seen.
    Unread,
    /// Of a message only the beginning was captured.
    CutHead,
    /// The tap reported lost frames, or a frame was cut in its headers: it may have been anybody's.
    Lost,
    /// Requests were evicted to stay under the memory limit.
    Evicted,
}

/// One end of a hole's connection, as far as it is known. Merged holes know less of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Place {
    /// Address and port.
    End(Socket),
    /// Any port of a host.
    Host(Host),
    /// Anywhere.
    Any,
}

/// What a connection carries, as far as its bytes tell.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub enum FlowClass {
    /// HTTP/1: a head was read.
    Http,
    /// Something else: TLS, another protocol, the inside of a tunnel or a body. No request can be in there.
    Opaque,
    /// Not known yet.
    #[default]
    Unknown,
}

impl Hole {
    /// A hole of one connection.
    #[must_use]
    pub fn on(link: &Link, kind: HoleKind, way: Option<Direction>, times: (Timestamp, Timestamp)) -> Self {
        Self::between(link.client_socket(), link.server_socket(), kind, way, times)
    }

    /// A hole of the connection between two ends.
    #[must_use]
    pub fn between(
        client: Socket,
        server: Socket,
        kind: HoleKind,
        way: Option<Direction>,
        (from, to): (Timestamp, Timestamp),
    ) -> Self {
        Self {
            kind,
            client: Place::End(client),
            server: Place::End(server),
            way,
            from,
            to,
            clock: None,
            bytes: 0,
            class: FlowClass::Unknown,
            frame: 0,
            answer: None,
            count: 1,
        }
    }

    /// Frames were lost: they may have been anybody's.
    #[must_use]
    pub fn anywhere((from, to): (Timestamp, Timestamp)) -> Self {
        let anywhere = Socket::of(SocketAddr::from(([0; 4], 0)), Realm::default());
        let hole = Self::between(anywhere, anywhere, HoleKind::Lost, None, (from, to));
        Self { client: Place::Any, server: Place::Any, ..hole }
    }

    /// Requests were evicted: what they were is not known any more.
    #[must_use]
    pub fn evicted(times: (Timestamp, Timestamp)) -> Self {
        Self { kind: HoleKind::Evicted, ..Self::anywhere(times) }
    }

    /// Whether it may be on any connection.
    #[must_use]
    pub fn is_anywhere(&self) -> bool {
        (self.client, self.server) == (Place::Any, Place::Any)
    }

    /// Whether a request may be in it.
    #[must_use]
    pub fn may_hold_request(&self) -> bool {
        self.class != FlowClass::Opaque && self.way != Some(Direction::ToClient)
    }

    /// Whether a request may be in it whose answer a proxy passed on with this status.
    #[must_use]
    pub fn may_hold_request_for(&self, status: Option<u16>) -> bool {
        self.may_hold_request() && self.answer.is_none_or(|answer| status == Some(answer))
    }

    /// Whether it is one of this connection, and of no other.
    #[must_use]
    pub fn is_of(&self, link: &Link) -> bool {
        (self.client, self.server) == (Place::End(link.client_socket()), Place::End(link.server_socket()))
    }

    /// One hole that is at least as large as both.
    #[must_use]
    pub fn merged(&self, other: &Self) -> Self {
        Self {
            kind: self.kind.min(other.kind),
            client: self.client.merged(other.client),
            server: self.server.merged(other.server),
            way: self.way.filter(|_| self.way == other.way),
            from: self.from.min(other.from),
            to: self.to.max(other.to),
            clock: self.clock.filter(|_| self.clock == other.clock),
            bytes: self.bytes + other.bytes,
            class: if self.class == other.class { self.class } else { FlowClass::Unknown },
            frame: 0,
            answer: self.answer.filter(|_| self.answer == other.answer),
            count: self.count + other.count,
        }
    }
}

impl Place {
    /// Whether it may be this address and port.
    #[must_use]
    pub fn may_be(&self, end: Socket) -> bool {
        match *self {
            Self::End(own) => own == end,
            Self::Host(host) => host == end.host(),
            Self::Any => true,
        }
    }

    /// Whether it is this address and port, and no other.
    #[must_use]
    pub fn is(&self, end: Socket) -> bool {
        *self == Self::End(end)
    }

    /// Whether it may be on this host.
    #[must_use]
    pub fn may_be_at(&self, host: Host) -> bool {
        match *self {
            Self::End(own) => own.host() == host,
            Self::Host(own) => own == host,
            Self::Any => true,
        }
    }

    /// The host that it is on, if that is known.
    #[must_use]
    pub fn host(self) -> Option<Host> {
        match self {
            Self::End(end) => Some(end.host()),
            Self::Host(host) => Some(host),
            Self::Any => None,
        }
    }

    fn merged(self, other: Self) -> Self {
        match (self.host(), other.host()) {
            _ if self == other => self,
            (Some(one), Some(two)) if one == two => Self::Host(one),
            _ => Self::Any,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End(end) => write!(f, "{end}"),
            Self::Host(host) => write!(f, "{host}"),
            Self::Any => f.write_str("any host"),
        }
    }
}
