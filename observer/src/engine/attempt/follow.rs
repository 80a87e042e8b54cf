//! Follows the tunnels of decided attempts to their ends.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hashbrown::HashMap;

use super::{
    super::{
        event::{self, Attempt, ClosedBy, Outcome, Role},
        http::{self, Ticket, UpgradeId},
        tcp::Link,
        time::Timestamp,
    },
    Attempts, Case, Timer,
    connect::Search,
    report::Placed,
    tunnel::{LATEST_END, OpenHop, OpenTunnel, ends, opened_at},
};

impl Attempts {
    /// Tunnels open now, oldest first. `states` are their hops' by ticket.
    #[must_use]
    pub fn tunnels(&self, states: &HashMap<Ticket, &http::Tunnel>) -> Vec<event::OpenTunnel> {
        let state = |id: &UpgradeId| states.get(&Ticket::from(*id)).copied();
        let told = |(ids, attempt): (Vec<UpgradeId>, Attempt)| {
            let nearest = ids.iter().find_map(state)?;
            let hops = || ids.iter().filter_map(state);
            let proxies = attempt.path().filter_map(|hop| hop.server.address());
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
        self.tunnels.open_ones().filter_map(told).collect()
    }

    pub(super) fn open_tunnel(&mut self, attempt: &Attempt, placed: &[Placed], ids: &[UpgradeId], is_part: bool) {
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
        self.tunnels.open(attempt, hops, is_part);
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
            !tunnel.client_unseen(&attempt) || self.tls_closer(tunnel, &attempt, end).is_some()
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
        let mut ended = tunnel.end(&attempt, now);
        if ended.by.is_some_and(|by| self.is_step_unread(&attempt, by)) {
            (ended.tunnel.closed_by, ended.by) = (ClosedBy::Unknown, None);
        }
        if matches!(ended.tunnel.closed_by, ClosedBy::Client | ClosedBy::Origin) && self.is_end_unread(&attempt) {
            ended.tunnel.closed_by = ClosedBy::Unknown;
        }
        let silent_since = ended.tunnel.ended_at.before(ended.tunnel.idle);
        if self.lossy(silent_since, ended.tunnel.ended_at) {
            ended.doubt();
        }
        if tunnel.client_unseen(&attempt)
            && ended.tunnel.closed_by == ClosedBy::Unknown
            && !ended.tunnel.still_open
            && let Some(by) = self.tls_closer(&tunnel, &attempt, ended.tunnel.ended_at)
        {
            ended.tunnel.closed_by = ClosedBy::Proxy;
            ended.by = Some(by);
        }
        match ended.by {
            Some(by) if ended.tunnel.closed_by == ClosedBy::Proxy => self.join_closing(by, ended, now),
            _ => self.cases.push_back(Case::Ended(Box::new(ended))),
        }
    }

    /// Whether a hop may be missing behind the proxy that listens at `by`: the next one came from another address, and of what
    /// the proxy sent when the tunnel opened bytes are missing, or all.
    fn is_step_unread(&self, attempt: &Attempt, by: SocketAddr) -> bool {
        let path: Vec<_> = attempt.path().collect();
        let step = path.windows(2).find(|step| step[0].server.address() == Some(by));
        let next = step.and_then(|step| step[1].client.address());
        if next.is_none_or(|next| next.ip() == by.ip()) {
            return false;
        }
        self.is_opening_unread(attempt, by, |link| link.client.ip() == by.ip())
    }

    /// Whether a hop may be missing before the first of a tunnel, or behind its last.
    fn is_end_unread(&self, attempt: &Attempt) -> bool {
        let client = attempt.first().client.address();
        let Some(server) = attempt.path().last().and_then(|last| last.server.address()) else { return false };
        self.is_opening_unread(attempt, server, |link| {
            link.client.ip() == server.ip() || client.is_some_and(|client| link.server.ip() == client.ip())
        })
    }

    /// Whether bytes are missing, or all, of a connection that `matters`, or that the host at `by` opened, when a tunnel
    /// opened.
    fn is_opening_unread(&self, attempt: &Attempt, by: SocketAddr, matters: impl Fn(&Link) -> bool) -> bool {
        let first = attempt.first();
        let opened_at = opened_at(attempt);
        let asked = first.request.as_ref().map_or(opened_at, |request| request.at);
        let (from, to) = (asked.before(self.settle), opened_at + self.settle);
        let own = |link: &Link| attempt.hops.iter().any(|hop| hop.client.address() == Some(link.client));
        let clock = (first.interface, Duration::ZERO);
        let search = Search { proxy: by, hosts: &[by.ip()], from, to, status: None, clock };
        // On one host, a client may have opened it.
        let alone = first.client.address().is_some_and(|client| client.ip() != by.ip());
        alone && self.connects.is_pending(&search, |_| true)
            || self.unread.is_missing(from, to, |link| matters(link) && !own(link))
    }

    /// Where the proxy listens that ended a tunnel by itself, though its client's side is TLS.
    pub(super) fn tls_closer(&self, tunnel: &OpenTunnel, attempt: &Attempt, end: Timestamp) -> Option<SocketAddr> {
        let asked = attempt.first().request.as_ref()?.at;
        let last = tunnel.hops.first()?.state.as_ref()?.last_from_client_at.unwrap_or(asked);
        self.opaque.closed_by_proxy(asked, last, end)
    }
}
