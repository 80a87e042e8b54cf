//! All attempts, in the order in which they were decided, and the list of those that pass the filter, newest first.
//! What a new event costs does not depend on how many there are.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use super::{
    filter::{Facts, Filter},
    list::Rows,
};
use crate::{
    engine::{
        alert::{Alert, Level},
        event::{Attempt, AttemptId, Event, Tunnel},
    },
    sink::redact::Redactor,
};

/// Bytes of attempts to hold, about; then the oldest are forgotten.
const LIMIT: usize = 384 << 20;

/// One attempt and what is known of it.
#[derive(Clone, Debug)]
pub(in crate::tui) struct Row {
    pub(in crate::tui) attempt: Arc<Attempt>,
    /// In the order told: the root cause first.
    pub(in crate::tui) alerts: Vec<Alert>,
    pub(in crate::tui) tunnel: Option<Box<Tunnel>>,
    facts: Facts,
    size: usize,
}

impl Row {
    /// The worst of its alerts.
    pub(in crate::tui) fn level(&self) -> Option<Level> {
        self.alerts.iter().map(|alert| alert.level).max()
    }

    /// What the engine said of it, again.
    pub(in crate::tui) fn events(&self) -> Vec<Event> {
        let mut events = vec![Event::Attempt(Arc::clone(&self.attempt))];
        events.extend(self.tunnel.iter().map(|tunnel| Event::Tunnel(tunnel.clone())));
        events.extend(self.alerts.iter().map(|alert| Event::Alert(Box::new(alert.clone()))));
        events
    }
}

/// The store and the list.
#[derive(Debug)]
pub(in crate::tui) struct Attempts {
    redactor: Redactor,
    /// Attempts by their number, which is their place in the order of arrival; the first one held is `base`.
    rows: VecDeque<Row>,
    base: u64,
    by_id: HashMap<AttemptId, u64>,
    filter: Filter,
    /// Numbers of those that pass the filter, oldest first.
    matches: VecDeque<u64>,
    /// The selected one; `None` is the newest, whichever that is.
    selected: Option<u64>,
    /// While the view is frozen, attempts from this number on are not listed.
    frozen: Option<u64>,
    bytes: usize,
    limit: usize,
}

impl Attempts {
    pub(super) fn new(redactor: Redactor) -> Self {
        Self {
            redactor,
            rows: VecDeque::new(),
            base: 0,
            by_id: HashMap::new(),
            filter: Filter::default(),
            matches: VecDeque::new(),
            selected: None,
            frozen: None,
            bytes: 0,
            limit: LIMIT,
        }
    }

    pub(super) fn add(&mut self, attempt: &Arc<Attempt>) {
        let facts = Facts::of(attempt, &[], self.redactor);
        let size = weight(attempt) + facts.size();
        let number = self.next();
        if self.filter.matches(&facts) {
            self.matches.push_back(number);
        }
        self.bytes += size;
        self.by_id.insert(attempt.id, number);
        self.rows.push_back(Row { attempt: Arc::clone(attempt), alerts: Vec::new(), tunnel: None, facts, size });
        while self.bytes > self.limit && self.rows.len() > 1 {
            self.forget();
        }
    }

    /// Adds an alert to its attempt. One that was not told itself is added with it.
    pub(super) fn alert(&mut self, alert: &Alert) {
        if !self.by_id.contains_key(&alert.attempt.id) {
            self.add(&alert.attempt);
        }
        let redactor = self.redactor;
        self.change(alert.attempt.id, |row| {
            row.alerts.push(alert.clone());
            row.facts = Facts::of(&row.attempt, &row.alerts, redactor);
        });
    }

    pub(super) fn tunnel(&mut self, tunnel: &Tunnel) {
        self.change(tunnel.attempt.id, |row| row.tunnel = Some(Box::new(tunnel.clone())));
    }

    fn change(&mut self, id: AttemptId, change: impl FnOnce(&mut Row)) {
        let Some(number) = self.by_id.get(&id).copied() else { return };
        let Some(row) = self.place(number).and_then(|place| self.rows.get_mut(place)) else { return };
        change(row);
        let listed = self.matches.binary_search(&number);
        match (self.filter.matches(&row.facts), listed) {
            (true, Err(place)) => self.matches.insert(place, number),
            (false, Ok(place)) => drop(self.matches.remove(place)),
            _ => {}
        }
    }

