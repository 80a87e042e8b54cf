//! The progress bar of a long run: on standard error, on a terminal, and not in the first second.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::Progress;

/// Runs shorter than this show no bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// A bar, or none.
pub(super) struct Bar {
    size: Option<u64>,
    started: Instant,
    wanted: bool,
    bar: Option<ProgressBar>,
}

impl Bar {
    /// `size` is that of all captures, in bytes; `None` where a pipe is among them.
    #[expect(clippy::disallowed_methods, reason = "how long the user has been waiting is no capture time")]
    pub(super) fn new(progress: Progress, size: Option<u64>) -> Self {
        let wanted = progress == Progress::Auto && std::io::stderr().is_terminal();
        Self { size, started: Instant::now(), wanted, bar: None }
    }

    /// So many bytes were read.
    pub(super) fn tick(&mut self, read: u64) {
        if !self.wanted || (self.bar.is_none() && self.started.elapsed() < PATIENCE) {
            return;
        }
        self.bar.get_or_insert_with(|| open(self.size)).set_position(read);
    }

    /// Prints something while the bar is out of the way.
    pub(super) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Takes the bar away.
    pub(super) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn open(size: Option<u64>) -> ProgressBar {
    let (bar, template) = match size {
        Some(size) => (ProgressBar::new(size), "{wide_bar} {bytes} of {total_bytes}, {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes} read"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
