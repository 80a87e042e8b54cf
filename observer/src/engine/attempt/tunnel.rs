//! Tunnels of decided attempts: their hops' ends are put together to say who ended them.

use std::{sync::Arc, time::Duration};

use super::{
    super::{
        event::{Attempt, Close, ClosedBy, Confidence, Role, Traffic, Tunnel},
        host::Socket,
        http::{Tunnel as Hop, UpgradeId},
        knowledge::{Claim, Doubt, Hole},
        memory::block,
        tcp::{Closed, Direction},
        time::Timestamp,
    },
    near::Sighting,
    packed::Packed,
};

const WAYS: [Direction; 2] = [Direction::ToServer, Direction::ToClient];

/// How long after the first hop's end the others may take: Envoy needs a second.
pub(super) const LATEST_END: Duration = Duration::from_secs(2);

/// A tunnel of a decided attempt.
#[derive(Debug)]
pub(super) struct OpenTunnel {
    pub(super) attempt: Packed,
    pub(super) hops: Vec<OpenHop>,
}

/// One hop of it, in the order of [`Attempt::path`].
#[derive(Debug)]
pub(super) struct OpenHop {
    pub(super) id: UpgradeId,
    pub(super) state: Option<Box<Hop>>,
    pub(super) gone: Option<Closed>,
}

/// A tunnel's end, and what is needed to judge it.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The facts for the user.
    pub tunnel: Tunnel,
    /// The proxy that closed it, where one did: the endpoint it listens on.
    pub by: Option<Socket>,
    /// Whether a Close frame passed on any hop.
    pub had_close: bool,
    /// Whether this proxy closed a tunnel at the same idle time before.
    pub repeated: bool,
    /// Of a tunnel of which one hop was seen: which side of that ended it first. It may have passed on what it was told.
    pub lone: Option<Lone>,
    /// How many tunnels of the proxy ended alike, this one among them: at the same age in use, or after the same silence.
    pub alike: usize,
    /// A request of its session that another server refused.
    pub refused: Option<Sighting>,
    /// Nobody spoke after its last payload that was seen, nor sent a Close frame.
    pub quiet: Claim,
}

/// Which side of the only hop that was seen of a tunnel ended it first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lone {
    /// The client's, which is a proxy or may be one.
    Client,
    /// The server's, which is a proxy or may be one.
    Server,
}

impl Ended {
    /// Whether it was silent long enough to speak of.
    #[must_use]
    pub fn is_silent(&self, idle_min: Duration) -> bool {
        !self.had_close && self.quiet.holds() && self.tunnel.idle >= idle_min
    }

    /// Bytes it costs, by estimate.
    pub(super) fn memory(&self) -> usize {
        2 * size_of::<Self>() + self.tunnel.attempt.memory()
    }

    /// Who ended it cannot be told, because of a hole.
    pub(super) fn doubt_end(&mut self, hole: &Hole) {
        (self.tunnel.closed_by, self.by) = (ClosedBy::Unknown, None);
        self.tunnel.missing.get_or_insert(*hole);
    }

    /// Frames were lost since its last payload, or at its end: somebody may have spoken, or closed it, unseen.
    pub(super) fn doubt_all(&mut self, hole: &Hole) {
        self.doubt_end(hole);
        self.tunnel.incomplete = true;
        self.quiet = Claim::Unknown(Doubt::from(hole));
    }
}

impl OpenHop {
    /// Whether the last of what was sent this way may be something that was not read.
    fn is_unread(&self, way: Direction) -> bool {
        self.is_lost() || self.state.as_ref().is_some_and(|state| state.ends().unread_until[way.index()].is_some())
    }

    /// Whether it was thrown out, or its port used again, before both sides were seen to end it.
    fn is_lost(&self) -> bool {
        let Some(state) = &self.state else { return true };
        let ended = state.ends().client.is_some() && state.ends().server.is_some();
        !ended && matches!(self.gone, Some(Closed::Evicted | Closed::Replaced))
    }
}

impl OpenTunnel {
    /// Bytes that it refers to.
    pub(super) fn memory(&self) -> usize {
        let states: usize = self.states().map(|state| block(size_of_val(state)) + state.memory()).sum();
        self.attempt.memory() + block(size_of_val(&*self.hops)) + states
    }

    /// When its first hop's end was seen.
    pub(super) fn first_end(&self) -> Option<Timestamp> {
        ends(&self.hops).min()
    }

