//! How far the clocks of several captures are apart. A [`Survey`] is shown their frames in a first pass and estimates it from
//! what two of them saw: the same connection, or the same request before and after a proxy. With [`Clocks`] a tap shows
//! all frames by one clock in the second pass, and the engine knows how sure that is.
//!
//! Clocks are taken to run alike. Where they drift apart in the course of a capture, what is known gets less sure by as
//! much.

mod chain;
mod link;
mod machine;
mod sight;
mod sketch;
mod survey;
mod vote;

use std::time::Duration;

pub use self::survey::Survey;
use super::{frame::ClockId, host::Realm, time::Timestamp};

/// How far times of one clock may be off: stamps of several processors, and of several interfaces.
const NOISE: Duration = Duration::from_millis(1);

/// What is known of the clocks of a run, in order; none where they were not compared.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Clocks(Vec<Estimate>);

/// What is known of one clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Estimate {
    /// Which.
    pub clock: ClockId,
    /// The clock whose time stands for its own: itself, where it is linked to no clock before it.
    pub reference: ClockId,
    /// By how many nanoseconds it is ahead of that; negative where it is behind.
    pub ahead: i64,
    /// How far off that may be.
    pub within: Duration,
    /// What it rests on.
    pub basis: Basis,
    /// The first clock that saw connections between the same machine's own addresses; itself, where none is known to.
    pub machine: ClockId,
}

/// What an estimate rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Basis {
    /// It is the first clock, with which others are compared.
    First,
    /// Things that it saw and that another clock saw, which is compared with the reference itself.
    Links {
        /// Connections.
        connections: u32,
        /// Requests that passed a proxy between both, or that both saw.
        requests: u32,
        /// Links that contradict all these, and are not believed.
        against: u32,
    },
    /// Nothing links it to a clock before it.
    Nothing,
    /// What links it to a clock before it contradicts itself.
    Contradictory,
    /// Its frames can be seen only once.
    LeftOut,
}

impl Clocks {
    /// What is known of each clock.
    #[must_use]
    pub fn estimates(&self) -> &[Estimate] {
        &self.0
    }

    /// The time by the reference of a clock, where `at` is the time by that clock.
    #[must_use]
    pub fn common(&self, clock: ClockId, at: Timestamp) -> Timestamp {
        match self.of(clock) {
            Some(Estimate { ahead, .. }) if *ahead != 0 => Timestamp::from_nanos(at.as_nanos().saturating_sub(*ahead)),
            _ => at,
        }
    }

    /// How far off the time between two events may be that two clocks saw, as [`Self::common`] gives both; `None` where
    /// these clocks cannot be compared.
    #[must_use]
    pub fn between(&self, one: ClockId, other: ClockId) -> Option<Duration> {
        if one == other {
            return Some(Duration::ZERO);
        }
        let (one, other) = (self.of(one)?, self.of(other)?);
        (one.reference == other.reference).then(|| one.within + other.within)
    }

    /// Where the machine whose frames have this clock has its own addresses: another machine's are another realm, and what
    /// nothing says to be one machine is two. Clocks that were not compared count as the first one's.
    #[inline]
    #[must_use]
    pub fn realm(&self, clock: ClockId) -> Realm {
        if self.0.is_empty() { Realm::default() } else { self.of(clock).map_or_else(Realm::default, Estimate::realm) }
    }

    fn of(&self, clock: ClockId) -> Option<&Estimate> {
        self.0.iter().find(|estimate| estimate.clock == clock)
    }
}

impl Estimate {
    const fn realm(&self) -> Realm {
        Realm(self.machine.0)
    }
}
