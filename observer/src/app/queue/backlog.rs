//! What waits to be written, in order and bounded. When it is full the least important goes first: counters, then facts,
//! and alerts last.

use std::collections::VecDeque;

use crate::{engine::event::Event, sink::Repeats};

/// Records that may wait.
pub(super) const RECORDS: usize = 8192;
/// What a record costs beside its attempt, in bytes.
const RECORD: usize = 512;

/// One thing to write.
#[derive(Debug)]
pub(super) enum Item {
    Event(Event),
    Repeats(Box<Repeats>),
}

impl Item {
    /// The lane: higher is kept longer.
    const fn lane(&self) -> usize {
        match self {
            Self::Event(Event::Stats(_)) => 0,
            Self::Event(Event::Attempt(_) | Event::Tunnel(_) | Event::Anomaly(_)) => 1,
            Self::Event(Event::Alert(_)) | Self::Repeats(_) => 2,
        }
    }

    /// An attempt that several records share is counted with each of them.
    pub(super) fn memory(&self) -> usize {
        RECORD
            + match self {
                Self::Event(Event::Attempt(attempt)) => attempt.memory(),
                Self::Event(Event::Tunnel(tunnel)) => tunnel.attempt.memory(),
                Self::Event(Event::Alert(alert)) => alert.attempt.memory(),
                Self::Repeats(repeats) => repeats.first.attempt.memory(),
                Self::Event(Event::Anomaly(_) | Event::Stats(_)) => 0,
            }
    }
}

struct Waiting {
    order: u64,
    memory: usize,
    item: Item,
}

/// The queue itself.
#[derive(Default)]
pub(super) struct Backlog {
    lanes: [VecDeque<Waiting>; 3],
    pushed: u64,
    memory: usize,
    memory_limit: usize,
}

impl Backlog {
    /// A queue whose records hold at most `memory_limit` bytes: heads may be long.
    pub(super) fn new(memory_limit: usize) -> Self {
        Self { lanes: Default::default(), pushed: 0, memory: 0, memory_limit }
    }

    /// Adds an item; says how many had to be dropped for it, itself perhaps among them.
    pub(super) fn push(&mut self, item: Item) -> u64 {
        let (lane, memory) = (item.lane(), item.memory());
        self.lanes[lane].push_back(Waiting { order: self.pushed, memory, item });
        self.pushed += 1;
        self.memory += memory;
        let mut dropped = 0;
        while self.len() > RECORDS || (self.memory > self.memory_limit && self.len() > 1) {
            let least = self.lanes.iter().position(|lane| !lane.is_empty());
            least.and_then(|lane| self.take(lane));
            dropped += 1;
        }
        dropped
    }

    /// The oldest item of all.
    pub(super) fn pop(&mut self) -> Option<Item> {
        let lanes = self.lanes.iter().enumerate();
        let fronts = lanes.filter_map(|(lane, waiting)| Some((waiting.front()?.order, lane)));
        let (_, lane) = fronts.min()?;
        self.take(lane)
    }

    pub(super) fn len(&self) -> usize {
        self.lanes.iter().map(VecDeque::len).sum()
    }

    fn take(&mut self, lane: usize) -> Option<Item> {
        let waiting = self.lanes[lane].pop_front()?;
        self.memory -= waiting.memory;
        Some(waiting.item)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::sample;

    const LIMIT: usize = 64 << 20;

    fn stats() -> Item {
        Item::Event(Event::Stats(Box::default()))
    }

    fn attempt(target: &str) -> Item {
        Item::Event(Event::Attempt(Arc::new(sample::bare(1, 1, target, "10.0.0.7:53012"))))
    }

    fn alert() -> Item {
        let attempt = Arc::new(sample::bare(1, 1, "/ws", "10.0.0.7:53012"));
        Item::Event(sample::bare_alerts(&attempt).remove(0))
    }

    fn kinds(backlog: &mut Backlog) -> Vec<usize> {
        std::iter::from_fn(|| backlog.pop()).map(|item| item.lane()).collect()
    }

    #[test]
    fn order_is_kept_over_kinds() {
        let mut backlog = Backlog::new(LIMIT);
        for item in [alert(), stats(), attempt("/"), alert(), stats()] {
            assert_eq!(backlog.push(item), 0);
        }
        assert_eq!(kinds(&mut backlog), [2, 0, 1, 2, 0]);
        assert_eq!((backlog.len(), backlog.memory), (0, 0));
    }

    #[test]
    fn the_least_goes_first_and_alerts_last() {
        let mut backlog = Backlog::new(LIMIT);
        backlog.push(stats());
        backlog.push(attempt("/"));
        (2..RECORDS).for_each(|_| assert_eq!(backlog.push(alert()), 0));
        assert_eq!(backlog.push(alert()), 1);
        assert!(backlog.lanes[0].is_empty() && backlog.lanes[1].len() == 1, "counters first");
        assert_eq!(backlog.push(alert()), 1);
        assert!(backlog.lanes[1].is_empty(), "then facts");
        assert_eq!((backlog.push(stats()), backlog.lanes[0].len()), (1, 0), "what is worth less than all, itself");
        assert_eq!(backlog.push(alert()), 1);
        assert_eq!(backlog.lanes[2].front().unwrap().order, 3, "then the oldest alert");
        assert_eq!(backlog.len(), RECORDS);
    }

    #[test]
    fn long_heads_count() {
        let mut backlog = Backlog::new(LIMIT);
        let long = "x".repeat(60 << 10);
        let dropped: u64 = (0..2000).map(|_| backlog.push(attempt(&long))).sum();
        assert!(dropped > 0 && backlog.memory <= LIMIT, "{dropped} {}", backlog.memory);
    }
}
