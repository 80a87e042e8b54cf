//! The thread that writes: it may be as slow as the reader is, and no failure to write ends the run but that of a reader
//! that went away.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Lines, Shared, Work, backlog::Item};
use crate::{
    app::{complain, signals::Stop},
    cli::Format,
    engine::event::Event,
    sink::{self, Options, Sink, SinkError},
};

/// How often, at most, it is told that writing fails.
const TELL: Duration = Duration::from_secs(60);

/// What the thread needs to begin.
pub(super) struct Setup {
    pub(super) lines: Lines,
    pub(super) format: Format,
    pub(super) options: Options,
}

/// The whole life of the thread.
pub(super) fn run(setup: Setup, shared: &Arc<Shared>, stop: Stop) {
    // Dropped last, also by a panic.
    let _over = Over { shared: Arc::clone(shared), stop };
    let Setup { lines, format, options } = setup;
    let out = Box::new(lines.clone());
    let sink = match format {
        Format::Text => sink::text(out, options),
        Format::Json => sink::json(out, options),
    };
    let mut writer = Writer { sink, shared, trouble: None, told: None };
    let ended = writer.work(&lines);
    shared.ended(ended);
}

/// Tells that nothing is written any more: then there is no reason to go on.
struct Over {
    shared: Arc<Shared>,
    stop: Stop,
}

impl Drop for Over {
    fn drop(&mut self) {
        self.shared.gone();
        self.stop.set();
    }
}

struct Writer<'a> {
    sink: Box<dyn Sink>,
    shared: &'a Shared,
    /// Why the last record could not be written, where it could not.
    trouble: Option<SinkError>,
    told: Option<Instant>,
}

impl Writer<'_> {
    fn work(&mut self, lines: &Lines) -> Result<(), SinkError> {
        loop {
            match self.shared.next() {
                Work::Reopen => {
                    if let Err(error) = lines.reopen() {
                        complain(&format!("warning: {error:#}"));
                    }
                }
                Work::Write(item) => self.write(&item)?,
                Work::Flush => {
                    let flushed = self.sink.flush();
                    self.note(flushed)?;
                }
                Work::Finish(ending) => {
                    let finished = self.sink.finish(&ending);
                    self.note(finished)?;
                    return self.trouble.take().map_or(Ok(()), Err);
                }
            }
        }
    }

    fn write(&mut self, item: &Item) -> Result<(), SinkError> {
        let written = match item {
            Item::Event(event) => {
                if matches!(event, Event::Stats(_)) {
                    self.sink.dropped(self.shared.dropped());
                }
                self.sink.event(event)
            }
            Item::Repeats(repeats) => self.sink.repeats(repeats),
        };
        let wrote = written.is_ok();
        self.note(written)?;
        if wrote && let Some(error) = self.trouble.take() {
            let dropped = self.shared.dropped();
            self.tell(&format!("the output can be written again after: {error}; {dropped} records dropped so far"));
        }
        Ok(())
    }

    /// Counts a failure, and goes on; but without a reader there is nobody to go on for.
    fn note(&mut self, result: Result<(), SinkError>) -> Result<(), SinkError> {
        let Err(error) = result else { return Ok(()) };
        if error.is_broken_pipe() {
            return Err(error);
        }
        self.shared.lose(1);
        if self.trouble.is_none() && self.told.is_none_or(|told| told.elapsed() >= TELL) {
            self.told = Some(now());
            self.tell(&format!("warning: {error}. Capture goes on, and what is lost is counted"));
        }
        self.trouble = Some(error);
        Ok(())
    }

    fn tell(&self, line: &str) {
        complain(line);
    }
}

#[expect(clippy::disallowed_methods, reason = "how often a user is told is no capture time")]
fn now() -> Instant {
    Instant::now()
}