    fn forget(&mut self) {
        let Some(row) = self.rows.pop_front() else { return };
        self.bytes -= row.size;
        if self.by_id.get(&row.attempt.id) == Some(&self.base) {
            self.by_id.remove(&row.attempt.id);
        }
        if self.matches.front() == Some(&self.base) {
            self.matches.pop_front();
        }
        self.base += 1;
    }

    /// Lists what passes another filter.
    pub(super) fn filter(&mut self, text: &str) {
        let filter = Filter::new(text);
        if filter.narrows(&self.filter) {
            let (rows, base) = (&self.rows, self.base);
            let row = |number: u64| usize::try_from(number - base).ok().and_then(|place| rows.get(place));
            self.matches.retain(|number| row(*number).is_some_and(|row| filter.matches(&row.facts)));
        } else {
            let numbered = (self.base..).zip(&self.rows);
            self.matches = numbered.filter(|(_, row)| filter.matches(&row.facts)).map(|(number, _)| number).collect();
        }
        self.filter = filter;
        if self.selected.is_some_and(|number| self.matches.binary_search(&number).is_err()) {
            self.selected = None;
        }
    }

    pub(in crate::tui) fn filter_text(&self) -> &str {
        self.filter.text()
    }

    pub(in crate::tui) const fn is_filtered(&self) -> bool {
        !self.filter.is_empty()
    }

    pub(super) fn freeze(&mut self, frozen: bool) {
        self.frozen = frozen.then(|| self.next());
    }

    /// How many came since the view was frozen.
    pub(super) fn unseen(&self) -> u64 {
        self.frozen.map_or(0, |frozen| self.next() - frozen)
    }

    /// How many are held, filtered or not.
    pub(in crate::tui) fn held(&self) -> usize {
        self.place(self.frozen.unwrap_or(u64::MAX)).unwrap_or(self.rows.len())
    }

    /// How many were thrown away to bound the memory.
    pub(in crate::tui) const fn forgotten(&self) -> u64 {
        self.base
    }

    /// The listed row at a place from the top.
    pub(in crate::tui) fn row(&self, position: usize) -> Option<&Row> {
        let place = self.len().checked_sub(position + 1)?;
        self.rows.get(self.place(*self.matches.get(place)?)?)
    }

    pub(in crate::tui) fn selected(&self) -> Option<&Row> {
        self.row(self.position())
    }

    pub(super) fn by_id(&self, id: AttemptId) -> Option<&Row> {
        self.rows.get(self.place(*self.by_id.get(&id)?)?)
    }

    /// Selects an attempt by name; drops the filter where that hides it. False when it is not held any more.
    pub(super) fn go_to(&mut self, id: AttemptId) -> bool {
        let Some(number) = self.by_id.get(&id).copied() else { return false };
        if self.matches.binary_search(&number).is_err() {
            self.filter("");
        }
        self.selected = Some(number);
        true
    }

    fn next(&self) -> u64 {
        self.base + self.rows.len() as u64
    }

    fn place(&self, number: u64) -> Option<usize> {
        let place = usize::try_from(number.checked_sub(self.base)?).ok()?;
        (place < self.rows.len()).then_some(place)
    }
}

impl Rows for Attempts {
    fn len(&self) -> usize {
        match self.frozen {
            Some(frozen) => self.matches.partition_point(|number| *number < frozen),
            None => self.matches.len(),
        }
    }

    fn position(&self) -> usize {
        let Some(selected) = self.selected else { return 0 };
        let place = self.matches.partition_point(|number| *number < selected);
        self.len().saturating_sub(place + 1)
    }

    fn select(&mut self, position: usize) {
        let newest = position == 0 && self.frozen.is_none();
        let place = self.len().checked_sub(position + 1);
        self.selected = if newest { None } else { place.and_then(|place| self.matches.get(place).copied()) };
    }
}

