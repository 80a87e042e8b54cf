//! Decides an attempt once its client has its answer: joins its hops, places them, and gathers what the rules need to know.

use std::{sync::Arc, time::Duration};

use super::{
    super::{
        event::{Confidence, Outcome, Role, Silence},
        handshake::{Handshake, field::UpgradeRequest, product},
        tcp::Link,
        time::Timestamp,
    },
    Attempts, Case, Decided, Timer,
    connect::Failed,
    join::{self, Tree},
    loss, report,
    report::Placed,
    store::{self, HandshakeId},
};

/// How far apart the requests are that a proxy sends for one attempt: side requests, and tries with several origins.
const SIBLINGS: Duration = Duration::from_secs(1);
/// Hops remembered by their keys.
const MAX_LATELY: usize = 256;

impl Attempts {
    /// A handshake is over. If it is a hop of an attempt whose client still waits, that one decides.
    pub(super) fn decide_ended(&mut self, id: HandshakeId, at: Timestamp) {
        let Some(handshake) = self.store.get(id) else { return };
        let due = handshake.request.at + self.answer_timeout;
        if handshake.ended_at.is_some_and(|ended| ended > due) && handshake.silence != Some(Silence::NotCaptured) {
            self.overdue(id, due);
        } else if !join::has_parent(&self.store, id, self.settle) {
            self.decide(id, at, false);
        }
    }

    /// A client has waited for an answer until `at`. Where nothing was captured for long after that, frames to come first
    /// show whether bytes are missing.
    pub(super) fn answer_overdue(&mut self, id: HandshakeId, at: Timestamp, now: Timestamp) {
        if now.since(at) > self.settle {
            return self.at(now + self.settle * 3, Timer::Overdue(id, at));
        }
        self.overdue(id, at);
    }

    /// A client had waited for an answer until `at`.
    pub(super) fn overdue(&mut self, id: HandshakeId, at: Timestamp) {
        let waits = self.store.get(id).is_some_and(|handshake| {
            handshake.ended_at.is_none_or(|ended| ended > at) && handshake.silence != Some(Silence::NotCaptured)
        });
        if waits && !join::has_parent(&self.store, id, self.settle) {
            self.decide(id, at, true);
        }
    }

    /// Decides the attempt that begins with a handshake, by what was known at `now`.
    pub(super) fn decide(&mut self, root: HandshakeId, now: Timestamp, timed_out: bool) {
        self.store.update(root, |client| client.as_of(now));
        let Some(client) = self.store.get(root) else { return };
        let window = (client.request.at, client.ended_at.unwrap_or(now));
        let mut tree = join::tree(&self.store, root, self.settle);
        let ids: Vec<_> = tree.nodes.iter().map(|node| node.id).collect();
        let parents = tree.nodes.iter().map(|node| node.parent);
        let mut handshakes: Vec<_> = ids.iter().filter_map(|id| self.store.remove(*id)).zip(parents).collect();
        handshakes.iter_mut().for_each(|(handshake, _)| handshake.as_of(now));
        if self.lossy(window.0, window.1) {
            handshakes.iter_mut().for_each(|(handshake, _)| loss::doubt_silence(handshake));
        }
        if handshakes.is_empty() {
            return;
        }
        let mut handshakes = self.adopt(handshakes, &mut tree, now);
        if tree.join.is_some_and(|join| join.confidence == Confidence::Ambiguous) {
            self.store.note_guess(&handshakes[0].0, tree.uniform, now);
        }
        if let [(alone, _)] = &*handshakes {
            self.store.leave_unpaired(alone, now);
        }
        loss::doubt_contradicted(&mut handshakes, self.settle, now);
        let (placed, denied) = report::place(handshakes);
        self.learn(&placed);
        let decided = self.judge_ready(&placed, &tree, denied, window, (now, timed_out));
        if decided.by_client {
            self.count(decided.attempt.outcome);
        }
        self.contest(&placed[0].handshake, placed.iter().find(|hop| hop.parent == Some(0)).map(|hop| &hop.handshake));
        self.open_tunnel(&decided.attempt, &placed, &ids, decided.unread);
        let (attempt, link) = (Arc::clone(&decided.attempt), placed[0].handshake.link);
        self.cases.push_back(Case::Decided(Box::new(decided)));
        let broken = matches!(attempt.outcome, Outcome::Refused | Outcome::Failed);
        if broken
            && placed[0].handshake.request.is_websocket()
            && let Some(fallback) = self.polling.failed(&attempt, link.client, link.server)
        {
            self.cases.push_back(Case::Fallback(Box::new(fallback)));
        }
        self.wake_others(&placed, window, now);
    }

