//! Handshakes that no attempt has taken yet, found by id and by the names that tie hops together.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::BuildHasher,
    ops::Bound,
    time::Duration,
};

use foldhash::fast::FixedState;
use smallvec::SmallVec;

use super::super::{
    event::JoinMethod,
    handshake::{
        Handshake,
        field::{self, UpgradeRequest},
    },
    http::UpgradeId,
    knowledge::{Claim, Doubt, Hole, Recently},
    tcp::Link,
    time::Timestamp,
};
use super::owner::Owner;

/// Bytes that a handshake costs in both trees, beside itself.
const ENTRY: usize = 208;
/// Newest handshakes among which those of one connection are looked for.
const LATELY: usize = 1024;

/// How long before a request another one may have been sent that is still open.
const LONGEST: Duration = Duration::from_secs(120);

/// Guesses that are remembered.
const MAX_GUESSED: usize = 512;
/// Handshakes decided alone that are remembered.
const MAX_UNPAIRED: usize = 256;

/// A value that handshakes of one attempt share, hashed together with its kind.
pub(super) type Name = u64;

/// All open handshakes.
#[derive(Debug)]
pub(super) struct Store {
    /// Boxed: the nodes of a tree that grows at its end stay half empty.
    by_id: BTreeMap<UpgradeId, Box<Handshake>>,
    by_name: BTreeSet<(Name, Timestamp, UpgradeId)>,
    /// Processes with handshakes decided alone, and from when to when these were open.
    unpaired: Recently<(u32, Timestamp)>,
    /// Names of which several handshakes had an equal claim: the name, the target asked for, when, and whether all would
    /// have been judged alike.
    guessed: Recently<Guess>,
    /// When too many requests came to find out the processes of all of them.
    unowned: Option<Timestamp>,
    memory: usize,
}

/// A join that had to choose between hops that fit alike.
#[derive(Debug)]
struct Guess {
    name: Name,
    target: u64,
    to: Timestamp,
    own: Claim,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            by_id: BTreeMap::new(),
            by_name: BTreeSet::new(),
            unpaired: Recently::new(MAX_UNPAIRED),
            guessed: Recently::new(MAX_GUESSED),
            unowned: None,
            memory: 0,
        }
    }
}

impl Store {
    pub(super) fn get(&self, id: UpgradeId) -> Option<&Handshake> {
        self.by_id.get(&id).map(|handshake| &**handshake)
    }

    /// Changes a handshake. Names must stay as they are.
    pub(super) fn update(&mut self, id: UpgradeId, change: impl FnOnce(&mut Handshake)) -> bool {
        let Some(handshake) = self.by_id.get_mut(&id) else { return false };
        let before = handshake.memory();
        change(handshake);
        self.memory = (self.memory + handshake.memory()).saturating_sub(before);
        true
    }

    pub(super) fn insert(&mut self, id: UpgradeId, handshake: Handshake) {
        for (_, name) in names(&handshake) {
            self.by_name.insert((name, handshake.request.at, id));
        }
        self.memory += handshake.memory();
        self.by_id.insert(id, Box::new(handshake));
    }

    pub(super) fn remove(&mut self, id: UpgradeId) -> Option<Handshake> {
        let handshake = self.by_id.remove(&id)?;
        for (_, name) in names(&handshake) {
            self.by_name.remove(&(name, handshake.request.at, id));
        }
        self.memory = self.memory.saturating_sub(handshake.memory());
        Some(*handshake)
    }

    /// Removes the handshakes of a connection whose requests came lately.
    pub(super) fn remove_of(&mut self, link: &Link) {
        let lately = self.by_id.iter().rev().take(LATELY);
        let own: Vec<_> = lately.filter(|(_, handshake)| handshake.link.id == link.id).map(|(id, _)| *id).collect();
        for id in own {
            self.remove(id);
        }
    }

    pub(super) fn memory(&self) -> usize {
        self.memory + self.by_id.len() * ENTRY
    }

    /// Notes which process holds an end of a connection whose request came lately.
    pub(super) fn own(&mut self, owner: &Owner) {
        for handshake in self.by_id.values_mut().rev().take(LATELY) {
            let Link { client, server, .. } = handshake.link;
            let ends = [(client, server), (server, client)];
            if let Some(end) = ends.iter().position(|end| *end == (owner.local, owner.peer)) {
                handshake.pids[end] = Some(owner.process.pid);
            }
        }
    }

    /// The open handshakes whose requests came lately.
    pub(super) fn lately(&self) -> impl Iterator<Item = (UpgradeId, &Handshake)> {
        self.by_id.iter().rev().take(LATELY).map(|(id, handshake)| (*id, &**handshake))
    }

    /// The open handshakes whose requests were read next to that of `id`, before and after it.
    pub(super) fn around(&self, id: UpgradeId, limit: usize) -> impl Iterator<Item = (UpgradeId, &Handshake)> {
        let before = self.by_id.range(..id).rev().take(limit);
        let after = self.by_id.range((Bound::Excluded(id), Bound::Unbounded)).take(limit);
        before.chain(after).map(|(id, handshake)| (*id, &**handshake))
    }

