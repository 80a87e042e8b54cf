//! When and where bytes are missing from the capture: then a request that was not seen proves nothing.

use std::{collections::VecDeque, time::Duration};

use super::super::{tcp::Link, time::Timestamp};

/// Places remembered.
const MAX_KEPT: usize = 1024;
/// A gap is noticed when what comes after it is seen; what is missing was sent some time before.
const NOTICED_WITHIN: Duration = Duration::from_secs(2);
/// How far the clock of another tap may be behind.
const CLOCKS: Duration = Duration::from_secs(1);

/// Places where bytes are missing.
#[derive(Default, Debug)]
pub(super) struct Unread {
    places: VecDeque<(Link, Timestamp, Timestamp)>,
}

impl Unread {
    pub(super) fn note(&mut self, link: &Link, since: Timestamp, at: Timestamp) {
        if self.places.len() == MAX_KEPT {
            self.places.pop_front();
        }
        self.places.push_back((*link, since, at));
    }

    pub(super) fn memory(&self) -> usize {
        self.places.len() * size_of::<(Link, Timestamp, Timestamp)>()
    }

    /// Whether bytes of a connection that `matters` are missing, and may have been sent between two points in time.
    pub(super) fn is_missing(&self, from: Timestamp, to: Timestamp, matters: impl Fn(&Link) -> bool) -> bool {
        let near = |since: Timestamp, at: Timestamp| from <= at + CLOCKS && since <= to + NOTICED_WITHIN;
        self.places.iter().any(|(link, since, at)| near(*since, *at) && matters(link))
    }
}
