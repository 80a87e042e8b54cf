//! Input, read from its front. Where it ends, there are zeros.

use std::time::Duration;

use observer::engine::time::Timestamp;

/// What is left of it.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, length: usize) -> &'a [u8] {
        let (front, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        front
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    pub(super) fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// A distance in sequence numbers: mostly small, sometimes half the space.
    pub(super) fn near(&mut self) -> u32 {
        let short = self.short().cast_signed();
        let distance = if short % 64 == 63 { i32::from(short) << 16 } else { i32::from(short) >> 4 };
        distance.cast_unsigned()
    }

    /// A time near `at`: up to two minutes later, or a little earlier.
    pub(super) fn later(&mut self, at: Timestamp) -> Timestamp {
        match self.byte() {
            byte @ 0..=63 => at + Duration::from_micros(u64::from(byte) * 50),
            byte @ 64..=199 => at + Duration::from_millis(u64::from(byte - 64)),
            byte @ 200..=250 => at + Duration::from_millis(u64::from(byte - 199) * 2500),
            byte => at.before(Duration::from_millis(u64::from(byte - 250))),
        }
    }
}
