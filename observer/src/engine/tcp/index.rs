//! The ways to a connection's slot: by its name, by other names that NAT gave it, and by its initial sequence numbers. Where
//! the slot itself tells what it is known by, only its number is kept: five bytes for each connection.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable, hash_table::Entry};

use super::{connection::Connection, key::Key, reader::Reader, slots};

/// Both initial sequence numbers: the client's and the server's.
type Initials = (u32, u32);

/// Slots by what their connections are known by.
#[derive(Default, Debug)]
pub(super) struct Index {
    by_key: HashTable<u32>,
    /// Other names, which NAT gave a few connections.
    aliases: HashMap<Key, Alias, FixedState>,
    by_initials: HashTable<u32>,
}

/// Where another name leads: the connection's slot, and whether the name's lower end is the connection's second one.
#[derive(Clone, Copy, Debug)]
struct Alias {
    slot: u32,
    flipped: bool,
}

/// Connections by slot.
type Slots<R> = slots::Slots<Connection<R>>;

impl Index {
    /// Bytes that a connection costs here, at most: five in each table, of which less than half are taken.
    pub(super) const ENTRY: usize = 24;

    /// Where a name leads, and whether its lower end is the connection's second one.
    #[inline]
    pub(super) fn look_up<R: Reader>(&self, key: &Key, slots: &Slots<R>) -> Option<(u32, bool)> {
        if let Some(slot) = self.first_name(key, slots) {
            return Some((slot, false));
        }
        if self.aliases.is_empty() {
            return None;
        }
        self.aliases.get(key).map(|alias| (alias.slot, alias.flipped))
    }

    /// The slot of a connection that had this name first.
    #[inline]
    pub(super) fn first_name<R: Reader>(&self, key: &Key, slots: &Slots<R>) -> Option<u32> {
        let is_it = |slot: &u32| slots.get(*slot).is_some_and(|connection| connection.key() == *key);
        self.by_key.find(hash(key), is_it).copied()
    }

    /// Adds a connection that stands in its slot.
    pub(super) fn insert<R: Reader>(&mut self, key: &Key, slot: u32, slots: &Slots<R>) {
        let rehash = |slot: &u32| slots.get(*slot).map_or(0, |connection| hash(&connection.key()));
        self.by_key.insert_unique(hash(key), slot, rehash);
    }

    /// The connection that had these initial sequence numbers first: `slot` itself, where no other has them.
    pub(super) fn first_with<R: Reader>(&mut self, initials: Initials, slot: u32, slots: &Slots<R>) -> u32 {
        let of = |slot: &u32| slots.get(*slot).and_then(Connection::initials);
        let rehash = |slot: &u32| of(slot).map_or(0, |initials| hash(&initials));
        match self.by_initials.entry(hash(&initials), |slot| of(slot) == Some(initials), rehash) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => *entry.insert(slot).get(),
        }
    }

    /// These initial sequence numbers lead to another slot from now on.
    pub(super) fn redirect(&mut self, initials: Initials, from: u32, to: u32) {
        if let Ok(mut entry) = self.by_initials.find_entry(hash(&initials), |slot| *slot == from) {
            *entry.get_mut() = to;
        }
    }

    /// A name of a connection that is gone leads to another one, whose ends may be in the other order.
    pub(super) fn rename(&mut self, key: Key, slot: u32, swapped: bool) {
        let flipped = self.aliases.get(&key).is_some_and(|alias| alias.flipped);
        self.aliases.insert(key, Alias { slot, flipped: flipped != swapped });
    }

    /// Removes what the connection in a slot was known by, but for other names.
    pub(super) fn forget(&mut self, slot: u32, key: &Key, initials: Option<Initials>) {
        if let Ok(entry) = self.by_key.find_entry(hash(key), |other| *other == slot) {
            entry.remove();
        }
        if let Some(initials) = initials {
            self.forget_initials(slot, initials);
        }
    }

    /// Removes initial sequence numbers that are not a connection's any more.
    pub(super) fn forget_initials(&mut self, slot: u32, initials: Initials) {
        if let Ok(entry) = self.by_initials.find_entry(hash(&initials), |other| *other == slot) {
            entry.remove();
        }
    }

    /// Removes another name.
    pub(super) fn forget_alias(&mut self, key: &Key) {
        self.aliases.remove(key);
    }
}

#[inline]
fn hash(name: &impl Hash) -> u64 {
    FixedState::default().hash_one(name)
}
