//! From the engine's thread to the screen: a bounded queue of events, and the latest snapshot of everything else. The
//! engine never waits for the screen while it watches live; what did not fit is counted.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    time::{Duration, Instant},
};

use crate::{
    engine::{
        Engine,
        alert::Level,
        event::{Event, OpenTunnel, Stats},
    },
    tap::InterfaceInfo,
};

/// Events that may wait for the screen.
const QUEUE: usize = 8192;
/// How often a snapshot is taken at most.
const EVERY: Duration = Duration::from_millis(100);
/// The part of the engine's time that snapshots may take: one in so many.
const SHARE: u32 = 20;

/// What happens to events when the screen is slow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Overflow {
    /// They wait: a file has time.
    Wait,
    /// They are dropped and counted: the wire does not wait.
    Drop,
}

/// How things stand.
#[derive(Clone, Default, Debug)]
pub(super) struct Snapshot {
    pub(super) stats: Stats,
    pub(super) tunnels: Vec<OpenTunnel>,
    pub(super) interfaces: Vec<InterfaceInfo>,
    /// Bytes read, and of how many.
    pub(super) progress: Option<(u64, Option<u64>)>,
    /// Since the start, by the clock on the wall.
    pub(super) elapsed: Duration,
}

/// Both ends share this.
#[derive(Default, Debug)]
struct Board {
    latest: Mutex<Option<Box<Snapshot>>>,
    warnings: Mutex<Vec<String>>,
    dropped: AtomicU64,
    closed: AtomicBool,
}

/// The engine's end.
#[derive(Debug)]
pub struct Feed {
    events: SyncSender<Event>,
    board: Arc<Board>,
    overflow: Overflow,
    started: Instant,
    next: Duration,
    worst: Option<Level>,
}

/// The screen's end. Dropping it tells the engine's thread to end.
#[derive(Debug)]
pub(super) struct Inbox {
    events: Receiver<Event>,
    board: Arc<Board>,
}

/// Both ends.
#[expect(clippy::disallowed_methods, reason = "how often the screen is told of is no capture time")]
pub(super) fn feed(overflow: Overflow) -> (Feed, Inbox) {
    let (sender, receiver) = sync_channel(QUEUE);
    let board = Arc::new(Board::default());
    let inbox = Inbox { events: receiver, board: Arc::clone(&board) };
    (Feed { events: sender, board, overflow, started: Instant::now(), next: Duration::ZERO, worst: None }, inbox)
}

impl Feed {
    /// Passes on one event.
    pub fn event(&mut self, event: Event) {
        if let Event::Alert(alert) = &event {
            self.worst = self.worst.max(Some(alert.level));
        }
        // An error means that the screen is gone; `is_closed` tells.
        if self.overflow == Overflow::Wait {
            let _ = self.events.send(event);
        } else if let Err(TrySendError::Full(_)) = self.events.try_send(event) {
            self.board.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Passes on all events that the engine has ready.
    pub fn events(&mut self, engine: &mut Engine) {
        while let Some(event) = engine.poll_event() {
            self.event(event);
        }
    }

    /// Takes a snapshot, where the last one is old enough. Cheap when it is not, but for a look at the clock.
    pub fn refresh(&mut self, engine: &Engine, interfaces: &[InterfaceInfo], progress: Option<(u64, Option<u64>)>) {
        if self.started.elapsed() >= self.next {
            self.publish(engine, interfaces, progress);
        }
    }

    /// Takes a snapshot now.
    pub fn publish(&mut self, engine: &Engine, interfaces: &[InterfaceInfo], progress: Option<(u64, Option<u64>)>) {
        let begun = self.started.elapsed();
        self.put(engine, engine.tunnels(), interfaces, progress);
        let ended = self.started.elapsed();
        self.next = ended + EVERY.max((ended - begun) * SHARE);
    }

    /// Lets the engine judge what is left, and tells the tunnels that were open until then.
    pub fn finish(&mut self, engine: &mut Engine, interfaces: &[InterfaceInfo], progress: Option<(u64, Option<u64>)>) {
        // What was decided by now, but waited for late frames.
        engine.handle_timeout(engine.stats().at);
        let tunnels = engine.tunnels();
        engine.finish();
        self.events(engine);
        self.put(engine, tunnels, interfaces, progress);
    }

    /// Tells the user of something that went wrong, and not so wrong that it is the end.
    pub fn warn(&self, warning: String) {
        self.board.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(warning);
    }

    fn put(
        &self,
        engine: &Engine,
        tunnels: Vec<OpenTunnel>,
        interfaces: &[InterfaceInfo],
        progress: Option<(u64, Option<u64>)>,
    ) {
        let elapsed = self.started.elapsed();
        let snapshot = Snapshot { stats: engine.stats(), tunnels, interfaces: interfaces.to_vec(), progress, elapsed };
        *self.board.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(snapshot));
    }

    /// The worst level of the alerts so far.
    #[must_use]
    pub const fn worst(&self) -> Option<Level> {
        self.worst
    }

    /// Whether nobody looks any more: time to end.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.board.closed.load(Ordering::Relaxed)
    }
}

impl Inbox {
    /// The next event that waits.
    pub(super) fn event(&self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// The latest snapshot, once.
    pub(super) fn snapshot(&self) -> Option<Snapshot> {
        let latest = self.board.latest.lock().unwrap_or_else(PoisonError::into_inner).take();
        latest.map(|snapshot| *snapshot)
    }

    /// What went wrong since the last time.
    pub(super) fn warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.board.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Events that did not fit so far.
    pub(super) fn dropped(&self) -> u64 {
        self.board.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.board.closed.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted_and_the_latest_snapshot_wins() {
        let (mut feed, inbox) = feed(Overflow::Drop);
        for _ in 0..QUEUE + 3 {
            feed.event(Event::Stats(Box::default()));
        }
        assert_eq!(inbox.dropped(), 3);
        assert_eq!(std::iter::from_fn(|| inbox.event()).count(), QUEUE);
        let engine = Engine::new(crate::engine::Config::default());
        feed.publish(&engine, &[], Some((1, None)));
        feed.publish(&engine, &[], Some((2, None)));
        assert_eq!(inbox.snapshot().unwrap().progress, Some((2, None)));
        assert!(inbox.snapshot().is_none());
        drop(inbox);
        assert!(feed.is_closed());
    }
}
