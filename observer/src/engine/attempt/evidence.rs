//! What may be missing of an attempt: holes that could hide another hop of it, connections opened for something that was
//! not seen, and hops that may be another attempt's. Each is the reason of a claim that does not hold.

use std::time::Duration;

use super::{
    super::{
        event::{Confidence, Join, JoinMethod, Role, Silence},
        frame::ClockId,
        handshake::{Handshake, field::UpgradeRequest},
        host::Host,
        knowledge::{Claim, Doubt, Hole, HoleKind},
        tcp::Link,
        time::Timestamp,
    },
    Attempts,
    connect::{Failed, Fit, REPEATED_AFTER, Search},
    join,
    report::{self, Placed},
    store,
};

/// How far apart the requests are that a proxy sends for one attempt: side requests, and tries with several origins.
const SIBLINGS: Duration = Duration::from_secs(1);

/// Newest decided hops among which the one that followed a refusal is looked for.
const LATELY: usize = 256;

/// How far the stamps of one event may be apart that two well compared clocks make: of the taps, not of the clocks.
const CLOCK_NOISE: Duration = Duration::from_millis(5);

/// How soon a proxy tries the next server after one that failed, or gives up.
const NEXT_TRY: Duration = Duration::from_millis(10);

/// When something would have been on the wire, by the clock of a tap; those of others may be `skew` apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) clock: ClockId,
    pub(super) skew: Duration,
}

impl Window {
    /// While the client of a hop waited, or until `now`.
    pub(super) fn of(hop: &Handshake, now: Timestamp, skew: Duration) -> Self {
        Self { from: hop.request.at, to: hop.ended_at.unwrap_or(now), clock: hop.clock, skew }
    }

    /// The same and some time before and after it.
    pub(super) fn around(self) -> Self {
        Self { from: self.from.before(self.skew), to: self.to + self.skew, ..self }
    }
}

/// The holes that may hide part of an attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Missed {
    /// A hop before the first, or another try beside it.
    pub(super) before: Option<Hole>,
    /// A hop behind one of those seen.
    pub(super) behind: Option<Hole>,
    /// Another client's request to the same server.
    pub(super) beside: Option<Hole>,
    /// Frames that were lost anywhere meanwhile.
    pub(super) lost: Option<Hole>,
}

impl Missed {
    /// One that may hide a hop, and is of a connection that was seen.
    pub(super) fn hop(&self) -> Option<Hole> {
        self.before.or(self.behind)
    }

    /// One that may hide a hop.
    pub(super) fn any(&self) -> Option<Hole> {
        self.hop().or(self.lost)
    }
}

impl Attempts {
    /// The smallest hole that may hide what was sent in a window: of one that `matters`.
    pub(super) fn hole(&self, window: &Window, matters: impl Fn(&Hole) -> bool) -> Option<Hole> {
        let meets = |hole: &Hole| {
            let skew = hole.clock.map_or(self.settle, |clock| self.skew(window.clock, clock));
            window.from.before(skew) <= hole.to && hole.from <= window.to + skew
        };
        self.holes.hiding(|hole| meets(hole) && matters(hole)).copied()
    }

    /// How far apart a clock and any other one may be.
    fn widest_skew(&self, clock: ClockId) -> Duration {
        let known = self.clocks.estimates().iter().map(|other| self.skew(clock, other.clock));
        known.max().unwrap_or(self.settle)
    }

    /// How far apart two clocks may be in what they call one time.
    fn skew(&self, one: ClockId, other: ClockId) -> Duration {
        let known = self.clocks.between(one, other).map(|within| 2 * within + CLOCK_NOISE);
        if one == other { Duration::ZERO } else { known.map_or(self.settle, |known| known.min(self.settle)) }
    }

