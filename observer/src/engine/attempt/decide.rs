//! Decides an attempt once its client has its answer: joins its hops, places them, and gathers what the rules need to know.

use std::sync::Arc;

use super::{
    super::{
        event::{Confidence, Join, JoinMethod, Outcome, Role, Silence},
        handshake::{Handshake, field::UpgradeRequest},
        http::UpgradeId,
        knowledge::{Claim, Doubt},
        product,
        tcp::Link,
        time::Timestamp,
    },
    Attempts, Case, Claims, Decided, Last, Near, Timer,
    connect::Failed,
    evidence::{Missed, Window, hops_are_its_own},
    join::{self, Tree},
    loss,
    report::{self, Placed},
    store,
};

impl Attempts {
    /// A handshake is over. If it is a hop of an attempt whose client still waits, that one decides.
    pub(super) fn decide_ended(&mut self, id: UpgradeId, at: Timestamp) {
        let Some(handshake) = self.store.get(id) else { return };
        let due = handshake.request.at + self.answer_timeout;
        if handshake.ended_at.is_some_and(|ended| ended > due) && handshake.silence != Some(Silence::NotCaptured) {
            self.overdue(id, due);
        } else if !join::has_parent(&self.store, id, self.settle) {
            let latest = handshake.ended_at.map_or(at, |ended| ended + self.settle * 2);
            if at < latest && self.is_behind(id) {
                return self.at(latest, Timer::Decide(id));
            }
            self.decide(id, at, false);
        }
    }

    /// Whether the end of a hop behind one that failed may only not have been seen yet: by the clock of another tap, or
    /// because an RST waits for what came before it.
    fn is_behind(&self, id: UpgradeId) -> bool {
        let hops = || join::tree(&self.store, id, self.settle).nodes.into_iter().skip(1);
        let is_open = |id| self.store.get(id).is_some_and(|hop| hop.ended_at.is_none());
        self.store.get(id).is_some_and(Handshake::has_failed) && hops().any(|node| is_open(node.id))
    }

    /// A client has waited for an answer until `at`. Where nothing was captured for long after that, frames to come first
    /// show whether bytes are missing.
    pub(super) fn answer_overdue(&mut self, id: UpgradeId, at: Timestamp, now: Timestamp) {
        if now.since(at) > self.settle {
            return self.at(now + self.settle * 3, Timer::Overdue(id, at));
        }
        self.overdue(id, at);
    }

    /// A client had waited for an answer until `at`.
    pub(super) fn overdue(&mut self, id: UpgradeId, at: Timestamp) {
        let waits = self.store.get(id).is_some_and(|handshake| {
            handshake.ended_at.is_none_or(|ended| ended > at) && handshake.silence != Some(Silence::NotCaptured)
        });
        if waits && !join::has_parent(&self.store, id, self.settle) {
            self.decide(id, at, true);
        }
    }

    /// Decides the attempt that begins with a handshake, by what was known at `now`: collects its hops, places them, lists
    /// what may be missing, and reports it with what can be said for sure.
    pub(super) fn decide(&mut self, root: UpgradeId, now: Timestamp, timed_out: bool) {
        self.store.update(root, |client| {
            client.as_of(now);
            client.give_up();
        });
        let Some(client) = self.store.get(root) else { return };
        let window = Window::of(client, now, self.settle);
        let mut tree = join::tree(&self.store, root, self.settle);
        let handshakes = self.collect(&tree, &window, now);
        if handshakes.is_empty() {
            return;
        }
        let handshakes = self.adopt(handshakes, &mut tree, now);
        self.conclude(handshakes, tree, &window, (now, timed_out));
    }

