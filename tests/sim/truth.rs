//! What is due: the alerts that the actors' doings call for by DESIGN's rules, noted as they happen and never asked of
//! the engine.

use std::net::SocketAddr;

use observer::engine::{
    alert::{Cause, RuleId},
    event::ClosedBy,
};

use super::net::{Id, MILLI, SECOND, Time};

/// An alert that must, or may, come.
#[derive(Clone, Debug)]
pub struct Due {
    pub rule: RuleId,
    /// Whose: one story, or those whose tunnels ended together.
    pub stories: Vec<usize>,
    /// Of missing-101: any of these.
    pub causes: Vec<Cause>,
    /// Who is to be named, where somebody is: any of these.
    pub by: Vec<SocketAddr>,
    /// Of missing-101: the proxy that stopped it, by its place.
    pub alone: Option<usize>,
    /// Of abrupt-close.
    pub closed_by: Option<ClosedBy>,
    /// Whether its absence is a miss. What the wire leaves open may be told or not.
    pub must: bool,
    /// Whether it is true only of the part of the traffic that is left: a proxy's bad request is its client's there.
    pub of_part: bool,
    /// Whether several connections failed at about one time: which was whose is not to be told.
    pub blur: Blur,
}

/// Where it cannot be told which of several failures was whose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Blur {
    None,
    /// Where clocks of taps are apart.
    ByClocks,
    /// Everywhere.
    Always,
}

impl Due {
    pub fn new(rule: RuleId, story: usize, by: impl IntoIterator<Item = SocketAddr>) -> Self {
        let by = by.into_iter().collect();
        Self {
            rule,
            stories: vec![story],
            causes: Vec::new(),
            by,
            alone: None,
            closed_by: None,
            must: true,
            of_part: false,
            blur: Blur::None,
        }
    }
}

/// Why an attempt got no 101, and who is to be named.
#[derive(Clone, Debug)]
pub struct Root {
    pub causes: Vec<Cause>,
    pub by: Option<SocketAddr>,
    /// The proxy that answered without asking anybody, by its place.
    pub alone: Option<usize>,
}

/// One request of one client, and what came of it.
#[derive(Clone, Debug)]
pub struct Story {
    /// What it is, for a person.
    pub title: String,
    /// Every connection that had a part in it, and when.
    pub hops: Vec<(Id, Time)>,
    /// The connections of the forwarded request, the client's first.
    pub path: Vec<Id>,
    pub tail: String,
    pub asked_at: Time,
    /// When the client had its answer, or gave up.
    pub ended_at: Option<Time>,
    pub got: Option<u16>,
    /// Whether it asks for an upgrade that nobody may decline.
    pub asks: bool,
    pub websocket: bool,
    /// The client stopped waiting before its time.
    pub gave_up_early: bool,
    /// Whether equal keys, or requests that look alike, leave open which hop is whose.
    pub unclear: bool,
    /// Whether nothing but its likeness ties its hops together.
    pub alike: bool,
    pub root: Option<Root>,
}

impl Story {
    /// Says why there is no 101; the first to say it is the root.
    pub fn blame(&mut self, causes: &[Cause], by: SocketAddr) {
        self.root.get_or_insert(Root { causes: causes.to_vec(), by: Some(by), alone: None });
    }

    /// The same of a proxy behind which there is nothing to be seen of it.
    pub fn blame_alone(&mut self, causes: &[Cause], by: SocketAddr, proxy: usize) {
        self.root.get_or_insert(Root { causes: causes.to_vec(), by: Some(by), alone: Some(proxy) });
    }
}

/// A tunnel that a proxy ended.
#[derive(Clone, Debug)]
pub struct ProxyEnd {
    pub proxy: usize,
    pub at: Time,
    pub story: usize,
    /// Ends that were meant to be one.
    pub together: usize,
}

/// What a whole world comes to.
#[derive(Default, Debug)]
pub struct Truth {
    pub stories: Vec<Story>,
    pub due: Vec<Due>,
    pub ends: Vec<ProxyEnd>,
    /// Ordinary requests: the tail of their target, when they were asked, when answered.
    pub ordinary: Vec<(String, Time, Time)>,
    /// Whether clients used one key at about one time.
    pub has_equal_keys: bool,
    /// When connections failed.
    pub failures: Vec<Time>,
}

/// The time that a client may wait before that is somebody's fault.
const ANSWER_TIMEOUT: Time = 30 * SECOND;
/// Room for what happens at about one time.
const ABOUT: Time = 3 * SECOND;

impl Truth {
    /// Closes the account: `end` is when the last frame was sent.
    pub fn settle(&mut self, proxies: &[SocketAddr], is_one_host: bool, end: Time) {
        for at in 0..self.stories.len() {
            self.missing_101(at, proxies, is_one_host, end);
        }
        self.unclear();
        self.ends_at_one_moment(proxies);
        self.left_alone();
    }

    fn missing_101(&mut self, at: usize, proxies: &[SocketAddr], is_one_host: bool, end: Time) {
        let story = &self.stories[at];
        let waits = end - story.asked_at;
        let waiting = story.ended_at.is_none();
        if !story.asks || story.got == Some(101) || story.gave_up_early || waiting && waits < ANSWER_TIMEOUT - SECOND {
            return;
        }
        let Some(root) = story.root.clone() else {
            panic!("nobody says why {} failed", story.title);
        };
        let mut due = Due { causes: root.causes, alone: root.alone, ..Due::new(RuleId::Missing101, at, root.by) };
        due.must = !waiting || waits > ANSWER_TIMEOUT + SECOND;
        let failed = |cause: &Cause| matches!(cause, Cause::UpstreamRefused | Cause::UpstreamUnreachable);
        // An RST is told when it has settled, by the clock of its tap.
        if due.causes.contains(&Cause::UpstreamClosed) {
            due.blur = Blur::ByClocks;
        }
        if due.causes.iter().any(failed) {
            due.blur = self.blur(at);
        }
        if let Some(proxy) = root.alone {
            self.alone(at, (proxy, proxies), is_one_host, &mut due);
        }
        self.due.push(due);
    }

