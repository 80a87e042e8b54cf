//! How times are told: by the wall clock as people see it now. Live, capture time runs on evenly when the system's clock is
//! set (there is one clock, so there is one place for this); a time is told as if it had always been right.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::engine::time::Timestamp;

/// Nanoseconds by which the wall clock is ahead of capture time.
static AHEAD: AtomicI64 = AtomicI64::new(0);

/// The wall clock was set, and is now so many nanoseconds ahead of capture time.
#[cfg(feature = "pcap")]
pub(crate) fn set(ahead: i64) {
    AHEAD.store(ahead, Ordering::Relaxed);
}

/// Capture time in nanoseconds of the wall clock.
pub(crate) fn nanos(at: Timestamp) -> i64 {
    at.as_nanos().saturating_add(AHEAD.load(Ordering::Relaxed))
}

/// Capture time as it is told.
pub(crate) fn time(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_nanosecond(i128::from(nanos(at))).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}
