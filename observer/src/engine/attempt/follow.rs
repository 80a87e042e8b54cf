//! Follows the tunnels of decided attempts to their ends.

use std::{sync::Arc, time::Duration};

use hashbrown::HashMap;

use super::{
    super::{
        event::{self, Attempt, ClosedBy, Outcome, Role, Silence},
        host::Socket,
        http::{self, Ticket, UpgradeId},
        knowledge::{Hole, HoleKind},
        tcp::Direction,
        time::Timestamp,
    },
    Attempts, Case, Timer,
    connect::Search,
    evidence::Window,
    proxy::EndKind,
    report::Placed,
    tunnel::{Ended, LATEST_END, Lone, OpenHop, OpenTunnel, ends, opened_at},
};

/// A tunnel that ends sooner may have been given up because of another request of its session.
const SHORT: Duration = Duration::from_secs(1);

impl Attempts {
    /// Tunnels open now, oldest first. `states` are their hops' by ticket.
    #[must_use]
    pub fn tunnels(&self, states: &HashMap<Ticket, &http::Tunnel>) -> Vec<event::OpenTunnel> {
        let state = |id: &UpgradeId| states.get(&Ticket::from(*id)).copied();
        let open = |(ids, attempt): (Vec<UpgradeId>, Attempt)| {
            let nearest = ids.iter().find_map(state)?;
            let hops = || ids.iter().filter_map(state);
            let proxies = attempt.path().filter_map(|hop| Some(self.sockets(hop)?[1]));
            Some(event::OpenTunnel {
                opened_at: opened_at(&attempt),
                last_at: hops().map(|hop| hop.last_at).max()?,
                last_heartbeat_at: hops().filter_map(|hop| hop.last_heartbeat_at).max(),
                bytes: nearest.bytes,
                frames: nearest.frames,
                idle_timer: proxies.filter_map(|proxy| self.proxies.get(proxy)?.idle_timer()).min(),
                attempt: Arc::new(attempt),
            })
        };
        self.tunnels.open_ones().filter_map(open).collect()
    }

    pub(super) fn open_tunnel(&mut self, attempt: &Attempt, placed: &[Placed], ids: &[UpgradeId]) {
        if attempt.outcome != Outcome::Upgraded {
            return;
        }
        self.counts.tunnels += 1;
        let on_path = placed.iter().zip(ids).filter(|(placed, _)| !matches!(placed.role, Role::Side | Role::Retry));
        let hops: Vec<_> = on_path
            .map(|(placed, id)| OpenHop { id: *id, state: placed.handshake.tunnel.clone(), gone: None })
            .collect();
        if let Some(end) = ends(&hops).min() {
            self.at(end + self.settle, Timer::Tunnel(ids[0]));
        }
        self.tunnels.open(attempt, hops);
    }

    pub(super) fn tunnel_due(&mut self, key: UpgradeId, at: Timestamp) {
        let Some(tunnel) = self.tunnels.ending(key) else { return };
        let (Some(end), Some(last)) = (tunnel.first_end(), tunnel.last_end()) else { return };
        let latest = end + LATEST_END.max(self.settle);
        // What is missing before an end is known when that has settled.
        let settled = (last + self.settle).min(latest);
        if at < settled {
            return self.at(settled, Timer::Tunnel(key));
        }
        // The client's side may be TLS, and end a little later.
        let tls_closes = || {
            let attempt = self.tunnels.attempt(tunnel);
            tunnel.lone(&attempt) != Some(Lone::Client) || self.tls_closer(tunnel, &attempt, end).is_some()
        };
        if tunnel.is_settled() && (self.counts.tls == 0 || tls_closes()) || at >= latest {
            self.end_tunnel(key, at);
        } else {
            self.at(latest, Timer::Tunnel(key));
        }
    }

    pub(super) fn end_tunnel(&mut self, key: UpgradeId, now: Timestamp) {
        let Some((tunnel, attempt)) = self.tunnels.remove(key) else { return };
        let attempt = Arc::new(attempt);
        let listens: Vec<_> = attempt.path().map(|hop| Some(self.sockets(hop)?[1])).collect();
        let mut ended = tunnel.end(&attempt, &listens, now, self.idle_min);
        if ended.tunnel.closed_by == ClosedBy::Unknown || !ended.quiet.holds() {
            ended.tunnel.missing = self.missed_of(&attempt);
        }
        if let Some(hole) = self.missed_beside(&attempt, &ended) {
            ended.doubt_end(&hole);
        }
        let silence = self.window(&attempt, ended.tunnel.ended_at.before(ended.tunnel.idle), ended.tunnel.ended_at);
        if let Some(hole) = self.loss(&silence) {
            ended.doubt_all(&hole);
        }
        if ended.lone == Some(Lone::Client)
            && ended.tunnel.closed_by == ClosedBy::Unknown
            && !ended.tunnel.still_open
            && let Some(by) = self.tls_closer(&tunnel, &attempt, ended.tunnel.ended_at)
        {
            ended.tunnel.closed_by = ClosedBy::Proxy;
            ended.by = Some(by);
        }
        match ended.by {
            Some(by) if ended.tunnel.closed_by == ClosedBy::Proxy => self.join_closing(by, ended, now),
            _ => {
                self.count_alike(&mut ended);
                if ended.tunnel.ended_at.since(ended.tunnel.opened_at) < SHORT {
                    ended.refused = self.refused_session(&attempt);
                }
                self.cases.push_back(Case::Ended(Box::new(ended)));
            }
        }
    }

