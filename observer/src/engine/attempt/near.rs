//! The neighbourhood of an attempt without 101: what other traffic of the same proxy shows about it. Every fact here was
//! seen; that something is not here proves nothing.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hashbrown::HashMap;

use super::{
    super::{
        anomaly::AnomalyKind,
        event::{Attempt, Mixup, Outcome, Protocol, Silence},
        handshake::{Handshake, field},
        host::Socket,
        knowledge::Recently,
        tcp::{Link, Stamp},
        time::Timestamp,
    },
    Attempts,
    connect::Failed,
    evidence::Window,
    polling,
};

/// How long a proxy may keep a server out of use after failures: nginx's `fail_timeout` is 10 s, often set to 30 s.
const KEPT_OUT: Duration = Duration::from_secs(60);
/// Servers that are named for one attempt.
const MAX_NAMED: usize = 4;
/// Connections in another protocol that are remembered.
const MAX_SPOKEN: usize = 1024;
/// Routes whose newest success is remembered, whatever memory they take.
const MAX_ROUTES: usize = 1024;

/// What other traffic of the same proxy showed around an attempt without 101.
#[derive(Clone, Default, Debug)]
pub struct Near {
    /// The newest upgrade on the same route that succeeded before.
    pub succeeded: Option<Arc<Attempt>>,
    /// The newest upgrade of the same path that succeeded before and was asked of the last server itself.
    pub at_origin: Option<Arc<Attempt>>,
    /// Connections of the proxy that had failed before the request came, the newest to each server, newest first.
    pub refused: Vec<Refused>,
    /// Requests of the proxy's own, such as health checks, that were declined.
    pub checks: Option<Checks>,
    /// Connections in another protocol that the proxy's host opened while the client waited, first ones first.
    pub spoken: Vec<Spoken>,
    /// Connections of the proxy's host whose two sides speak different protocols, while the client waited: where they went, and
    /// what was said. First ones first.
    pub mixups: Vec<(SocketAddr, Mixup)>,
    /// The session id of the request, used with success at another server.
    pub session: Option<Session>,
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

/// A connection that is not HTTP/1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spoken {
    /// Its server's end.
    pub server: SocketAddr,
    /// What is spoken.
    pub protocol: Protocol,
    /// The frame that shows it, and its time.
    pub shown: (u64, Timestamp),
}

/// A session id that a server took, or refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Session {
    /// The server.
    pub server: SocketAddr,
    /// The frame of the request that it answered, and its time.
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
    spoken: Recently<(Link, Spoken)>,
    memory: usize,
    memory_limit: usize,
}

impl Neighbours {
    /// For so many bytes.
    pub(super) fn new(memory_limit: usize) -> Self {
        Self {
            routes: HashMap::default(),
            order: Recently::new(MAX_ROUTES),
            spoken: Recently::new(MAX_SPOKEN),
            memory: 0,
            memory_limit,
        }
    }

    /// Bytes held, by estimate.
    pub(super) fn memory(&self) -> usize {
        self.memory + self.spoken.len() * 2 * size_of::<(Link, Spoken)>()
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

    /// Something odd was seen on a connection.
    pub(super) fn anomaly(&mut self, link: &Link, kind: &AnomalyKind, stamp: Stamp) {
        let protocol = match kind {
            AnomalyKind::Tls { .. } => Protocol::Tls,
            AnomalyKind::Http2 => Protocol::Http2,
            _ => return,
        };
        self.spoke(link, protocol, stamp);
    }

    /// Another protocol than HTTP/1 is spoken on a connection.
    pub(super) fn spoke(&mut self, link: &Link, protocol: Protocol, stamp: Stamp) {
        let spoken = Spoken { server: link.server, protocol, shown: (stamp.frame, stamp.at) };
        self.spoken.push(stamp.at, (*link, spoken));
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
        let mut refused: Vec<Refused> = Vec::new();
        let since = window.from.before(KEPT_OUT);
        let mut before: Vec<_> = self.connects.refused_between(since, window.from).collect();
        before.sort_by_key(|(at, failed)| std::cmp::Reverse((*at, failed.link.server)));
        for &(at, failed) in &before {
            let server = failed.link.server;
            // What was before by another clock may have been after.
            let is_before = self.is_before(failed.clock, at, window);
            if is_before && by_proxy(&failed.link) && refused.iter().all(|known| known.server != server) {
                refused.push(Refused { server, at, silence: failed.silence });
            }
        }
        refused.truncate(MAX_NAMED);
        // Only where one of them was why this proxy answered an earlier request are they its origins.
        let tried = |(_, failed): &(Timestamp, &Failed)| failed.explains.is_some() && by_proxy(&failed.link);
        if !before.iter().any(tried) {
            refused.clear();
        }
        let during = |at: Timestamp| window.from <= at && at <= window.to;
        let spoken = self.neighbours.spoken.iter().filter(|(at, (link, _))| by_proxy(link) && during(*at));
        Near {
            succeeded: self.neighbours.succeeded(client).cloned(),
            at_origin: self.neighbours.succeeded(last).cloned().filter(|_| !last.link.shares_server(&client.link)),
            refused,
            checks: self.recent.declined_by_itself(last.link.server_socket(), &hosts, window.to),
            spoken: spoken.take(MAX_NAMED).map(|(_, (_, spoken))| *spoken).collect(),
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

    /// A request with the session id of an upgrade that another server than its own refused.
    pub(super) fn refused_session(&self, attempt: &Attempt) -> Option<Session> {
        let last = attempt.path().last()?;
        let target = &last.request.as_ref()?.target;
        let (id, [client, server]) = (polling::session(target)?, self.sockets(last)?);
        let sent = self.recent.with_tail(target, super::recent::Side::SentBy, client.host());
        let mut refused = sent.filter(|entry| {
            let refused = entry.response.as_ref().is_some_and(|response| response.status == 400);
            refused && entry.link.server_socket() != server
        });
        let entry = refused.find(|entry| {
            self.recent.request(entry).is_some_and(|request| polling::session(&request.target) == Some(id))
        })?;
        Some(Session { server: entry.link.server, shown: (entry.stamp.frame, entry.stamp.at) })
    }

    /// A request with the session id of this one that another server took: an earlier poll of the same client.
    fn session(&self, last: &Handshake) -> Option<Session> {
        let target = &last.request.target;
        let id = polling::session(target)?;
        let sent = self.recent.with_tail(target, super::recent::Side::SentBy, last.link.client_host());
        let mut taken = sent.filter(|entry| {
            let taken = entry.response.as_ref().is_some_and(|response| matches!(response.status, 200..=299));
            let before = entry.ended_at.is_some_and(|end| end <= last.request.at);
            taken && before && !entry.link.shares_server(&last.link)
        });
        let polled = taken.find(|entry| {
            self.recent.request(entry).is_some_and(|request| polling::session(&request.target) == Some(id))
        });
        polled.map(|entry| Session { server: entry.link.server, shown: (entry.stamp.frame, entry.stamp.at) })
    }
}