/// Bytes that an attempt takes, about.
fn weight(attempt: &Attempt) -> usize {
    const FIELD: usize = 64;
    let mut bytes = 256;
    for hop in &attempt.hops {
        let request = hop.request.as_ref().map_or(&[][..], |request| &request.fields[..]);
        let response = hop.response.as_ref().map_or(&[][..], |response| &response.fields[..]);
        let fields = request.iter().chain(response);
        bytes += 512 + fields.map(|field| FIELD + field.name.len() + field.value.len()).sum::<usize>();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sample;

    fn filled(number: u64) -> Attempts {
        let mut attempts = Attempts::new(Redactor::new(false));
        for id in 1..=number {
            let target = if id % 2 == 0 { "/even" } else { "/odd" };
            attempts.add(&Arc::new(sample::bare(id, id * 10, target, "10.0.0.7:53012")));
        }
        attempts
    }

    fn ids(attempts: &Attempts) -> Vec<u64> {
        (0..attempts.len()).filter_map(|at| attempts.row(at)).map(|row| row.attempt.id.0).collect()
    }

    #[test]
    fn newest_stand_first_and_filters_narrow() {
        let mut attempts = filled(5);
        assert_eq!(ids(&attempts), [5, 4, 3, 2, 1]);
        attempts.filter("/ev");
        assert_eq!(ids(&attempts), [4, 2]);
        attempts.add(&Arc::new(sample::bare(6, 60, "/even", "10.0.0.7:1")));
        attempts.add(&Arc::new(sample::bare(7, 70, "/odd", "10.0.0.7:1")));
        assert_eq!(ids(&attempts), [6, 4, 2]);
        attempts.filter("");
        assert_eq!(ids(&attempts), [7, 6, 5, 4, 3, 2, 1]);
    }

    #[test]
    fn the_selection_stays_on_its_attempt_or_follows_the_newest() {
        let mut attempts = filled(3);
        assert_eq!(attempts.selected().unwrap().attempt.id.0, 3);
        attempts.add(&Arc::new(sample::bare(4, 40, "/", "10.0.0.7:1")));
        assert_eq!(attempts.selected().unwrap().attempt.id.0, 4);
        attempts.select(1);
        attempts.add(&Arc::new(sample::bare(5, 50, "/", "10.0.0.7:1")));
        assert_eq!((attempts.selected().unwrap().attempt.id.0, attempts.position()), (3, 2));
    }

    #[test]
    fn a_late_alert_brings_its_attempt_into_the_filtered_list() {
        let mut attempts = filled(3);
        attempts.filter("rule:http10");
        assert_eq!(attempts.len(), 0);
        let attempt = Arc::clone(&attempts.rows[1].attempt);
        for event in sample::bare_alerts(&attempt) {
            let Event::Alert(alert) = event else { continue };
            attempts.alert(&alert);
        }
        assert_eq!(ids(&attempts), [2]);
        assert_eq!(attempts.selected().unwrap().alerts.len(), 3);
    }

    #[test]
    fn the_oldest_are_forgotten_when_memory_is_full() {
        let mut attempts = filled(3);
        attempts.limit = attempts.bytes;
        attempts.select(2);
        attempts.add(&Arc::new(sample::bare(4, 40, "/odd", "10.0.0.7:1")));
        assert_eq!(ids(&attempts), [4, 3, 2]);
        assert_eq!((attempts.forgotten(), attempts.held()), (1, 3));
        assert_eq!(attempts.selected().unwrap().attempt.id.0, 2);
        assert!(!attempts.go_to(AttemptId(1)));
    }

    #[test]
    fn a_frozen_list_does_not_grow() {
        let mut attempts = filled(3);
        attempts.freeze(true);
        attempts.add(&Arc::new(sample::bare(4, 40, "/odd", "10.0.0.7:1")));
        assert_eq!((ids(&attempts), attempts.unseen(), attempts.held()), (vec![3, 2, 1], 1, 3));
        assert_eq!(attempts.selected().unwrap().attempt.id.0, 3);
        attempts.freeze(false);
        assert_eq!((attempts.len(), attempts.unseen()), (4, 0));
    }
}
