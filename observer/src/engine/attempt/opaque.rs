//! TLS connections that ended: the side of a tunnel that cannot be read still tells who was silent and who closed first.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use super::super::{http::TlsConnection, tcp::Link, time::Timestamp};

/// Ended connections remembered.
const MAX_KEPT: usize = 4096;
/// How far the two sides of one proxy may end apart: Envoy needs a second.
const APART: Duration = Duration::from_millis(1500);
/// Silence of the client before the end that rules out that it asked for the end.
const SILENT: Duration = Duration::from_secs(1);

/// TLS connections that ended lately.
#[derive(Default, Debug)]
pub(super) struct Opaque {
    ended: VecDeque<(Link, TlsConnection)>,
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
        if self.ended.len() == MAX_KEPT {
            self.ended.pop_front();
        }
        self.ended.push_back((*link, *connection));
    }

    /// Where a proxy listens for TLS, if it ended a tunnel by itself at `end`: some client's connection to its host, open
    /// since before `asked`, ended with it, and of all that did none had said anything just before.
    pub(super) fn closed_by_proxy(&self, proxy: SocketAddr, asked: Timestamp, end: Timestamp) -> Option<SocketAddr> {
        let near = |at: Option<Timestamp>| at.is_some_and(|at| at.distance(end) <= APART);
        let mut fitting = self
            .ended
            .iter()
            .filter(|(link, _)| link.server.ip() == proxy.ip())
            .filter(|(_, tls)| tls.opened_at <= asked && (near(tls.server_ended) || near(tls.client_ended)))
            .peekable();
        let listens = fitting.peek()?.0.server;
        fitting
            .all(|(link, tls)| {
                let silent = end.since(tls.last_client_at) >= SILENT;
                let proxy_first =
                    tls.server_ended.is_some_and(|server| tls.client_ended.is_none_or(|client| server <= client));
                link.server == listens && silent && proxy_first
            })
            .then_some(listens)
    }
}
