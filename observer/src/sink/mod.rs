//! Placeholder for the sinks' interface; replaced in the merge.

use std::io::{self, Write};

use crate::{engine::event::Event, tap::SharedInterfaces};

/// A set of the kinds of event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Emit(u8);

impl Emit {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Alerts.
    pub const ALERT: Self = Self(1);
    /// Attempts, once their handshake is decided.
    pub const ATTEMPT: Self = Self(1 << 1);
    /// Tunnels, once they ended.
    pub const TUNNEL: Self = Self(1 << 2);
    /// Anomalies.
    pub const ANOMALY: Self = Self(1 << 3);
    /// Counters.
    pub const STATS: Self = Self(1 << 4);

    /// This set and another.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// How to print.
#[derive(Clone, Debug)]
pub struct Options {
    /// What.
    pub emit: Emit,
    /// Whether secrets are shown.
    pub show_secrets: bool,
    /// Whether to use colour.
    pub color: bool,
    /// The taps' interfaces.
    pub interfaces: SharedInterfaces,
}

/// Why a sink failed.
#[derive(thiserror::Error, Debug)]
pub enum SinkError {
    /// The output could not be written.
    #[error("cannot write the output: {0}")]
    Write(#[from] io::Error),
}

/// How the run ended.
#[derive(Clone, Default, Debug)]
pub struct Ending {
    /// What the user should know, one sentence each.
    pub warnings: Vec<String>,
}

/// Where events go.
pub trait Sink {
    /// Takes one event.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn event(&mut self, event: &Event) -> Result<(), SinkError>;

    /// Prints what was held back.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    /// The run is over.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn finish(&mut self, ending: &Ending) -> Result<(), SinkError>;
}

struct Plain(Box<dyn Write>);

impl Sink for Plain {
    fn event(&mut self, event: &Event) -> Result<(), SinkError> {
        Ok(writeln!(self.0, "{event:?}")?)
    }

    fn finish(&mut self, _ending: &Ending) -> Result<(), SinkError> {
        writeln!(self.0, "{{}}")?;
        Ok(self.0.flush()?)
    }
}

/// One JSON object a line.
#[must_use]
pub fn json(out: Box<dyn Write>, _options: Options) -> Box<dyn Sink> {
    Box::new(Plain(out))
}

/// Text for people.
#[must_use]
pub fn text(out: Box<dyn Write>, _options: Options) -> Box<dyn Sink> {
    Box::new(Plain(out))
}

/// The schema of the JSON output.
pub mod schema {
    /// Its text.
    #[must_use]
    pub fn text() -> &'static str {
        "{}\n"
    }
}
