//! `--aggregate`: a storm of the same alert as two lines. The first one is told at once; those that follow it within the
//! window are counted, and told as a number when the window ends. All by capture time.

use std::{collections::HashMap, time::Duration};

use crate::{
    engine::{
        alert::{Alert, RuleId},
        event::{Attempt, Endpoint},
        time::Timestamp,
    },
    sink::Repeats,
};

/// Kinds that are remembered at once; what is beyond is told as it comes.
const KINDS: usize = 1024;

/// What makes alerts the same.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Kind {
    rule: RuleId,
    proxy: Endpoint,
    origin: Endpoint,
    path: Box<str>,
}

impl Kind {
    fn of(alert: &Alert) -> Self {
        let attempt = &alert.attempt;
        let last = attempt.path().last().unwrap_or(attempt.first());
        Self {
            rule: alert.rule,
            proxy: attempt.first().server.clone(),
            origin: last.server.clone(),
            path: path(attempt).into(),
        }
    }
}

/// The target without its query.
fn path(attempt: &Attempt) -> &str {
    let target = attempt.first().request.as_ref().map_or("", |request| &*request.target);
    target.split(['?', '#']).next().unwrap_or(target)
}

/// The windows that are open.
pub(super) struct Storm {
    window: Duration,
    /// What the first ones hold, in bytes, and may hold.
    memory: usize,
    memory_limit: usize,
    open: HashMap<Kind, Repeats>,
}

impl Storm {
    pub(super) fn new(window: Duration, memory_limit: usize) -> Self {
        Self { window, memory: 0, memory_limit, open: HashMap::new() }
    }

    /// The alert, where it is to be told now. Call [`Self::due`] with its time first.
    pub(super) fn take(&mut self, alert: Box<Alert>) -> Option<Box<Alert>> {
        let kind = Kind::of(&alert);
        if let Some(repeats) = self.open.get_mut(&kind) {
            repeats.count += 1;
            repeats.last_at = repeats.last_at.max(alert.at);
            return None;
        }
        let memory = alert.attempt.memory();
        if self.open.len() < KINDS && self.memory + memory <= self.memory_limit {
            let last_at = alert.at;
            self.memory += memory;
            self.open.insert(kind, Repeats { first: alert.clone(), count: 0, last_at });
        }
        Some(alert)
    }

    /// What was folded in windows that ended by now, oldest first.
    pub(super) fn due(&mut self, now: Timestamp) -> Vec<Repeats> {
        let window = self.window;
        let ended = self.open.extract_if(|_, repeats| now.since(repeats.first.at) >= window);
        sorted(ended.inspect(|(_, repeats)| self.memory -= repeats.first.attempt.memory()))
    }

    /// What was folded in all windows: nothing more comes.
    pub(super) fn rest(&mut self) -> Vec<Repeats> {
        self.memory = 0;
        sorted(self.open.drain())
    }
}

fn sorted(ended: impl Iterator<Item = (Kind, Repeats)>) -> Vec<Repeats> {
    let mut told: Vec<_> = ended.map(|(_, repeats)| repeats).filter(|repeats| repeats.count > 0).collect();
    told.sort_by_key(|repeats| (repeats.first.at, repeats.first.rule, repeats.first.attempt.id));
    told
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::{event::Event, sample};

    const LIMIT: usize = 64 << 20;

    /// A headers-dropped alert at a time.
    fn alert(ms: f64, target: &str) -> Box<Alert> {
        let attempt = Arc::new(sample::bare(1, 1, target, "10.0.0.7:53012"));
        match sample::bare_alerts(&attempt).remove(0) {
            Event::Alert(alert) => Box::new(Alert { at: sample::at(ms), ..*alert }),
            other => panic!("{other:?}"),
        }
    }

    /// Whether it is told, and what is due before it.
    fn told(storm: &mut Storm, ms: f64, target: &str) -> (bool, Vec<u64>) {
        let due = storm.due(sample::at(ms)).iter().map(|repeats| repeats.count).collect();
        (storm.take(alert(ms, target)).is_some(), due)
    }

    #[test]
    fn a_storm_is_one_line_and_a_number() {
        let mut storm = Storm::new(Duration::from_secs(10), LIMIT);
        assert_eq!(told(&mut storm, 0.0, "/ws?a=1"), (true, vec![]));
        assert_eq!(told(&mut storm, 10.0, "/ws?a=2"), (false, vec![]), "the query makes no difference");
        assert_eq!(told(&mut storm, 9_999.0, "/ws"), (false, vec![]));
        assert_eq!(told(&mut storm, 9_999.5, "/other"), (true, vec![]), "the path does");
        let due = storm.due(sample::at(10_000.0));
        let [repeats] = &due[..] else { panic!("{due:?}") };
        assert_eq!((repeats.count, repeats.first.at, repeats.last_at), (2, sample::at(0.0), sample::at(9_999.0)));
        assert_eq!(told(&mut storm, 10_001.0, "/ws"), (true, vec![]), "a new window");
        assert_eq!(told(&mut storm, 21_000.0, "/ws"), (true, vec![]), "nothing was folded: nothing is told");
    }

    #[test]
    fn the_end_tells_what_is_left_in_order() {
        let mut storm = Storm::new(Duration::from_secs(10), LIMIT);
        for (ms, target) in [(0.0, "/b"), (1.0, "/a"), (2.0, "/a"), (3.0, "/b"), (4.0, "/b"), (5.0, "/c")] {
            storm.take(alert(ms, target));
        }
        assert_eq!(storm.rest().iter().map(|repeats| repeats.count).collect::<Vec<_>>(), [2, 1]);
        assert!(storm.rest().is_empty());
    }

    #[test]
    fn time_may_step_back() {
        let mut storm = Storm::new(Duration::from_secs(10), LIMIT);
        storm.take(alert(5_000.0, "/ws"));
        storm.take(alert(4_000.0, "/ws"));
        let repeats = storm.rest().remove(0);
        assert!(repeats.last_at >= repeats.first.at);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut storm = Storm::new(Duration::from_secs(10), LIMIT);
        for number in 0..2 * KINDS {
            assert!(storm.take(alert(0.0, &format!("/{number}"))).is_some());
        }
        assert_eq!(storm.open.len(), KINDS);
        assert_eq!((storm.due(sample::at(10_000.0)).len(), storm.memory), (0, 0));
    }

    #[test]
    fn what_is_remembered_is_bounded_where_heads_are_long() {
        let mut storm = Storm::new(Duration::from_secs(10), LIMIT);
        let long = "x".repeat(60 << 10);
        for number in 0..KINDS {
            assert!(storm.take(alert(0.0, &format!("/{number}/{long}"))).is_some());
        }
        assert!((1..KINDS).contains(&storm.open.len()) && storm.memory <= LIMIT);
    }
}
