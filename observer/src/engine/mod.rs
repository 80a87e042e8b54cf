//! The pure core: frames in, events out. No clock, file, socket, thread, async or environment.
//!
//! Dependencies run one way: time < packet < tcp < http < handshake < attempt < rule.

pub mod alert;
pub mod anomaly;
pub mod event;
pub mod frame;
pub mod packet;
pub mod time;

use std::{collections::VecDeque, time::Duration};

use self::{event::Event, frame::Frame, time::Timestamp};

/// What the engine may be told. Every field has a default that suits a live tap.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bytes of state to hold at most.
    pub memory_limit: usize,
    /// The shortest silence that `idle-close` speaks of.
    pub idle_min: Duration,
    /// How long a client waits for an answer before that is the proxy's fault.
    pub answer_timeout: Duration,
    /// How long after its last evidence an attempt or a tunnel's end is judged: room for frames out of order and for
    /// clocks of different taps.
    pub settle: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            memory_limit: 256 << 20,
            idle_min: Duration::from_millis(4500),
            answer_timeout: Duration::from_secs(30),
            settle: Duration::from_millis(25),
        }
    }
}

/// The observer of all connections.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    events: VecDeque<Event>,
}

impl Engine {
    /// An engine that has seen nothing.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, events: VecDeque::new() }
    }

    /// Takes one frame. Frames may come out of order, twice, cut, or never.
    pub fn handle_frame(&mut self, frame: &Frame<'_>) {
        let _ = (frame, &self.config);
    }

    /// Capture time has come to `now`, though no frame says so.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let _ = now;
    }

    /// When [`Self::handle_timeout`] should be called next, at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        None
    }

    /// The capture is over: judges all that is open by what is known, and counts.
    pub fn finish(&mut self) {}

    /// The next event, in the order in which they were decided.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}
