//! The last frames of a live tap, up to so many bytes: what has to be at hand when a person asks for proof.

use std::collections::VecDeque;

use super::Kept;
use crate::engine::frame::Frame;

/// What a frame costs beside its bytes.
const OVERHEAD: usize = size_of::<Kept>() + 16;

/// Recent frames, oldest first.
#[derive(Debug)]
pub struct Ring {
    frames: VecDeque<Kept>,
    bytes: usize,
    limit: usize,
}

impl Ring {
    /// A ring that holds about so many bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { frames: VecDeque::new(), bytes: 0, limit }
    }

    /// Keeps a frame, and forgets the oldest for it.
    pub fn push(&mut self, frame: &Frame<'_>) {
        self.bytes += frame.bytes.len() + OVERHEAD;
        self.frames.push_back(Kept::of(frame));
        while self.bytes > self.limit {
            let Some(oldest) = self.frames.pop_front() else { return };
            self.bytes -= oldest.bytes.len() + OVERHEAD;
        }
    }

    pub(super) fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        self.frames.iter().map(Kept::frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{
        frame::{ClockId, InterfaceId, LinkType},
        time::Timestamp,
    };

    #[test]
    fn the_oldest_make_room() {
        let mut ring = Ring::new(3 * (100 + OVERHEAD));
        for number in 1..=5 {
            let at = Timestamp::from_nanos(0);
            let (interface, clock, link) = (InterfaceId(0), ClockId(0), LinkType::Ethernet);
            ring.push(&Frame { at, number, interface, clock, link, wire_length: 100, bytes: &[0; 100] });
        }
        let numbers: Vec<_> = ring.frames().map(|frame| frame.number).collect();
        assert_eq!(numbers, [3, 4, 5]);
    }
}
