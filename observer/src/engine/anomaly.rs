//! Things seen on the wire that are not as they should be. An anomaly names its frame and judges nobody.

use std::fmt;

use super::{event::Endpoint, frame::InterfaceId, tcp::Direction, time::Timestamp};

/// One oddity.
#[derive(Clone, PartialEq, Debug)]
pub struct Anomaly {
    /// When.
    pub at: Timestamp,
    /// The frame that shows it; 0 where no single one does.
    pub frame: u64,
    /// Where that frame was captured.
    pub interface: InterfaceId,
    /// What it is.
    pub kind: AnomalyKind,
    /// Client and server of the connection, where it belongs to one.
    pub connection: Option<(Endpoint, Endpoint)>,
}

/// The kinds of oddity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AnomalyKind {
    /// The link type is not one that is read; told once for each interface.
    UnknownLinkType(u32),
    /// A header contradicts its own length; what it was is named.
    Malformed(&'static str),
    /// Fragments were dropped: too many, too old, or contradictory.
    FragmentsDropped,
    /// A second copy of a byte differs from the first (the first is kept).
    ConflictingOverlap,
    /// Bytes were acknowledged but not captured.
    Gap {
        /// Which way they went.
        way: Direction,
        /// How many; 0 when unknown.
        bytes: u64,
    },
    /// A connection speaks TLS: opaque.
    Tls {
        /// Server name of the ClientHello.
        server_name: Option<Box<str>>,
        /// Protocols offered (ALPN).
        alpn: Vec<Box<str>>,
    },
    /// A connection speaks HTTP/2 without TLS: opaque.
    Http2,
    /// Bytes on an HTTP connection that are no HTTP/1 message.
    NotHttp(&'static str),
    /// A head that is longer, or has more fields, than is read.
    HeadTooLarge,
    /// A WebSocket frame that RFC 6455 forbids; what is wrong with it is named.
    WebSocketFrame(&'static str),
    /// State was thrown out to stay under the memory limit.
    Evicted(&'static str),
}

impl fmt::Display for AnomalyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownLinkType(number) => write!(f, "link type {number} is not read"),
            Self::Malformed(what) => write!(f, "malformed {what}"),
            Self::FragmentsDropped => f.write_str("IP fragments dropped"),
            Self::ConflictingOverlap => f.write_str("a retransmitted byte differs from its first copy"),
            Self::Gap { way: Direction::ToServer, bytes } => write!(f, "{bytes} bytes to the server were not captured"),
            Self::Gap { way: Direction::ToClient, bytes } => write!(f, "{bytes} bytes to the client were not captured"),
            Self::Tls { .. } => f.write_str("TLS, opaque"),
            Self::Http2 => f.write_str("HTTP/2 without TLS, opaque"),
            Self::NotHttp(what) => write!(f, "not HTTP/1: {what}"),
            Self::HeadTooLarge => f.write_str("head too large"),
            Self::WebSocketFrame(what) => write!(f, "bad WebSocket frame: {what}"),
            Self::Evicted(what) => write!(f, "{what} thrown out to stay under the memory limit"),
        }
    }
}
