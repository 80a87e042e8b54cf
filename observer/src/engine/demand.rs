//! What the engine still needs of a connection's payload, for a tap that can leave the rest where it is, and what such a
//! tap tells of the bytes that it left there.
//!
//! Before a frame of a connection with demands, the tap tells the activity of both its directions as it was then: so no
//! byte that was left out is taken for one that was lost.

use std::net::SocketAddr;

use super::{tcp::Direction, time::Timestamp};

/// What is needed of one connection from now on. SYN, FIN and RST always are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Demand {
    /// The client's end.
    pub client: SocketAddr,
    /// The server's end.
    pub server: SocketAddr,
    /// Of what the client sends.
    pub to_server: Wanted,
    /// Of what the server sends.
    pub to_client: Wanted,
}

/// What is needed of one direction. Sequence numbers are those on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Wanted {
    /// All payload.
    #[default]
    All,
    /// Nothing before this sequence number, all from there on.
    From(u32),
    /// WebSocket frames (RFC 6455 5.2), of which the next header begins here: of control frames the header and the two
    /// bytes of a close code, of data frames only their number. Void where the tap follows frames beyond it already;
    /// payload that begins behind it is needed, as the next header is not known there.
    Frames(u32),
    /// No payload, only how much and when.
    Nothing,
}

/// Payload that a tap counted but left where it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Activity {
    /// The client's end.
    pub client: SocketAddr,
    /// The server's end.
    pub server: SocketAddr,
    /// Which way it went.
    pub way: Direction,
    /// When the last of it was seen.
    pub at: Timestamp,
    /// The sequence number after the last byte of it.
    pub next: u32,
    /// Data frames that began in it since last told.
    pub frames: u64,
    /// The sequence number of the first frame header behind it; `None` where frames are not followed.
    pub next_header: Option<u32>,
}

/// Ordinary requests and their answers that a tap left out by itself: they were none of those that the tap ships in any
/// case, which are all that ask for an upgrade or come while one is under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Skipped {
    /// The client's end.
    pub client: SocketAddr,
    /// The server's end.
    pub server: SocketAddr,
    /// The sequence number after the last byte of them to the server.
    pub to_server: u32,
    /// The same to the client.
    pub to_client: u32,
    /// Whether a message begins there both ways. Else an answer may go on there, or be missing.
    pub is_clean: bool,
    /// When this was known.
    pub at: Timestamp,
}

/// A control frame in payload that was left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Control<'a> {
    /// The client's end.
    pub client: SocketAddr,
    /// The server's end.
    pub server: SocketAddr,
    /// Which way it went.
    pub way: Direction,
    /// When it was seen.
    pub at: Timestamp,
    /// The sequence number after its last byte.
    pub next: u32,
    /// Its header and, of a Close frame, its payload as far as it was kept.
    pub bytes: &'a [u8],
}
