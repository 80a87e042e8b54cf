//! What was told before: the same rules at the same proxy for the same path are told in full once, then in a line each,
//! then counted.

use std::collections::HashMap;

use super::words::{Words, endpoint};
use crate::engine::alert::{Alert, Details};

/// How many of a kind are told.
const TOLD: u64 = 3;
/// How many kinds are kept apart; what comes later is grouped by its rules alone, so that a client that asks for ever
/// new paths cannot fill the memory.
const KINDS: usize = 1024;

/// Whether this was seen before.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Seen {
    /// No: tell all.
    First,
    /// Yes: tell it in a line that refers to the first.
    Again(String),
    /// Yes, and so many times that it is time to say so.
    Round(String, u64),
    /// Yes: it was counted.
    Counted,
}

/// All kinds so far.
#[derive(Default)]
pub(super) struct Groups {
    kinds: HashMap<String, Group>,
    /// The order in which they came.
    order: Vec<String>,
}

struct Group {
    first: String,
    last: String,
    what: String,
    times: u64,
}

impl Groups {
    /// Counts one attempt's alerts.
    pub(super) fn seen(&mut self, alerts: &[Alert], words: &Words<'_>) -> Seen {
        let Some(first) = alerts.first() else { return Seen::Counted };
        let rules = rules(alerts);
        let mut key = format!("{rules} {} {}", by(first), path(first, words));
        if self.kinds.len() >= KINDS && !self.kinds.contains_key(&key) {
            key.clone_from(&rules);
        }
        let here = words.first_frame(&first.attempt);
        if let Some(group) = self.kinds.get_mut(&key) {
            group.times += 1;
            group.last = here;
            return match group.times {
                times if times <= TOLD => Seen::Again(group.first.clone()),
                times if times >= 100 && is_round(times) => Seen::Round(group.first.clone(), times),
                _ => Seen::Counted,
            };
        }
        let what = format!("{rules} for {}", path(first, words));
        self.kinds.insert(key.clone(), Group { first: here.clone(), last: here, what, times: 1 });
        self.order.push(key);
        Seen::First
    }

    /// What was counted and not told, one sentence each.
    pub(super) fn more(&self) -> Vec<String> {
        let groups = self.order.iter().filter_map(|key| self.kinds.get(key));
        groups
            .filter(|group| group.times > TOLD)
            .map(|group| {
                let Group { first, last, what, times } = group;
                format!("… and {} more like {first} ({what}), the last at {last}", times - TOLD)
            })
            .collect()
    }
}

/// 100, 1000, ...
const fn is_round(number: u64) -> bool {
    number > 0 && number == 10_u64.pow(number.ilog10())
}

/// The rules of these alerts.
fn rules(alerts: &[Alert]) -> String {
    let names: Vec<_> = alerts.iter().map(|alert| alert.rule.as_str()).collect();
    names.join(" + ")
}

/// Who did it; the cause or the closing side where nobody is named.
pub(crate) fn by(alert: &Alert) -> String {
    match &alert.details {
        Details::Broken { by, .. }
        | Details::HeadersDropped { by, .. }
        | Details::Http10 { by }
        | Details::Injected { by, .. }
        | Details::Accept { by, .. }
        | Details::Negotiation { by, .. }
        | Details::IdleClose { by, .. }
        | Details::LifetimeClose { by, .. }
        | Details::MassClose { by, .. } => endpoint(by),
        Details::Missing101 { by, cause, .. } => {
            format!("{} {}", cause.as_str(), by.as_ref().map(endpoint).unwrap_or_default())
        }
        Details::ErrorClose { fault, code, closed_by, .. } => format!("{fault:?} {code:?} {closed_by:?}"),
        Details::AbruptClose { closed_by, .. } => format!("{closed_by:?}"),
        Details::PollingFallback { .. } => String::new(),
    }
}

/// The path, without its query and short.
fn path(alert: &Alert, words: &Words<'_>) -> String {
    let request = alert.attempt.first().request.as_ref();
    let target = request.map_or("", |request| request.target.split(['?', '#']).next().unwrap_or(""));
    super::line::cut(&words.redactor.target(target), 40)
}
