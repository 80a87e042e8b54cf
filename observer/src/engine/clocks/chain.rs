//! From pairs of clocks to one that all others are compared with, over as many steps as it takes.

use std::time::Duration;

use super::{Basis, Estimate, vote::Offset};
use crate::engine::frame::ClockId;

/// What two clocks come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pair {
    /// Both saw nothing that links them.
    Nothing,
    /// What links them does not agree.
    Contradictory,
    /// The second one is ahead of the first by so much.
    Known(Offset),
}

/// Estimates for clocks, which may have been left out (false), by what each two come to.
pub(super) fn estimates(clocks: &[(ClockId, bool)], pair: impl Fn(usize, usize) -> Pair) -> Vec<Estimate> {
    let all = 0..clocks.len();
    let pairs: Vec<Vec<Pair>> =
        all.clone().map(|one| all.clone().map(|other| both(one, other, &pair)).collect()).collect();
    let mut found: Vec<Option<Estimate>> = vec![None; clocks.len()];
    for (start, (clock, read)) in clocks.iter().enumerate() {
        if found[start].is_some() {
            continue;
        }
        let basis = match read {
            false => Basis::LeftOut,
            true if clocks[..start].iter().all(|(_, read)| !read) => Basis::First,
            true if pairs[start].contains(&Pair::Contradictory) => Basis::Contradictory,
            true => Basis::Nothing,
        };
        let within = Duration::ZERO;
        found[start] = Some(Estimate { clock: *clock, reference: *clock, ahead: 0, within, basis, machine: *clock });
        while let Some((at, estimate)) = nearest(*clock, clocks, &found, &pairs) {
            found[at] = Some(estimate);
        }
    }
    found.into_iter().flatten().collect()
}

fn both(one: usize, other: usize, pair: &impl Fn(usize, usize) -> Pair) -> Pair {
    match pair(one.min(other), one.max(other)) {
        _ if one == other => Pair::Nothing,
        Pair::Known(offset) if one > other => Pair::Known(offset.reversed()),
        found => found,
    }
}

/// Of the clocks that are linked with one that is compared with `reference`, the one that is known best, and its place.
fn nearest(
    reference: ClockId,
    clocks: &[(ClockId, bool)],
    found: &[Option<Estimate>],
    pairs: &[Vec<Pair>],
) -> Option<(usize, Estimate)> {
    let known =
        found.iter().enumerate().filter_map(|(at, found)| Some((at, found.filter(|it| it.reference == reference)?)));
    let steps = known.flat_map(|(from, before)| {
        pairs[from].iter().enumerate().filter_map(move |(to, pair)| match pair {
            Pair::Known(offset) if found[to].is_none() => Some((to, step(&before, clocks[to].0, *offset))),
            _ => None,
        })
    });
    steps.min_by_key(|(to, estimate)| (estimate.within, *to))
}

fn step(before: &Estimate, clock: ClockId, offset: Offset) -> Estimate {
    Estimate {
        clock,
        reference: before.reference,
        ahead: before.ahead.saturating_add(offset.ahead),
        within: before.within + Duration::from_nanos(offset.within.unsigned_abs()),
        basis: offset.basis,
        machine: clock,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs of clocks (the first with the lower number), how far the second one is ahead, and how far off that is; then for
    /// each clock its reference, by how much it is ahead of that, and how far off that may be.
    #[track_caller]
    fn check(pairs: &[(usize, usize, i64, i64)], expected: &[(u32, i64, u64, Basis)]) {
        let clocks: Vec<_> = (0..).take(expected.len()).map(|number| (ClockId(number), true)).collect();
        let pair = |one, other| {
            let known = pairs.iter().find(|pair| (pair.0, pair.1) == (one, other));
            known.map_or(Pair::Nothing, |(.., ahead, within)| match within {
                0 => Pair::Contradictory,
                within => Pair::Known(Offset { ahead: *ahead, within: *within, basis: LINKS }),
            })
        };
        let found = estimates(&clocks, pair);
        let found: Vec<_> = found
            .iter()
            .map(|found| (found.reference.0, found.ahead, u64::try_from(found.within.as_nanos()).unwrap(), found.basis))
            .collect();
        assert_eq!(found, expected);
    }

    const LINKS: Basis = Basis::Links { connections: 0, requests: 1, against: 0 };

    #[test]
    fn clocks_are_compared_over_others() {
        check(&[], &[(0, 0, 0, Basis::First)]);
        check(&[(0, 2, 500, 3), (1, 2, 70, 4)], &[(0, 0, 0, Basis::First), (0, 430, 7, LINKS), (0, 500, 3, LINKS)]);
        // The surest way counts.
        check(
            &[(0, 1, 500, 90), (0, 2, 10, 1), (1, 2, -400, 2)],
            &[(0, 0, 0, Basis::First), (0, 410, 3, LINKS), (0, 10, 1, LINKS)],
        );
    }

    #[test]
    fn what_nothing_links_stands_for_itself() {
        check(
            &[(1, 3, 9, 1), (0, 2, 0, 0)],
            &[(0, 0, 0, Basis::First), (1, 0, 0, Basis::Nothing), (2, 0, 0, Basis::Contradictory), (1, 9, 1, LINKS)],
        );
    }
}