    /// Decides the attempt that handshakes make, each with the place of the one before it.
    pub(super) fn conclude(
        &mut self,
        mut handshakes: Vec<(Handshake, Option<usize>)>,
        mut tree: Tree,
        window: &Window,
        (now, timed_out): (Timestamp, bool),
    ) {
        let ids: Vec<_> = tree.nodes.iter().map(|node| node.id).collect();
        if tree.join.is_some_and(|join| join.confidence == Confidence::Ambiguous) {
            self.store.note_guess(&handshakes[0].0, &tree.own, now);
        }
        if let [(alone, _)] = &*handshakes {
            self.store.leave_unpaired(alone, now);
        }
        loss::doubt_contradicted(&mut handshakes, self.settle, now);
        let (placed, denied) = report::place(handshakes);
        if let Some(join) = tree.join.as_mut().filter(|_| report::asks_twice(&placed)) {
            join.confidence = Confidence::Ambiguous;
            tree.own.require(Claim::Unknown(Doubt::Rival));
        }
        let missed = self.missed(&placed, window);
        // Behind a hop that was not read, another address is another host.
        self.learn(&placed, tree.join, missed.behind.is_none());
        let decided = self.judge_ready(&placed, &tree, denied, &missed, window, (now, timed_out));
        if decided.by_client {
            self.count(decided.attempt.outcome);
        }
        self.contest(&placed[0].handshake, placed.iter().find(|hop| hop.parent == Some(0)).map(|hop| &hop.handshake));
        self.neighbours.decided(&decided.attempt, &placed[0].handshake);
        self.open_tunnel(&decided.attempt, &placed, &ids);
        let (attempt, link) = (Arc::clone(&decided.attempt), placed[0].handshake.link);
        self.cases.push_back(Case::Decided(Box::new(decided)));
        let broken = matches!(attempt.outcome, Outcome::Refused | Outcome::Failed);
        if broken
            && placed[0].handshake.request.is_websocket()
            && let Some(fallback) = self.polling.failed(&attempt, &link)
        {
            self.cases.push_back(Case::Fallback(Box::new(fallback)));
        }
        self.wake_others(&placed, (window.from, window.to), now);
    }

    /// The handshakes of a tree as they stood at `now`, each with the place of the one before it.
    fn collect(&mut self, tree: &Tree, window: &Window, now: Timestamp) -> Vec<(Handshake, Option<usize>)> {
        let nodes = tree.nodes.iter();
        let mut handshakes: Vec<_> =
            nodes.filter_map(|node| Some((self.store.remove(node.id)?, node.parent))).collect();
        handshakes.iter_mut().for_each(|(handshake, _)| handshake.as_of(now));
        // A proxy that passed an answer on had it, even where it was not captured.
        if handshakes.first().is_some_and(|(client, _)| client.ended_at.is_some() && client.has_failed()) {
            handshakes.iter_mut().skip(1).for_each(|(handshake, _)| handshake.give_up());
        }
        if self.loss(window).is_some() {
            handshakes.iter_mut().for_each(|(handshake, _)| loss::doubt_silence(handshake));
        }
        handshakes
    }

    /// What the rules need to know about an attempt.
    pub(super) fn judge_ready(
        &mut self,
        placed: &[Placed],
        tree: &Tree,
        denied: bool,
        missed: &Missed,
        window: &Window,
        (now, timed_out): (Timestamp, bool),
    ) -> Decided {
        let client = &placed[0].handshake;
        let alone = placed.len() == 1;
        let passed_on = placed.iter().filter(|hop| report::is_on_path(hop.role)).count() > 1;
        // The answer may be among what was not captured.
        let captured = |hop: &Placed| hop.handshake.silence != Some(Silence::NotCaptured);
        let timed_out = timed_out && missed.lost.is_none() && placed.iter().all(captured);
        // The last server that was seen to get it: another proxy, if it forwarded requests before.
        let last = placed.iter().rfind(|placed| placed.role == Role::Upstream).map_or(client, |last| &last.handshake);
        let answered = last.link != client.link && last.response.is_some();
        let forwards = self.forwards(&last.link);
        // What it made of an ordinary request is not looked for.
        let asked = last.request.is_upgrade() || last.request.key().is_some();
        let may_stop = answered && asked && missed.any().is_none();
        let stopped = may_stop && forwards;
        // One that failed to connect, and says so, is a proxy too; any other error may be its own.
        let says_so = matches!(last.status(), Some(502..=504));
        let tried = may_stop && says_so && !last.link.is_local();
        let (failed, doubt) = if answered && !stopped && !tried || client.is_upgraded() {
            (Vec::new(), missed.any().as_ref().map(Doubt::from))
        } else {
            let (by, end) = if answered { (last, last.ended_at.unwrap_or(window.to)) } else { (client, window.to) };
            self.failed(placed, by, end, missed, stopped)
        };
        let stopped = stopped || tried && !failed.is_empty();
        let unreachable = failed.last().map(|failed: &Failed| (failed.silence, failed.link.server));
        let seen = unreachable.is_some() || doubt.is_none() && self.is_upstream_seen(&client.link);
        let decided_at = client.ended_at.unwrap_or(now);
        let attempt = report::attempt(placed, &failed, tree.join, decided_at, timed_out, (&self.proxies, &self.owners));
        // Two requests of one proxy look like before and after where no answer came yet.
        let open = client.ended_at.is_none() && !timed_out && !alone;
        let taken = (placed[0].role == Role::Only || stopped) && self.may_be_taken(last, placed, &window.around());
        // A known proxy that hung up may have got its answer.
        let hidden = forwards && last.link != client.link && last.response.is_none();
        let hops = tree
            .own
            .clone()
            .and(Claim::unless(open.then_some(Doubt::Open)))
            .and(Claim::unless(taken.then_some(Doubt::Rival)))
            .and(Claim::unless(doubt.clone().filter(|_| hidden)))
            .and(hops_are_its_own(placed, tree.join, &failed, missed, doubt.as_ref()));
        Decided {
            attempt: Arc::new(attempt),
            by_client: client.request.has_upgrade() || client.request.key().is_some(),
            last: if passed_on && !stopped {
                Last::Origin
            } else {
                Last::Proxy { upstream_seen: placed.len() > 1 || seen, failed: unreachable }
            },
            own_page: product::page_of(&client.body).filter(|_| missed.lost.is_none()),
            denied,
            claims: self.claims(placed, hops, missed, doubt),
            waited: window.to.since(window.from),
            near: if client.is_upgraded() { Near::default() } else { self.near(client, last, window) },
        }
    }

