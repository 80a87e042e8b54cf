//! What stands before a request or before its answer on a connection.

use std::net::SocketAddr;

use super::Timestamp;

/// A PROXY protocol header (HAProxy's specification, versions 1 and 2) in front of a connection's first request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProxyHeader {
    /// The frame that holds its first byte.
    pub frame: u64,
    /// The line of version 1; `None` for version 2, which is binary.
    pub line: Option<Box<str>>,
    /// Its length in bytes.
    pub length: u32,
    /// The client that it names.
    pub source: Option<SocketAddr>,
}

impl ProxyHeader {
    /// 1 or 2.
    #[must_use]
    pub const fn version(&self) -> u8 {
        if self.line.is_some() { 1 } else { 2 }
    }
}

/// Interim responses (RFC 9110 15.2) before the final one, but for 101.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interim {
    /// The status of the first one.
    pub status: u16,
    /// The frame that holds its first byte.
    pub frame: u64,
    /// When that frame was captured.
    pub at: Timestamp,
    /// How many there were.
    pub count: u32,
}
