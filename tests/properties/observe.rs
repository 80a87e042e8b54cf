//! Boils what the engine said down to what a property compares.

use std::{fmt::Write, time::Duration};

use observer::engine::{
    alert::{Alert, Cause, Details, Level, RuleId},
    event::{Attempt, Outcome},
};

use crate::traffic::observe::Seen;

/// How closely two runs are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Ids and every fact.
    Exact,
    /// Endpoints, target, and the facts that do not measure time.
    Facts,
    /// The same without notices: how a tunnel ended is told by the order of FINs and RSTs.
    Accusations,
}

impl Seen {
    /// Every alert above notice by its rule and cause, without addresses, in order.
    pub fn kinds(&self) -> Vec<String> {
        let kind = |alert: &Alert| match &alert.details {
            Details::Missing101 { cause, .. } => format!("{} {cause:?}", alert.rule),
            _ => alert.rule.to_string(),
        };
        let mut kinds: Vec<_> = self.alerts.iter().filter(|alert| alert.level > Level::Notice).map(kind).collect();
        kinds.sort();
        kinds
    }

    /// Alerts and attempts, one line each, in order.
    pub fn lines(&self, detail: Detail) -> Vec<String> {
        let told = |alert: &&Alert| detail != Detail::Accusations || alert.level > Level::Notice;
        let mut lines: Vec<_> = self.alerts.iter().filter(told).map(|alert| alert_line(alert, detail)).collect();
        lines.extend(self.attempts.iter().map(|attempt| attempt_line(attempt, detail)));
        lines.sort();
        lines
    }
}

pub fn alert_line(alert: &Alert, detail: Detail) -> String {
    let facts = match (&alert.details, detail) {
        (Details::IdleClose { by, heartbeat, certain, candidates, .. }, Detail::Facts | Detail::Accusations) => {
            format!("by {by} heartbeat {heartbeat} certain {certain} candidates {}", candidates.len())
        }
        (Details::MassClose { by, tunnels, .. }, Detail::Facts | Detail::Accusations) => {
            format!("by {by}, {}", tunnels.len())
        }
        (Details::AbruptClose { closed_by, .. }, Detail::Facts | Detail::Accusations) => format!("{closed_by:?}"),
        (Details::PollingFallback { target, requests, .. }, Detail::Facts | Detail::Accusations) => {
            format!("{target} {requests}")
        }
        (Details::MassClose { by, tunnels, within }, Detail::Exact) => {
            let ids: Vec<_> = tunnels.iter().map(|attempt| attempt.id).collect();
            format!("by {by} {within:?} {ids:?}")
        }
        // What else was seen may be told of by another frame of the same.
        (Details::Missing101 { status, answered_by, cause, by, doubt, facts: _ }, _) => {
            format!("{cause:?} {status:?} {answered_by:?} {by:?} {doubt:?}")
        }
        (details, _) => format!("{details:?}"),
    };
    format!("{} {:?} {} {facts}", alert.rule, alert.level, name(&alert.attempt, detail))
}

fn attempt_line(attempt: &Attempt, detail: Detail) -> String {
    let mut line = format!("attempt {} {:?}", name(attempt, detail), attempt.outcome);
    for hop in attempt.path() {
        let status = hop.response.as_ref().map(|response| response.status);
        let _ = write!(line, " [{:?} {} > {} {status:?} {:?}]", hop.role, hop.client, hop.server, hop.silence);
    }
    line
}

fn name(attempt: &Attempt, detail: Detail) -> String {
    let hop = attempt.first();
    let target = hop.request.as_ref().map_or("", |request| &request.target);
    match detail {
        Detail::Exact => format!("{} {target}", attempt.id),
        Detail::Facts | Detail::Accusations => format!("{} > {} {target}", hop.client, hop.server),
    }
}

