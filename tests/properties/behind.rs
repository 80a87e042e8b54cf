//! A tap that leaves payload out changes nothing of what is told; where it loses some, nobody is accused falsely.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    Mutation, difference,
    kernel::{Luck, Saved, observe},
    lies,
    observe::Detail,
    on_all, rests_on_neighbours,
    traffic::{
        mutate,
        observe::{self as run, Seen},
        random::Random,
    },
};

/// Demands that arrive after a few frames, room for everything.
const USUAL: Luck = Luck { late: 4, refused: 0, talks: usize::MAX, full: 0 };

/// Everything that verdicts and tunnels' ends are told by, and how many requests there were, with some that were not
/// counted.
fn lines(seen: Seen, uncounted: u64, detail: Detail) -> Vec<String> {
    let requests = vec![format!("{} requests", seen.stats.requests + uncounted)];
    [seen.lines(detail), if detail == Detail::Exact { seen.tunnels } else { Vec::new() }, requests].concat()
}

/// Says the same behind such a tap as without it, whatever else became of the frames.
fn check_same(name: &str, luck: Luck, seeds: u64, mutation: Mutation) -> Saved {
    let all = Mutex::new(Saved::default());
    on_all(|capture| {
        if rests_on_neighbours(&capture.name) {
            return Vec::new();
        }
        // Behind NAT, what is left out is told by one of two names, microseconds apart.
        let detail = if capture.name.starts_with("docker-nat") { Detail::Facts } else { Detail::Exact };
        let run = |seed| {
            let mut random = Random::new(&format!("{name} {}", capture.name), seed);
            let frames = mutation(&capture.frames(), &mut random);
            let (seen, saved) = observe(&frames, luck, random);
            let (before, after) = (lines(run::observe(&frames), 0, detail), lines(seen, saved.pipelined, detail));
            let mut all = all.lock().unwrap();
            all.bytes += saved.bytes;
            all.requests += saved.requests;
            (before != after).then(|| format!("{} {name} seed {seed}\n{}", capture.name, difference(&before, &after)))
        };
        (0..seeds).filter_map(run).collect()
    });
    let saved = all.into_inner().unwrap();
    println!("{name}: {} bytes and {} requests were left out", saved.bytes, saved.requests);
    saved
}

#[test]
fn payload_left_out_on_demand_says_the_same() {
    let saved = check_same("kernel", USUAL, 4, |frames, _| frames.to_vec());
    assert!(saved.bytes > 500_000 && saved.requests > 500, "too little to tell");
}

#[test]
fn late_demands_say_the_same() {
    check_same("late", Luck { late: 60, ..USUAL }, 3, |frames, _| frames.to_vec());
}

#[test]
fn full_tables_say_the_same() {
    check_same("refused", Luck { refused: 50, talks: 2, ..USUAL }, 3, |frames, _| frames.to_vec());
}

#[test]
fn frames_cut_otherwise_say_the_same_behind_it() {
    check_same("kernel recut", USUAL, 2, mutate::recut);
    check_same("kernel coalesce", USUAL, 2, mutate::coalesce);
}

#[test]
fn two_interfaces_say_the_same_behind_it() {
    check_same("kernel double", USUAL, 2, mutate::double);
}

#[test]
fn disorder_behind_it_accuses_nobody() {
    on_all(|capture| {
        let frames = capture.frames();
        let whole = run::observe(&frames);
        let run = |(seed, disorder): (u64, Mutation)| {
            let mut random = Random::new(&format!("disorder {}", capture.name), seed);
            let (seen, _) = observe(&disorder(&frames, &mut random), USUAL, random);
            lies(&format!("{} disorder {seed}", capture.name), &whole, &seen)
        };
        (0..)
            .zip([mutate::swap, mutate::swap, mutate::shuffle, mutate::duplicate, mutate::duplicate])
            .flat_map(run)
            .collect()
    });
}

#[test]
fn a_full_ring_accuses_nobody() {
    let lost = AtomicU64::new(0);
    on_all(|capture| {
        let frames = capture.frames();
        let whole = run::observe(&frames);
        let run = |seed| {
            let random = Random::new(&format!("full {}", capture.name), seed);
            let (seen, saved) = observe(&frames, Luck { full: 4, ..USUAL }, random);
            lost.fetch_add(saved.lost, Ordering::Relaxed);
            assert_eq!(seen.stats.drops, saved.lost);
            lies(&format!("{} full seed {seed}", capture.name), &whole, &seen)
        };
        (0..6).flat_map(run).collect()
    });
    assert!(lost.into_inner() > 1000, "too few to tell");
}