    fn claims(&self, placed: &[Placed], hops: Claim, missed: &Missed, doubt: Option<Doubt>) -> Claims {
        let client = &placed[0].handshake;
        let alone = placed.len() == 1;
        let sibling = (alone && self.has_sibling(client)).then_some(Doubt::Sibling);
        let elsewhere = report::has_unread_side(placed) || alone && self.is_elsewhere(client);
        let whole = missed.hop().as_ref().map(Doubt::from).or(elsewhere.then_some(Doubt::Sibling));
        let marked = report::names_original(client) || matches!(client.status(), Some(401 | 403 | 204));
        // An allowed one, where the request that it was made for was not read.
        let allowed = doubt.clone().filter(|_| client.status().is_none_or(|status| status < 400));
        let aside = marked.then_some(Doubt::Aside).or(allowed).filter(|_| alone);
        Claims {
            hops,
            all_seen: Claim::unless(doubt.or_else(|| whole.clone())),
            whole: Claim::unless(whole),
            first: Claim::unless(missed.before.as_ref().map(Doubt::from)),
            main: Claim::unless(sibling.clone().or(aside)),
            only: Claim::unless(sibling.or_else(|| report::is_aside(placed).then_some(Doubt::Aside))),
        }
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

    /// Remembers what the hops tell of their proxies. Of a guess, only that the first one's host sent something is known;
    /// on one host, only a key tells who sent what.
    pub(super) fn learn(&mut self, placed: &[Placed], join: Option<Join>, is_whole: bool) {
        let is_sure = join.is_none_or(|join| join.confidence != Confidence::Ambiguous);
        let is_keyed = join.is_some_and(|join| join.method != JoinMethod::Fingerprint);
        for hop in placed {
            for (method, name) in store::names(&hop.handshake) {
                if method == JoinMethod::WebSocketKey || placed.len() == 1 {
                    self.decided.add(name, hop.handshake.request.at, hop.handshake.link);
                }
            }
        }
        for (at, hop) in placed.iter().enumerate() {
            let on_path = |child: &&Placed| child.parent == Some(at) && !matches!(child.role, Role::Side | Role::Retry);
            let up = placed.iter().find(on_path).or_else(|| placed.iter().find(|child| child.parent == Some(at)));
            let link = &hop.handshake.link;
            let is_told = |up: &Placed| {
                let apart = !link.is_local() || is_keyed && report::is_on_path(up.role);
                // Of two requests of one host only a common answer tells that they are not that host's two tries.
                let answered = up.handshake.status().is_some() && up.handshake.status() == hop.handshake.status();
                let forwards = answered || !join::is_hairpin(&hop.handshake, &up.handshake);
                apart && forwards && (is_sure || at == 0 && link.leads_to(&up.handshake.link))
            };
            let told = up.is_some_and(is_told);
            if up.is_some() || hop.role == Role::Only {
                self.proxies.learn(&hop.handshake, up.map(|up| &up.handshake), (told, is_whole));
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

    /// Whether the server of a hop was seen to forward requests.
    fn forwards(&mut self, link: &Link) -> bool {
        // On one host, what its client sends besides may look like that.
        let told = !link.is_local() && self.is_upstream_seen(link);
        told || self.proxies.get(link.server_socket()).is_some_and(|proxy| proxy.upstream_seen)
    }

    /// Whether the capture shows what a proxy sends upstream: seen before, or found now among ordinary requests.
    pub(super) fn is_upstream_seen(&mut self, link: &Link) -> bool {
        let proxy = link.server_socket();
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
