//! Connections on which no request could be read, as the two sides speak different protocols: what a client that should have
//! asked for an upgrade did instead. Told by the server's end, with how many there were.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc};

use super::{
    super::{
        event::{self, Attempt, Endpoint, Hop, Outcome, Protocol, Reply, Role, Silence},
        knowledge::Recently,
        tcp::{Link, Stamp},
        time::Timestamp,
    },
    Attempts, Case, Timer, report,
};

/// Kinds of such connections that are counted, the newest.
const MAX_KINDS: usize = 256;
/// Such connections that are remembered, for attempts that wait meanwhile.
const MAX_KEPT: usize = 256;

/// A connection whose two sides speak different protocols.
#[derive(Clone, Debug)]
pub struct Mixup {
    /// The connection as an attempt of one hop without a request.
    pub attempt: Arc<Attempt>,
    /// What both sides said.
    pub said: event::Mixup,
    /// How many such connections there were to this server so far. It is told of the first, second, fourth, and so on.
    pub count: u64,
}

/// What is counted together: the server, the client's protocol, and how the server took it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Kind {
    server: SocketAddr,
    spoken: Option<Protocol>,
    status: Option<u16>,
    is_silent: bool,
}

/// How many there were of each kind, and the newest.
#[derive(Debug)]
pub(super) struct Mixups {
    kinds: Recently<(Kind, u64)>,
    newest: Recently<(Link, event::Mixup)>,
    /// Those that are told of when their time comes, oldest first.
    pending: VecDeque<(Link, event::Mixup, Stamp)>,
}

impl Default for Mixups {
    fn default() -> Self {
        Self { kinds: Recently::new(MAX_KINDS), newest: Recently::new(MAX_KEPT), pending: VecDeque::new() }
    }
}

impl Mixups {
    pub(super) fn memory(&self) -> usize {
        let mixups: usize = self.newest.iter().map(|(_, (_, mixup))| size_of_val(mixup) + mixup.memory()).sum();
        self.kinds.len() * size_of::<(Kind, u64)>() + 2 * mixups
    }

    /// The newest between two times, oldest first.
    pub(super) fn between(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = (&Link, &event::Mixup)> {
        let during = move |at: Timestamp| from <= at && at <= to;
        self.newest.iter().filter(move |(at, _)| during(*at)).map(|(_, (link, mixup))| (link, mixup))
    }

    /// Counts one; says how many there were.
    fn count(&mut self, link: &Link, mixup: &event::Mixup) -> u64 {
        let kind = Kind {
            server: link.server,
            spoken: mixup.client.protocol(),
            status: mixup.server.status(),
            is_silent: !matches!(mixup.server, Reply::Bytes(_)),
        };
        if let Some((_, count)) = self.kinds.iter_mut().find(|(known, _)| *known == kind) {
            *count += 1;
            return *count;
        }
        self.kinds.push(mixup.at(), (kind, 1));
        1
    }
}

impl Attempts {
    /// Such a connection was seen. Whether it is a proxy's, for an attempt that waits, is known a little later.
    pub(super) fn mixed_up(&mut self, link: &Link, mixup: &event::Mixup, stamp: Stamp) {
        self.mixups.newest.push(mixup.at(), (*link, mixup.clone()));
        if self.mixups.pending.len() >= MAX_KEPT {
            self.mixup_due();
        }
        self.mixups.pending.push_back((*link, mixup.clone(), stamp));
        self.at(mixup.at() + self.settle, Timer::Mixup(link.id));
    }

    /// Tells of the oldest such connection, unless a proxy opened it for an attempt: then it is told with that.
    pub(super) fn mixup_due(&mut self) {
        let Some((link, mixup, stamp)) = self.mixups.pending.pop_front() else { return };
        let for_another = self.store.lately().any(|(_, waiting)| {
            let open = waiting.request.at <= mixup.at() && waiting.ended_at.is_none_or(|end| end >= mixup.at());
            open && waiting.link.server_host() == link.client_host() && !waiting.link.shares_server(&link)
        });
        if for_another {
            return;
        }
        let count = self.mixups.count(&link, &mixup);
        if count.is_power_of_two() {
            let attempt = Arc::new(self.attempt_of(&link, &mixup, stamp));
            self.cases.push_back(Case::Mixup(Box::new(Mixup { attempt, said: mixup, count })));
        }
    }

    /// Such a connection as an attempt.
    fn attempt_of(&self, link: &Link, mixup: &event::Mixup, stamp: Stamp) -> Attempt {
        let (not_http, silence) = match &mixup.server {
            Reply::Bytes(first) => (Some(first.clone()), Silence::NotHttp),
            Reply::Closed(_) | Reply::Reset(_) => (None, Silence::ClosedByServer),
        };
        let processes = self.owners.of(link);
        let known = self.proxies.get(link.server_socket()).map(|proxy| proxy.identity.clone()).unwrap_or_default();
        let identity = match &processes[1] {
            Some(process) => known.held_by(&process.command),
            None => known,
        };
        let hop = Hop {
            role: Role::Only,
            client: Endpoint::Ip(link.client),
            server: Endpoint::Ip(link.server),
            interface: stamp.interface,
            clock: stamp.clock,
            proxy_header: None,
            request: None,
            interim: None,
            response: None,
            silence: Some(silence),
            not_http,
            product: identity.product().cloned(),
            candidates: identity.candidates(),
            processes,
        };
        Attempt {
            id: report::id(link, stamp.sequence, ""),
            upgrade: String::new(),
            outcome: Outcome::Failed,
            decided_at: mixup.at(),
            join: None,
            hops: vec![hop],
        }
    }
}
