//! A request that awaits its answer, and what may follow it.

use crate::engine::http::{RequestHead, Ticket, head};

/// A request that awaits its answer. 16 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    pub(super) ticket: Option<Ticket>,
    pub(super) kind: Kind,
    /// Sequence number of its first byte.
    pub(super) sequence: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Plain,
    Head,
    Connect,
    /// An upgrade request, and whether it asks for WebSocket.
    Upgrade(bool),
    /// Not a request: an unknown number of requests were not captured here.
    Unknown,
}

impl Exchange {
    pub(super) fn new(ticket: Option<Ticket>, kind: Kind, sequence: u32) -> Self {
        Self { ticket, kind, sequence }
    }

    /// Whether the server had any of it when it acknowledged so much.
    pub(super) fn was_had_by(&self, acknowledgment: u32) -> bool {
        self.kind == Kind::Unknown || acknowledgment.wrapping_sub(self.sequence).cast_signed() > 0
    }
}

impl Kind {
    pub(super) fn of(head: &RequestHead<'_>) -> Self {
        if head.is_upgrade_like() {
            let websocket = |value: &[u8]| value.to_ascii_lowercase().windows(9).any(|part| part == b"websocket");
            let key = head::has(head.fields, "sec-websocket-key");
            return Self::Upgrade(key || head::values(head.fields, "upgrade").any(websocket));
        }
        match head.method {
            "HEAD" => Self::Head,
            "CONNECT" => Self::Connect,
            _ => Self::Plain,
        }
    }

    /// Whether what the client sends next may belong to another protocol.
    pub(super) fn waits(self) -> bool {
        matches!(self, Self::Upgrade(_) | Self::Connect)
    }
}
