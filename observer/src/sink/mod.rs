//! Where events go: each sink turns the facts of the engine into one kind of output. What both share (the choice of
//! events, redaction, escaping) is here and in [`redact`] and [`escape`]; a sink knows nothing of packets.

pub mod escape;
mod json;
pub(crate) mod reason;
pub mod redact;
pub mod schema;
pub(crate) mod text;
pub(crate) mod wall;

#[cfg(test)]
mod outputs;

use std::io::{self, Write};

use crate::{
    engine::{alert::Alert, event::Event, frame::ClockId, time::Timestamp},
    tap::{InterfaceInfo, SharedInterfaces},
};

/// What a sink may be told.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The events to print.
    pub emit: Emit,
    /// Whether credentials, query strings and the like are printed as captured.
    pub show_secrets: bool,
    /// Whether text is coloured.
    pub color: bool,
    /// The interfaces known so far; a file may add some while it is read.
    pub interfaces: SharedInterfaces,
}

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
    /// Everything.
    pub const ALL: Self = Self(0b1_1111);

    /// This set and another.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether an event of this kind is wanted.
    #[must_use]
    pub const fn wants(self, event: &Event) -> bool {
        self.contains(match event {
            Event::Alert(_) => Self::ALERT,
            Event::Attempt(_) => Self::ATTEMPT,
            Event::Tunnel(_) => Self::TUNNEL,
            Event::Anomaly(_) => Self::ANOMALY,
            Event::Stats(_) => Self::STATS,
        })
    }
}

impl Default for Emit {
    fn default() -> Self {
        Self(Self::ALL.0 & !Self::ANOMALY.0)
    }
}

/// What is known only when all input was read.
#[derive(Clone, Default, Debug)]
pub struct Ending {
    /// What went wrong with the input, such as `capture.pcap is cut at byte 1234`.
    pub warnings: Vec<String>,
}

/// Alerts that were folded into one line: all like the first, which was told when it came.
#[derive(Clone, Debug)]
pub struct Repeats {
    /// The one that was told.
    pub first: Box<Alert>,
    /// How many came after it.
    pub count: u64,
    /// When the last of them was proven.
    pub last_at: Timestamp,
}

/// One kind of output.
pub trait Sink {
    /// Takes one event, in the order in which the engine decided them.
    ///
    /// # Errors
    ///
    /// When the output cannot be written.
    fn event(&mut self, event: &Event) -> Result<(), SinkError>;

    /// Takes what a storm of the same alert was folded into.
    ///
    /// # Errors
    ///
    /// When the output cannot be written.
    fn repeats(&mut self, _repeats: &Repeats) -> Result<(), SinkError> {
        Ok(())
    }

    /// Learns how many records were dropped so far on their way here, to tell it with the next counters.
    fn dropped(&mut self, _records: u64) {}

    /// Nothing more comes for now: prints what was held back to be told with what might follow. Live, call it when
    /// the engine has no more events to give.
    ///
    /// # Errors
    ///
    /// When the output cannot be written.
    fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    /// All input was read.
    ///
    /// # Errors
    ///
    /// When the output cannot be written.
    fn finish(&mut self, ending: &Ending) -> Result<(), SinkError>;
}

/// Why an output failed.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Whoever read the output went away. On stdout that is success.
    #[error("the reader of the output went away")]
    BrokenPipe,
    /// Writing failed.
    #[error("cannot write the output ({0}): free some space, or choose another place with --output")]
    Write(#[source] io::Error),
    /// An event could not be expressed as JSON.
    #[error("cannot express an event as JSON ({0}): please report this with the capture")]
    Encode(#[source] serde_json::Error),
}

impl SinkError {
    /// Whether the reader went away, which is no failure of ours.
    #[must_use]
    pub const fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::BrokenPipe)
    }
}

impl From<io::Error> for SinkError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::BrokenPipe } else { Self::Write(error) }
    }
}

/// One JSON object a line, as the schema in [`schema::text`] says.
#[must_use]
pub fn json(out: Box<dyn Write>, options: Options) -> Box<dyn Sink> {
    Box::new(json::JsonSink::new(out, options))
}

/// Ladders for people, as wide as the terminal is (80 columns where there is none).
#[must_use]
pub fn text(out: Box<dyn Write>, options: Options) -> Box<dyn Sink> {
    let width = terminal_size::terminal_size_of(io::stdout()).map_or(text::NARROW, |(width, _)| usize::from(width.0));
    text_at(out, options, width)
}

/// As [`text`], with a given width: what does not fit in 60 to 120 columns is held to those.
#[must_use]
pub fn text_at(out: Box<dyn Write>, options: Options, width: usize) -> Box<dyn Sink> {
    Box::new(text::TextSink::new(out, options, width))
}

/// The file or tap of an interface, where there are several to tell apart.
fn source_of(interfaces: &[InterfaceInfo], id: crate::engine::frame::InterfaceId) -> Option<&str> {
    let source = &interfaces.first()?.source;
    if interfaces.iter().all(|other| other.source == *source) {
        return None;
    }
    info_of(interfaces, id).map(|info| &*info.source)
}

/// What a clock stamped: a file, or a section of it where it has several.
fn clock_name(interfaces: &[InterfaceInfo], clock: ClockId) -> Option<String> {
    let source = &interfaces.iter().find(|info| info.clock == clock)?.source;
    let mut sections: Vec<_> = interfaces.iter().filter(|info| info.source == *source).map(|info| info.clock).collect();
    sections.dedup();
    let section = sections.iter().position(|other| *other == clock).unwrap_or(0) + 1;
    Some(if sections.len() < 2 { source.clone() } else { format!("{source} (section {section})") })
}

/// What is known of an interface.
fn info_of(interfaces: &[InterfaceInfo], id: crate::engine::frame::InterfaceId) -> Option<&InterfaceInfo> {
    interfaces.get(usize::try_from(id.0).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_leaves_anomalies_out() {
        for kind in [Emit::ALERT, Emit::ATTEMPT, Emit::TUNNEL, Emit::STATS] {
            assert!(Emit::default().contains(kind));
        }
        assert!(!Emit::default().contains(Emit::ANOMALY));
        assert_eq!(Emit::default().with(Emit::ANOMALY), Emit::ALL);
        assert!(!Emit::NONE.contains(Emit::ALERT));
    }

    #[test]
    fn a_broken_pipe_is_told_apart() {
        assert!(SinkError::from(io::Error::from(io::ErrorKind::BrokenPipe)).is_broken_pipe());
        assert!(!SinkError::from(io::Error::from(io::ErrorKind::StorageFull)).is_broken_pipe());
    }
}
