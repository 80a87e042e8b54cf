//! The loop of the screens: takes in what the engine told and what keys ask for, and draws when something changed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossterm::event::{self, Event as Input};

use super::{
    Setup, evidence,
    feed::Inbox,
    keys::action,
    look::Look,
    state::{Effect, Row, State},
    terminal::{self, Screen},
    view,
};
use crate::sink::text::shared::Tint;

/// At most 60 redraws a second; where only counters move, fewer do.
const FRAME: Duration = Duration::from_micros(16_667);
const CALM: Duration = Duration::from_millis(50);
/// Events and keys taken in before the other side has its turn.
const BATCH: usize = 2048;
const KEYS: usize = 64;

/// What a job on another thread has to say at its end.
type Said = (Tint, String);

/// One run of the screens.
pub(super) struct Session {
    state: State,
    inbox: Inbox,
    setup: Setup,
    jobs: (Sender<Said>, Receiver<Said>),
    /// Set when the source ended with an error.
    failed: Arc<AtomicBool>,
    /// Whether there is something new to draw.
    dirty: bool,
    /// Whether a person waits for it.
    at_once: bool,
}

impl Session {
    pub(super) fn new(setup: Setup, inbox: Inbox, failed: Arc<AtomicBool>) -> Self {
        let state = State::new(setup.source.clone(), setup.show_secrets, setup.relative);
        Self { state, inbox, setup, jobs: mpsc::channel(), failed, dirty: true, at_once: true }
    }

    /// Shows the screens until there is a reason to leave.
    pub(super) fn show<T>(
        &mut self,
        screen: &mut Screen,
        stop: &AtomicBool,
        engine: &JoinHandle<anyhow::Result<T>>,
    ) -> anyhow::Result<()> {
        let mut drawn: Option<Instant> = None;
        while !stop.load(Ordering::Relaxed) && !self.failed.load(Ordering::Relaxed) && !terminal::panicked() {
            let ended = engine.is_finished();
            let behind = self.take_in();
            if ended && !behind && !self.state.finished {
                (self.state.finished, self.dirty) = (true, true);
            }
            let pace = if self.at_once { FRAME } else { CALM };
            let left = drawn.map_or(Duration::ZERO, |drawn| pace.saturating_sub(drawn.elapsed()));
            if self.dirty && left.is_zero() {
                self.draw(screen)?;
                drawn = Some(now());
            }
            let wait = match (behind, self.dirty) {
                (true, _) => Duration::ZERO,
                (_, true) => left,
                _ => CALM,
            };
            if event::poll(wait)? && self.keys()? {
                break;
            }
        }
        Ok(())
    }

    fn draw(&mut self, screen: &mut Screen) -> anyhow::Result<()> {
        let look = Look { color: self.setup.color };
        self.state.settle();
        screen.terminal.draw(|frame| view::draw(frame, &mut self.state, look))?;
        (self.dirty, self.at_once) = (false, false);
        Ok(())
    }

    /// Takes in what the engine told. Whether there is more.
    fn take_in(&mut self) -> bool {
        let mut taken = 0;
        while taken < BATCH
            && let Some(event) = self.inbox.event()
        {
            self.state.apply(&event);
            taken += 1;
        }
        self.dirty |= taken > 0;
        if let Some(snapshot) = self.inbox.snapshot() {
            self.state.lost = self.inbox.dropped();
            self.state.tick(snapshot);
            self.dirty = true;
        }
        let warnings = self.inbox.warnings().into_iter().map(|text| (Tint::Doubt, text));
        for (tint, text) in warnings.chain(self.jobs.1.try_iter()) {
            self.state.tell(tint, text);
            (self.dirty, self.at_once) = (true, true);
        }
        taken == BATCH
    }

    /// Does what the keys that wait ask for. Whether to quit.
    fn keys(&mut self) -> anyhow::Result<bool> {
        for _ in 0..KEYS {
            match event::read()? {
                Input::Key(key) => {
                    if let Some(action) = action(self.state.mode(), key)
                        && let Some(effect) = self.state.act(action)
                        && self.effect(effect)
                    {
                        return Ok(true);
                    }
                }
                Input::Resize(..) => {}
                _ => continue,
            }
            (self.dirty, self.at_once) = (true, true);
            if !event::poll(Duration::ZERO)? {
                break;
            }
        }
        Ok(false)
    }

    /// Does what the state cannot. Whether to quit.
    fn effect(&mut self, effect: Effect) -> bool {
        match effect {
            Effect::Quit => return true,
            Effect::Copy(row) => {
                let interfaces = &self.state.shown.interfaces;
                let (tint, text) = said(evidence::copy(&row, interfaces, self.setup.show_secrets));
                self.state.tell(tint, text);
            }
            Effect::Export(row) => self.export(row),
        }
        false
    }

    /// Exports on a thread of its own: a capture may be long.
    fn export(&mut self, row: Box<Row>) {
        self.state.tell(Tint::Plain, "exporting …");
        let (setup, interfaces) = (self.setup.clone(), self.state.shown.interfaces.clone());
        let done = self.jobs.0.clone();
        let job = move || {
            let wrote = evidence::export(&row, &interfaces, &setup);
            // Nobody waits for it any more: then it need not be told.
            let _ = done.send(said(wrote));
        };
        if let Err(error) = thread::Builder::new().name("export".to_owned()).spawn(job) {
            self.state.tell(Tint::Bad, format!("cannot export: {error}"));
        }
    }
}

fn said(result: anyhow::Result<String>) -> Said {
    match result {
        Ok(text) => (Tint::Good, text),
        Err(error) => (Tint::Bad, format!("{error:#}")),
    }
}

#[expect(clippy::disallowed_methods, reason = "how often a screen is drawn is no capture time")]
fn now() -> Instant {
    Instant::now()
}
