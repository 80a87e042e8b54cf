//! Ladders for people: each broken attempt once, in full; what is like it in a line or a number; a summary at the end.

mod clocks;
mod compare;
#[cfg(feature = "tui")]
mod detail;
mod group;
mod ladder;
mod line;
mod stack;
mod story;
mod summary;
mod words;

use std::{collections::VecDeque, io::Write};

pub(super) use self::words::count;
use self::{
    group::{Groups, Seen},
    line::{Line, Tint},
    summary::Tally,
    words::Words,
};
/// What the panes of the TUI share with the report.
#[cfg(feature = "tui")]
pub(crate) mod shared {
    pub(crate) use super::{
        clocks::sentences as clock_sentences,
        detail::{detail, paragraph},
        group::by,
        line::{Line, Tint, cut},
        words::{Words, clock, count, endpoint, exact, grouped, product, span},
    };
}
use super::{Emit, Ending, Options, Sink, SinkError, redact::Redactor};
use crate::engine::{
    alert::{Alert, Level},
    anomaly::Anomaly,
    event::{AttemptId, ClosedBy, Event, Tunnel},
};

/// Columns where there is no terminal to ask.
pub(super) const NARROW: usize = 80;
const NARROWEST: usize = 60;
const WIDEST: usize = 120;

/// How many ended tunnels are remembered, for the alerts that follow them.
const TUNNELS: usize = 256;

/// Prints events for people.
pub(super) struct TextSink {
    out: Box<dyn Write>,
    options: Options,
    width: usize,
    /// Alerts about one attempt, held back until the last of them is known.
    pending: Vec<Alert>,
    groups: Groups,
    tunnels: VecDeque<Tunnel>,
    tally: Tally,
    /// Whether anything was printed: blocks are set apart by an empty line.
    started: bool,
}

impl TextSink {
    pub(super) fn new(out: Box<dyn Write>, options: Options, width: usize) -> Self {
        Self {
            out,
            options,
            width: width.clamp(NARROWEST, WIDEST),
            pending: Vec::new(),
            groups: Groups::default(),
            tunnels: VecDeque::new(),
            tally: Tally::default(),
            started: false,
        }
    }

    fn take(&mut self, alert: &Alert) -> Result<(), SinkError> {
        self.tally.alert(alert);
        if !self.options.emit.contains(Emit::ALERT) {
            return Ok(());
        }
        if self.pending.first().is_some_and(|first| first.attempt.id != alert.attempt.id) {
            self.tell_pending()?;
        }
        self.pending.push(alert.clone());
        Ok(())
    }

    /// Prints what was held back.
    fn tell_pending(&mut self) -> Result<(), SinkError> {
        let alerts = std::mem::take(&mut self.pending);
        let (broken, notices): (Vec<_>, Vec<_>) = alerts.into_iter().partition(|alert| alert.level > Level::Notice);
        if !broken.is_empty() {
            self.tell_broken(&broken)?;
        }
        notices.iter().try_for_each(|alert| self.tell_notice(alert))
    }

    fn tell_broken(&mut self, alerts: &[Alert]) -> Result<(), SinkError> {
        let shared = self.options.interfaces.clone();
        let interfaces = shared.borrow();
        let words = self.words(&interfaces);
        let attempt = &alerts[0].attempt;
        let (lines, apart) = match self.groups.seen(alerts, &words) {
            Seen::First => (story::full(&words, alerts, self.tunnel(attempt.id)), true),
            Seen::Again(like) => (vec![story::again(&words, alerts, &like)], false),
            Seen::Round(like, times) => (vec![story::round(&words, &alerts[0], &like, times)], false),
            Seen::Counted => return Ok(()),
        };
        self.print(&lines, apart)
    }

    fn tell_notice(&mut self, alert: &Alert) -> Result<(), SinkError> {
        let shared = self.options.interfaces.clone();
        let interfaces = shared.borrow();
        let words = self.words(&interfaces);
        let lines = match self.groups.seen(std::slice::from_ref(alert), &words) {
            Seen::First | Seen::Again(_) => story::notice(&words, alert),
            Seen::Round(like, times) => vec![story::round(&words, alert, &like, times)],
            Seen::Counted => return Ok(()),
        };
        self.print(&lines, false)
    }

    fn tell_anomaly(&mut self, anomaly: &Anomaly) -> Result<(), SinkError> {
        let shared = self.options.interfaces.clone();
        let interfaces = shared.borrow();
        let lines = story::anomaly(&self.words(&interfaces), anomaly);
        self.print(&lines, false)
    }

    fn words<'a>(&self, interfaces: &'a [crate::tap::InterfaceInfo]) -> Words<'a> {
        Words { redactor: Redactor::new(self.options.show_secrets), interfaces, width: self.width }
    }

    fn tunnel(&self, id: AttemptId) -> Option<&Tunnel> {
        self.tunnels.iter().rev().find(|tunnel| tunnel.attempt.id == id)
    }

    fn remember(&mut self, tunnel: &Tunnel) {
        if !matches!(tunnel.closed_by, ClosedBy::Proxy | ClosedBy::Unknown) {
            return;
        }
        if self.tunnels.len() == TUNNELS {
            self.tunnels.pop_front();
        }
        self.tunnels.push_back(tunnel.clone());
    }

    /// Writes lines at once, so that a broken pipe cuts between blocks.
    fn print(&mut self, lines: &[Line], apart: bool) -> Result<(), SinkError> {
        let mut text = String::new();
        if apart && self.started {
            text.push('\n');
        }
        for line in lines {
            line.print(self.options.color, &mut text);
        }
        if apart {
            text.push('\n');
        }
        self.started = !apart;
        self.out.write_all(text.as_bytes())?;
        Ok(self.out.flush()?)
    }
}

impl Sink for TextSink {
    fn event(&mut self, event: &Event) -> Result<(), SinkError> {
        if let Event::Alert(alert) = event {
            return self.take(alert);
        }
        self.tell_pending()?;
        match event {
            Event::Attempt(attempt) => self.tally.attempt(attempt),
            Event::Tunnel(tunnel) => {
                self.tally.tunnel(tunnel);
                self.remember(tunnel);
            }
            Event::Stats(stats) => self.tally.stats(stats),
            Event::Anomaly(anomaly) if self.options.emit.contains(Emit::ANOMALY) => self.tell_anomaly(anomaly)?,
            Event::Anomaly(_) | Event::Alert(_) => {}
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.tell_pending()
    }

    fn finish(&mut self, ending: &Ending) -> Result<(), SinkError> {
        self.tell_pending()?;
        let more = self.groups.more();
        if !more.is_empty() {
            let lines: Vec<_> = more
                .iter()
                .flat_map(|text| line::wrap(text, self.width))
                .map(|text| Line::of(Tint::Plain, text))
                .collect();
            self.print(&lines, false)?;
        }
        let warnings = ending.warnings.iter().flat_map(|warning| story::warning(warning, self.width));
        let mut lines: Vec<_> = warnings.collect();
        if self.options.emit.contains(Emit::STATS) {
            let clocks = self.tally.clocks();
            let clocks = clocks::sentences(clocks, &self.options.interfaces.borrow());
            lines.extend(self.tally.lines(&clocks, self.width));
        }
        if self.started && !lines.is_empty() {
            lines.insert(0, Line::new());
        }
        self.print(&lines, false)
    }
}

#[cfg(test)]
mod tests;