    /// What the rules need to know about an attempt.
    pub(super) fn judge_ready(
        &mut self,
        placed: &[Placed],
        tree: &Tree,
        denied: bool,
        window: (Timestamp, Timestamp),
        (now, timed_out): (Timestamp, bool),
    ) -> Decided {
        let client = &placed[0].handshake;
        let (from, to) = (window.0.before(self.settle), window.1 + self.settle);
        let lost = self.losses.touch(from, to);
        let hop_unread = self.is_unread(placed, (from, to));
        let unread = lost || hop_unread;
        // The answer may be among what was not captured.
        let timed_out =
            timed_out && !unread && placed.iter().all(|hop| hop.handshake.silence != Some(Silence::NotCaptured));
        // The last server that was seen to get it: another proxy, if it forwarded requests before.
        let last = placed.iter().rfind(|placed| placed.role == Role::Upstream).map_or(client, |last| &last.handshake);
        let answered = last.link != client.link && last.response.is_some();
        let forwards = self.proxies.get(last.link.server).is_some_and(|proxy| proxy.upstream_seen);
        let stopped = answered && !unread && forwards;
        let failed = if answered && !stopped || client.is_upgraded() {
            Vec::new()
        } else {
            let by = if stopped { last } else { client };
            let until = if stopped { last.ended_at.unwrap_or(window.1) } else { window.1 };
            let (hosts, clock) = (self.proxies.hosts(&by.link), (by.interface, self.settle));
            let mut failed = self.connects.failed(by.link.server, &hosts, (by.request.at, until), clock);
            failed.retain(|failed| !placed.iter().any(|placed| placed.handshake.link.id == failed.link.id));
            failed.retain(|failed| failed.silence == Silence::Refused || !unread);
            failed.truncate(8);
            failed
        };
        let unreachable = failed.last().map(|failed: &Failed| (failed.silence, failed.link.server));
        let seen = unreachable.is_some() || (!unread && self.is_upstream_seen(&client.link));
        let upstream_seen = placed.len() > 1 || seen;
        let decided_at = client.ended_at.unwrap_or(now);
        let attempt = report::attempt(placed, &failed, tree.join, decided_at, timed_out, (&self.proxies, &self.owners));
        let alone = placed.len() == 1;
        let siblings = alone && self.has_sibling(client);
        let maybe_side = alone && (siblings || report::names_original(client) || matches!(client.status(), Some(401 | 403 | 204)))
            // An allowed one, where the request that it was made for was not read.
            || alone && unread && client.status().is_none_or(|status| status < 400);
        // Two requests of one proxy look like before and after where what it got was not read, or no answer came yet.
        let open = client.ended_at.is_none() && !timed_out && !alone;
        let taken = (placed[0].role == Role::Only || stopped) && self.may_be_taken(last, placed, (from, to));
        let doubtful =
            open || taken || unread && !report::is_relayed(placed) || hop_unread && !report::is_next_to_next(placed);
        Decided {
            attempt: Arc::new(attempt),
            by_client: client.request.has_upgrade() || client.request.key().is_some(),
            upstream_seen,
            stopped,
            own_page: product::of_error_page(&client.body).filter(|_| !lost),
            denied,
            maybe_side,
            superseded: siblings,
            uniform: tree.uniform && !doubtful,
            unread: unread || report::has_unread_side(placed),
            hop_unread,
            waited: window.1.since(window.0),
            unreachable,
        }
    }

    /// Whether bytes of a connection are missing that may be a hop of an attempt: before its first or behind another.
    pub(super) fn is_unread(&self, placed: &[Placed], (from, to): (Timestamp, Timestamp)) -> bool {
        let client = &placed[0].handshake.link;
        self.unread.is_missing(from, to, |link| {
            let own = placed.iter().any(|placed| placed.handshake.link.id == link.id);
            let behind = |placed: &Placed| self.proxies.hosts(&placed.handshake.link).contains(&link.client.ip());
            !own && (link.server.ip() == client.client.ip() || placed.iter().any(behind))
        })
    }

