//! The table of holes. When it is full, the older half is merged into fewer, larger holes: what is forgotten about a hole
//! only ever makes it larger.

use std::{collections::VecDeque, hash::Hash};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use smallvec::SmallVec;

use super::{FlowClass, Hole, HoleKind};
use crate::engine::tcp::ConnectionId;

/// Holes kept apart, at most. Few conclusions are open at a time, and a hole is looked at for each.
const MOST: usize = 4096;
/// Of those, so many at most are left of the older half when it is merged.
const LEFT: usize = MOST / 8;
/// Connections whose protocol is not known yet, at most.
const MOST_UNKNOWN: usize = 1024;

/// All that the capture may have missed.
#[derive(Default, Debug)]
pub struct Holes {
    /// In the order in which they were found.
    known: VecDeque<Hole>,
    /// Holes of connections whose protocol is not known yet.
    unknown: HashMap<ConnectionId, SmallVec<[Hole; 2]>, FixedState>,
}

impl Holes {
    /// Bytes held, by estimate.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.known.len() * size_of::<Hole>() + self.unknown.len() * 2 * (2 * size_of::<Hole>() + 32)
    }

    /// Adds a hole that is of no one connection.
    pub fn add(&mut self, hole: Hole) {
        // Losses are reported in pieces that follow each other.
        if let Some(last) = self.known.back_mut()
            && last.kind == HoleKind::Lost
            && hole.kind == HoleKind::Lost
            && last.from <= hole.from
            && hole.from <= last.to
        {
            last.to = last.to.max(hole.to);
            last.count += 1;
            return;
        }
        self.known.push_back(hole);
        if self.known.len() > MOST {
            self.coarsen();
        }
    }

    /// Adds a hole of a connection.
    pub fn add_of(&mut self, id: ConnectionId, hole: Hole) {
        if hole.class != FlowClass::Unknown {
            return self.add(hole);
        }
        if self.unknown.len() >= MOST_UNKNOWN && !self.unknown.contains_key(&id) {
            let all = std::mem::take(&mut self.unknown);
            let mut all: Vec<_> = all.into_iter().collect();
            all.sort_unstable_by_key(|(id, _)| *id);
            all.into_iter().flat_map(|(_, holes)| holes).for_each(|hole| self.add(hole));
        }
        self.unknown.entry(id).or_default().push(hole);
    }

    /// The protocol of a connection is known now.
    pub fn classify(&mut self, id: ConnectionId, class: FlowClass) {
        let holes = self.unknown.remove(&id);
        holes.into_iter().flatten().for_each(|hole| self.add(Hole { class, ..hole }));
    }

    /// A connection left the table: no more is known about it from now on.
    pub fn close(&mut self, id: ConnectionId) {
        if !self.unknown.is_empty() {
            let holes = self.unknown.remove(&id);
            holes.into_iter().flatten().for_each(|hole| self.add(hole));
        }
    }

    /// The smallest hole that `matters`.
    pub fn hiding(&self, matters: impl Fn(&Hole) -> bool) -> Option<&Hole> {
        let all = self.unknown.values().flatten().chain(&self.known).filter(|hole| matters(hole));
        all.min_by_key(|hole| (hole.count, hole.to.since(hole.from), hole.from, hole.client, hole.server))
    }

    /// Merges the older half: those to one server first, then those of one client's host, then all.
    fn coarsen(&mut self) {
        let mut old: Vec<_> = self.known.drain(..MOST / 2).collect();
        old = grouped(old, |hole| (hole.server, hole.class == FlowClass::Opaque, hole.way));
        if old.len() > LEFT {
            old = grouped(old, |hole| (hole.client.host(), hole.class == FlowClass::Opaque, hole.way));
        }
        if old.len() > LEFT {
            old = grouped(old, |hole| hole.class == FlowClass::Opaque);
        }
        old.into_iter().rev().for_each(|hole| self.known.push_front(hole));
    }
}

/// Makes one hole of those with one key; in the order of the first of each.
fn grouped<K: Eq + Hash>(holes: Vec<Hole>, key: impl Fn(&Hole) -> K) -> Vec<Hole> {
    let mut places: HashMap<K, usize, FixedState> = HashMap::default();
    let mut groups: Vec<Hole> = Vec::new();
    for hole in holes {
        let place = *places.entry(key(&hole)).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => *group = group.merged(&hole),
            None => groups.push(hole),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::{super::Place, *};
    use crate::engine::{
        host::{Realm, Socket},
        tcp::Direction,
        time::Timestamp,
    };

    fn end(host: u32, port: u16) -> Socket {
        Socket::of(((0x0a00_0000 + host).to_be_bytes(), port).into(), Realm::default())
    }

    /// A hole from `nanos` on, of one nanosecond.
    fn hole(client: Socket, server: Socket, nanos: i64) -> Hole {
        let times = (Timestamp::from_nanos(nanos), Timestamp::from_nanos(nanos + 1));
        let hole = Hole::between(client, server, HoleKind::Gap, Some(Direction::ToServer), times);
        Hole { class: FlowClass::Http, ..hole }
    }

    fn holds(holes: &Holes, one: &Hole) -> bool {
        let (Place::End(client), Place::End(server)) = (one.client, one.server) else { return false };
        let covers = |hole: &Hole| {
            hole.may_hold_request()
                && hole.from <= one.from
                && one.to <= hole.to
                && hole.client.may_be(client)
                && hole.server.may_be(server)
        };
        holes.hiding(covers).is_some()
    }

    /// Adds many holes: all of them must still be found, in a table that is bounded.
    fn check_full(one: impl Fn(u32) -> Hole) -> Holes {
        let mut holes = Holes::default();
        let many: Vec<_> = (0..20_000).map(one).collect();
        many.iter().for_each(|hole| holes.add(*hole));
        assert!(holes.known.len() <= MOST, "{}", holes.known.len());
        assert!(many.iter().all(|hole| holds(&holes, hole)));
        holes
    }

    #[test]
    fn a_full_table_forgets_no_hole() {
        // Many clients of one server, one client of many servers, and many of many.
        check_full(|at| hole(end(at, 1), end(1 << 20, 80), i64::from(at) * 10));
        check_full(|at| hole(end(1 << 20, 1), end(at, 80), i64::from(at) * 10));
        check_full(|at| hole(end(at, 1), end(1 << 20 | at, 80), i64::from(at) * 10));
    }

    #[test]
    fn holes_of_many_clients_of_one_server_stay_holes_of_that_server() {
        let holes = check_full(|at| hole(end(at, 1), end(1 << 20, 80), i64::from(at) * 10));
        let elsewhere = |hole: &Hole| hole.server.may_be(end(7, 3000)) || hole.client.may_be_at(end(1 << 20, 0).host());
        assert_eq!(holes.hiding(|hole| elsewhere(hole) && hole.count == 1), None);
    }

    #[test]
    fn a_hole_of_an_unknown_protocol_waits_for_it() {
        let unknown = Hole { class: FlowClass::Unknown, ..hole(end(1, 1), end(2, 2), 0) };
        let mut holes = Holes::default();
        holes.add_of(ConnectionId::default(), unknown);
        assert!(holds(&holes, &unknown), "it may hold a request as long as nothing else is known");
        holes.classify(ConnectionId::default(), FlowClass::Opaque);
        assert!(!holds(&holes, &unknown));
        holes.add_of(ConnectionId::default(), unknown);
        holes.close(ConnectionId::default());
        assert!(holds(&holes, &unknown), "nothing was ever known");
    }
}
