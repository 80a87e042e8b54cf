//! A sample of many things by their hashes: the smallest ones. Two captures that saw the same things keep the same ones of
//! them, however long both are and whenever they began.

use std::collections::BTreeMap;

/// At most `room` values, by the smallest hashes.
#[derive(Debug)]
pub(super) struct Sketch<T> {
    kept: BTreeMap<u64, T>,
    room: usize,
    /// Hashes above this are not kept.
    bound: u64,
}

impl<T: Default> Sketch<T> {
    pub(super) const fn new(room: usize) -> Self {
        Self { kept: BTreeMap::new(), room, bound: u64::MAX }
    }

    /// Whether something with this hash would be kept.
    #[inline]
    pub(super) const fn wants(&self, hash: u64) -> bool {
        hash <= self.bound
    }

    /// What is kept of this hash, new or known; `None` where it is not kept.
    pub(super) fn entry(&mut self, hash: u64) -> Option<&mut T> {
        if !self.wants(hash) {
            return None;
        }
        if self.kept.len() == self.room && !self.kept.contains_key(&hash) {
            self.kept.pop_last();
            self.bound = self.kept.last_key_value().map_or(hash, |(last, _)| hash.max(*last));
        }
        Some(self.kept.entry(hash).or_default())
    }

    pub(super) fn get_mut(&mut self, hash: u64) -> Option<&mut T> {
        self.kept.get_mut(&hash)
    }

    /// What is kept in both, in order of the hashes.
    pub(super) fn common<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = (&'a T, &'a T)> {
        self.kept.iter().filter_map(|(hash, one)| Some((one, other.kept.get(hash)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_samples_of_many_things_share_what_both_saw() {
        let hash = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (mut one, mut other) = (Sketch::<u64>::new(64), Sketch::new(64));
        for number in 0..10_000 {
            for (sketch, number) in [(&mut one, number), (&mut other, number + 5_000)] {
                if let Some(seen) = sketch.entry(hash(number)) {
                    *seen = number;
                }
            }
        }
        assert_eq!((one.kept.len(), other.kept.len()), (64, 64));
        let common: Vec<_> = one.common(&other).collect();
        assert!(common.len() > 20, "{}", common.len());
        assert!(common.iter().all(|(one, other)| one == other && **one >= 5_000));
        let last = *one.kept.last_key_value().unwrap().0;
        assert_eq!(one.bound, last);
        assert!(!one.wants(last + 1) && one.entry(last + 1).is_none());
    }
}
