//! Open tunnels of decided attempts: their hops' ends are put together to say who ended them, and ends that a proxy
//! made at one moment are told as one group.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use super::{
    super::{
        event::{Attempt, Close, ClosedBy, Confidence, Endpoint, Role, Traffic, Tunnel},
        http::Tunnel as Hop,
        memory::block,
        tcp::Closed,
        time::Timestamp,
    },
    store::HandshakeId,
};

/// How long after the first hop's end the others may take: Envoy needs a second.
pub(super) const LATEST_END: Duration = Duration::from_secs(2);

/// A tunnel of a decided attempt.
#[derive(Debug)]
pub(super) struct OpenTunnel {
    pub(super) attempt: Arc<Attempt>,
    pub(super) opened_at: Timestamp,
    pub(super) hops: Vec<OpenHop>,
    /// Whether bytes of other connections were missing when it opened: its first client, or its last server, may be a
    /// proxy.
    pub(super) is_part: bool,
}

/// One hop of it, in the order of [`Attempt::path`].
#[derive(Debug)]
pub(super) struct OpenHop {
    pub(super) id: HandshakeId,
    pub(super) state: Option<Box<Hop>>,
    pub(super) gone: Option<Closed>,
}

/// A tunnel's end, and what is needed to judge it.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The facts for the user.
    pub tunnel: Tunnel,
    /// The proxy that closed it, where one did: the endpoint it listens on.
    pub by: Option<SocketAddr>,
    /// Whether a Close frame passed on any hop.
    pub had_close: bool,
    /// Whether this proxy closed a tunnel at the same idle time before.
    pub repeated: bool,
    /// Whether only the hop behind a proxy was seen, and the proxy ended it: it may have passed on what it was told.
    pub client_unseen: bool,
}

impl Ended {
    /// Whether it was silent long enough to speak of, as far as is known.
    #[must_use]
    pub fn is_silent(&self, idle_min: Duration) -> bool {
        !self.had_close && !self.tunnel.incomplete && self.tunnel.idle >= idle_min
    }

    /// Bytes it costs, by estimate.
    pub(super) fn memory(&self) -> usize {
        2 * size_of::<Self>() + self.tunnel.attempt.memory()
    }

    /// Frames were lost since its last payload, or at its end: somebody may have spoken, or closed it, unseen.
    pub(super) fn doubt(&mut self) {
        self.tunnel.incomplete = true;
        (self.tunnel.closed_by, self.by) = (ClosedBy::Unknown, None);
    }
}

impl OpenHop {
    /// Whether it was thrown out, or its port used again, before both sides were seen to end it.
    fn is_lost(&self) -> bool {
        let Some(state) = &self.state else { return true };
        let ended = state.client_ended.is_some() && state.server_ended.is_some();
        !ended && matches!(self.gone, Some(Closed::Evicted | Closed::Replaced))
    }
}

impl OpenTunnel {
    /// Bytes it costs from its beginning to its end, by estimate.
    pub(super) fn memory(&self) -> usize {
        let hop = 2 * size_of::<OpenHop>() + block(size_of::<Hop>());
        2 * size_of::<Self>() + self.attempt.memory() + self.hops.len() * hop
    }

    /// When its first hop's end was seen.
    pub(super) fn first_end(&self) -> Option<Timestamp> {
        self.ends().min()
    }

    /// When its last end so far was seen.
    pub(super) fn last_end(&self) -> Option<Timestamp> {
        self.ends().max()
    }

    fn ends(&self) -> impl Iterator<Item = Timestamp> {
        self.states().flat_map(|hop| [hop.client_ended, hop.server_ended]).flatten()
    }

    fn states(&self) -> impl Iterator<Item = &Hop> {
        self.hops.iter().filter_map(|hop| hop.state.as_deref())
    }

    /// Whether every hop's end was seen, or will never be.
    pub(super) fn is_settled(&self) -> bool {
        self.hops.iter().all(|hop| hop.gone.is_some() || hop.state.as_ref().is_some_and(|state| state.is_ending()))
    }

    /// Whether no hop is in the table any more.
    pub(super) fn is_gone(&self) -> bool {
        self.hops.iter().all(|hop| hop.gone.is_some())
    }

    /// Whether only the hop between a proxy and the next server was seen, and the proxy ended it first.
    pub(super) fn client_unseen(&self) -> bool {
        let lone = self.hops.len() == 1 && matches!(self.attempt.first().role, Role::Upstream | Role::Only);
        let ended_first =
            |hop: &Hop| hop.client_ended.is_some_and(|at| hop.server_ended.is_none_or(|server| at <= server));
        lone && self.states().all(ended_first)
    }

