//! The neighbourhood of an attempt without 101: what other traffic of the same proxy shows about it. Every fact here was
//! seen; that something is not here proves nothing.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hashbrown::HashMap;

use super::{
    super::{
        event::{Attempt, Mixup, Outcome, Silence},
        handshake::{Handshake, field},
        host::{Host, Socket},
        knowledge::Recently,
        tcp::{Link, Stamp},
        time::Timestamp,
    },
    Attempts,
    evidence::Window,
    polling,
    recent::{Entry, Side},
};

/// How long a proxy may keep a server out of use after failures: nginx's `fail_timeout` is 10 s, often set to 30 s.
const KEPT_OUT: Duration = Duration::from_secs(60);
/// Servers that are named for one attempt.
const MAX_NAMED: usize = 4;
/// HTTP/2 connections that are remembered.
const MAX_HTTP2: usize = 1024;
/// Routes whose newest success is remembered, whatever memory they take.
const MAX_ROUTES: usize = 1024;

/// What other traffic of the same proxy showed around an attempt without 101.
#[derive(Clone, Default, Debug)]
pub struct Near {
    /// The newest upgrade on the same route that succeeded before.
    pub succeeded: Option<Arc<Attempt>>,
    /// The newest upgrade of the same path that succeeded before and was asked of the last server itself.
    pub at_origin: Option<Arc<Attempt>>,
    /// Connections of the proxy that had failed before the request came, the newest to each server, newest first. Looked for
    /// where it answered 502 to 504.
    pub refused: Vec<Refused>,
    /// Requests of the proxy's own, such as health checks, that were declined. Looked for where it answered 502 to 504.
    pub checks: Option<Checks>,
    /// The first HTTP/2 connection in plaintext that the proxy's host opened while the client waited.
    pub http2: Option<Sighting>,
    /// Connections of the proxy's host whose two sides speak different protocols, while the client waited: where they went, and
    /// what was said. First ones first.
    pub mixups: Vec<(SocketAddr, Mixup)>,
    /// The session id of the request, used with success at another server.
    pub session: Option<Sighting>,
}

/// A connection that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Where it should have gone.
    pub server: SocketAddr,
    /// When it failed.
    pub at: Timestamp,
    /// How.
    pub silence: Silence,
}

/// Requests to one target that a proxy made by itself, and which were all declined.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checks {
    /// Who declined.
    pub server: SocketAddr,
    /// Method and path, such as `OPTIONS /`.
    pub request: String,
    /// The status of the newest answer.
    pub status: u16,
    /// How many there were.
    pub count: usize,
    /// The frame of the newest, and its time.
    pub shown: (u64, Timestamp),
}

/// Something seen at a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sighting {
    /// The server.
    pub server: SocketAddr,
    /// The frame that shows it, and its time.
    pub shown: (u64, Timestamp),
}

/// Where something is asked for, and its path.
type Route = (Socket, Box<str>);

/// What is remembered for that, beside the recent requests and failed connections.
#[derive(Debug)]
pub(super) struct Neighbours {
    routes: HashMap<Route, Arc<Attempt>, foldhash::fast::FixedState>,
    /// Routes in the order in which they were first seen.
    order: Recently<Route>,
    http2: Recently<(Link, u64)>,
    memory: usize,
    memory_limit: usize,
}

impl Neighbours {
    /// For so many bytes.
    pub(super) fn new(memory_limit: usize) -> Self {
        Self {
            routes: HashMap::default(),
            order: Recently::new(MAX_ROUTES),
            http2: Recently::new(MAX_HTTP2),
            memory: 0,
            memory_limit,
        }
    }

    /// Bytes held, by estimate.
    pub(super) fn memory(&self) -> usize {
        self.memory + self.http2.len() * 2 * size_of::<(Timestamp, (Link, u64))>()
    }

    /// An attempt was decided.
    pub(super) fn decided(&mut self, attempt: &Arc<Attempt>, first: &Handshake) {
        if attempt.outcome != Outcome::Upgraded {
            return;
        }
        let route = route(first);
        let at = attempt.decided_at;
        self.memory += attempt.memory();
        match self.routes.insert(route.clone(), Arc::clone(attempt)) {
            Some(before) => self.memory -= before.memory(),
            None => self.forget(at, Some(route)),
        }
        while self.memory > self.memory_limit && self.order.len() > 1 {
            self.forget(at, None);
        }
    }

    /// Adds a route, or makes room.
    fn forget(&mut self, at: Timestamp, new: Option<Route>) {
        let oldest = match new {
            Some(route) => self.order.push(at, route),
            None => self.order.pop(),
        };
        let gone = oldest.and_then(|route| self.routes.remove(&route));
        self.memory -= gone.map_or(0, |attempt| attempt.memory());
    }

