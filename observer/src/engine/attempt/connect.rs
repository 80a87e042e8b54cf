//! Connections that were never accepted: why a proxy answers 502 by itself.

use std::{collections::VecDeque, time::Duration};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::super::{
    event::Silence,
    frame::{ClockId, InterfaceId},
    host::{Host, Socket},
    knowledge::{Hole, HoleKind, Recently},
    tcp::{ConnectionId, Direction, Link, Opening, Stamp},
    time::Timestamp,
};

/// Half-open connections, and refusals, remembered.
const MAX_KEPT: usize = 4096;
/// Newest refusals among which a copy of another is looked for.
const LATELY: usize = 64;
/// An answer that is late is waited for a little longer.
const MARGIN: Duration = Duration::from_secs(10);
/// A SYN is sent again after a second (RFC 6298 2.1).
pub(super) const REPEATED_AFTER: Duration = Duration::from_millis(900);

/// Connections whose SYN was refused or not answered.
#[derive(Debug)]
pub(super) struct Connects {
    /// For how long they matter: who asked before that has been judged.
    kept_for: Duration,
    half_open: HashMap<ConnectionId, HalfOpen, FixedState>,
    /// Those in the table, oldest first; some have been accepted since.
    order: VecDeque<ConnectionId>,
    /// Those whose SYN was answered with RST.
    refused: Recently<Failed>,
}

/// How well the time of a refusal fits an answer, worst first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Fit {
    /// The answer came much later, or is not what most proxies answer to a refusal (502, 503).
    Early,
    /// The answer came at once, but only by the clock of another tap.
    Skewed,
    /// The answer followed at once.
    Answered,
}

/// A SYN without an answer, or a connection without the head that its client began.
#[derive(Clone, Copy, Debug)]
struct HalfOpen {
    link: Link,
    at: Timestamp,
    interface: InterfaceId,
    clock: ClockId,
    repeated: bool,
    accepted: bool,
}

/// A connection that came to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Failed {
    pub(super) link: Link,
    pub(super) at: Timestamp,
    pub(super) silence: Silence,
    pub(super) interface: InterfaceId,
    pub(super) clock: ClockId,
    /// How well it fits an answer that it was already reported to explain.
    pub(super) explains: Option<Fit>,
}

impl Connects {
    /// For requests that wait at most so long for their answers.
    pub(super) fn new(answer_timeout: Duration) -> Self {
        Self {
            kept_for: answer_timeout + MARGIN,
            half_open: HashMap::default(),
            order: VecDeque::new(),
            refused: Recently::new(MAX_KEPT),
        }
    }

    /// A connection was opened, or refused. What has to be evicted for it is left as a hole.
    pub(super) fn opened(&mut self, link: &Link, opening: Opening, stamp: Stamp) -> Option<Hole> {
        match opening {
            Opening::Syn => return self.syn(link, stamp),
            Opening::Accepted => return self.wait(link, stamp, true),
            Opening::Middle => self.asked(link),
            Opening::Refused => {
                let seen = self.half_open.remove(&link.id).map(|half| (half.interface, half.clock));
                let (interface, clock) = seen.unwrap_or((stamp.interface, stamp.clock));
                if self.was_refused(link, stamp.at) {
                    return None;
                }
                let (link, at, silence) = (*link, stamp.at, Silence::Refused);
                self.refused.push(at, Failed { link, at, silence, interface, clock, explains: None });
            }
        }
        None
    }

    /// All that was asked up to a time is judged, but for what may wait on: forgets what is older than that.
    pub(super) fn judged_until(&mut self, at: Timestamp) {
        let before = at.before(self.kept_for);
        self.refused.drop_before(before);
        while let Some(id) = self.order.front()
            && self.half_open.get(id).is_none_or(|half| half.at < before)
        {
            self.half_open.remove(id);
            self.order.pop_front();
        }
    }

    fn syn(&mut self, link: &Link, stamp: Stamp) -> Option<Hole> {
        let at = stamp.at;
        if let Some(known) = self.half_open.get_mut(&link.id) {
            known.repeated |= known.at.distance(at) >= REPEATED_AFTER;
            known.at = known.at.min(at);
            return None;
        }
        if self.was_refused(link, at) { None } else { self.wait(link, stamp, false) }
    }

    /// Whether a connection between the same ends was refused at about that time: this is a copy of that.
    fn was_refused(&self, link: &Link, at: Timestamp) -> bool {
        let ends = |link: &Link| (link.client_socket(), link.server_socket());
        let mut lately = self.refused.iter().rev().take(LATELY);
        lately.any(|(_, of)| ends(&of.link) == ends(link) && of.at.distance(at) < REPEATED_AFTER)
    }

    /// A connection was accepted, or its client began a head: what it asks for is not known yet.
    pub(super) fn wait(&mut self, link: &Link, stamp: Stamp, accepted: bool) -> Option<Hole> {
        let Stamp { at, interface, clock, .. } = stamp;
        let half = HalfOpen { link: *link, at, interface, clock, repeated: false, accepted };
        if self.half_open.insert(link.id, half).is_some() {
            return None;
        }
        self.order.push_back(link.id);
        let oldest = if self.order.len() > MAX_KEPT { self.order.pop_front() } else { None };
        let evicted = oldest.and_then(|oldest| self.half_open.remove(&oldest));
        evicted.map(|half| half.hole(at))
    }

    /// A request was read.
    pub(super) fn asked(&mut self, link: &Link) {
        self.half_open.remove(&link.id);
    }