    /// Whether a time by a clock is for sure before a window began.
    pub(super) fn is_before(&self, clock: ClockId, at: Timestamp, window: &Window) -> bool {
        let known = clock == window.clock || self.clocks.between(window.clock, clock).is_some();
        known && at + self.skew(window.clock, clock) <= window.from
    }

    /// A hole of lost frames, which may have been anybody's.
    pub(super) fn loss(&self, window: &Window) -> Option<Hole> {
        self.hole(&window.around(), Hole::is_anywhere)
    }

    /// What may be missing of an attempt whose client waited in a window.
    pub(super) fn missed(&self, placed: &[Placed], window: &Window) -> Missed {
        let client = &placed[0].handshake.link;
        let may_be_another = |hole: &Hole| {
            hole.kind != HoleKind::Lost
                && hole.may_hold_request()
                && !placed.iter().any(|placed| hole.is_of(&placed.handshake.link))
        };
        // Beside what a proxy sent there may be another try.
        let by_proxy = placed[0].role == Role::Upstream;
        let before = |hole: &Hole| {
            let ends = [hole.server, hole.client];
            let mut ends = ends.iter().take(if by_proxy { 2 } else { 1 });
            may_be_another(hole) && ends.any(|end| end.may_be_at(client.client_host()))
        };
        let behind = |hole: &Hole| {
            may_be_another(hole)
                && hole.may_hold_request_for(placed[0].handshake.status())
                && placed.iter().any(|placed| {
                    let (link, hosts) = (&placed.handshake.link, self.proxies.hosts(&placed.handshake.link));
                    !hole.server.is(link.server_socket()) && hosts.iter().any(|host| hole.client.may_be_at(*host))
                })
        };
        let beside = |hole: &Hole| may_be_another(hole) && hole.server.may_be(client.server_socket());
        Missed {
            before: self.hole(&window.around(), before),
            behind: self.hole(window, behind),
            beside: self.hole(&window.around(), beside),
            lost: self.loss(window),
        }
    }

    /// Connections that failed while `by` waited for its answer until `end`, as far as they tell why; and why others leave open
    /// what was made of it.
    pub(super) fn failed(
        &mut self,
        placed: &[Placed],
        by: &Handshake,
        end: Timestamp,
        missed: &Missed,
        stopped: bool,
    ) -> (Vec<Failed>, Option<Doubt>) {
        let search = Search {
            proxy: by.link.server_socket(),
            hosts: &self.proxies.hosts(&by.link),
            from: by.request.at,
            to: end,
            status: by.status(),
            clock: (by.clock, self.widest_skew(by.clock)),
        };
        let alone = placed.len() == 1;
        // On one host, clients open connections to those that were asked, too.
        let onward = |link: &Link| placed.iter().all(|placed| !placed.handshake.link.shares_server(link));
        let pending = self.connects.pending(&search, onward).filter(|_| stopped || alone);
        let is_cut = alone && !by.request.complete && by.request.key().is_none();
        // What a proxy makes of a request is not found where its key was not read.
        let cut = || is_cut.then(|| Hole::on(&by.link, HoleKind::CutHead, None, (by.request.at, by.request.at)));
        let mut doubt = missed.any().or(pending).or_else(cut).as_ref().map(Doubt::from);
        let mut failed = self.connects.failed(&search);
        failed.retain(|failed| !placed.iter().any(|placed| placed.handshake.link.id == failed.link.id));
        // Where bytes are missing, what fits only by another clock may be another's.
        let fits = |failed: &Failed| failed.silence == Silence::Refused && failed.clock == by.clock;
        failed.retain(|failed| doubt.is_none() || fits(failed));
        // Who waits on was not refused.
        failed.retain(|failed| failed.silence != Silence::Refused || by.ended_at.is_some());
        let (mut own, mut either) = (Vec::new(), Vec::new());
        for failed in failed {
            let (fit, another) = (search.fit(&failed), self.fit_of_another(&failed, by));
            // What fits two answers by the clock of another tap may be either's.
            if fit == Some(Fit::Skewed) && (another == fit || self.was_followed(&failed, placed, search.hosts)) {
                either.push(failed);
            } else if another <= fit {
                own.push(failed);
            }
        }
        own.truncate(8);
        // What a proxy made of it may be an ordinary request that was evicted, or sent from a host that was, unless a connection
        // that failed says otherwise.
        let kept = self.recent.is_whole_since(by.request.at)
            && self.connects.is_whole_since(by.request.at)
            && self.proxies.knows_hosts(&by.link);
        let evicted = (!kept && alone && own.is_empty()).then(|| Hole::evicted((by.request.at, end)));
        doubt = doubt.or_else(|| evicted.as_ref().map(Doubt::from));
        if !placed[0].handshake.is_server_error() {
            return (own, doubt);
        }
        // An attempt that has another hop to show does without.
        if !stopped && !alone {
            either.clear();
        }
        doubt = doubt.or_else(|| (!either.is_empty()).then_some(Doubt::Rival));
        for failed in own.last().map_or(&*either, std::slice::from_ref) {
            self.connects.explain(failed.link.id, search.fit(failed));
        }
        (own, doubt)
    }

