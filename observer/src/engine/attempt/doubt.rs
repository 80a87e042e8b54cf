//! What the capture leaves open about an attempt: hops that were not read, and hops that may be another's. Where there is
//! such a doubt, nobody is accused.

use std::{net::IpAddr, time::Duration};

use super::{
    super::{
        event::{Confidence, Join, JoinMethod, Role, Silence},
        handshake::{Handshake, field::UpgradeRequest},
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

/// How soon a proxy tries the next server after a refusal.
const NEXT_TRY: Duration = Duration::from_millis(10);

/// What is missing that may matter to an attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    /// Anything.
    pub(super) unread: bool,
    /// A hop of which something was seen.
    pub(super) hop_unread: bool,
    /// Such a hop before the first.
    pub(super) before_unread: bool,
    /// Another client's request to the same server.
    beside_unread: bool,
}

impl Attempts {
    /// What is missing from `span.0` to `span.1`, when frames may have been `lost`.
    pub(super) fn sight(&self, placed: &[Placed], span: (Timestamp, Timestamp), lost: bool) -> Sight {
        let (before_unread, behind_unread) = self.is_unread(placed, span);
        let hop_unread = before_unread || behind_unread;
        let client = &placed[0].handshake.link;
        let beside = |link: &Link| link.server == client.server && link.id != client.id;
        let beside_unread = self.unread.is_missing(span.0, span.1, beside);
        Sight { unread: lost || hop_unread, hop_unread, before_unread, beside_unread }
    }

    /// Connections that failed while `by` waited for its answer until `end`, as far as they tell why; and whether others
    /// tell that what was made of it was not read.
    pub(super) fn failed(
        &mut self,
        placed: &[Placed],
        by: &Handshake,
        end: Timestamp,
        sight: &mut Sight,
        stopped: bool,
    ) -> Vec<Failed> {
        let search = Search {
            proxy: by.link.server,
            hosts: &self.proxies.hosts(&by.link),
            from: by.request.at,
            to: end,
            status: by.status(),
            clock: (by.interface, self.settle),
        };
        let alone = placed.len() == 1;
        // On one host, clients open connections to those that were asked, too.
        let onward = |link: &Link| placed.iter().all(|placed| placed.handshake.link.server != link.server);
        sight.unread |= (stopped || alone) && self.connects.is_pending(&search, onward);
        // What a proxy makes of a request is not found where its key was not read.
        sight.unread |= alone && !by.request.complete && by.request.key().is_none();
        let mut failed = self.connects.failed(&search);
        failed.retain(|failed| !placed.iter().any(|placed| placed.handshake.link.id == failed.link.id));
        // Where bytes are missing, what fits only by another clock may be another's.
        let fits = |failed: &Failed| failed.silence == Silence::Refused && failed.interface == by.interface;
        failed.retain(|failed| !sight.unread || fits(failed));
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
        if !placed[0].handshake.is_server_error() {
            return own;
        }
        // An attempt that has another hop to show does without.
        if !stopped && !alone {
            either.clear();
        }
        sight.unread |= !either.is_empty();
        for failed in own.last().map_or(&*either, std::slice::from_ref) {
            self.connects.tell(failed.link.id, search.fit(failed));
        }
        own
    }

    /// How well a refusal fits the answer to another request of the same proxy than `by`, at best: one of which nothing
    /// was seen behind the proxy.
    fn fit_of_another(&self, failed: &Failed, by: &Handshake) -> Option<Fit> {
        let others = self.store.lately().filter(|(id, other)| {
            other.link.server == by.link.server
                && other.link.id != by.link.id
                && other.is_server_error()
                && join::tree(&self.store, *id, self.settle).nodes.len() == 1
        });
        let fits = others.filter_map(|(_, other)| {
            Fit::of(failed.at, (other.request.at, other.ended_at?), other.status(), self.settle)
        });
        fits.chain(failed.told).max()
    }

    /// Whether one of a proxy's `hosts` sent a request that is no hop of this attempt to another server right after a
    /// refusal: it may have been refused for that.
    fn was_followed(&self, failed: &Failed, placed: &[Placed], hosts: &[IpAddr]) -> bool {
        let is_next = |at: Timestamp, link: &Link| {
            let at_once = (failed.at..=failed.at + NEXT_TRY).contains(&at);
            let elsewhere = link.server != failed.link.server && link.server != placed[0].handshake.link.server;
            let other = placed.iter().all(|placed| placed.handshake.link.id != link.id);
            at_once && elsewhere && other && hosts.contains(&link.client.ip())
        };
        self.store.lately().any(|(_, other)| is_next(other.request.at, &other.link))
            || self.lately.iter().any(|(_, at, link)| is_next(*at, link))
    }

    /// Whether bytes of a connection are missing that may be a hop of an attempt: before its first, or behind another.
    pub(super) fn is_unread(&self, placed: &[Placed], (from, to): (Timestamp, Timestamp)) -> (bool, bool) {
        let client = &placed[0].handshake.link;
        let is_missing = |matters: &dyn Fn(&Link) -> bool| {
            self.unread.is_missing(from, to, |link| {
                matters(link) && !placed.iter().any(|placed| placed.handshake.link.id == link.id)
            })
        };
        let behind =
            |placed: &Placed, link: &Link| self.proxies.hosts(&placed.handshake.link).contains(&link.client.ip());
        // Beside what a proxy sent there may be another try.
        let by_proxy = placed[0].role == Role::Upstream;
        let before =
            |link: &Link| link.server.ip() == client.client.ip() || by_proxy && link.client.ip() == client.client.ip();
        (is_missing(&before), is_missing(&|link| placed.iter().any(|placed| behind(placed, link))))
    }

    /// Whether what a proxy made of a request may have been taken, or be left, for another's with the same key; or have been
    /// decided alone.
    pub(super) fn may_be_taken(&self, down: &Handshake, own: &[Placed], (from, to): (Timestamp, Timestamp)) -> bool {
        let (names, hosts) = (store::names(down), self.proxies.hosts(&down.link));
        let lately = self.lately.iter().filter(|(name, ..)| names.iter().any(|(_, own)| own == name));
        let open = store::key_name(down).into_iter().flat_map(|key| self.store.named(key, from, to, join::SEARCHED));
        let open = open.map(|(_, other)| (other.request.at, &other.link));
        lately.map(|(_, at, link)| (*at, link)).chain(open).any(|(at, link)| {
            let by_proxy = hosts.contains(&link.client.ip()) && link.server != down.link.server;
            let other = own.iter().all(|own| own.handshake.link.id != link.id);
            other && by_proxy && (from..=to).contains(&at)
        })
    }

    /// Whether the host that sent a lone request sent another one with its key to another server.
    pub(super) fn has_sibling(&self, lone: &Handshake) -> bool {
        self.others_of_key(lone, SIBLINGS, |other| {
            other.client.ip() == lone.link.client.ip() && other.server != lone.link.server
        })
    }

    /// Whether a lone request's key was seen between other hosts: the hops between it and that are missing.
    pub(super) fn is_elsewhere(&self, lone: &Handshake) -> bool {
        let ends = |link: &Link| [link.client.ip(), link.server.ip()];
        self.others_of_key(lone, self.settle, |other| !ends(other).iter().any(|end| ends(&lone.link).contains(end)))
    }

    /// Whether another hop with the key of a lone request, asked within `skew` of its time, is one that `fits`.
    fn others_of_key(&self, lone: &Handshake, skew: Duration, fits: impl Fn(&Link) -> bool) -> bool {
        let Some(name) = store::key_name(lone) else { return false };
        let (from, to) = (lone.request.at.before(skew), lone.ended_at.unwrap_or(lone.request.at) + skew);
        let mut waiting = self.store.named(name, from, to, 16).map(|(_, other)| &other.link);
        let mut decided =
            self.lately.iter().filter(|(key, at, _)| *key == name && (from..=to).contains(at)).map(|(.., link)| link);
        waiting.any(&fits) || decided.any(&fits)
    }
}

/// Whether an attempt's hops may be told in another way.
pub(super) fn is_open_to_doubt(placed: &[Placed], join: Option<Join>, failed: &[Failed], sight: Sight) -> bool {
    let (client, last) = (&placed[0].handshake, placed.iter().rfind(|placed| placed.role == Role::Upstream));
    // Nobody says that nothing answered when something did.
    let answered = last.is_some_and(|last| matches!(last.handshake.status(), Some(200..=499)));
    let contradicted = answered && matches!(client.status(), Some(502 | 504));
    // A connection that failed for one of several clients may have been for this one.
    let either = join.is_some_and(|join| join.confidence == Confidence::Ambiguous) && !failed.is_empty();
    // Where a hop was not read, another may only look like it; no answer tells otherwise that is not there.
    let is_keyed = placed.iter().any(|hop| hop.handshake.request.key().is_some());
    let likeness = is_keyed && join.is_some_and(|join| join.method == JoinMethod::Fingerprint);
    let alike = sight.hop_unread && (likeness || client.response.is_none());
    let unread = sight.unread && !report::is_relayed(placed) || sight.hop_unread && !report::is_next_to_next(placed);
    // An error of the proxy's own long after the hop behind it was over does not follow from that: another client's request
    // may have had its key.
    let over = last.and_then(|last| last.handshake.ended_at).zip(client.ended_at);
    let is_late = client.is_server_error() && over.is_some_and(|(over, end)| end.since(over) >= REPEATED_AFTER);
    contradicted || either || alike || unread || is_late && sight.beside_unread && !report::is_relayed(placed)
}
