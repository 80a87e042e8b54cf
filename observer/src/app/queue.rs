//! The feed: a bounded queue between the thread that captures and the one that writes, so that no reader, however slow,
//! holds up capture. What does not fit is dropped, the least important first, counted and told.

mod backlog;
mod lines;
mod storm;
mod writer;

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use anyhow::Context;

pub(super) use self::lines::Lines;
use self::{
    backlog::{Backlog, Item},
    storm::Storm,
    writer::Setup,
};
use super::{complain, metrics::Board, outlet::Outlet, signals::Stop};
use crate::{
    cli::Format,
    config::Live,
    engine::{Engine, event::Event, time::Timestamp},
    sink::{Emit, Ending, Options, Repeats, SinkError},
};

/// How long the reader has at the end to take what waits. With what capture needs for its end that makes one second.
const DRAIN: Duration = Duration::from_millis(600);
/// Events that are handed over together, at most.
const BATCH: usize = 512;

/// An outlet that never waits.
pub(super) struct Queue {
    shared: Arc<Shared>,
    /// What the writer is made of, until it starts.
    setup: Option<Setup>,
    /// What is worth a place in the queue.
    wanted: Emit,
    /// What belongs together comes out together: a text report tells the alerts of one attempt as one story.
    batch: Vec<Item>,
    /// What that holds, in bytes, and what all that waits may.
    batch_memory: usize,
    memory_limit: usize,
    /// Where like alerts are folded, if they are.
    storm: Option<Storm>,
    /// Where a scraper looks, if one does.
    board: Option<Arc<Board>>,
}

impl Queue {
    pub(super) fn new(lines: Lines, live: &Live, options: Options) -> Self {
        let format = live.report.format;
        let wanted = match format {
            Format::Json => options.emit,
            // The report counts what it does not print.
            Format::Text => options.emit.with(Emit::default()),
        };
        let setup = Some(Setup { lines, format, options });
        Self {
            shared: Arc::new(Shared::new(live.feed_memory)),
            setup,
            wanted,
            batch: Vec::new(),
            batch_memory: 0,
            memory_limit: live.feed_memory,
            storm: live.aggregate.map(|window| Storm::new(window, live.feed_memory / 4)),
            board: None,
        }
    }

    /// Where to put counters for a scraper.
    pub(super) fn show(&mut self, board: Arc<Board>) {
        self.board = Some(board);
    }

    /// What opens the output again, from any thread.
    pub(super) fn reopener(&self) -> impl Fn() + Send + 'static {
        let shared = Arc::clone(&self.shared);
        move || shared.change(|state| state.reopen = true)
    }

    fn push(&mut self, item: Item) {
        self.batch_memory += item.memory();
        self.batch.push(item);
        if self.batch.len() >= BATCH || self.batch_memory >= self.memory_limit / 4 {
            self.hand_over();
        }
    }

    /// What is left of an event when like ones are folded.
    fn fold(&mut self, event: Event) -> Option<Event> {
        let Some(storm) = &mut self.storm else { return Some(event) };
        let Event::Alert(alert) = event else { return Some(event) };
        let due = storm.due(alert.at);
        let told = storm.take(alert).map(Event::Alert);
        self.repeats(due);
        told
    }

    fn repeats(&mut self, due: Vec<Repeats>) {
        due.into_iter().for_each(|repeats| self.push(Item::Repeats(Box::new(repeats))));
    }

    fn windows(&mut self, now: Timestamp) {
        if let Some(storm) = &mut self.storm {
            let due = storm.due(now);
            if !due.is_empty() {
                self.repeats(due);
                self.hand_over();
            }
        }
    }

    fn hand_over(&mut self) {
        self.batch_memory = 0;
        let Self { shared, batch, .. } = self;
        shared.change(|state| {
            for item in batch.drain(..) {
                if !state.gone {
                    state.dropped += state.backlog.push(item);
                }
            }
            state.flush = true;
        });
    }
}

