//! Ordinary requests that belong to an attempt all the same: what a proxy made of an upgrade when it took away every
//! field that names it, and the ordinary request that a proxy turned into an upgrade.

use super::{
    super::{
        event::{Confidence, Fields, Join, JoinMethod, Request},
        handshake::{Handshake, field::UpgradeRequest},
        http::Ticket,
        time::Timestamp,
    },
    Attempts,
    join::Tree,
    recent::Entry,
    store::may_follow,
};

/// Handshakes with the index of the one before them on the way.
type Chain = Vec<(Handshake, Option<usize>)>;

impl Attempts {
    /// Adds the ordinary request at either end of an attempt, if there is one.
    pub(super) fn adopt(&self, handshakes: Chain, tree: &mut Tree, now: Timestamp) -> Chain {
        if handshakes.len() > 1 {
            return handshakes;
        }
        let Some((alone, _)) = handshakes.first() else { return handshakes };
        let (found, rivals, before) = match self.origin_of(alone) {
            Some((request, rivals)) => (Some(request), rivals, true),
            None => {
                self.made_of(alone, now).map_or((None, 0, false), |(request, rivals)| (Some(request), rivals, false))
            }
        };
        let Some(found) = found else { return handshakes };
        let confidence = if rivals > 0 { Confidence::Ambiguous } else { Confidence::Probable };
        tree.join = Some(Join { method: JoinMethod::Fingerprint, confidence });
        tree.uniform = rivals == 0;
        let (first, second) = if before { (found, alone.clone()) } else { (alone.clone(), found) };
        vec![(first, None), (second, Some(0))]
    }

    /// The ordinary request that a proxy made an upgrade of. An upgrade with a key came from a client that sent the key,
    /// so only those without one are looked at.
    fn origin_of(&self, up: &Handshake) -> Option<(Handshake, usize)> {
        if up.request.key().is_some() || !up.request.is_upgrade() || !up.request.complete {
            return None;
        }
        let mut fitting = self
            .recent
            .with_tail(&up.request.target)
            .filter(|entry| entry.stamp.at <= up.request.at)
            .filter_map(|entry| self.ordinary(entry))
            .filter(|down| self.may_come_from(down, up) && is_alike(&down.request, &up.request));
        let down = fitting.next()?;
        Some((down, fitting.count()))
    }

    /// The ordinary request that a proxy made of an upgrade.
    fn made_of(&self, down: &Handshake, now: Timestamp) -> Option<(Handshake, usize)> {
        if !down.request.is_upgrade() || down.is_upgraded() {
            return None;
        }
        let until = down.ended_at.unwrap_or(now) + self.settle;
        let near = |entry: &&Entry| entry.stamp.at.since(down.request.at) <= until.since(down.request.at);
        let alike: Vec<_> = self.recent.with_tail(&down.request.target).filter(near).collect();
        let mut fitting = alike
            .iter()
            .filter_map(|entry| self.ordinary(entry))
            .filter(|up| self.may_come_from(down, up) && is_alike(&down.request, &up.request))
            .filter(|up| up.status().is_none() || up.status() == down.status());
        let up = fitting.next()?;
        // Another client's ordinary request for the same thing may be what the proxy forwarded.
        let others = alike.iter().filter(|entry| entry.link.server == down.link.server).count();
        let more = fitting.count();
        Some((up, more + others))
    }

    /// Whether the proxy that got `down` may have sent `up`: a likeness alone ties nothing between other hosts.
    fn may_come_from(&self, down: &Handshake, up: &Handshake) -> bool {
        let hosts = self.proxies.hosts(down.link.server);
        hosts.contains(&up.link.client.ip())
            && may_follow(down, up, self.settle)
            && down.shares_process(up) != Some(false)
    }

    /// A recent request as a handshake.
    fn ordinary(&self, entry: &Entry) -> Option<Handshake> {
        let request = self.recent.request(entry)?;
        let mut handshake = Handshake::new(entry.link, entry.stamp.interface, entry.stamp.sequence, request);
        handshake.pids = self.owners.of(&entry.link).map(|owner| owner.map(|process| process.pid));
        handshake.ended_at = entry.ended_at;
        handshake.response.clone_from(&entry.response);
        Some(handshake)
    }
}

/// Whether two requests may be one, before and after a proxy.
fn is_alike(down: &Request, up: &Request) -> bool {
    let equal = |name: &str| match (down.field(name), up.field(name)) {
        (Some(one), Some(two)) => one == two,
        _ => true,
    };
    down.method == up.method && equal("user-agent") && equal("origin") && equal("content-type")
}

/// Tickets tell what they are for by their lowest bit.
pub(super) fn of_recent(number: u64) -> Ticket {
    Ticket(number << 1 | 1)
}

/// The ticket of a handshake.
pub(super) fn of_handshake(id: u64) -> Ticket {
    Ticket(id << 1)
}
