//! TLS connections that ended: the side of a tunnel that cannot be read still tells who was silent and who closed first.

use std::time::Duration;

use super::super::{host::Socket, http::TlsConnection, knowledge::Recently, tcp::Link, time::Timestamp};

/// Ended connections remembered.
const MAX_KEPT: usize = 4096;
/// How far the two sides of one proxy may end apart: Envoy needs a second.
const APART: Duration = Duration::from_millis(1500);
/// How far apart the client's last words are seen on both sides of the proxy.
const RELAYED_WITHIN: Duration = Duration::from_millis(100);

/// TLS connections that ended lately.
#[derive(Debug)]
pub(super) struct Opaque {
    ended: Recently<(Link, TlsConnection)>,
}

impl Default for Opaque {
    fn default() -> Self {
        Self { ended: Recently::new(MAX_KEPT) }
    }
}

impl Opaque {
    pub(super) fn memory(&self) -> usize {
        self.ended.len() * size_of::<(Link, TlsConnection)>()
    }

    /// A side of a TLS connection ended.
    pub(super) fn ended(&mut self, link: &Link, connection: &TlsConnection) {
        if let Some(known) = self.ended.iter_mut().rev().find(|(known, _)| known.id == link.id) {
            known.1 = *connection;
            return;
        }
        let ended = connection.server_ended.max(connection.client_ended).unwrap_or(connection.opened_at);
        self.ended.push(ended, (*link, *connection));
    }

    /// Where a proxy listens for TLS, if it ended a tunnel by itself at `end`: a client's connection, open since before
    /// `asked`, ended with it, and its client had said nothing since what the tunnel heard of it at `last`.
    pub(super) fn closed_by_proxy(&self, asked: Timestamp, last: Timestamp, end: Timestamp) -> Option<Socket> {
        if !self.ended.is_whole_since(end.before(APART)) {
            return None;
        }
        let near = |at: Option<Timestamp>| at.is_some_and(|at| at.distance(end) <= APART);
        let mut fitting = self
            .ended
            .iter()
            .map(|(_, ended)| ended)
            .filter(|(_, tls)| tls.opened_at <= asked && tls.last_client_at().distance(last) <= RELAYED_WITHIN)
            .filter(|(_, tls)| near(tls.server_ended) || near(tls.client_ended))
            .peekable();
        let listens = fitting.peek()?.0.server_socket();
        let by_proxy = |tls: &TlsConnection| {
            tls.server_ended.is_some_and(|server| tls.client_ended.is_none_or(|client| server <= client))
        };
        fitting.all(|(link, tls)| link.server_socket() == listens && by_proxy(tls)).then_some(listens)
    }
}