    /// How well a refusal fits the answer to another request of the same proxy than `by`, at best: one of which nothing
    /// was seen behind the proxy.
    fn fit_of_another(&self, failed: &Failed, by: &Handshake) -> Option<Fit> {
        let others = self.store.lately().filter(|(id, other)| {
            other.link.shares_server(&by.link)
                && other.link.id != by.link.id
                && other.is_server_error()
                && join::tree(&self.store, *id, self.settle).nodes.len() == 1
        });
        let fits = others.filter_map(|(_, other)| {
            Fit::of(failed.at, (other.request.at, other.ended_at?), other.status(), self.widest_skew(other.clock))
        });
        fits.chain(failed.explains).max()
    }

    /// Whether one of a proxy's `hosts` sent a request that is no hop of this attempt to another server right after a
    /// refusal: it may have been refused for that.
    fn was_followed(&self, failed: &Failed, placed: &[Placed], hosts: &[Host]) -> bool {
        const MIN: Timestamp = Timestamp::MIN;
        const MAX: Timestamp = Timestamp::MAX;
        let is_next = |at: Timestamp, link: &Link| {
            let at_once = (failed.at..=failed.at + NEXT_TRY).contains(&at);
            let elsewhere = !link.shares_server(&failed.link) && !link.shares_server(&placed[0].handshake.link);
            let other = placed.iter().all(|placed| placed.handshake.link.id != link.id);
            at_once && elsewhere && other && hosts.contains(&link.client_host())
        };
        // What shares its key with no other hop was made of no client's request.
        let is_made = |name| self.decided.named(name).len() + self.store.named(name, MIN, MAX, 2).count() > 1;
        let is_open = |hop: &Handshake| store::key_name(hop).is_none_or(is_made);
        self.store.lately().any(|(_, other)| is_next(other.request.at, &other.link) && is_open(other))
            || self.decided.newest(LATELY).any(|(at, name, link)| is_next(at, link) && is_made(name))
    }

    /// Whether what a proxy made of a request may have been taken, or be left, for another's with the same key; or have been
    /// decided alone.
    pub(super) fn may_be_taken(&self, down: &Handshake, own: &[Placed], window: &Window) -> bool {
        let (from, to) = (window.from, window.to);
        let (names, hosts) = (store::names(down), self.proxies.hosts(&down.link));
        let decided = names.iter().flat_map(|(_, name)| self.decided.named(*name)).map(|(at, link)| (*at, link));
        let open = store::key_name(down).into_iter().flat_map(|key| self.store.named(key, from, to, join::SEARCHED));
        let open = open.map(|(_, other)| (other.request.at, &other.link));
        !self.decided.is_whole_since(from)
            || decided.chain(open).any(|(at, link)| {
                let by_proxy = hosts.contains(&link.client_host()) && !link.shares_server(&down.link);
                let other = own.iter().all(|own| own.handshake.link.id != link.id);
                other && by_proxy && (from..=to).contains(&at)
            })
    }

