//! Runs the engine over frames and collects what it says.

use std::{sync::Arc, time::Duration};

use observer::engine::{
    Config, Engine,
    alert::Alert,
    event::{Attempt, Event, Stats, Tunnel},
    frame::Frame,
    time::Timestamp,
};

use super::wire::Owned;

/// What the engine said.
#[derive(Default)]
pub struct Seen {
    pub alerts: Vec<Alert>,
    pub attempts: Vec<Arc<Attempt>>,
    /// What is known of each tunnel at its end.
    pub tunnels: Vec<String>,
    /// The tunnels themselves.
    pub ended: Vec<Tunnel>,
    pub stats: Stats,
    /// The most memory that was held after any frame.
    pub peak: u64,
}

impl Seen {
    /// Takes all that the engine has to say.
    pub fn take(&mut self, engine: &mut Engine) {
        while let Some(event) = engine.poll_event() {
            match event {
                Event::Alert(alert) => self.alerts.push(*alert),
                Event::Attempt(attempt) => self.attempts.push(attempt),
                Event::Stats(all) => self.stats = *all,
                Event::Tunnel(tunnel) => {
                    self.tunnels.push(tunnel_line(&tunnel));
                    self.ended.push(*tunnel);
                }
                Event::Anomaly(_) => {}
            }
        }
    }
}

/// As `observer read` is set up.
pub fn config() -> Config {
    Config { settle: Duration::from_secs(1), ..Config::default() }
}

pub fn observe(frames: &[Owned]) -> Seen {
    observe_with(frames, config())
}

pub fn observe_with(frames: &[Owned], config: Config) -> Seen {
    let small = config.memory_limit < 16 << 20;
    let (mut engine, mut seen) = (Engine::new(config), Seen::default());
    for frame in frames {
        engine.handle_frame(&frame.frame());
        seen.take(&mut engine);
        if small {
            seen.peak = seen.peak.max(engine.stats().memory);
        }
    }
    engine.finish();
    seen.take(&mut engine);
    seen
}

/// Tells the engine of losses, each when it has ended, though nothing is missing.
pub fn observe_lossy(frames: &[Owned], mut losses: Vec<(Timestamp, Timestamp)>) -> Seen {
    losses.sort_by_key(|(_, at)| *at);
    let mut losses = losses.into_iter().peekable();
    let (mut engine, mut seen) = (Engine::new(config()), Seen::default());
    for frame in frames {
        while let Some((since, at)) = losses.next_if(|(_, at)| *at < frame.at) {
            engine.handle_loss(1, since, at);
        }
        engine.handle_frame(&frame.frame());
        seen.take(&mut engine);
    }
    losses.for_each(|(since, at)| engine.handle_loss(1, since, at));
    engine.finish();
    seen.take(&mut engine);
    seen
}

/// Shows the engine no more of a frame than its headers, where that is enough for it; tells for how many it was.
pub fn observe_heads(frames: &[Owned]) -> (Seen, usize) {
    const HEADERS: usize = 128;
    let (mut engine, mut seen, mut passed) = (Engine::new(config()), Seen::default(), 0);
    for frame in frames {
        let frame = frame.frame();
        let head = Frame { bytes: &frame.bytes[..frame.bytes.len().min(HEADERS)], ..frame };
        if frame.bytes.len() == frame.wire_length as usize && engine.pass_frame(&head) {
            passed += 1;
        } else {
            engine.handle_frame(&frame);
        }
        seen.take(&mut engine);
    }
    engine.finish();
    seen.take(&mut engine);
    (seen, passed)
}

fn tunnel_line(tunnel: &Tunnel) -> String {
    let Tunnel { attempt, bytes, frames, pings, pongs, close, closed_by, idle, incomplete, .. } = tunnel;
    let close = close.map(|close| (close.from_client, close.code));
    format!("tunnel {} {bytes:?} {frames:?} {pings}+{pongs} {close:?} {closed_by:?} {idle:?} {incomplete}", attempt.id)
}
