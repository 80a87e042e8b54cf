//! Which captures are of one machine: those that saw the same connection between the machine's own addresses, or one of
//! which it goes on where it stopped in the other (`tcpdump -C` and the like begin a new file in the middle of everything).

use std::net::SocketAddr;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use lru::LruCache;

use super::sight::Sights;
use crate::engine::packet::Segment;

/// Connections remembered by where they began in the capture, and by where they were last: more than are open at its ends.
const MAX_BEGUN: usize = 1024;
const MAX_LAST: usize = 4096;
/// How far a connection may have gone on between two captures, in bytes. Another machine's connection of the same name
/// is elsewhere in the space of sequence numbers in all but one of four million cases.
const FAR: u32 = 1 << 20;

/// The lower end and the higher one.
type Ends = (SocketAddr, SocketAddr);
/// Sequence numbers of both ends, as one segment tells them.
type Place = [u32; 2];

/// What a capture saw of connections between a machine's own addresses.
#[derive(Debug)]
pub(super) struct Own {
    /// Those that were open when the capture began.
    begun: HashMap<Ends, Place, FixedState>,
    /// Those that were seen last.
    last: LruCache<Ends, Place, FixedState>,
}

impl Default for Own {
    fn default() -> Self {
        let last = LruCache::unbounded_with_hasher(FixedState::default());
        Self { begun: HashMap::default(), last }
    }
}

impl Own {
    /// A segment of one.
    pub(super) fn segment(&mut self, segment: &Segment<'_>, acknowledgment: u32) {
        let is_low = segment.source <= segment.destination;
        let (ends, place) = if is_low {
            ((segment.source, segment.destination), [segment.sequence, acknowledgment])
        } else {
            ((segment.destination, segment.source), [acknowledgment, segment.sequence])
        };
        let is_known = self.last.put(ends, place).is_some();
        if !is_known && !segment.flags.syn() && self.begun.len() < MAX_BEGUN {
            self.begun.entry(ends).or_insert(place);
        }
        if self.last.len() > MAX_LAST {
            self.last.pop_lru();
        }
    }

    /// Whether a connection of this goes on in the other.
    fn goes_on_in(&self, other: &Self) -> bool {
        other.begun.iter().any(|(ends, begun)| {
            let near = |last: &Place| {
                last.iter().zip(begun).all(|(one, two)| one.wrapping_sub(*two).wrapping_add(FAR) < 2 * FAR)
            };
            self.last.peek(ends).is_some_and(near)
        })
    }
}

/// Whether two captures are of one machine.
pub(super) fn is_one(one: &Sights, other: &Sights) -> bool {
    let same = || {
        one.segments
            .common(&other.segments)
            .any(|(one, other)| one.own && other.own && one.connection == other.connection)
    };
    one.own.goes_on_in(&other.own) || other.own.goes_on_in(&one.own) || same()
}