    /// That a proxy forwarded nothing can be known where it was seen to forward before: on one host, a likeness does not show
    /// that.
    fn alone(&self, at: usize, (proxy, proxies): (usize, &[SocketAddr]), is_one_host: bool, due: &mut Due) {
        let story = &self.stories[at];
        let shown = self.stories.iter().any(|other| {
            other.asks
                && !(other.alike && is_one_host)
                && other.got.is_some()
                && other.path.len() > proxy + 1
                && other.ended_at.is_some_and(|end| end + ABOUT < story.asked_at)
        });
        // A connection that fails shows by itself that the first proxy sent something.
        if !shown && (proxy > 0 || due.causes.contains(&Cause::NotForwarded)) {
            due.causes.push(Cause::Unknown);
            // Whether there is anybody behind the second of a chain is not to be seen.
            due.causes.extend((proxy > 0).then_some(Cause::OriginRejected));
            due.by.push(proxies[proxy]);
        }
    }

    /// What may be another's cannot be held against anybody for sure.
    fn unclear(&mut self) {
        for at in 0..self.stories.len() {
            let story = &self.stories[at];
            let crowded = self.is_crowded(at);
            let loose = story.unclear || story.alike && crowded;
            for due in self.due.iter_mut().filter(|due| due.stories.contains(&at)) {
                due.must &= !loose;
                if due.rule == RuleId::Missing101 && (loose || crowded) {
                    due.causes.push(Cause::Unknown);
                }
            }
        }
    }

    /// How connections of other attempts, or another one of its own, failed at about the same time.
    fn blur(&self, at: usize) -> Blur {
        let story = &self.stories[at];
        let end = story.ended_at.unwrap_or(Time::MAX - ABOUT);
        let several =
            |from: Time, to: Time| self.failures.iter().filter(|time| from <= **time && **time <= to).count() > 1;
        if several(story.asked_at.min(end - SECOND), end) {
            Blur::Always
        } else if several(story.asked_at - ABOUT, end + ABOUT) || self.others_failed(at, end) {
            Blur::ByClocks
        } else {
            Blur::None
        }
    }

    /// Whether another client got an error of the proxy's own at about that time: a refusal may have been for that one, too.
    fn others_failed(&self, at: usize, end: Time) -> bool {
        let story = &self.stories[at];
        self.stories.iter().enumerate().any(|(other, told)| {
            let failed = told.got.is_some_and(|status| status >= 500);
            let near =
                told.ended_at.is_some_and(|ended| story.asked_at - ABOUT <= ended && told.asked_at <= end + ABOUT);
            other != at && failed && near
        })
    }

    /// Of tunnels that ended together, those whose hops cannot be told leave the others alone.
    fn left_alone(&mut self) {
        let loose = self.due.iter().filter(|due| due.rule == RuleId::MassClose && !due.must);
        let left: Vec<_> = loose.flat_map(|due| due.stories.clone()).collect();
        for due in self.due.iter_mut().filter(|due| due.rule == RuleId::AbruptClose && due.of_part) {
            due.of_part &= due.closed_by != Some(ClosedBy::Proxy) || !left.contains(&due.stories[0]);
        }
    }

    /// Whether somebody else asked for the same at about the same time.
    fn is_crowded(&self, at: usize) -> bool {
        let story = &self.stories[at];
        let end = story.ended_at.unwrap_or(Time::MAX - ABOUT) + ABOUT;
        let overlaps = |from: Time, to: Time| from <= end && story.asked_at - ABOUT <= to;
        let others = self.stories.iter().enumerate().filter(|(other, _)| *other != at);
        let rivals = others.filter(|(_, other)| other.tail == story.tail);
        rivals.into_iter().any(|(_, other)| overlaps(other.asked_at, other.ended_at.unwrap_or(Time::MAX)))
            || self.ordinary.iter().any(|(tail, from, to)| *tail == story.tail && overlaps(*from, *to))
    }

    /// Tunnels that one proxy ends at one moment by chance look like a reload.
    fn ends_at_one_moment(&mut self, proxies: &[SocketAddr]) {
        for one in 0..self.ends.len() {
            for other in 0..one {
                let (one, other) = (&self.ends[one], &self.ends[other]);
                if one.proxy != other.proxy || one.together == other.together || (one.at - other.at).abs() > 600 * MILLI
                {
                    continue;
                }
                let both = [one.story, other.story];
                for due in self.due.iter_mut().filter(|due| due.stories.iter().any(|story| both.contains(story))) {
                    due.must &= !matches!(due.rule, RuleId::IdleClose | RuleId::AbruptClose | RuleId::MassClose);
                }
            }
        }
        for (proxy, by) in proxies.iter().enumerate() {
            let mut ends: Vec<_> = self.ends.iter().filter(|end| end.proxy == proxy).collect();
            ends.sort_by_key(|end| end.at);
            let moments = ends.chunk_by(|one, other| other.at - one.at <= 600 * MILLI).filter(|ends| ends.len() > 1);
            let dues = moments.map(|ends| {
                let stories = ends.iter().map(|end| end.story).collect();
                Due { stories, must: false, ..Due::new(RuleId::MassClose, 0, Some(*by)) }
            });
            self.due.extend(dues.collect::<Vec<_>>());
        }
    }
}