    /// Notes that a client's hop was chosen among others that fit alike: what is left for the rest is a guess as well.
    pub(super) fn note_guess(&mut self, client: &Handshake, own: &Claim, now: Timestamp) {
        for (_, name) in names(client) {
            let (from, to) = (client.request.at, client.ended_at.unwrap_or(now));
            self.guessed.push(from, Guess { name, target: client.traits.target, to, own: own.clone() });
        }
    }

    /// Whether a hop of this client was guessed to be another's, and if so, whether all would have been judged alike.
    pub(super) fn guessed(&self, name: Name, client: &Handshake) -> Option<Claim> {
        let end = client.ended_at.unwrap_or(Timestamp::MAX);
        if !self.guessed.is_whole_since(client.request.at) {
            let times = (client.request.at, end.max(client.request.at));
            return Some(Claim::Unknown(Doubt::from(&Hole::evicted(times))));
        }
        let near = |(from, guess): &&(Timestamp, Guess)| {
            guess.name == name && guess.target == client.traits.target && *from <= end && client.request.at <= guess.to
        };
        self.guessed.iter().filter(near).map(|(_, guess)| guess.own.clone()).reduce(Claim::and)
    }

    /// Notes that a handshake was decided alone: what its process did meanwhile may belong to it all the same.
    pub(super) fn leave_unpaired(&mut self, handshake: &Handshake, now: Timestamp) {
        for pid in handshake.pids.into_iter().flatten() {
            self.unpaired.push(handshake.request.at, (pid, handshake.ended_at.unwrap_or(now)));
        }
    }

    /// Notes that nobody will know which processes hold the ends of some request before this time.
    pub(super) fn leave_unowned(&mut self, at: Timestamp) {
        self.unowned = self.unowned.max(Some(at));
    }

    /// Whether a process left a handshake unpaired while this one was open, or may hold one without our knowing.
    pub(super) fn has_unpaired(&self, pid: u32, handshake: &Handshake) -> bool {
        let meets = |&(from, (other, to)): &(Timestamp, (u32, Timestamp))| {
            other == pid && from <= handshake.ended_at.unwrap_or(Timestamp::MAX) && handshake.request.at <= to
        };
        let unowned = self.unowned.is_some_and(|at| at >= handshake.request.at.before(LONGEST));
        unowned || !self.unpaired.is_whole_since(handshake.request.at) || self.unpaired.iter().any(meets)
    }

    /// Ids of all, oldest first.
    pub(super) fn ids(&self) -> Vec<UpgradeId> {
        self.by_id.keys().copied().collect()
    }

    /// The oldest one's id.
    pub(super) fn oldest(&self) -> Option<UpgradeId> {
        self.by_id.keys().next().copied()
    }

    /// Handshakes with a name whose requests were sent between two points in time, in order; at most `limit`.
    pub(super) fn named(
        &self,
        name: Name,
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> impl Iterator<Item = (UpgradeId, &Handshake)> {
        // Capture time may step back between a request and its answer.
        let range = self.by_name.range((name, from, UpgradeId(0))..=(name, to.max(from), UpgradeId(u64::MAX)));
        range.take(limit).filter_map(|(_, _, id)| Some((*id, self.get(*id)?)))
    }
}

/// The names of a handshake, strongest first.
pub(super) fn names(handshake: &Handshake) -> SmallVec<[(JoinMethod, Name); 3]> {
    let request = &handshake.request;
    let mut names = SmallVec::new();
    if let Some(name) = key_name(handshake) {
        names.push((JoinMethod::WebSocketKey, name));
    }
    if let Some(id) = request.request_id() {
        names.push((JoinMethod::RequestId, hash("id", id)));
    }
    if request.complete || !request.target.is_empty() {
        names.push((JoinMethod::Fingerprint, hash("tail", field::tail(&request.target))));
    }
    names
}

/// The name that a handshake's key gives it.
pub(super) fn key_name(handshake: &Handshake) -> Option<Name> {
    handshake.request.key().map(|key| hash("key", key))
}

fn hash(kind: &str, value: &str) -> Name {
    FixedState::default().hash_one((kind, value))
}

/// Whether `up` may be what a proxy made of `down`, by time and addresses alone: sent while `down` was open, by the host
/// that got `down`. `skew` is how far clocks of different taps may be apart.
pub(super) fn may_follow(down: &Handshake, up: &Handshake, skew: Duration) -> bool {
    if down.link.id == up.link.id || down.link.shares_server(&up.link) {
        return false;
    }
    let forward = down.link.leads_to(&up.link);
    let backward = down.link.comes_from_server_of(&up.link);
    // Where addresses tell the order, clocks need not; where they do not, all was seen on one host.
    let skew = match (forward, backward) {
        (true, false) if down.clock != up.clock => skew,
        (false, true) => return false,
        _ => Duration::ZERO,
    };
    down.request.at <= up.request.at + skew && down.was_open(up.request.at, skew)
}
