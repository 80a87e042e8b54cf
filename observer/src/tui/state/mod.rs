//! What the screen shows, without a screen: events, snapshots and actions go in; the views read it. Nothing here costs
//! more when there are more attempts, but for a filter that is widened.

mod alerts;
mod attempts;
mod filter;
mod list;
mod tunnels;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use tui_input::Input;

pub(super) use self::{
    alerts::{Alerts, Group},
    attempts::{Attempts, Row},
    list::{Rows, Window},
    tunnels::{Countdown, Tunnels},
};
use super::{
    feed::Snapshot,
    keys::{Action, Mode, Pane, Step},
};
use crate::{
    engine::{
        event::{AttemptId, Event},
        time::Timestamp,
    },
    sink::{redact::Redactor, text::shared::Tint},
};

/// What cannot be done inside.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    Quit,
    /// Put this attempt on the clipboard.
    Copy(Box<Row>),
    /// Write this attempt to files.
    Export(Box<Row>),
}

/// Everything.
#[derive(Debug)]
pub(super) struct State {
    /// What is watched, in words.
    pub(super) source: String,
    pub(super) redactor: Redactor,
    pub(super) pane: Pane,
    pub(super) attempts: Attempts,
    pub(super) alerts: Alerts,
    pub(super) tunnels: Tunnels,
    /// One for each pane.
    pub(super) windows: [Window; 3],
    /// Whether the keys go to the detail of the selected attempt.
    pub(super) in_detail: bool,
    pub(super) detail: Window,
    /// Lines of the detail, as last drawn.
    pub(super) detail_lines: usize,
    /// The filter while it is typed.
    pub(super) typing: Option<Input>,
    pub(super) help: bool,
    pub(super) paused: bool,
    /// Whether all input was read.
    pub(super) finished: bool,
    /// Whether times are told since the first frame.
    pub(super) relative: bool,
    /// The last thing to tell the user.
    pub(super) message: Option<(Tint, String)>,
    pub(super) shown: Snapshot,
    /// Frames a second.
    pub(super) rate: f64,
    /// Events that the screen was too slow for.
    pub(super) lost: u64,
    /// Frames and time of some snapshots before, for the rate.
    marks: VecDeque<(f64, u64)>,
}

impl State {
    pub(super) fn new(source: String, show_secrets: bool, relative: bool) -> Self {
        let redactor = Redactor::new(show_secrets);
        Self {
            source,
            redactor,
            pane: Pane::default(),
            attempts: Attempts::new(redactor),
            alerts: Alerts::new(redactor),
            tunnels: Tunnels::default(),
            windows: [Window::default(); 3],
            in_detail: false,
            detail: Window::default(),
            detail_lines: 0,
            typing: None,
            help: false,
            paused: false,
            finished: false,
            relative,
            message: None,
            shown: Snapshot::default(),
            rate: 0.0,
            lost: 0,
            marks: VecDeque::new(),
        }
    }

    /// Takes an event.
    pub(super) fn apply(&mut self, event: &Event) {
        match event {
            Event::Attempt(attempt) => self.attempts.add(attempt),
            Event::Tunnel(tunnel) => self.attempts.tunnel(tunnel),
            Event::Alert(alert) => {
                self.attempts.alert(alert);
                self.alerts.add(alert);
            }
            Event::Anomaly(_) | Event::Stats(_) => {}
        }
    }

    /// Takes how things stand now.
    pub(super) fn tick(&mut self, mut snapshot: Snapshot) {
        let now = snapshot.elapsed.as_secs_f64();
        self.marks.push_back((now, snapshot.stats.frames));
        while self.marks.len() > 2 && self.marks.front().is_some_and(|(then, _)| now - then > 1.5) {
            self.marks.pop_front();
        }
        if self.paused {
            return;
        }
        self.rate = rate(&self.marks);
        // At the end of a capture the engine closes its books; what was open then is still worth seeing.
        if !self.finished {
            self.tunnels.set(std::mem::take(&mut snapshot.tunnels), snapshot.stats.at);
        }
        self.shown = snapshot;
    }

    /// Brings the lists up to date; to be called before drawing.
    pub(super) fn settle(&mut self) {
        self.alerts.settle();
    }

    #[cfg(test)]
    pub(super) fn show_detail(&mut self, id: u64) {
        self.go_to(&[AttemptId(id)]);
    }

    /// What came since the view was frozen: attempts and alerts.
    pub(super) fn unseen(&self) -> (u64, u64) {
        (self.attempts.unseen(), self.alerts.unseen())
    }

    /// Where times count from.
    pub(super) fn origin(&self) -> Option<Timestamp> {
        self.shown.stats.first_at.filter(|_| self.relative)
    }