    /// Whether the host that sent a lone request sent another one with its key to another server.
    pub(super) fn has_sibling(&self, lone: &Handshake) -> bool {
        self.others_of_key(lone, SIBLINGS, |other| other.shares_client(&lone.link) && !other.shares_server(&lone.link))
    }

    /// Whether a lone request's key was seen between other hosts: the hops between it and that are missing.
    pub(super) fn is_elsewhere(&self, lone: &Handshake) -> bool {
        let ends = |link: &Link| [link.client_host(), link.server_host()];
        self.others_of_key(lone, self.settle, |other| !ends(other).iter().any(|end| ends(&lone.link).contains(end)))
    }

    /// Whether another hop with the key of a lone request, asked within `skew` of its time, is one that `fits`.
    fn others_of_key(&self, lone: &Handshake, skew: Duration, fits: impl Fn(&Link) -> bool) -> bool {
        let Some(name) = store::key_name(lone) else { return false };
        let (from, to) = (lone.request.at.before(skew), lone.ended_at.unwrap_or(lone.request.at) + skew);
        let mut waiting = self.store.named(name, from, to, 16).map(|(_, other)| &other.link);
        let mut decided = self.decided.named(name).iter().filter(|(at, _)| (from..=to).contains(at));
        !self.decided.is_whole_since(from) || waiting.any(&fits) || decided.any(|(_, link)| fits(link))
    }
}

/// That each hop is this attempt's and no other's, and none is missing between them.
pub(super) fn hops_are_its_own(
    placed: &[Placed],
    join: Option<Join>,
    failed: &[Failed],
    missed: &Missed,
    doubt: Option<&Doubt>,
) -> Claim {
    let (client, last) = (&placed[0].handshake, placed.iter().rfind(|placed| placed.role == Role::Upstream));
    // Nobody says that nothing answered when something did.
    let answered = last.is_some_and(|last| matches!(last.handshake.status(), Some(200..=499)));
    if answered && matches!(client.status(), Some(502 | 504)) {
        return Claim::Unknown(Doubt::Contradiction);
    }
    // A connection that failed for one of several clients may have been for this one.
    if join.is_some_and(|join| join.confidence == Confidence::Ambiguous) && !failed.is_empty() {
        return Claim::Unknown(Doubt::Rival);
    }
    // Where a hop was not read, another may only look like it; no answer tells otherwise that is not there.
    let is_keyed = placed.iter().any(|hop| hop.handshake.request.key().is_some());
    let likeness = is_keyed && join.is_some_and(|join| join.method == JoinMethod::Fingerprint);
    let relayed = report::is_relayed(placed);
    // An error of the proxy's own long after the hop behind it was over does not follow from that: another client's request
    // may have had its key.
    let over = last.and_then(|last| last.handshake.ended_at).zip(client.ended_at);
    let is_late = client.is_server_error() && over.is_some_and(|(over, end)| end.since(over) >= REPEATED_AFTER);
    // A proxy gives up on a server and says so at once: no other try lies between.
    let gave_up = matches!(client.status(), Some(502..=504))
        && last.is_some_and(|last| last.handshake.response.is_none())
        && over.is_some_and(|(over, end)| end.since(over) < NEXT_TRY);
    let looks_like = likeness || client.response.is_none() || !report::is_next_to_next(placed);
    let hop = missed.hop().filter(|_| looks_like).as_ref().map(Doubt::from);
    let unseen = doubt.cloned().filter(|_| !relayed && !gave_up);
    let beside = missed.beside.filter(|_| is_late && !relayed).as_ref().map(Doubt::from);
    Claim::unless(hop.or(unseen).or(beside))
}