    /// A connection ended: if it was accepted, it was opened for nothing.
    pub(super) fn ended(&mut self, link: &Link) {
        if self.half_open.get(&link.id).is_some_and(|half| half.accepted) {
            self.half_open.remove(&link.id);
        }
    }

    /// Bytes held, by estimate.
    pub(super) fn memory(&self) -> usize {
        self.order.len() * 2 * (size_of::<HalfOpen>() + 32) + self.refused.len() * 2 * size_of::<Failed>()
    }

    /// A connection that was opened for something that was not seen: a SYN that was not waited for though its answer was
    /// not seen, or a connection without a request. The first of them.
    pub(super) fn pending(&self, of: &Search<'_>, matters: impl Fn(&Link) -> bool) -> Option<Hole> {
        let pending = self.half_open.values().filter(|half| !half.has_hung(of.to) && matters(&half.link));
        let pending = pending.filter(|half| of.fits(&half.link, half.at, half.clock));
        pending.map(|half| half.hole(of.to)).min_by_key(|hole| (hole.from, hole.client, hole.server))
    }

    /// Connections that failed, the likeliest last. One SYN without an answer yet proves nothing. What fits only by the
    /// clock of another tap comes before all others.
    pub(super) fn failed(&self, of: &Search<'_>) -> Vec<Failed> {
        // Whoever got an answer at once did not wait for one of those.
        let waited = of.to.since(of.from) >= REPEATED_AFTER;
        let hanging = self.half_open.values().filter(|half| waited && half.has_hung(of.to)).map(|half| {
            let HalfOpen { link, at, interface, clock, repeated, .. } = *half;
            (
                if repeated { 2 } else { 0 },
                Failed { link, at, silence: Silence::Unreachable, interface, clock, explains: None },
            )
        });
        // A refusal is answered at once: one long before the end may be another's.
        let refused = self.refused.iter().map(|(at, failed)| {
            let rank = if of.to.since(*at) < REPEATED_AFTER { 3 } else { 1 };
            (rank, *failed)
        });
        let fits = |failed: &Failed| of.fits(&failed.link, failed.at, failed.clock);
        let mut all: Vec<_> = hanging.chain(refused).filter(|(_, failed)| fits(failed)).collect();
        all.sort_by_key(|(rank, failed)| {
            let during = of.from <= failed.at && failed.at <= of.to;
            (during, *rank, failed.at, failed.link.client, failed.link.server)
        });
        all.into_iter().map(|(_, failed)| failed).collect()
    }

    /// Connections that were refused, or waited for in vain, between two times: the newest first.
    pub(super) fn refused_between(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = (Timestamp, &Failed)> {
        let during = move |(at, _): &(Timestamp, &Failed)| (from..to).contains(at);
        self.refused.iter().rev().map(|(at, failed)| (*at, failed)).filter(during)
    }

    /// Whether all refusals since a time are still there.
    pub(super) fn is_whole_since(&self, at: Timestamp) -> bool {
        self.refused.is_whole_since(at)
    }

    /// Notes that a connection's refusal was reported to explain an answer.
    pub(super) fn explain(&mut self, id: ConnectionId, fit: Option<Fit>) {
        let refused = self.refused.iter_mut().rev().find(|refused| refused.link.id == id);
        refused.into_iter().for_each(|refused| refused.explains = refused.explains.max(fit));
    }
}

impl Fit {
    /// Of a refusal, for a request, the end of its answer and that, when clocks may be so far apart.
    pub(super) fn of(
        at: Timestamp,
        (from, to): (Timestamp, Timestamp),
        status: Option<u16>,
        skew: Duration,
    ) -> Option<Self> {
        let other = status.is_some_and(|status| !matches!(status, 502 | 503));
        match () {
            () if at < from.before(skew) || to + skew < at => None,
            () if to.since(at) >= REPEATED_AFTER || other => Some(Self::Early),
            () if at < from || to < at => Some(Self::Skewed),
            () => Some(Self::Answered),
        }
    }
}

impl HalfOpen {
    /// What it was opened for, until a time.
    fn hole(&self, until: Timestamp) -> Hole {
        let way = Some(Direction::ToServer);
        let hole = Hole::on(&self.link, HoleKind::Unread, way, (self.at, until.max(self.at)));
        Hole { clock: Some(self.clock), ..hole }
    }

    /// Whether it was waited for, until `end`, for as long as a network that drops SYNs needs to show.
    fn has_hung(&self, end: Timestamp) -> bool {
        !self.accepted && (self.repeated || end.since(self.at) >= REPEATED_AFTER)
    }
}

/// Which connections matter: those from a proxy's `hosts` to another endpoint between two points in time, a request and
/// the end of its answer.
#[derive(Debug)]
pub(super) struct Search<'a> {
    pub(super) proxy: Socket,
    pub(super) hosts: &'a [Host],
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) status: Option<u16>,
    /// The clock of these times, and how far another may be apart.
    pub(super) clock: (ClockId, Duration),
}

impl Search<'_> {
    pub(super) fn fit(&self, failed: &Failed) -> Option<Fit> {
        Fit::of(failed.at, (self.from, self.to), self.status, self.clock.1)
    }

    fn fits(&self, link: &Link, at: Timestamp, clock: ClockId) -> bool {
        let skew = if clock == self.clock.0 { Duration::ZERO } else { self.clock.1 };
        let during = self.from.before(skew) <= at && at <= self.to + skew;
        during && self.hosts.contains(&link.client_host()) && link.server_socket() != self.proxy
    }
}
