//! What went through one hop of a tunnel, and what was wrong with it.

use super::{Close, FirstBytes, Timestamp, Traffic};

/// One hop of a tunnel after its 101.
#[derive(Clone, PartialEq, Debug)]
pub struct TunnelHop {
    /// Bytes after the handshake.
    pub bytes: Traffic,
    /// WebSocket frames; zero for other protocols.
    pub frames: Traffic,
    /// When the last payload byte in either direction was seen, the 101 before that.
    pub last_at: Timestamp,
    /// The same before the first Close frame on this hop; `None` where there is none, or what came before it was left where it
    /// was.
    pub last_before_close_at: Option<Timestamp>,
    /// The first Close frame from the client's side, and from the server's.
    pub closes: [Option<Close>; 2],
    /// First FIN or RST of the client's side, and of the server's.
    pub ended_at: [Option<Timestamp>; 2],
    /// Where it could not be followed any further, though no bytes are missing.
    pub broken: Option<Broken>,
}

/// Bytes that are no WebSocket frame where one should begin. `first.status()` tells an HTTP response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// Whether they came from the client's side.
    pub from_client: bool,
    /// The bytes. The frame is 0 where a tap showed them without it.
    pub first: FirstBytes,
    /// What is wrong with them (RFC 6455 5.2).
    pub what: &'static str,
}
