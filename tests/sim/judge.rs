//! Holds what the engine said against the truth.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write,
    net::SocketAddr,
    ops::Range,
};

use observer::engine::{
    alert::{Alert, Cause, CloseFault, Details, Level, RuleId, TimerAt},
    event::{Attempt, ClosedBy, Endpoint, Hop, Outcome},
};

use super::{
    net::{Id, SECOND},
    play::Play,
    tap::{Capture, time},
    truth::{Blur, Due},
};
use crate::traffic::observe::Seen;

/// What a run came to.
#[derive(Default)]
pub struct Verdict {
    /// False accusations and, where nothing is missing, false outcomes.
    pub failures: Vec<String>,
    /// Every alert that must come.
    pub recalled: Vec<Recalled>,
}

/// An alert that must come.
pub struct Recalled {
    pub due: Due,
    pub told: bool,
    /// Of missing-101, where the whole capture shows the cause: whether it was told, too.
    pub explained: Option<bool>,
}

struct Judge<'a> {
    play: &'a Play,
    capture: &'a Capture,
    complete: bool,
    by_ends: HashMap<(SocketAddr, SocketAddr), Id>,
}

/// Compares alerts with what is due.
pub fn judge(play: &Play, capture: &Capture, seen: &Seen, complete: bool) -> Verdict {
    let connections = play.net.connections.iter().enumerate();
    let by_ends = connections.map(|(id, connection)| ((connection.client, connection.server), id)).collect();
    let judge = Judge { play, capture, complete, by_ends };
    let mut verdict = Verdict::default();
    let mut told = vec![0; play.truth.due.len()];
    let mut explained = vec![false; play.truth.due.len()];
    for alert in &seen.alerts {
        match judge.match_due(alert) {
            Ok(due) => {
                told[due] += 1;
                explained[due] |= !matches!(alert.details, Details::Missing101 { cause: Cause::Unknown, .. });
            }
            // What may be worth knowing though the worlds do not plan it: a client that gave up, a tunnel that nobody used.
            Err(_) if alert.level == Level::Notice && is_unplanned(alert.rule) => {}
            Err(why) => verdict.failures.push(format!("false: {why}: {}", line(alert))),
        }
    }
    for ((due, told), explained) in play.truth.due.iter().zip(told).zip(explained) {
        // Where nothing is missing, only which of several failures it was may be left open.
        if due.must && judge.is_within(due) && (told > 0 || !complete || !judge.is_blurred(due)) {
            let shows =
                due.rule == RuleId::Missing101 && !judge.is_blurred(due) && !due.causes.contains(&Cause::Unknown);
            let explained = shows.then_some(explained);
            verdict.recalled.push(Recalled { due: due.clone(), told: told > 0, explained });
        }
        // What is left of one attempt may be told as two.
        if complete && due.must && told > 1 && due.rule != RuleId::MassClose {
            verdict.failures.push(format!("twice: {due:?}"));
        }
    }
    if complete {
        judge.outcomes(seen, &mut verdict);
    }
    verdict
}

const fn is_unplanned(rule: RuleId) -> bool {
    matches!(rule, RuleId::Missing101 | RuleId::ErrorClose | RuleId::IdleClose)
}