    /// Whether what a proxy made of a request may have been taken for another's with the same key.
    fn may_be_taken(&self, down: &Handshake, own: &[Placed], (from, to): (Timestamp, Timestamp)) -> bool {
        let Some(name) = store::key_name(down) else { return false };
        let hosts = self.proxies.hosts(&down.link);
        self.lately.iter().any(|(key, at, link)| {
            let by_proxy = hosts.contains(&link.client.ip()) && link.server != down.link.server;
            let other = *key == name && own.iter().all(|own| own.handshake.link.id != link.id);
            other && by_proxy && (from..=to).contains(at)
        })
    }

    /// Marks what an attempt may have had in place of its own, and what would then tell otherwise of its proxy.
    fn contest(&mut self, root: &Handshake, own: Option<&Handshake>) {
        let Some(name) = store::key_name(root) else { return };
        let (from, to) = (root.request.at.before(self.settle), root.ended_at.unwrap_or(Timestamp::MAX) + self.settle);
        let rivals = self.store.named(name, from, to, join::SEARCHED);
        let contested = rivals.filter(|(_, up)| join::might_be_next(root, up, own, self.settle)).map(|(id, _)| id);
        for id in contested.collect::<Vec<_>>() {
            self.store.update(id, |handshake| handshake.contested = true);
        }
    }

    /// Whether the host that sent a lone request sent another one with its key to another server.
    pub(super) fn has_sibling(&self, lone: &Handshake) -> bool {
        let Some(name) = store::key_name(lone) else { return false };
        let (from, to) = (lone.request.at.before(SIBLINGS), lone.ended_at.unwrap_or(lone.request.at) + SIBLINGS);
        let waiting = self.store.named(name, from, to, 16).map(|(_, other)| &other.link);
        let decided =
            self.lately.iter().filter(|(key, at, _)| *key == name && (from..=to).contains(at)).map(|(.., link)| link);
        let mut others = waiting.chain(decided);
        others.any(|other| other.client.ip() == lone.link.client.ip() && other.server != lone.link.server)
    }

    /// Remembers what the hops tell of their proxies.
    pub(super) fn learn(&mut self, placed: &[Placed]) {
        for hop in placed {
            if let Some(name) = store::key_name(&hop.handshake) {
                if self.lately.len() == MAX_LATELY {
                    self.lately.pop_front();
                }
                self.lately.push_back((name, hop.handshake.request.at, hop.handshake.link));
            }
        }
        for (at, hop) in placed.iter().enumerate() {
            let on_path = |child: &&Placed| child.parent == Some(at) && !matches!(child.role, Role::Side | Role::Retry);
            let up = placed.iter().find(on_path).or_else(|| placed.iter().find(|child| child.parent == Some(at)));
            if up.is_some() || hop.role == Role::Only {
                self.proxies.learn(&hop.handshake, up.map(|up| &up.handshake));
            }
        }
    }

    pub(super) fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Upgraded => self.counts.upgraded += 1,
            Outcome::Refused => self.counts.refused += 1,
            Outcome::Failed => self.counts.failed += 1,
            Outcome::Unknown => self.counts.unknown += 1,
        }
    }

    /// Handshakes that had waited for this attempt, and were not taken by it, decide for themselves.
    pub(super) fn wake_others(&mut self, placed: &[Placed], (from, to): (Timestamp, Timestamp), now: Timestamp) {
        let (client, skew) = (&placed[0].handshake, self.settle);
        let mut waiting = Vec::new();
        for (method, name) in store::names(client) {
            let others = self.store.named(name, from.before(skew), to + skew, join::SEARCHED);
            let waited =
                others.filter(|(_, other)| other.ended_at.is_some() && join::may_be_next(method, client, other, skew));
            waiting.extend(waited.map(|(id, _)| id));
        }
        for id in waiting {
            self.at(now, Timer::Decide(id));
        }
    }

    /// Whether the capture shows what a proxy sends upstream: seen before, or found now among ordinary requests.
    pub(super) fn is_upstream_seen(&mut self, link: &Link) -> bool {
        let proxy = link.server;
        if self.proxies.get(proxy).is_some_and(|proxy| proxy.upstream_seen) {
            return true;
        }
        let seen = self.recent.shows_upstream_of(proxy, &self.proxies.hosts(link));
        if seen {
            self.proxies.entry(proxy).upstream_seen = true;
        }
        seen
    }
}
