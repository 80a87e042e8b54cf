//! What happened recently, up to so many things. What had to be forgotten is counted, and from when on nothing is missing
//! is known: who looks for something that is absent asks that first.

use std::collections::{VecDeque, vec_deque};

use crate::engine::time::Timestamp;

/// The newest things, each with its time, in the order in which they were added.
#[derive(Clone, Debug)]
pub struct Recently<T> {
    things: VecDeque<(Timestamp, T)>,
    most: usize,
    forgotten: Option<Timestamp>,
}

impl<T> Recently<T> {
    /// Keeps at most so many.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self { things: VecDeque::new(), most, forgotten: None }
    }

    /// Adds one; gives back what had to be forgotten for it.
    pub fn push(&mut self, at: Timestamp, thing: T) -> Option<T> {
        let oldest = if self.things.len() >= self.most { self.pop() } else { None };
        self.things.push_back((at, thing));
        oldest
    }

    /// Forgets the oldest, and gives it back.
    pub fn pop(&mut self) -> Option<T> {
        let (at, thing) = self.things.pop_front()?;
        self.forgotten = self.forgotten.max(Some(at));
        Some(thing)
    }

    /// Takes out the oldest one, which was dealt with: it is not counted as forgotten.
    pub fn take(&mut self) -> Option<T> {
        self.things.pop_front().map(|(_, thing)| thing)
    }

    /// Whether all that happened since a time is still there.
    #[must_use]
    pub fn is_whole_since(&self, at: Timestamp) -> bool {
        self.forgotten.is_none_or(|forgotten| forgotten < at)
    }

    /// Throws out what nobody will look for any more: it is not counted as forgotten.
    pub fn drop_before(&mut self, at: Timestamp) {
        while self.things.front().is_some_and(|(then, _)| *then < at) {
            self.things.pop_front();
        }
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> vec_deque::Iter<'_, (Timestamp, T)> {
        self.things.iter()
    }

    /// All of them, to be changed.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> {
        self.things.iter_mut().map(|(_, thing)| thing)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.things.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.things.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_is_known() {
        let at = Timestamp::from_nanos;
        let mut recently = Recently::new(2);
        assert_eq!([recently.push(at(1), 'a'), recently.push(at(2), 'b')], [None, None]);
        assert!(recently.is_whole_since(at(0)));
        assert_eq!(recently.push(at(3), 'c'), Some('a'));
        assert!(!recently.is_whole_since(at(1)) && recently.is_whole_since(at(2)));
        recently.drop_before(at(3));
        assert!(recently.len() == 1 && recently.is_whole_since(at(2)));
    }
}