impl Outlet for Queue {
    fn start(&mut self, stop: &Stop) -> anyhow::Result<()> {
        let Some(setup) = self.setup.take() else { return Ok(()) };
        if let Err(error) = setup.lines.reopen() {
            complain(&format!("warning: on SIGHUP, as things stand: {error:#}"));
        }
        let (shared, stop) = (Arc::clone(&self.shared), stop.clone());
        let run = move || writer::run(setup, &shared, stop);
        thread::Builder::new().name("writer".to_owned()).spawn(run).context("cannot start the writer")?;
        Ok(())
    }

    fn event(&mut self, event: Event) -> anyhow::Result<()> {
        if self.wanted.wants(&event)
            && let Some(event) = self.fold(event)
        {
            self.push(Item::Event(event));
        }
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        self.hand_over();
        Ok(())
    }

    fn look(&mut self, engine: &Engine) {
        if self.storm.is_none() && self.board.is_none() {
            return;
        }
        let stats = engine.stats();
        self.windows(stats.at);
        if let Some(board) = &self.board {
            board.put(stats, self.shared.dropped());
        }
    }

    fn finish(&mut self, ending: &Ending) -> anyhow::Result<()> {
        let rest = self.storm.as_mut().map(Storm::rest).unwrap_or_default();
        self.repeats(rest);
        self.hand_over();
        self.shared.change(|state| state.ending = Some(ending.clone()));
        let (ended, dropped) = self.shared.wait(DRAIN);
        if let Some(Err(SinkError::BrokenPipe)) = ended {
            return Ok(ended.unwrap_or(Ok(()))?);
        }
        if dropped > 0 {
            complain(&format!(
                "warning: {dropped} records were dropped: the reader of the output was too slow, or it could not be \
                 written"
            ));
        }
        Ok(ended.unwrap_or(Ok(()))?)
    }
}

/// What both threads see.
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    backlog: Backlog,
    /// Records that no reader will see.
    dropped: u64,
    /// A record is with the writer.
    writing: bool,
    flush: bool,
    reopen: bool,
    ending: Option<Ending>,
    /// How writing ended.
    ended: Option<Result<(), SinkError>>,
    /// There is no writer any more.
    gone: bool,
}

/// What the writer is to do next.
enum Work {
    Reopen,
    Write(Item),
    Flush,
    Finish(Ending),
}

impl State {
    fn next(&mut self) -> Option<Work> {
        self.writing = false;
        if std::mem::take(&mut self.reopen) {
            return Some(Work::Reopen);
        }
        if let Some(item) = self.backlog.pop() {
            self.writing = true;
            return Some(Work::Write(item));
        }
        if std::mem::take(&mut self.flush) {
            return Some(Work::Flush);
        }
        self.ending.take().map(Work::Finish)
    }
}

impl Shared {
    fn new(memory_limit: usize) -> Self {
        let state = State { backlog: Backlog::new(memory_limit), ..State::default() };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No step under the lock leaves it half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// Waits for work.
    fn next(&self) -> Work {
        let mut state = self.state();
        loop {
            if let Some(work) = state.next() {
                return work;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn dropped(&self) -> u64 {
        self.state().dropped
    }

    fn lose(&self, records: u64) {
        self.state().dropped += records;
    }

    fn ended(&self, ended: Result<(), SinkError>) {
        self.change(|state| state.ended = Some(ended));
    }

    fn gone(&self) {
        self.change(|state| state.gone = true);
    }

    /// Waits until the writer is gone, though not for long. Says how it ended, and what was dropped.
    fn wait(&self, most: Duration) -> (Option<Result<(), SinkError>>, u64) {
        let waited = self.changed.wait_timeout_while(self.state(), most, |state| !state.gone);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        // Who is stuck now stays so: the process ends under it.
        let left = state.backlog.len() as u64 + u64::from(state.writing);
        (state.ended.take(), state.dropped + left)
    }
}
