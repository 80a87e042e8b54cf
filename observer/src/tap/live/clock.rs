//! Capture time, live: it starts as the wall clock, by which the kernel stamps frames, and then runs evenly, also when
//! somebody sets the wall clock. So a silence is as long as it was, and nothing stalls. The time that a host sleeps counts.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::engine::time::Timestamp;

const MILLISECOND: i64 = 1_000_000;
/// Less than this is not told from how long it takes to read two clocks.
const STEP: i64 = MILLISECOND;
/// Two readings that lie farther apart tell nothing.
const TOGETHER: i64 = MILLISECOND / 4;
/// How long after a step frames may come that were stamped before it.
const LATE: i64 = 5_000 * MILLISECOND;

/// The clocks at one moment, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// The wall clock, which can be set.
    pub wall: i64,
    /// The time since the system started, which cannot.
    pub up: i64,
}

impl Reading {
    /// Both clocks, and whether they were read together.
    fn take() -> (Self, bool) {
        let [before, wall, after] =
            [ClockId::Boottime, ClockId::Realtime, ClockId::Boottime].map(clock_gettime).map(nanos);
        (Self { wall, up: after }, after - before < TOGETHER)
    }
}

fn nanos(at: Timespec) -> i64 {
    at.tv_sec.saturating_mul(1_000_000_000).saturating_add(at.tv_nsec)
}

/// From the clocks of the system to capture time.
#[derive(Clone, Debug)]
pub struct Clock {
    /// The wall clock at the start, less the time that the system was up.
    start: i64,
    /// By how much the wall clock was set since.
    set: i64,
    /// The same before the last step, and the time up to which frames may still be of then.
    before: Option<(i64, i64)>,
    up: i64,
}

impl Clock {
    /// Starts by the system's clocks.
    #[must_use]
    pub fn start() -> Self {
        Self::new(Reading::take().0)
    }

    /// Starts.
    #[must_use]
    pub fn new(now: Reading) -> Self {
        Self { start: now.wall.saturating_sub(now.up), set: 0, before: None, up: now.up }
    }

    /// Goes on by the system's clocks, as [`Self::look`].
    pub(in crate::tap) fn tick(&mut self) -> Option<i64> {
        match Reading::take() {
            (now, true) => self.look(now),
            (now, false) => {
                self.up = now.up;
                None
            }
        }
    }

    /// Goes on. Says by how much the wall clock was set since the start, when it has just been set.
    pub fn look(&mut self, now: Reading) -> Option<i64> {
        self.up = now.up;
        self.before = self.before.filter(|(_, until)| now.up < *until);
        let set = now.wall.saturating_sub(now.up).saturating_sub(self.start);
        if set.abs_diff(self.set) < STEP.unsigned_abs() {
            return None;
        }
        self.before = Some((self.set, now.up.saturating_add(LATE)));
        self.set = set;
        Some(set)
    }

    /// Capture time at the last look.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.start.saturating_add(self.up))
    }

    /// The capture time of what was stamped by the time since the system started.
    #[must_use]
    pub fn of_uptime(&self, nanoseconds: u64) -> Timestamp {
        Timestamp::from_nanos(self.start.saturating_add_unsigned(nanoseconds))
    }

    /// The capture time of a frame that was read about now. Soon after a step it may have been stamped before it: then
    /// its time is whichever is nearer.
    #[must_use]
    pub fn of_frame(&self, stamped: Timestamp) -> Timestamp {
        let less = |set: i64| Timestamp::from_nanos(stamped.as_nanos().saturating_sub(set));
        let after = less(self.set);
        let before = self.before.map(|(set, _)| less(set));
        let distance = |at: &Timestamp| -> Duration { at.distance(self.now()) };
        before.filter(|before| distance(before) < distance(&after)).unwrap_or(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_795_211_926_000_000_000;

    fn at(milliseconds: i64, set: i64) -> Reading {
        Reading { wall: START + (milliseconds + set) * MILLISECOND, up: milliseconds * MILLISECOND }
    }

    fn check(set: i64) {
        let capture = |milliseconds: i64| Timestamp::from_nanos(START + milliseconds * MILLISECOND);
        let stamped = |milliseconds: i64, set| Timestamp::from_nanos(at(milliseconds, set).wall);
        let mut clock = Clock::new(at(0, 0));
        assert_eq!(clock.look(at(1000, 0)), None);
        assert_eq!((clock.now(), clock.of_frame(stamped(990, 0))), (capture(1000), capture(990)));
        assert_eq!(clock.look(at(2000, set)), Some(set * MILLISECOND));
        assert_eq!(clock.look(at(2010, set)), None, "once is enough");
        assert_eq!(clock.now(), capture(2010));
        assert_eq!(clock.of_frame(stamped(2008, set)), capture(2008), "after the step");
        assert_eq!(clock.of_frame(stamped(1995, 0)), capture(1995), "before the step, read late");
        assert_eq!(clock.look(at(9000, set)), None);
        assert_eq!(clock.of_frame(stamped(8990, set)), capture(8990));
        assert_eq!(clock.look(at(9500, 0)), Some(0), "it is set back");
        assert_eq!(clock.of_frame(stamped(9490, 0)), capture(9490));
    }

    #[test]
    fn a_step_does_not_move_capture_time() {
        for set in [3_600_000, -3_600_000, 200, -200, 1_000_000_000_000] {
            check(set);
        }
    }

    #[test]
    fn a_clock_that_is_never_set_is_not_told_to_be() {
        let mut clock = Clock::start();
        assert!((0..10_000).all(|_| clock.tick().is_none()));
        let wall = nanos(clock_gettime(ClockId::Realtime));
        assert!(wall.abs_diff(clock.now().as_nanos()) < 1_000_000_000);
    }
}
