//! Ordinary requests that belong to an attempt all the same: what a proxy made of an upgrade when it took away every
//! field that names it, and the ordinary request that a proxy turned into an upgrade.

use std::cmp::Reverse;

use super::{
    super::{
        event::{Confidence, Fields, Join, JoinMethod, Request},
        handshake::{Handshake, field::UpgradeRequest},
        http::OrdinaryId,
        knowledge::{Claim, Doubt},
        time::Timestamp,
    },
    Attempts, Timer,
    evidence::Window,
    join::{self, Tree},
    polling,
    recent::{Entry, Side},
    store::may_follow,
};

/// Handshakes with the index of the one before them on the way.
type Chain = Vec<(Handshake, Option<usize>)>;

impl Attempts {
    /// Adds the ordinary request at either end of an attempt, if there is one.
    pub(super) fn adopt(&self, handshakes: Chain, tree: &mut Tree, now: Timestamp) -> Chain {
        // Only a plain chain has ends.
        let plain = handshakes.iter().enumerate().all(|(at, (_, parent))| *parent == at.checked_sub(1));
        let (Some((first, _)), Some((last, _)), true) = (handshakes.first(), handshakes.last(), plain) else {
            return handshakes;
        };
        let (found, rivals, before) = match self.origin_of(first) {
            Some((request, rivals)) => (request, rivals, true),
            None => match self.made_of(last, now) {
                Some((request, rivals)) => (request, rivals, false),
                None => return handshakes,
            },
        };
        let confidence = if rivals > 0 { Confidence::Ambiguous } else { Confidence::Probable };
        let known = tree.join.map_or(confidence, |join| join.confidence.max(confidence));
        tree.join = Some(Join { method: JoinMethod::Fingerprint, confidence: known });
        tree.own.require(Claim::unless((rivals > 0).then_some(Doubt::Rival)));
        let mut chain: Vec<_> = handshakes.into_iter().map(|(handshake, _)| handshake).collect();
        chain.insert(if before { 0 } else { chain.len() }, found);
        chain.into_iter().enumerate().map(|(at, handshake)| (handshake, at.checked_sub(1))).collect()
    }

    /// An ordinary request was declined. Where a proxy had added `Connection: upgrade` to it, which its client had not sent,
    /// the exchange is judged as an attempt once it is over.
    pub(super) fn declined(&mut self, id: OrdinaryId, at: Timestamp) {
        let asked = self.recent.get(id).and_then(|entry| self.recent.request(entry));
        if asked.is_some_and(|request| request.has_connection_upgrade() && !request.has_upgrade()) {
            self.at(at + self.settle, Timer::Declined(id));
        }
    }

    /// Judges an ordinary request that was declined after a proxy had added `Connection: upgrade` to it.
    pub(super) fn decide_declined(&mut self, id: OrdinaryId, now: Timestamp) {
        let Some(up) = self.recent.get(id).and_then(|entry| self.ordinary(entry)) else { return };
        let Some((down, rivals)) = self.origin_of(&up).filter(|(down, _)| !down.request.has_connection_upgrade())
        else {
            return;
        };
        let confidence = if rivals > 0 { Confidence::Ambiguous } else { Confidence::Probable };
        let join = Join { method: JoinMethod::Fingerprint, confidence };
        let window = Window::of(&down, now, self.settle);
        let own = Claim::unless((rivals > 0).then_some(Doubt::Rival));
        self.conclude(vec![(down, None), (up, Some(0))], Tree::joined(join, own), &window, (now, false));
    }

