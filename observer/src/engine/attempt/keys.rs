//! The names of hops that were decided recently: another request with one of them may belong to the same attempt.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use smallvec::SmallVec;

use super::{
    super::{knowledge::Recently, tcp::Link, time::Timestamp},
    store::Name,
};

/// Bytes that a name costs in both tables.
const ENTRY: usize = 256;
/// Names that are kept at most, and at the least.
const MOST: usize = 8192;
const FEWEST: usize = 64;

/// A hop's connection, and when its request was sent.
pub(super) type Hop = (Timestamp, Link);

/// Names of decided hops.
#[derive(Debug)]
pub(super) struct DecidedKeys {
    by_name: HashMap<Name, SmallVec<[Hop; 1]>, FixedState>,
    newest: Recently<(Name, Link)>,
}

impl DecidedKeys {
    /// For so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        Self { by_name: HashMap::default(), newest: Recently::new((bytes / ENTRY).clamp(FEWEST, MOST)) }
    }

    pub(super) fn memory(&self) -> usize {
        self.newest.len() * ENTRY
    }

    /// A hop was decided.
    pub(super) fn add(&mut self, name: Name, at: Timestamp, link: Link) {
        if let Some((oldest, _)) = self.newest.push(at, (name, link))
            && let Some(hops) = self.by_name.get_mut(&oldest)
        {
            hops.remove(0);
            if hops.is_empty() {
                self.by_name.remove(&oldest);
            }
        }
        self.by_name.entry(name).or_default().push((at, link));
    }

    /// The hops with a name, in the order in which they were decided.
    pub(super) fn named(&self, name: Name) -> &[Hop] {
        self.by_name.get(&name).map_or(&[], |hops| hops)
    }

    /// The newest of all.
    pub(super) fn newest(&self, most: usize) -> impl Iterator<Item = (Timestamp, Name, &Link)> {
        self.newest.iter().rev().take(most).map(|(at, (name, link))| (*at, *name, link))
    }

    /// Whether all that were sent since a time are still there.
    pub(super) fn is_whole_since(&self, at: Timestamp) -> bool {
        self.newest.is_whole_since(at)
    }
}