    /// When its last end so far was seen.
    pub(super) fn last_end(&self) -> Option<Timestamp> {
        ends(&self.hops).max()
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

    /// Which side ended the only hop that was seen.
    pub(super) fn lone(&self, attempt: &Attempt) -> Option<Lone> {
        let role = attempt.first().role;
        let ends = self.states().next().filter(|_| self.hops.len() == 1)?.ends();
        match role {
            Role::Upstream | Role::Only if ends.client_first() => Some(Lone::Client),
            Role::Only if ends.server_first() => Some(Lone::Server),
            _ => None,
        }
    }

    /// What it came to, at `now`. `listens` are the server's ends of its hops.
    pub(super) fn end(
        &self,
        attempt: &Arc<Attempt>,
        listens: &[Option<Socket>],
        now: Timestamp,
        idle_min: Duration,
    ) -> Ended {
        let opened_at = opened_at(attempt);
        let ended_at = self.first_end();
        let close = self.states().filter_map(Hop::close).min_by_key(|close| close.at);
        let (closed_by, by) =
            if ended_at.is_none() { (ClosedBy::Unknown, None) } else { self.closed_by(attempt, listens, close) };
        let end = ended_at.unwrap_or(now);
        // A Close frame that the proxy made up is neither activity nor a clean end: the silence ended with it.
        let before = self.states().filter_map(|hop| hop.ends().last_before_close_at).max();
        let is_long = |close: &Close| before.is_some_and(|before| close.at.since(before) >= idle_min);
        let made_up = close.filter(|_| closed_by == ClosedBy::Proxy).filter(is_long);
        let before_close = |hop: &Hop| made_up.and_then(|_| hop.ends().last_before_close_at);
        let last_at = self.states().map(|hop| before_close(hop).unwrap_or(hop.last_at)).max().unwrap_or(opened_at);
        let silent_until = made_up.map_or(end, |close| close.at);
        let nearest = self.states().next();
        let tunnel = Tunnel {
            attempt: Arc::clone(attempt),
            opened_at,
            ended_at: end,
            still_open: ended_at.is_none(),
            bytes: nearest.map_or(Traffic::default(), |hop| hop.bytes),
            frames: nearest.map_or(Traffic::default(), |hop| hop.frames),
            pings: nearest.map_or(0, |hop| hop.pings.into()),
            pongs: nearest.map_or(0, |hop| hop.pongs.into()),
            close,
            closed_by,
            idle: silent_until.since(last_at),
            incomplete: self.hops.iter().any(OpenHop::is_lost) || self.states().any(|hop| hop.incomplete),
            hops: self.hops.iter().map(|hop| hop.state.as_deref().map(Hop::hop)).collect(),
            missing: None,
        };
        // What passes through one hop passes through the others: one that was read to its end is enough.
        let is_read = |hop: &OpenHop| WAYS.iter().all(|way| !hop.is_unread(*way));
        let quiet = if self.hops.iter().any(is_read) { Claim::Certain } else { Claim::Unknown(Doubt::Unread) };
        let had_close = close.is_some() && made_up.is_none();
        Ended { tunnel, by, had_close, repeated: false, lone: self.lone(attempt), alike: 1, refused: None, quiet }
    }

    /// Who ended it. The proxy did if no peer sent FIN, RST or Close before it; which of the proxy's own two ends came
    /// first means nothing, as they are microseconds apart and may swap between interfaces.
    fn closed_by(
        &self,
        attempt: &Attempt,
        listens: &[Option<Socket>],
        close: Option<Close>,
    ) -> (ClosedBy, Option<Socket>) {
        const UNKNOWN: (ClosedBy, Option<Socket>) = (ClosedBy::Unknown, None);
        let (Some(nearest), Some(farthest)) = (self.hops.first(), self.hops.last()) else { return UNKNOWN };
        let (Some(first), Some(last)) = (nearest.state.as_deref(), farthest.state.as_deref()) else { return UNKNOWN };
        let only = self.hops.len() == 1;
        let role = attempt.first().role;
        // Where another client's hops would fit as well, only the client's own hop tells anything.
        if attempt.join.is_some_and(|join| join.confidence == Confidence::Ambiguous) {
            let by_client = close.map_or_else(|| first.ends().client_first(), |close| close.from_client);
            return (if by_client { ClosedBy::Client } else { ClosedBy::Unknown }, None);
        }
        let peers_read = !nearest.is_unread(Direction::ToServer) && !farthest.is_unread(Direction::ToClient);
        if !only && peers_read && is_made_by_proxy(first, last) {
            return self.proxy_at_fault(listens).map_or(UNKNOWN, |by| (ClosedBy::Proxy, Some(by)));
        }
        if let Some(close) = close {
            // The Close frame that was seen may be the answer to one that was not.
            let other = if close.from_client { Direction::ToClient } else { Direction::ToServer };
            return match (close.from_client, only && role == Role::Only) {
                _ if self.hops.iter().all(|hop| hop.is_unread(other)) => UNKNOWN,
                (true, _) => (ClosedBy::Client, None),
                (false, true) => UNKNOWN,
                (false, false) => (ClosedBy::Origin, None),
            };
        }
        // A FIN that was not seen is among the last bytes that were not.
        let fins_read = (first.ends().client.is_some() || !nearest.is_unread(Direction::ToServer))
            && (last.ends().server.is_some() || !farthest.is_unread(Direction::ToClient));
        let closes_read = WAYS.iter().all(|way| self.hops.iter().any(|hop| !hop.is_unread(*way)));
        let (first, last) = (first.ends(), last.ends());
        let client = first.client.filter(|_| first.client_first());
        let origin = last.server.filter(|_| last.server_first());
        match (client, origin) {
            _ if only => match role {
                Role::Upstream => (if origin.is_some() { ClosedBy::Origin } else { ClosedBy::Unknown }, None),
                _ => UNKNOWN,
            },
            (Some(client), Some(origin)) if origin < client => (ClosedBy::Origin, None),
            (Some(_), _) => (ClosedBy::Client, None),
            (None, Some(_)) => (ClosedBy::Origin, None),
            (None, None) if first.server.is_none() || last.client.is_none() => UNKNOWN,
            (None, None) if !fins_read || !closes_read => UNKNOWN,
            (None, None) => self.proxy_at_fault(listens).map_or(UNKNOWN, |by| (ClosedBy::Proxy, Some(by))),
        }
    }

    /// The proxy of the chain that ended both of its hops before the other side did.
    fn proxy_at_fault(&self, listens: &[Option<Socket>]) -> Option<Socket> {
        let at = (0..self.hops.len().saturating_sub(1)).find(|&at| {
            let (nearer, farther) = (&self.hops[at], &self.hops[at + 1]);
            let (Some(down), Some(up)) = (&nearer.state, &farther.state) else { return false };
            let (down, up) = (down.ends(), up.ends());
            // Where its neighbour's FIN was not seen, that may have come first.
            let heard = (down.client.is_some() || !nearer.is_unread(Direction::ToServer))
                && (up.server.is_some() || !farther.is_unread(Direction::ToClient));
            heard && down.server_first() && up.client_first()
        });
        *listens.get(at?)?
    }
}

/// When the ends of hops were seen.
pub(super) fn ends(hops: &[OpenHop]) -> impl Iterator<Item = Timestamp> {
    let states = hops.iter().filter_map(|hop| hop.state.as_deref());
    states.flat_map(|state| [state.ends().client, state.ends().server]).flatten()
}

/// When the 101 nearest to the client was seen.
pub(super) fn opened_at(attempt: &Attempt) -> Timestamp {
    attempt.first().response.as_ref().map_or(attempt.decided_at, |response| response.at)
}

/// Whether the proxy sent the first Close frame by itself: to a peer that had sent none before, and to no peer that had.
/// Only times of one hop are compared, so that clocks need not agree.
fn is_made_by_proxy(first: &Hop, last: &Hop) -> bool {
    let at = |close: Option<Close>| close.map(|close| close.at);
    let ends = [
        (at(first.ends().close_from_server), at(first.ends().close_from_client)),
        (at(last.ends().close_from_client), at(last.ends().close_from_server)),
    ];
    let spoke = ends.iter().any(|(proxy, _)| proxy.is_some());
    spoke && ends.iter().all(|(proxy, peer)| peer.is_none_or(|peer| proxy.is_some_and(|proxy| proxy < peer)))
}

/// Ends that one proxy made at one moment.
#[derive(Clone, Debug)]
pub struct Group {
    /// The proxy.
    pub by: Socket,
    /// The tunnels, in order of their ends.
    pub members: Vec<Ended>,
}