    /// The ordinary request that a proxy made an upgrade of. An upgrade with a key came from a client that sent the key,
    /// so only those without one are looked at.
    fn origin_of(&self, up: &Handshake) -> Option<(Handshake, usize)> {
        if up.request.key().is_some() || !up.request.has_connection_upgrade() || !up.request.complete {
            return None;
        }
        let sender = up.link.client_host();
        let listens = self.proxies.sending_from(sender).chain([sender]);
        let mut got: Vec<_> =
            listens.flat_map(|host| self.recent.with_tail(&up.request.target, Side::GotBy, host)).collect();
        got.sort_by_key(|entry| Reverse(entry.id));
        let mut fitting = got
            .into_iter()
            // Two taps have two clocks.
            .filter(|entry| entry.stamp.clock != up.clock || entry.stamp.at <= up.request.at)
            .filter_map(|entry| self.ordinary(entry))
            .filter(|down| self.may_come_from(down, up) && is_alike(&down.request, &up.request))
            .filter(|down| down.status().zip(up.status()).is_none_or(|(one, other)| one == other));
        let down = fitting.next()?;
        // What a proxy before that one got is no rival.
        let before = |other: &Handshake| self.may_come_from(other, &down) && is_alike(&other.request, &down.request);
        let rivals = fitting.filter(|other| !before(other)).count();
        Some((down, rivals))
    }

    /// The ordinary request that a proxy made of an upgrade.
    fn made_of(&self, down: &Handshake, now: Timestamp) -> Option<(Handshake, usize)> {
        if !down.request.is_upgrade() || down.is_upgraded() {
            return None;
        }
        let until = down.ended_at.unwrap_or(now) + self.settle;
        let begun = down.request.at.before(self.settle);
        let near = |entry: &&Entry| entry.stamp.at <= until && entry.ended_at.is_none_or(|end| begun <= end);
        let with_tail = |side, host| self.recent.with_tail(&down.request.target, side, host).filter(near);
        let hosts = self.proxies.hosts(&down.link);
        let mut fitting: Vec<_> = hosts
            .iter()
            .enumerate()
            .filter(|(place, host)| !hosts[..*place].contains(host))
            .flat_map(|(_, host)| with_tail(Side::SentBy, *host))
            .filter_map(|entry| self.ordinary(entry))
            .filter(|up| self.may_come_from(down, up) && is_alike(&down.request, &up.request))
            .filter(|up| is_answered_as(down, up))
            .filter(|up| join::was_asked_during(down, up))
            .collect();
        // The one that was asked first: the others may be what the next proxy made of that.
        fitting.sort_by_key(|up| Reverse(up.request.at));
        let up = fitting.pop()?;
        // What the next proxy made of that one is no rival.
        let beyond = |other: &Handshake| self.may_come_from(&up, other) && is_alike(&up.request, &other.request);
        let more = fitting.iter().filter(|other| !beyond(other)).count();
        // Another client's ordinary request for the same thing may be what the proxy forwarded.
        let others =
            with_tail(Side::GotBy, down.link.reached).filter(|entry| entry.link.shares_server(&down.link)).count();
        Some((up, more + others))
    }

    /// Whether the proxy that got `down` may have sent `up`: a likeness alone ties nothing between other hosts.
    fn may_come_from(&self, down: &Handshake, up: &Handshake) -> bool {
        let hosts = self.proxies.hosts(&down.link);
        hosts.contains(&up.link.client_host())
            && may_follow(down, up, self.settle)
            && down.shares_process(up) != Some(false)
    }

    /// A recent request as a handshake.
    fn ordinary(&self, entry: &Entry) -> Option<Handshake> {
        let request = self.recent.request(entry)?;
        let mut handshake = Handshake::new(entry.link, entry.stamp, request);
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
    // No proxy makes a poll of an upgrade.
    let is_poll = |request: &Request| polling::polling_base(&request.target).is_some();
    is_poll(down) == is_poll(up)
        && down.method == up.method
        && equal("user-agent")
        && equal("origin")
        && equal("content-type")
}

/// Whether `down` may have got the answer of `up`, of which only a refusal is kept.
fn is_answered_as(down: &Handshake, up: &Handshake) -> bool {
    let accepted = up.ended_at.is_some() && matches!(down.status(), Some(200..=299));
    up.status() == down.status() || up.status().is_none() && (up.ended_at.is_none() || accepted)
}