    /// What it came to, at `now`.
    pub(super) fn end(&self, now: Timestamp) -> Ended {
        let ended_at = self.first_end();
        let close = self.states().filter_map(Hop::close).min_by_key(|close| close.at);
        let lost = self.hops.iter().any(OpenHop::is_lost);
        let incomplete = lost || self.states().any(|hop| hop.incomplete);
        let (closed_by, by) = match self.closed_by(close) {
            (ClosedBy::Client | ClosedBy::Origin, _) if self.is_part => (ClosedBy::Unknown, None),
            _ if ended_at.is_none() => (ClosedBy::Unknown, None),
            known => known,
        };
        let last_at = self.states().map(|hop| hop.last_at).max().unwrap_or(self.opened_at);
        let end = ended_at.unwrap_or(now);
        let nearest = self.states().next();
        let tunnel = Tunnel {
            attempt: Arc::clone(&self.attempt),
            opened_at: self.opened_at,
            ended_at: end,
            still_open: ended_at.is_none(),
            bytes: nearest.map_or(Traffic::default(), |hop| hop.bytes),
            frames: nearest.map_or(Traffic::default(), |hop| hop.frames),
            pings: nearest.map_or(0, |hop| hop.pings),
            pongs: nearest.map_or(0, |hop| hop.pongs),
            close,
            closed_by,
            idle: end.since(last_at),
            incomplete,
        };
        Ended { tunnel, by, had_close: close.is_some(), repeated: false, client_unseen: self.client_unseen() }
    }

    /// Who ended it. The proxy did if no peer sent FIN, RST or Close before it; which of the proxy's own two ends came
    /// first means nothing, as they are microseconds apart and may swap between interfaces.
    fn closed_by(&self, close: Option<Close>) -> (ClosedBy, Option<SocketAddr>) {
        let (Some(first), Some(last)) = (
            self.hops.first().and_then(|hop| hop.state.as_deref()),
            self.hops.last().and_then(|hop| hop.state.as_deref()),
        ) else {
            return (ClosedBy::Unknown, None);
        };
        let only = self.hops.len() == 1;
        let role = self.attempt.first().role;
        // Where another client's hops would fit as well, only the client's own hop tells anything.
        if self.attempt.join.is_some_and(|join| join.confidence == Confidence::Ambiguous) {
            let ended_first = first.client_ended.is_some_and(|at| first.server_ended.is_none_or(|server| at <= server));
            let by_client = close.map_or(ended_first, |close| close.from_client);
            return (if by_client { ClosedBy::Client } else { ClosedBy::Unknown }, None);
        }
        // Where bytes are missing the proxy is not accused.
        let sure = self.states().all(|hop| !hop.incomplete);
        let close_by_proxy = !only && sure && is_made_by_proxy(first, last);
        if close_by_proxy {
            return (ClosedBy::Proxy, self.proxy_at_fault());
        }
        // Where bytes are missing, the Close frame that was seen may be the answer to one that was not.
        if close.is_some() && self.states().any(|hop| hop.incomplete) {
            return (ClosedBy::Unknown, None);
        }
        if let Some(close) = close {
            return match (close.from_client, only && role == Role::Only) {
                (true, _) => (ClosedBy::Client, None),
                (false, true) => (ClosedBy::Unknown, None),
                (false, false) => (ClosedBy::Origin, None),
            };
        }
        let client = first.client_ended.filter(|at| first.server_ended.is_none_or(|server| *at <= server));
        let origin = last.server_ended.filter(|at| last.client_ended.is_none_or(|client| *at <= client));
        match (client, origin) {
            _ if only => match role {
                Role::Upstream => (if origin.is_some() { ClosedBy::Origin } else { ClosedBy::Unknown }, None),
                _ => (ClosedBy::Unknown, None),
            },
            (Some(client), Some(origin)) if origin < client => (ClosedBy::Origin, None),
            (Some(_), _) => (ClosedBy::Client, None),
            (None, Some(_)) => (ClosedBy::Origin, None),
            (None, None) if first.server_ended.is_none() || last.client_ended.is_none() || !sure => {
                (ClosedBy::Unknown, None)
            }
            (None, None) => (ClosedBy::Proxy, self.proxy_at_fault()),
        }
    }

    /// The proxy of the chain that ended both of its hops before the other side did.
    fn proxy_at_fault(&self) -> Option<SocketAddr> {
        let path: Vec<_> = self.attempt.path().collect();
        let ended_first = |one: Option<Timestamp>, other: Option<Timestamp>| match (one, other) {
            (Some(one), Some(other)) => one <= other,
            (Some(_), None) => true,
            _ => false,
        };
        let at = (0..self.hops.len().saturating_sub(1)).find(|&at| {
            let (Some(down), Some(up)) = (&self.hops[at].state, &self.hops[at + 1].state) else { return false };
            ended_first(down.server_ended, down.client_ended) && ended_first(up.client_ended, up.server_ended)
        });
        match path.get(at?)?.server {
            Endpoint::Ip(address) => Some(address),
            Endpoint::Path(_) => None,
        }
    }
}

/// Whether the proxy sent the first Close frame by itself: to a peer that had sent none before, and to no peer that had.
/// Only times of one hop are compared, so that clocks need not agree.
fn is_made_by_proxy(first: &Hop, last: &Hop) -> bool {
    let at = |close: Option<Close>| close.map(|close| close.at);
    let ends = [
        (at(first.close_from_server), at(first.close_from_client)),
        (at(last.close_from_client), at(last.close_from_server)),
    ];
    let spoke = ends.iter().any(|(proxy, _)| proxy.is_some());
    spoke && ends.iter().all(|(proxy, peer)| peer.is_none_or(|peer| proxy.is_some_and(|proxy| proxy < peer)))
}

/// Ends that one proxy made at one moment.
#[derive(Clone, Debug)]
pub struct Group {
    /// The proxy.
    pub by: SocketAddr,
    /// The tunnels, in order of their ends.
    pub members: Vec<Ended>,
}