impl Judge<'_> {
    /// The place of what is due that an alert tells.
    fn match_due(&self, alert: &Alert) -> Result<usize, String> {
        let stories = self.stories(alert);
        if stories.is_empty() {
            return Err("about nothing that happened".to_owned());
        }
        let due = &self.play.truth.due;
        // A tunnel that ended before it was used ended abruptly, too.
        let is_early = matches!(alert.details, Details::ErrorClose { fault: CloseFault::Early, .. });
        let rule = if is_early { RuleId::AbruptClose } else { alert.rule };
        let about = |due: &Due| match (alert.rule, self.complete) {
            (RuleId::MassClose, false) => stories.iter().all(|story| due.stories.contains(story)),
            (RuleId::MassClose, true) if due.must => due.stories.iter().copied().collect::<BTreeSet<_>>() == stories,
            _ => due.stories.iter().any(|story| stories.contains(story)),
        };
        let mut why = format!("no such alert is due for {stories:?}");
        for (at, due) in
            due.iter().enumerate().filter(|(_, due)| due.rule == rule && about(due) && !(due.of_part && self.complete))
        {
            match self.fits(alert, due) {
                None => return Ok(at),
                Some(other) => why = format!("{other}, not as in {due:?}"),
            }
        }
        Err(why)
    }

    /// Whether the capture lasted from before the requests that it is about to their answers: of others nobody can tell.
    fn is_within(&self, due: &Due) -> bool {
        let Range { start, end } = self.capture.times;
        due.stories.iter().map(|story| &self.play.truth.stories[*story]).all(|story| {
            let answered = story.ended_at.is_none_or(|ended| ended < end);
            story.asked_at >= start && answered
        })
    }

    /// Whether it is open which of several failures it was.
    fn is_blurred(&self, due: &Due) -> bool {
        due.blur == Blur::Always || due.blur == Blur::ByClocks && self.capture.ways.contains(&"skew")
    }

    /// What an alert says otherwise than is due.
    fn fits(&self, alert: &Alert, due: &Due) -> Option<String> {
        let failed =
            |cause: &Cause| matches!(cause, Cause::UpstreamRefused | Cause::UpstreamUnreachable | Cause::Unknown);
        if let Details::Missing101 { cause, .. } = &alert.details
            && failed(cause)
            && self.is_blurred(due)
        {
            return None;
        }
        match &alert.details {
            Details::Missing101 { cause, .. } if !self.may_be(*cause, due) => Some(format!("cause {cause:?}")),
            Details::Missing101 { cause: Cause::Unknown, .. } => None,
            Details::AbruptClose { closed_by, .. } | Details::ErrorClose { closed_by, .. } => {
                // Where the first proxies were not captured, the next one's client is one of them.
                let fits = Some(*closed_by) == due.closed_by
                    && (!due.of_part || *closed_by == ClosedBy::Proxy || self.begins_behind(&alert.attempt));
                (!fits).then(|| format!("closed by {closed_by:?}"))
            }
            Details::Http10 { .. } if self.complete => {
                let upgraded = due.stories.iter().any(|story| self.play.truth.stories[*story].got == Some(101));
                let level = if upgraded { Level::Warning } else { Level::Error };
                (alert.level != level).then(|| format!("level {:?}", alert.level)).or_else(|| self.names(alert, due))
            }
            // It may be of any that stand behind the server that is named.
            Details::IdleClose { at: TimerAt::ServerSide, .. } => None,
            _ => self.names(alert, due),
        }
    }

    fn may_be(&self, cause: Cause, due: &Due) -> bool {
        let lowered = || {
            let old = |other: &Due| other.rule == RuleId::Http10Upstream && other.stories == due.stories;
            self.play.truth.due.iter().any(old)
        };
        // A second proxy that answers looks like an origin where it was not seen to forward anything.
        let answered = cause == Cause::OriginRejected && due.alone.is_some_and(|proxy| proxy > 0);
        due.causes.contains(&cause)
            || !self.complete && (cause == Cause::Unknown || answered || cause == Cause::Http10 && lowered())
    }

    /// Whether the first hop that is left is not the client's.
    fn begins_behind(&self, attempt: &Attempt) -> bool {
        let hop = attempt.first();
        let ends = self.truly(&hop.client).zip(self.truly(&hop.server));
        let id = ends.and_then(|ends| self.by_ends.get(&ends));
        id.is_some_and(|id| self.play.net.connections[*id].level > 0)
    }

    /// Whether somebody else is named than should be.
    fn names(&self, alert: &Alert, due: &Due) -> Option<String> {
        let named = self.truly(by(&alert.details)?)?;
        let proxies = &self.play.world.proxies;
        // Of a proxy whose client side was not captured only its host is known.
        let about = |meant: &SocketAddr| {
            let from = proxies.iter().find(|proxy| proxy.listen == *meant).map(|proxy| proxy.from);
            named.ip() == meant.ip() || Some(named.ip()) == from
        };
        // Who answered is who was seen to.
        let answers = match &alert.details {
            Details::Accept { .. } | Details::Negotiation { .. } => true,
            Details::Missing101 { cause, .. } => {
                use Cause::{HeadersDropped, Http10, NotForwarded, RelayLost};
                !matches!(cause, HeadersDropped | Http10 | NotForwarded | RelayLost)
            }
            _ => false,
        };
        let part = |hop: &Hop| [&hop.client, &hop.server].into_iter().any(|end| self.truly(end) == Some(named));
        let seen = answers && alert.attempt.hops.iter().any(part);
        let fits = due.by.is_empty() || due.by.contains(&named);
        // A notice of the last hop alone names whoever opened that.
        let seen = seen || alert.rule == RuleId::IdleClose && alert.level == Level::Notice;
        let fits = fits || !self.complete && (seen || due.by.iter().any(about));
        (!fits).then(|| format!("names {named}"))
    }

    /// An address without NAT.
    fn truly(&self, end: &Endpoint) -> Option<SocketAddr> {
        let address = end.address()?;
        Some(self.capture.aliases.get(&address).copied().unwrap_or(address))
    }

    fn stories(&self, alert: &Alert) -> BTreeSet<usize> {
        match &alert.details {
            Details::MassClose { tunnels, .. } => tunnels.iter().filter_map(|attempt| self.story(attempt)).collect(),
            _ => self.story(&alert.attempt).into_iter().collect(),
        }
    }

    fn story(&self, attempt: &Attempt) -> Option<usize> {
        attempt.hops.iter().find_map(|hop| self.story_of(hop))
    }

    /// The story that a hop has a part in: of several on one connection, that of about its time.
    fn story_of(&self, hop: &Hop) -> Option<usize> {
        let id = *self.by_ends.get(&(self.truly(&hop.client)?, self.truly(&hop.server)?))?;
        let clock = self.capture.clocks[self.play.net.connections[id].level];
        let at = hop.request.as_ref().map_or(0, |request| time(request.at) - clock);
        let stories = self.play.truth.stories.iter().enumerate();
        let parts = stories.flat_map(|(story, told)| told.hops.iter().map(move |(own, at)| (story, *own, *at)));
        let own = parts.filter(|(_, own, _)| *own == id);
        own.min_by_key(|(_, _, asked)| (asked - at).abs()).map(|(story, ..)| story)
    }

    /// Every attempt is told once, by its true outcome.
    fn outcomes(&self, seen: &Seen, verdict: &mut Verdict) {
        let end = seen.stats.at;
        let mut told = vec![Vec::new(); self.play.truth.stories.len()];
        for attempt in &seen.attempts {
            if let Some(story) = self.story(attempt) {
                told[story].push(attempt.outcome);
            }
        }
        for (story, outcomes) in self.play.truth.stories.iter().zip(told) {
            let waited = time(end) - story.asked_at;
            let expected = match (story.got, story.ended_at) {
                (Some(101), _) => Outcome::Upgraded,
                (Some(_), _) => Outcome::Refused,
                (None, None) if waited < 30 * SECOND => Outcome::Unknown,
                (None, _) => Outcome::Failed,
            };
            // One that waited for long enough failed, whatever comes then.
            let late = story.ended_at.is_none_or(|ended| ended - story.asked_at > 29 * SECOND);
            let fits = |outcome: &Outcome| *outcome == expected || late && *outcome == Outcome::Failed;
            if story.asks && !story.unclear && !(outcomes.len() == 1 && outcomes.iter().all(fits)) {
                verdict.failures.push(format!("outcomes {outcomes:?}, not {expected:?}: {}", story.title));
            }
        }
    }
}