    /// Counts tunnels that something in front of the first server, or behind it unseen, ended after the same silence.
    fn count_alike(&mut self, ended: &mut Ended) {
        let tunnel = &ended.tunnel;
        let Some([_, server]) = self.sockets(tunnel.attempt.first()) else { return };
        let kind = match (tunnel.closed_by, ended.lone) {
            (ClosedBy::Client, _) => EndKind::FromClient,
            (ClosedBy::Unknown, Some(Lone::Server)) => EndKind::FromServer,
            _ => return,
        };
        if ended.is_silent(self.idle_min) && !tunnel.still_open {
            ended.alike = self.proxies.entry(server).count_alike(kind, tunnel.idle, tunnel.ended_at);
        }
    }

    fn window(&self, attempt: &Attempt, from: Timestamp, to: Timestamp) -> Window {
        Window { from, to, clock: attempt.first().clock, skew: self.settle }
    }

    /// A hole on one of a tunnel's own hops.
    fn missed_of(&self, attempt: &Attempt) -> Option<Hole> {
        let opened = self.window(attempt, opened_at(attempt), Timestamp::MAX);
        let own: Vec<_> = attempt.path().filter_map(|hop| self.sockets(hop)).collect();
        self.hole(&opened, |hole| own.iter().any(|[client, server]| hole.client.is(*client) && hole.server.is(*server)))
    }

    /// A hole that may hide another hop of a tunnel, which opened with the others: before the first where the client ended it,
    /// behind the last where the origin did, and behind the proxy that did where the next hop came from another address.
    fn missed_beside(&self, attempt: &Attempt, ended: &Ended) -> Option<Hole> {
        let first = attempt.first();
        let asked = first.request.as_ref().map_or(ended.tunnel.opened_at, |request| request.at);
        let opening = self.window(attempt, asked, ended.tunnel.opened_at);
        let clients: Vec<_> = attempt.hops.iter().filter_map(|hop| Some(self.sockets(hop)?[0])).collect();
        let own = |hole: &Hole| !hole.may_hold_request() || clients.iter().any(|client| hole.client.is(*client));
        match ended.tunnel.closed_by {
            ClosedBy::Unknown => None,
            ClosedBy::Client => {
                let client = self.sockets(first)?[0].host();
                self.hole(&opening.around(), |hole| hole.server.may_be_at(client) && !own(hole))
            }
            ClosedBy::Origin => {
                let origin = self.sockets(attempt.path().last()?)?[1];
                self.missed_behind(attempt, origin, &opening, own)
            }
            ClosedBy::Proxy => {
                let by = ended.by?;
                let path: Vec<_> = attempt.path().filter_map(|hop| self.sockets(hop)).collect();
                let step = path.windows(2).find(|step| step[0][1] == by)?;
                let next = Some(step[1][0]).filter(|next| next.host() != by.host())?;
                self.missed_behind(attempt, by, &opening, |hole| own(hole) || hole.client.is(next))
            }
        }
    }

    /// A hole that may hide what the host at `by` sent in a window, or a connection that it opened for something that was not
    /// seen.
    fn missed_behind(
        &self,
        attempt: &Attempt,
        by: Socket,
        opening: &Window,
        own: impl Fn(&Hole) -> bool,
    ) -> Option<Hole> {
        let hole = self.hole(opening, |hole| hole.client.may_be_at(by.host()) && !own(hole));
        let clock = (opening.clock, Duration::ZERO);
        let search = Search { proxy: by, hosts: &[by.host()], from: opening.from, to: opening.to, status: None, clock };
        // On one host, a client may have opened it.
        let alone = self.sockets(attempt.first()).is_some_and(|[client, _]| client.host() != by.host());
        let pending = || self.connects.pending(&search, |_| true).filter(|_| alone);
        hole.or_else(pending).or_else(|| self.unanswered_beside(attempt, by, opening))
    }

    /// Where the proxy listens that ended a tunnel by itself, though its client's side is TLS.
    pub(super) fn tls_closer(&self, tunnel: &OpenTunnel, attempt: &Attempt, end: Timestamp) -> Option<Socket> {
        let asked = attempt.first().request.as_ref()?.at;
        let last = tunnel.hops.first()?.state.as_ref()?.last_from_client_at.unwrap_or(asked);
        self.opaque.closed_by_proxy(asked, last, end)
    }

    /// The missing answer to a request beside the path that the host at `by` sent: it may be the next hop.
    fn unanswered_beside(&self, attempt: &Attempt, by: Socket, opening: &Window) -> Option<Hole> {
        attempt.hops.iter().find_map(|hop| {
            let unanswered = matches!(hop.silence, Some(Silence::NotCaptured | Silence::Waiting));
            let [client, server] = self.sockets(hop)?;
            let times = (opening.from, opening.to);
            (hop.role == Role::Side && unanswered && client.host() == by.host())
                .then(|| Hole::between(client, server, HoleKind::Gap, Some(Direction::ToClient), times))
        })
    }
}