    pub(super) const fn mode(&self) -> Mode {
        match (self.help, &self.typing) {
            (true, _) => Mode::Help,
            (_, Some(_)) => Mode::Typing,
            _ => Mode::Browse,
        }
    }

    pub(super) fn tell(&mut self, tint: Tint, text: impl Into<String>) {
        self.message = Some((tint, text.into()));
    }

    /// Does what a key asked for.
    pub(super) fn act(&mut self, action: Action) -> Option<Effect> {
        self.message = None;
        self.settle();
        match action {
            Action::Move(step) => self.step(step),
            Action::Show(pane) => self.show(pane),
            Action::NextPane => self.show(self.pane.next()),
            Action::PreviousPane => self.show(self.pane.previous()),
            Action::Open => self.open(),
            Action::Back => self.back(),
            Action::Filter => self.start_typing(),
            Action::Edit(request) => self.edit(request),
            Action::Accept => self.typing = None,
            Action::Pause => self.pause(),
            Action::Help => self.help = true,
            Action::Clock => self.relative = !self.relative,
            Action::Quit => return Some(Effect::Quit),
            Action::Copy => return self.selected().map(Effect::Copy),
            Action::Export => return self.selected().map(Effect::Export),
        }
        None
    }

    fn step(&mut self, step: Step) {
        if self.in_detail {
            let last = self.detail_lines.saturating_sub(self.detail.page);
            self.detail.top = list::moved(self.detail.top, step, self.detail.page, last);
            return;
        }
        let page = self.windows[self.pane as usize].page;
        match self.pane {
            Pane::Attempts => {
                list::step(&mut self.attempts, step, page);
                self.detail.top = 0;
            }
            Pane::Alerts => list::step(&mut self.alerts, step, page),
            Pane::Tunnels => list::step(&mut self.tunnels, step, page),
        }
    }

    fn show(&mut self, pane: Pane) {
        self.pane = pane;
        self.in_detail = false;
    }

    fn open(&mut self) {
        match self.pane {
            Pane::Attempts => self.in_detail |= self.attempts.len() > 0,
            Pane::Alerts => {
                let Some((first, last)) = self.alerts.selected().map(|group| (group.first, group.last)) else { return };
                self.go_to(&[first, last]);
            }
            Pane::Tunnels => {
                let Some(id) = self.tunnels.selected().map(|tunnel| tunnel.attempt.id) else { return };
                self.go_to(&[id]);
            }
        }
    }

    /// Opens the first of these attempts that is still held.
    fn go_to(&mut self, ids: &[AttemptId]) {
        if ids.iter().any(|id| self.attempts.go_to(*id)) {
            self.show(Pane::Attempts);
            (self.in_detail, self.detail.top) = (true, 0);
        } else {
            self.tell(Tint::Doubt, "that attempt is not held any more");
        }
    }

    fn back(&mut self) {
        if self.help {
            self.help = false;
        } else if self.typing.take().is_some() {
            self.attempts.filter("");
        } else if self.in_detail {
            self.in_detail = false;
        } else if self.pane == Pane::Attempts {
            self.attempts.filter("");
        } else {
            self.show(Pane::Attempts);
        }
    }

    fn start_typing(&mut self) {
        self.show(Pane::Attempts);
        self.typing = Some(Input::new(self.attempts.filter_text().to_owned()));
    }

    fn edit(&mut self, request: tui_input::InputRequest) {
        let Some(input) = &mut self.typing else { return };
        if input.handle(request).is_some_and(|change| change.value) {
            self.attempts.filter(input.value());
            self.detail.top = 0;
        }
    }

    fn pause(&mut self) {
        self.paused = !self.paused;
        self.attempts.freeze(self.paused);
        self.alerts.freeze(self.paused);
    }

    /// The selected attempt, or the one that the selected row is about.
    fn selected(&mut self) -> Option<Box<Row>> {
        let row = match self.pane {
            Pane::Attempts => self.attempts.selected(),
            Pane::Alerts => self.alerts.selected().and_then(|group| self.attempts.by_id(group.first)),
            Pane::Tunnels => self.tunnels.selected().and_then(|tunnel| self.attempts.by_id(tunnel.attempt.id)),
        };
        let row = row.cloned().map(Box::new);
        if row.is_none() {
            self.tell(Tint::Doubt, "no attempt is selected");
        }
        row
    }
}

/// Frames a second between the oldest and the newest mark.
fn rate(marks: &VecDeque<(f64, u64)>) -> f64 {
    let (Some((from, before)), Some((to, after))) = (marks.front(), marks.back()) else { return 0.0 };
    #[expect(clippy::cast_precision_loss, reason = "nobody reads a rate to sixteen digits")]
    let frames = after.saturating_sub(*before) as f64;
    if to > from { frames / (to - from) } else { 0.0 }
}
