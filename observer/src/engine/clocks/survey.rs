//! The first pass over captures: each clock's frames go through stages of their own, as nothing is known yet of how they
//! stand to those of another clock.

use super::{
    Clocks,
    chain::{self, Pair},
    link::links,
    machine,
    sight::Sights,
    vote,
};
use crate::engine::{
    Config,
    frame::{ClockId, Frame},
    host::Realm,
    http::Dialogue,
    packet::{Packets, Parsed},
    stamp,
    tcp::Table,
    time::Timestamp,
};

/// Clocks that are compared; further ones are unknown.
const MOST: usize = 32;

/// What the clocks of captures saw.
#[derive(Debug)]
pub struct Survey {
    config: Config,
    watched: Vec<Watched>,
    /// The one whose frame came last.
    last: usize,
}

#[derive(Debug)]
struct Watched {
    clock: ClockId,
    packets: Packets,
    connections: Table<Dialogue<Sights>>,
    sights: Sights,
    now: Timestamp,
    /// False for what cannot be read twice.
    read: bool,
}

impl Survey {
    /// Nothing was seen yet. Of the configuration only what concerns memory and late frames matters.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        Self { config, watched: Vec::new(), last: 0 }
    }

    /// There is a clock whose frames are not shown here: they can be read only once.
    pub fn leave_out(&mut self, clock: ClockId) {
        if let Some(watched) = self.of(clock) {
            watched.read = false;
        }
    }

    /// Takes one frame.
    pub fn handle_frame(&mut self, frame: &Frame<'_>) {
        let Some(watched) = self.of(frame.clock) else { return };
        if let Parsed::Segment(segment) = watched.packets.parse(frame) {
            let stamp = stamp(frame, &segment, Realm(frame.clock.0));
            watched.connections.segment(&segment, stamp, &mut watched.sights);
            watched.sights.segment(&segment, frame.at);
            watched.advance(frame.at);
        }
    }

    /// Takes a frame by its first bytes, as [`super::super::Engine::pass_frame`] does.
    pub fn pass_frame(&mut self, head: &Frame<'_>) -> bool {
        let Some(watched) = self.of(head.clock) else { return true };
        let Some(segment) = Packets::peek(head) else { return false };
        let stamp = stamp(head, &segment, Realm(head.clock.0));
        let passes = watched.connections.pass(&segment, stamp, &mut watched.sights);
        if passes {
            watched.sights.segment(&segment, head.at);
            watched.advance(head.at);
        }
        passes
    }

    /// What was found out.
    #[must_use]
    pub fn finish(mut self) -> Clocks {
        for watched in &mut self.watched {
            while watched.connections.finish(watched.now, &mut watched.sights) {}
        }
        self.watched.sort_by_key(|watched| watched.clock);
        let clocks: Vec<_> = self.watched.iter().map(|watched| (watched.clock, watched.read)).collect();
        let sights = |at: usize| &self.watched[at].sights;
        let mut estimates = chain::estimates(&clocks, |one, other| pair(sights(one), sights(other)));
        for one in 0..estimates.len() {
            for other in (0..one).filter(|other| machine::is_one(sights(*other), sights(one))) {
                let machines = [one, other].map(|at| estimates[at].machine);
                let first = machines[0].min(machines[1]);
                let same = estimates.iter_mut().filter(|estimate| machines.contains(&estimate.machine));
                same.for_each(|estimate| estimate.machine = first);
            }
        }
        Clocks(estimates)
    }

    fn of(&mut self, clock: ClockId) -> Option<&mut Watched> {
        if self.watched.get(self.last).is_none_or(|watched| watched.clock != clock) {
            self.last = self.watched.iter().position(|watched| watched.clock == clock).unwrap_or(self.watched.len());
        }
        if self.last == self.watched.len() {
            if self.last == MOST {
                return None;
            }
            let each = self.config.memory_limit / (self.last + 1);
            self.watched.iter_mut().for_each(|watched| watched.connections.limit_memory(each));
            self.watched.push(Watched::new(clock, &self.config, each));
        }
        self.watched.get_mut(self.last)
    }
}

impl Watched {
    fn new(clock: ClockId, config: &Config, memory: usize) -> Self {
        Self {
            clock,
            packets: Packets::new(memory / 16),
            connections: Table::new(config.settle, memory, false),
            sights: Sights::default(),
            now: Timestamp::MIN,
            read: true,
        }
    }

    /// The clock has come to that time.
    fn advance(&mut self, at: Timestamp) {
        self.now = self.now.max(at);
        while self.connections.advance(self.now, &mut self.sights) {}
    }
}

fn pair(one: &Sights, other: &Sights) -> Pair {
    let links = links(one, other);
    match vote::offset(&links) {
        Some(offset) => Pair::Known(offset),
        None if links.is_empty() => Pair::Nothing,
        None => Pair::Contradictory,
    }
}
