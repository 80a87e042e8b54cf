//! Where events go: the one seam between the thread that captures and judges, and whatever shows what it found.

use super::signals::Stop;
use crate::{
    engine::{Engine, event::Event, frame::Frame},
    sink::{Ending, Sink},
};

/// Takes what the engine decided, in that order, on the engine's thread: whoever may be slow puts a queue behind it.
#[cfg_attr(not(feature = "pcap"), expect(dead_code, reason = "only live runs use all of it"))]
pub(super) trait Outlet {
    /// The fence is up: threads may start now, not before. Any of them may end the run.
    fn start(&mut self, _stop: &Stop) -> anyhow::Result<()> {
        Ok(())
    }

    /// One event.
    fn event(&mut self, event: Event) -> anyhow::Result<()>;

    /// Nothing more comes for now.
    fn flush(&mut self) -> anyhow::Result<()> {
        Ok(())
    }

    /// A frame that the engine is about to see; only called when [`Self::wants_frames`].
    fn frame(&mut self, _frame: &Frame<'_>) {}

    /// Whether frames are wanted as well; asked once.
    fn wants_frames(&self) -> bool {
        false
    }

    /// A chance to look at what is not told by events, such as open tunnels: live, about four times a second.
    fn look(&mut self, _engine: &Engine) {}

    /// Whether it shows how much has come through open tunnels, each second.
    fn is_watched(&self) -> bool {
        false
    }

    /// A line for the user that is no event. False where it is to go to standard error.
    fn notice(&mut self, _line: &str) -> bool {
        false
    }

    /// The run is over.
    fn finish(&mut self, ending: &Ending) -> anyhow::Result<()>;
}

/// Writes as it comes.
pub(super) struct Printer(pub(super) Box<dyn Sink>);

impl Outlet for Printer {
    fn event(&mut self, event: Event) -> anyhow::Result<()> {
        Ok(self.0.event(&event)?)
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.0.flush()?)
    }

    fn finish(&mut self, ending: &Ending) -> anyhow::Result<()> {
        Ok(self.0.finish(ending)?)
    }
}
