//! HTTP/1 on one connection (RFC 9112): finds every request and response head, pairs them, skips bodies, and follows
//! the tunnel behind a 101. What the heads mean is left to the [`Listener`].

mod chunked;
mod dialogue;
pub mod head;
mod preface;
mod tunnel;
mod websocket;

use std::num::NonZeroU64;

pub use self::{
    dialogue::Dialogue,
    head::{RequestHead, ResponseHead},
    tunnel::{Ends, Tunnel},
};
use super::{
    anomaly::AnomalyKind,
    event::{Mixup, ProxyHeader, Silence},
    knowledge::{FlowClass, Hole},
    tcp::{Closed, Link, Opening, Stamp},
    time::Timestamp,
};

/// Names an upgrade request. Later requests have higher ids. Below 2^62.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct UpgradeId(pub u64);

/// Names an ordinary request. Later requests have higher ids. Below 2^62.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct OrdinaryId(pub u64);

/// What a listener knows an exchange by: its request's id. Read it by [`Self::of`]. `Option<Ticket>` takes no more room than
/// it: there is one for each request that awaits its answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(NonZeroU64);

/// The two kinds of exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TicketOf {
    /// One whose request asks for an upgrade.
    Upgrade(UpgradeId),
    /// Any other one.
    Ordinary(OrdinaryId),
}

impl Ticket {
    /// Which exchange it is.
    #[must_use]
    pub const fn of(self) -> TicketOf {
        let id = self.0.get() >> 2;
        if self.0.get() & 1 == 1 { TicketOf::Upgrade(UpgradeId(id)) } else { TicketOf::Ordinary(OrdinaryId(id)) }
    }

    const fn pack(id: u64, kind: NonZeroU64) -> Self {
        Self(match NonZeroU64::new(id << 2 | kind.get()) {
            Some(packed) => packed,
            None => kind,
        })
    }
}

impl From<UpgradeId> for Ticket {
    fn from(id: UpgradeId) -> Self {
        const KIND: NonZeroU64 = NonZeroU64::MIN;
        Self::pack(id.0, KIND)
    }
}

impl From<OrdinaryId> for Ticket {
    fn from(id: OrdinaryId) -> Self {
        const KIND: NonZeroU64 = NonZeroU64::MIN.saturating_add(1);
        Self::pack(id.0, KIND)
    }
}

/// A TLS connection: all that can be told of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TlsConnection {
    /// When its ClientHello was seen.
    pub opened_at: Timestamp,
    /// When its client last sent anything, and the time before: what comes after the server's end is an answer to it.
    pub client_at: [Timestamp; 2],
    /// First FIN or RST of the client.
    pub client_ended: Option<Timestamp>,
    /// First FIN or RST of the server.
    pub server_ended: Option<Timestamp>,
}

impl TlsConnection {
    /// The client sent something.
    pub(super) fn heard(&mut self, at: Timestamp) {
        let [last, before] = self.client_at;
        let answers = self.server_ended.is_some_and(|ended| at > ended);
        if !answers && at != last {
            self.client_at = if at > last { [at, last] } else { [last, before.max(at)] };
        }
    }

    /// When its client last spoke by itself.
    #[must_use]
    pub fn last_client_at(&self) -> Timestamp {
        let [last, before] = self.client_at;
        if self.server_ended.is_some_and(|ended| last > ended) { before } else { last }
    }
}

/// What hears of heads, answers and tunnels. Calls about one exchange carry the ticket that its request was given.
pub trait Listener {
    /// A request head has begun whose end has not come.
    fn asks(&mut self, link: &Link, stamp: Stamp);
    /// A request head; `None` when nothing more about it is wanted. `header` is the PROXY protocol header that its
    /// connection begins with.
    fn request(&mut self, link: &Link, head: &RequestHead<'_>, header: Option<&ProxyHeader>) -> Option<Ticket>;
    /// An interim response other than 101.
    fn interim(&mut self, ticket: Ticket, head: &ResponseHead<'_>);
    /// A final response, or 101.
    fn response(&mut self, ticket: Ticket, head: &ResponseHead<'_>);
    /// The first bytes of a final response's body.
    fn body(&mut self, ticket: Ticket, bytes: &[u8]);
    /// The first bytes of a server that are no status line, as they come: there will be no final response.
    fn not_http(&mut self, ticket: Ticket, bytes: &[u8], stamp: Stamp);
    /// There is no final response, and why.
    fn unanswered(&mut self, ticket: Ticket, silence: Silence, at: Timestamp);
    /// The client closed its half while it waited for a final response; why there will be none if that is the end.
    fn left(&mut self, ticket: Ticket, silence: Silence, at: Timestamp);
    /// The tunnel of an exchange changed its state: a side ended it, or (`why`) it leaves the table.
    fn tunnel(&mut self, ticket: Ticket, tunnel: &Tunnel, why: Option<Closed>, at: Timestamp);
    /// The client's side sent its first bytes through the tunnel of an exchange.
    fn spoke(&mut self, ticket: Ticket);
    /// The two sides of a connection speak different protocols. The client's first bytes came at `stamp`.
    fn mixup(&mut self, link: &Link, mixup: &Mixup, stamp: Stamp);
    /// A connection has switched from HTTP/1 to HTTP/2 in plaintext (`h2c`).
    fn http2(&mut self, link: &Link, stamp: Stamp);
    /// Something of a connection is missing.
    fn hole(&mut self, link: &Link, hole: Hole);
    /// What a connection carries is known now.
    fn classified(&mut self, link: &Link, class: FlowClass);
    /// A side of a TLS connection ended.
    fn tls_ended(&mut self, link: &Link, connection: &TlsConnection);
    /// What was told of a connection is told of another one as well: it is the same, before or after NAT.
    fn disowned(&mut self, link: &Link);
    /// A connection left the table.
    fn closed(&mut self, link: &Link, why: Closed);
    /// A connection was opened.
    fn opened(&mut self, link: &Link, opening: Opening, stamp: Stamp);
    /// Something odd.
    fn anomaly(&mut self, link: &Link, kind: AnomalyKind, stamp: Stamp);
}
