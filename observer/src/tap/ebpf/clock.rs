//! From the kernel's monotonic clock, which stamps records, to the wall clock, which stamps frames.

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::engine::time::Timestamp;

/// What the wall clock is ahead by. It is looked at again and again, as the user may set it.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    ahead: i64,
}

impl Clock {
    /// As the clocks are now.
    pub(super) fn now() -> Self {
        let [wall, monotonic] = [ClockId::Realtime, ClockId::Monotonic].map(|clock| nanos(clock_gettime(clock)));
        Self { ahead: wall.saturating_sub(monotonic) }
    }

    /// The wall clock's time for one of the monotonic clock.
    pub(super) fn wall(self, monotonic: u64) -> Timestamp {
        Timestamp::from_nanos(i64::try_from(monotonic).unwrap_or(i64::MAX).saturating_add(self.ahead))
    }
}

const fn nanos(time: Timespec) -> i64 {
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}