fn by(details: &Details) -> Option<&Endpoint> {
    match details {
        Details::Broken { by, .. }
        | Details::HeadersDropped { by, .. }
        | Details::Http10 { by }
        | Details::Injected { by, .. }
        | Details::Accept { by, .. }
        | Details::Negotiation { by, .. }
        | Details::IdleClose { by, .. }
        | Details::LifetimeClose { by, .. }
        | Details::MassClose { by, .. } => Some(by),
        Details::Missing101 { by, .. } => by.as_ref(),
        Details::ErrorClose { .. } | Details::AbruptClose { .. } | Details::PollingFallback { .. } => None,
    }
}

/// An alert as one line.
pub fn line(alert: &Alert) -> String {
    let mut line = format!("{} {:?}", alert.rule, alert.level);
    if let Details::Missing101 { cause, doubt, .. } = &alert.details {
        let _ = write!(line, " {cause:?} {doubt:?}");
    }
    let _ = write!(line, " \"{}\"{}", alert.message, hops(&alert.attempt));
    line
}

/// The hops of an attempt as one line.
pub fn hops(attempt: &Attempt) -> String {
    let mut line = String::new();
    for hop in &attempt.hops {
        let status = hop.response.as_ref().map(|response| response.status);
        let _ = write!(line, " [{:?} {} > {} {status:?} {:?}]", hop.role, hop.client, hop.server, hop.silence);
    }
    let _ = write!(line, " {:?}", attempt.join);
    line
}
