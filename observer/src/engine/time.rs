//! Capture time: the only time the engine knows. It arrives with frames and timeouts, never from a clock.

use std::{fmt, num::NonZeroU64, ops::Add, time::Duration};

/// A point in capture time, in nanoseconds since the Unix epoch. `Option<Timestamp>` takes no more room than it: nanoseconds
/// are kept with their sign turned, so that they sort as they are, and are never zero: the earliest two points are one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(NonZeroU64);

const SIGN: u64 = 1 << 63;

impl Timestamp {
    /// The earliest point that can be expressed.
    pub const MIN: Self = Self(NonZeroU64::MIN);
    /// The latest point that can be expressed.
    pub const MAX: Self = Self(NonZeroU64::MAX);

    /// A point from nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        match NonZeroU64::new(nanos.cast_unsigned() ^ SIGN) {
            Some(turned) => Self(turned),
            None => Self::MIN,
        }
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        if self.0.get() == Self::MIN.0.get() { i64::MIN } else { (self.0.get() ^ SIGN).cast_signed() }
    }

    /// The time from `earlier` to `self`; zero when `earlier` is later, as capture time may step back.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }

    /// The time between two points, whichever came first.
    #[must_use]
    pub fn distance(self, other: Self) -> Duration {
        Duration::from_nanos(self.0.get().abs_diff(other.0.get()))
    }

    /// The point `span` before this one.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        NonZeroU64::new(self.0.get().saturating_sub(nanos(span))).map_or(Self::MIN, Self)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }
}

impl Default for Timestamp {
    fn default() -> Self {
        Self::from_nanos(0)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Timestamp").field(&self.as_nanos()).finish()
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
