//! Servers that speak no HTTP/1: what comes first from one is no status line. It decides the request that awaits an answer,
//! or, where the server speaks first, the request that comes after it.

use super::{Dialogue, METHODS, State, exchange::Kind};
use crate::engine::{
    anomaly::AnomalyKind,
    event::FirstBytes,
    http::{Listener, Ticket},
    knowledge::FlowClass,
    tcp::{Direction, Link, Stamp},
};

/// The first bytes of a server that are no status line.
#[derive(Debug)]
pub(super) struct Foreign {
    /// The exchange that they decide.
    ticket: Option<Ticket>,
    pub(super) first: FirstBytes,
    pub(super) stamp: Stamp,
}

impl<L: Listener> Dialogue<L> {
    /// The server's first bytes are no status line.
    pub(super) fn begin_foreign(&mut self, to: &mut L, link: &Link, bytes: &[u8], stamp: Stamp) {
        let front = self.outstanding.first().copied();
        // An answer to a request that was not captured may be any: the place of this one is not known.
        if self.server_begun || front.is_some_and(|front| front.kind == Kind::Unknown) {
            return self.not_http(to, link, Direction::ToClient, "response", stamp);
        }
        self.server_begun = true;
        self.server = State::Opaque;
        let mut ticket = None;
        if let Some(front) = front {
            to.anomaly(link, AnomalyKind::NotHttp("response"), stamp);
            self.outstanding.remove(0);
            self.client = State::Opaque;
            ticket = front.ticket;
        } else if !self.begun {
            self.classify(to, link, FlowClass::Opaque);
        }
        self.unusual().foreign =
            Some(Box::new(Foreign { ticket, first: FirstBytes::new(stamp.frame, stamp.at, b""), stamp }));
        self.follow_foreign(to, bytes, stamp);
    }

    /// More of what such a server sends.
    pub(super) fn follow_foreign(&mut self, to: &mut L, bytes: &[u8], stamp: Stamp) {
        let Some(foreign) = self.unusual.as_mut().and_then(|unusual| unusual.foreign.as_mut()) else { return };
        let more = foreign.first.extend(bytes);
        if let Some(ticket) = foreign.ticket.filter(|_| more > 0) {
            to.not_http(ticket, &bytes[..more], stamp);
        }
    }

    /// Whether more of its first bytes is of use.
    pub(super) fn wants_foreign(&self) -> bool {
        let foreign = self.unusual.as_ref().and_then(|unusual| unusual.foreign.as_ref());
        foreign.is_some_and(|foreign| foreign.first.bytes.len() < FirstBytes::KEPT)
    }

    /// A request came to a server that had spoken before: that is all the answer it gets. False where the server had not.
    pub(super) fn answer_by_foreign(&mut self, to: &mut L, ticket: Option<Ticket>) -> bool {
        let Some(foreign) = self.unusual.as_mut().and_then(|unusual| unusual.foreign.as_mut()) else { return false };
        if let Some(ticket) = ticket.filter(|_| foreign.ticket.is_none()) {
            foreign.ticket = Some(ticket);
            to.not_http(ticket, &foreign.first.bytes, foreign.stamp);
        }
        self.client = State::Opaque;
        true
    }

    /// Whether the client of a server that spoke first may be sending a request all the same: words such as those of SMTP
    /// look like methods.
    pub(super) fn may_ask_foreign(&self, bytes: &[u8]) -> bool {
        let has_spoken = self.unusual.as_ref().is_some_and(|unusual| unusual.foreign.is_some());
        !has_spoken || METHODS.iter().any(|method| bytes.starts_with(method) || method.starts_with(bytes))
    }
}
