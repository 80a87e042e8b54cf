//! Alerts grouped by cause: rule, level, who did it, and path. The worst stand first, then the most frequent.

use std::{cmp::Reverse, collections::HashMap};

use super::{super::look, list::Rows};
use crate::{
    engine::{
        alert::{Alert, Details, Level, RuleId},
        event::{AttemptId, ClosedBy},
        time::Timestamp,
    },
    sink::{
        redact::Redactor,
        text::shared::{by, cut, product},
    },
};

/// How many groups are kept apart; what comes later is grouped by its rule alone, so that ever new paths cannot fill
/// the memory.
const GROUPS: usize = 1024;

/// What alerts of one group share.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in crate::tui) struct Cause {
    pub(in crate::tui) level: Level,
    pub(in crate::tui) rule: RuleId,
    /// Who did it, such as `nginx/1.22.1 10.0.0.1:80`, or why.
    pub(in crate::tui) by: String,
    /// The path, without its query.
    pub(in crate::tui) path: String,
}

/// Alerts with one cause.
#[derive(Clone, Debug)]
pub(in crate::tui) struct Group {
    pub(in crate::tui) cause: Cause,
    pub(in crate::tui) count: u64,
    pub(in crate::tui) first_at: Timestamp,
    pub(in crate::tui) last_at: Timestamp,
    /// The attempts of the first and the last of them.
    pub(in crate::tui) first: AttemptId,
    pub(in crate::tui) last: AttemptId,
    /// What the first one said.
    pub(in crate::tui) message: String,
}

/// All groups.
#[derive(Debug)]
pub(in crate::tui) struct Alerts {
    redactor: Redactor,
    groups: Vec<Group>,
    by_cause: HashMap<Cause, usize>,
    /// The groups as they are listed.
    listed: Vec<Group>,
    /// Whether they changed since.
    stale: bool,
    frozen: bool,
    selected: Option<Cause>,
    total: u64,
    unseen: u64,
}

impl Alerts {
    pub(super) fn new(redactor: Redactor) -> Self {
        Self {
            redactor,
            groups: Vec::new(),
            by_cause: HashMap::new(),
            listed: Vec::new(),
            stale: false,
            frozen: false,
            selected: None,
            total: 0,
            unseen: 0,
        }
    }

    pub(super) fn add(&mut self, alert: &Alert) {
        self.stale = true;
        self.total += 1;
        self.unseen += u64::from(self.frozen);
        let cause = self.cause(alert);
        let at = *self.by_cause.entry(cause.clone()).or_insert(self.groups.len());
        if let Some(group) = self.groups.get_mut(at) {
            group.count += 1;
            group.first_at = group.first_at.min(alert.at);
            group.last_at = group.last_at.max(alert.at);
            group.last = alert.attempt.id;
            return;
        }
        self.groups.push(Group {
            cause,
            count: 1,
            first_at: alert.at,
            last_at: alert.at,
            first: alert.attempt.id,
            last: alert.attempt.id,
            message: self.redactor.text(&alert.message),
        });
    }

    fn cause(&self, alert: &Alert) -> Cause {
        let target = alert.attempt.first().request.as_ref().map_or("", |request| &request.target);
        let path = cut(&self.redactor.target(target.split(['?', '#']).next().unwrap_or("")), 60);
        let cause = Cause { level: alert.level, rule: alert.rule, by: who(alert), path };
        if self.groups.len() < GROUPS || self.by_cause.contains_key(&cause) {
            return cause;
        }
        Cause { by: String::new(), path: "(others)".to_owned(), ..cause }
    }

    /// Brings the list up to date; to be called before it is read.
    pub(super) fn settle(&mut self) {
        if !self.stale || self.frozen {
            return;
        }
        self.stale = false;
        self.listed.clone_from(&self.groups);
        self.listed.sort_by(|one, other| key(one).cmp(&key(other)).then_with(|| one.cause.path.cmp(&other.cause.path)));
    }

    pub(super) fn freeze(&mut self, frozen: bool) {
        self.settle();
        (self.frozen, self.unseen) = (frozen, 0);
        self.settle();
    }

    /// Alerts that came since the view was frozen.
    pub(super) const fn unseen(&self) -> u64 {
        self.unseen
    }

    /// All alerts that the list tells of.
    pub(in crate::tui) const fn total(&self) -> u64 {
        self.total - self.unseen
    }

    pub(in crate::tui) fn listed(&self) -> &[Group] {
        &self.listed
    }

    pub(in crate::tui) fn selected(&self) -> Option<&Group> {
        self.listed.get(self.position())
    }
}

/// Who did it, or why it is.
fn who(alert: &Alert) -> String {
    match (&alert.details, &alert.product) {
        (Details::AbruptClose { closed_by, .. } | Details::ErrorClose { closed_by, .. }, _) => {
            look::side(*closed_by).to_owned()
        }
        (Details::PollingFallback { .. }, _) => look::side(ClosedBy::Client).to_owned(),
        // The endpoint is of the proxy or of its origin: `by` names the cause in front of it.
        (Details::Missing101 { .. }, _) | (_, None) => by(alert).trim_end().to_owned(),
        (_, Some(known)) => format!("{} {}", product(known), by(alert)),
    }
}

fn key(group: &Group) -> (Reverse<Level>, Reverse<u64>, RuleId, Timestamp) {
    (Reverse(group.cause.level), Reverse(group.count), group.cause.rule, group.first_at)
}

impl Rows for Alerts {
    fn len(&self) -> usize {
        self.listed.len()
    }

    fn position(&self) -> usize {
        let of = |cause: &Cause| self.listed.iter().position(|group| group.cause == *cause);
        self.selected.as_ref().and_then(of).unwrap_or(0)
    }

    fn select(&mut self, position: usize) {
        let group = self.listed.get(position).filter(|_| position > 0);
        self.selected = group.map(|group| group.cause.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::{event::Event, sample};

    #[test]
    fn one_cause_is_one_group() {
        let mut alerts = Alerts::new(Redactor::new(false));
        let attempts = (1..=3).map(|id| Arc::new(sample::bare(id, id * 10, "/ws?token=s3cr3t", "10.0.0.7:53012")));
        for attempt in attempts {
            for event in sample::bare_alerts(&attempt) {
                let Event::Alert(alert) = event else { continue };
                alerts.add(&alert);
            }
        }
        alerts.settle();
        let groups: Vec<_> = alerts.listed().iter().map(|group| (group.cause.rule, group.count)).collect();
        assert_eq!(groups, [(RuleId::UpgradeHeadersDropped, 3), (RuleId::Http10Upstream, 3), (RuleId::Missing101, 3)]);
        let first = &alerts.listed()[0];
        assert_eq!((&*first.cause.by, &*first.cause.path), ("nginx/1.22.1 10.0.0.1:80", "/ws"));
        assert_eq!((first.first.0, first.last.0), (1, 3));
        assert!(first.first_at < first.last_at);
    }

    #[test]
    fn ever_new_paths_do_not_fill_the_memory() {
        let mut alerts = Alerts::new(Redactor::new(false));
        for id in 0..2000 {
            let attempt = Arc::new(sample::bare(id, 10, &format!("/{id}"), "10.0.0.7:53012"));
            let Event::Alert(alert) = sample::bare_alerts(&attempt).remove(0) else { unreachable!() };
            alerts.add(&alert);
        }
        alerts.settle();
        assert_eq!((alerts.len(), alerts.total()), (GROUPS + 1, 2000));
        assert_eq!(alerts.listed()[0].count, 2000 - GROUPS as u64);
    }
}