    /// The newest upgrade that succeeded on the route of a request.
    pub(super) fn succeeded(&self, hop: &Handshake) -> Option<&Arc<Attempt>> {
        self.routes.get(&route(hop))
    }

    /// HTTP/2 in plaintext is spoken on a connection.
    pub(super) fn http2(&mut self, link: &Link, stamp: Stamp) {
        self.http2.push(stamp.at, (*link, stamp.frame));
    }
}

fn route(hop: &Handshake) -> Route {
    (hop.link.server_socket(), field::path(&hop.request.target).into())
}

impl Attempts {
    /// What other traffic shows about an attempt: `client` is its first hop, `last` the last server that got its request.
    pub(super) fn near(&self, client: &Handshake, last: &Handshake, window: &Window) -> Near {
        let hosts = self.proxies.hosts(&last.link);
        let by_proxy = |link: &Link| hosts.contains(&link.client_host()) && !link.shares_server(&last.link);
        let during = |at: Timestamp| window.from <= at && at <= window.to;
        let mut http2 = self.neighbours.http2.iter().filter(|(at, (link, _))| by_proxy(link) && during(*at));
        let gateway = matches!(last.status(), Some(502..=504));
        Near {
            succeeded: self.neighbours.succeeded(client).cloned(),
            at_origin: self.neighbours.succeeded(last).cloned().filter(|_| !last.link.shares_server(&client.link)),
            refused: if gateway { self.refused_before(window, by_proxy) } else { Vec::new() },
            checks: gateway
                .then(|| self.recent.declined_by_itself(last.link.server_socket(), &hosts, window.to))
                .flatten(),
            http2: http2.next().map(|(at, (link, frame))| Sighting { server: link.server, shown: (*frame, *at) }),
            mixups: self
                .mixups
                .between(window.from, window.to)
                .filter(|(link, _)| by_proxy(link))
                .take(MAX_NAMED)
                .map(|(link, mixup)| (link.server, mixup.clone()))
                .collect(),
            session: self.session(last),
        }
    }

    /// The newest connection to each server that failed shortly before a window, newest first. None where nothing shows that
    /// these are a proxy's origins: one of them must have been why it answered an earlier request.
    fn refused_before(&self, window: &Window, by_proxy: impl Fn(&Link) -> bool) -> Vec<Refused> {
        let since = window.from.before(KEPT_OUT);
        let failed = self.connects.refused_between(since, window.from);
        let mut before: Vec<_> = failed.filter(|(_, failed)| by_proxy(&failed.link)).collect();
        if !before.iter().any(|(_, failed)| failed.explains.is_some()) {
            return Vec::new();
        }
        // What was before by another clock may have been after.
        before.retain(|(at, failed)| self.is_before(failed.clock, *at, window));
        before.sort_by_key(|(at, failed)| std::cmp::Reverse((*at, failed.link.server)));
        let mut refused: Vec<Refused> = Vec::new();
        for (at, failed) in before {
            let server = failed.link.server;
            if refused.len() < MAX_NAMED && refused.iter().all(|known| known.server != server) {
                refused.push(Refused { server, at, silence: failed.silence });
            }
        }
        refused
    }

    /// A request of the session of an upgrade that another server than its own refused.
    pub(super) fn refused_session(&self, attempt: &Attempt) -> Option<Sighting> {
        let last = attempt.path().last()?;
        let [client, server] = self.sockets(last)?;
        self.in_session(&last.request.as_ref()?.target, client.host(), |entry| {
            let refused = entry.response.as_ref().is_some_and(|response| response.status == 400);
            refused && entry.link.server_socket() != server
        })
    }

    /// A request of the session of this one that another server took: an earlier poll of the same client.
    fn session(&self, last: &Handshake) -> Option<Sighting> {
        self.in_session(&last.request.target, last.link.client_host(), |entry| {
            let taken = entry.response.as_ref().is_some_and(|response| matches!(response.status, 200..=299));
            let before = entry.ended_at.is_some_and(|end| end <= last.request.at);
            taken && before && !entry.link.shares_server(&last.link)
        })
    }

    /// The newest ordinary request with the session id of a target that a host sent and that `fits`.
    fn in_session(&self, target: &str, host: Host, fits: impl Fn(&Entry) -> bool) -> Option<Sighting> {
        let id = polling::session(target)?;
        let sent = self.recent.with_tail(target, Side::SentBy, host).filter(|entry| fits(entry));
        let is_its = |entry: &&Entry| {
            self.recent.request(entry).is_some_and(|request| polling::session(&request.target) == Some(id))
        };
        let entry = sent.into_iter().find(is_its)?;
        Some(Sighting { server: entry.link.server, shown: (entry.stamp.frame, entry.stamp.at) })
    }
}
