//! One run of the engine, whatever feeds it: events go to the outlet, and what goes wrong on the way is told once.

use super::{ALERTED, FAILED, complain, outlet::Outlet, progress::Bar};
#[cfg(feature = "pcap")]
use crate::{
    engine::demand::Demand,
    tap::{Seen, Watcher},
};
use crate::{
    engine::{Engine, alert::Level, event::Event, frame::Frame},
    sink::Ending,
    tap::TapError,
};

/// An engine and what goes around it.
pub(super) struct Session {
    pub(super) engine: Engine,
    pub(super) bar: Bar,
    outlet: Box<dyn Outlet>,
    wants_frames: bool,
    /// Whether a person sees the report as it is written.
    on_terminal: bool,
    worst: Option<Level>,
    warnings: Vec<String>,
    failed: bool,
}

#[cfg(feature = "pcap")]
impl Watcher for Session {
    fn seen(&mut self, seen: Seen<'_>) {
        match seen {
            Seen::Frame(frame) => self.frame(frame),
            Seen::Activity(activity) => self.engine.handle_activity(activity),
            Seen::Skipped(skipped) => self.engine.handle_skipped(skipped),
            Seen::LeftOut(requests) => self.engine.handle_left_out(requests),
            Seen::Control(control) => self.engine.handle_control(control),
            Seen::Owner(owner) => self.engine.handle_owner(owner),
        }
    }

    fn demand(&mut self) -> Option<Demand> {
        self.engine.poll_demand()
    }
}

impl Session {
    pub(super) fn new(engine: Engine, outlet: Box<dyn Outlet>, on_terminal: bool, bar: Bar) -> Self {
        let wants_frames = outlet.wants_frames();
        Self { engine, bar, outlet, wants_frames, on_terminal, worst: None, warnings: Vec::new(), failed: false }
    }

    #[inline]
    pub(super) fn frame(&mut self, frame: &Frame<'_>) {
        if self.wants_frames {
            self.outlet.frame(frame);
        }
        self.engine.handle_frame(frame);
    }

    /// Takes a frame of which only the first bytes are there, if nobody needs the rest.
    #[inline]
    pub(super) fn passes(&mut self, head: &Frame<'_>) -> bool {
        !self.wants_frames && self.engine.pass_frame(head)
    }

    /// Hands on all events that are ready. With `prompt`, somebody may be waiting for them.
    #[inline]
    pub(super) fn emit(&mut self, prompt: bool) -> anyhow::Result<()> {
        match self.engine.poll_event() {
            Some(first) => self.emit_all(first, prompt),
            None => Ok(()),
        }
    }

    #[cold]
    fn emit_all(&mut self, first: Event, prompt: bool) -> anyhow::Result<()> {
        let mut next = Some(first);
        while let Some(event) = next {
            self.event(event)?;
            next = self.engine.poll_event();
        }
        if prompt { self.outlet.flush() } else { Ok(()) }
    }

    /// One event, from the engine or made beside it.
    pub(super) fn event(&mut self, event: Event) -> anyhow::Result<()> {
        if let Event::Alert(alert) = &event {
            self.worst = self.worst.max(Some(alert.level));
        }
        let Self { bar, outlet, .. } = self;
        bar.aside(|| outlet.event(event))
    }

    /// Whether somebody watches what is open.
    #[cfg(feature = "pcap")]
    pub(super) fn is_watched(&self) -> bool {
        self.outlet.is_watched()
    }

    #[cfg(feature = "pcap")]
    /// A chance for the outlet to look at the engine.
    pub(super) fn look(&mut self) {
        self.outlet.look(&self.engine);
    }

    /// Judges what is left, and ends the output.
    pub(super) fn finish(&mut self) -> anyhow::Result<()> {
        self.engine.finish();
        self.emit(false)?;
        self.bar.clear();
        // Where standard error and the report meet on a terminal, once is enough.
        let warnings = if self.on_terminal { Vec::new() } else { std::mem::take(&mut self.warnings) };
        self.outlet.finish(&Ending { warnings })
    }

    /// What the program ends with.
    pub(super) fn code(&self, fail_on: Option<Level>) -> u8 {
        let alerted = fail_on.is_some_and(|level| self.worst >= Some(level));
        match (self.failed, alerted) {
            (true, _) => FAILED,
            (false, true) => ALERTED,
            (false, false) => 0,
        }
    }

    #[cold]
    pub(super) fn note(&mut self, error: &TapError) {
        if error.is_warning() {
            return self.warn(error.to_string());
        }
        self.failed = true;
        self.say(&format!("error: {error}"));
        self.warnings.push(error.to_string());
    }

    pub(super) fn warn(&mut self, warning: String) {
        self.say(&format!("warning: {warning}"));
        self.warnings.push(warning);
    }

    /// A line for the user, now.
    pub(super) fn say(&mut self, line: &str) {
        if !self.outlet.notice(line) {
            self.bar.aside(|| complain(line));
        }
    }
}