/// Why an alert of a damaged capture accuses falsely, given what the whole capture shows; `None` where it does not.
pub fn false_accusation(alert: &Alert, whole: &Seen) -> Option<&'static str> {
    if alert.level == Level::Notice {
        return None;
    }
    let about = |other: &&Alert| {
        let member = |attempt: &Attempt| about_same(&alert.attempt, attempt);
        let also = match &other.details {
            Details::MassClose { tunnels, .. } => tunnels.iter().any(|attempt| member(attempt)),
            _ => false,
        };
        other.rule == alert.rule && (also || member(&other.attempt))
    };
    let known: Vec<_> = whole.alerts.iter().filter(about).collect();
    if known.is_empty() {
        return Some("no such alert");
    }
    // How sure an idle timer is depends on the other tunnels that were seen.
    if alert.rule != RuleId::IdleClose && known.iter().all(|other| other.level < alert.level) {
        return Some("a higher level");
    }
    // HTTP/1.0 upstream is reason enough where nothing more is left of the request.
    let old = |other: &Alert| other.rule == RuleId::Http10Upstream && about_same(&alert.attempt, &other.attempt);
    let http10 = matches!(alert.details, Details::Missing101 { cause: Cause::Http10, .. });
    if http10 && whole.alerts.iter().any(old) {
        return None;
    }
    known.iter().find_map(|other| differs(&alert.details, &other.details))
}

/// Whether what is left of an attempt belongs to a whole one: its first hop is any hop of that.
fn about_same(damaged: &Attempt, whole: &Attempt) -> bool {
    whole.hops.iter().any(|hop| hop.client == damaged.first().client)
}

/// What two alerts of one rule about one attempt must not contradict each other in.
fn differs(damaged: &Details, whole: &Details) -> Option<&'static str> {
    match (damaged, whole) {
        (Details::Missing101 { cause, .. }, Details::Missing101 { cause: known, .. }) => {
            // Whether a redirect is the proxy's own can be seen by its page only.
            let redirect = (*cause, *known) == (Cause::Redirected, Cause::NotForwarded);
            // Less evidence leaves a cause further down, but for those that were told before more was known.
            let is_new = (rank(Cause::FieldDoubled)..=rank(Cause::NoTcpUpstream)).contains(&rank(*known))
                || *known == Cause::RateLimited;
            let lower = is_new && rank(*cause) > rank(*known);
            (cause != known && *cause != Cause::Unknown && !lower && !redirect).then_some("another cause")
        }
        (Details::HeadersDropped { dropped, .. }, Details::HeadersDropped { dropped: known, .. }) => {
            dropped.iter().any(|field| !known.contains(field)).then_some("another field dropped")
        }
        (Details::IdleClose { idle, .. }, Details::IdleClose { idle: known, .. }) => {
            (idle.abs_diff(*known) > Duration::from_millis(600)).then_some("another idle time")
        }
        _ => None,
    }
}

/// Alerts above notice, by rule.
pub fn accusations(seen: &Seen) -> impl Iterator<Item = RuleId> {
    seen.alerts.iter().filter(|alert| alert.level > Level::Notice).map(|alert| alert.rule)
}

/// Whether an attempt's outcome contradicts the one that the whole capture shows.
pub fn false_outcome(attempt: &Attempt, whole: &Seen) -> bool {
    let known = whole.attempts.iter().find(|known| {
        let (one, other) = (attempt.first(), known.first());
        (&one.client, &one.server) == (&other.client, &other.server)
            && one.request.as_ref().map(|request| &request.target) == other.request.as_ref().map(|r| &r.target)
    });
    known.is_some_and(|known| attempt.outcome != Outcome::Unknown && attempt.outcome != known.outcome)
}

/// The causes of missing-101, the most specific first: where evidence is missing, one may only become one further down.
const ORDER: [Cause; 33] = [
    Cause::HeadersDropped,
    Cause::Http10,
    Cause::FieldDoubled,
    Cause::QueryLost,
    Cause::SpellingChanged,
    Cause::ProxyLine,
    Cause::TlsExpected,
    Cause::TlsUnexpected,
    Cause::NotHttp,
    Cause::Http2Upstream,
    Cause::SideRequestFailed,
    Cause::NotSticky,
    Cause::TokenNotAllowed,
    Cause::BodyNotAllowed,
    Cause::HeadTooLarge,
    Cause::InterimResponse,
    Cause::NoLiveUpstream,
    Cause::ChecksFailing,
    Cause::StaleAddress,
    Cause::NoTcpUpstream,
    Cause::UpstreamRefused,
    Cause::UpstreamUnreachable,
    Cause::UpstreamSilent,
    Cause::UpstreamClosed,
    Cause::ClientMalformed,
    Cause::VersionUnsupported,
    Cause::AuthRequired,
    Cause::Redirected,
    Cause::RateLimited,
    Cause::RelayLost,
    Cause::NotForwarded,
    Cause::OriginRejected,
    Cause::Unknown,
];

/// The place of a cause in that order.
pub fn rank(cause: Cause) -> usize {
    ORDER.iter().position(|one| *one == cause).expect("every cause has a place")
}
