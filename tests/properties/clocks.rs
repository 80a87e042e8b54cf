//! Two captures of the two sides of a proxy, whose clocks are apart: with what a first pass over both finds out, verdicts are
//! as with equal clocks.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use observer::engine::{
    Config,
    clocks::{Clocks, Survey},
    event::Role,
    frame::ClockId,
};

use crate::{
    capture::{Capture, merge},
    difference, lies,
    observe::Detail,
    on_all, rests_on_neighbours,
    traffic::{
        observe::{Seen, config, observe, observe_with},
        wire::{Owned, Segment},
    },
    world,
};

/// How far the clock of the upstream side is ahead, in ms; also behind.
const APART: [i64; 5] = [350, 800, 5_000, 600_000, 3_600_000];
const MS: i64 = 1_000_000;

/// How far off a connection may leave it of which only one way was captured.
const ONE_WAY: Duration = Duration::from_millis(201);

/// Captures whose requests all have the same name, which so links nothing.
const NAMELESS: [&str; 1] = ["many-equal-keys"];

/// The client's side and the upstream side, each with a clock of its own, and hosts with addresses of their own. `None` where
/// only one side was captured, or one server has both.
fn sides(capture: &Capture) -> Option<[Vec<Owned>; 2]> {
    let files = match &capture.files[..] {
        [one] => split(one)?.to_vec(),
        files => files.to_vec(),
    };
    let [clients, upstream] = world::own_hosts(&files).try_into().ok()?;
    let by = |frames: Vec<Owned>, clock: u32| {
        let frame = |frame: Owned| Owned { clock, interface: frame.interface + clock * 1000, ..frame };
        frames.into_iter().map(frame).collect()
    };
    Some([by(clients, 0), by(upstream, 1)])
}

/// The connections of clients, and the others.
fn split(frames: &[Owned]) -> Option<[Vec<Owned>; 2]> {
    let seen = observe(frames);
    let hops = || seen.attempts.iter().flat_map(|attempt| &attempt.hops);
    let servers = |first: bool| -> HashSet<SocketAddr> {
        let of = hops().filter(|hop| matches!(hop.role, Role::Downstream | Role::Only) == first);
        of.filter_map(|hop| hop.server.address()).collect()
    };
    let (fronts, behind) = (servers(true), servers(false));
    if behind.is_empty() || !fronts.is_disjoint(&behind) {
        return None;
    }
    let is_behind = |frame: &&Owned| {
        Segment::read(frame)
            .is_some_and(|segment| !fronts.contains(&segment.source) && !fronts.contains(&segment.destination))
    };
    let (upstream, clients) = frames.iter().partition::<Vec<_>, _>(is_behind);
    Some([clients, upstream].map(|side| side.into_iter().cloned().collect()))
}

fn survey(frames: &[Owned]) -> Clocks {
    let mut survey = Survey::new(config());
    frames.iter().for_each(|frame| survey.handle_frame(&frame.frame()));
    survey.finish()
}

/// As `observer read` does it: a first pass, then all frames by one clock.
pub fn read(sides: [Vec<Owned>; 2]) -> (Seen, Clocks) {
    let clocks = survey(&sides.concat());
    let by_one = |frame: Owned| Owned { at: clocks.common(ClockId(frame.clock), frame.at), ..frame };
    let frames = merge(sides.map(|side| side.into_iter().map(by_one).collect()).to_vec());
    (observe_with(&frames, Config { clocks: clocks.clone(), ..config() }), clocks)
}

fn verdicts(seen: &Seen) -> Vec<String> {
    let attempts = seen.lines(Detail::Accusations).into_iter().filter(|line| line.starts_with("attempt"));
    seen.kinds().into_iter().chain(attempts).collect()
}

#[test]
fn clocks_that_are_apart_change_no_verdict() {
    let (linked, unlinked) = (AtomicUsize::new(0), AtomicUsize::new(0));
    on_all(|capture| {
        if NAMELESS.iter().any(|name| capture.name.starts_with(name)) || rests_on_neighbours(&capture.name) {
            return Vec::new();
        }
        let Some([clients, upstream]) = sides(capture) else { return Vec::new() };
        let (before, equal) = read([clients.clone(), upstream.clone()]);
        let sure = equal.between(ClockId(0), ClockId(1)).is_some_and(|within| within < Duration::from_secs(1));
        (if sure { &linked } else { &unlinked }).fetch_add(1, Ordering::Relaxed);
        let check = |apart: i64| {
            let ahead = upstream.iter().map(|frame| frame.clone().delayed(apart * MS)).collect();
            let (after, clocks) = read([clients.clone(), ahead]);
            let label = format!("{} {apart} ms", capture.name);
            if clocks.between(ClockId(0), ClockId(1)).is_none() {
                return lies(&label, &before, &after);
            }
            let found = clocks.estimates()[1];
            if sure && (found.ahead - apart * MS).unsigned_abs() > u64::try_from(found.within.as_nanos()).unwrap() {
                return vec![format!("{label}: {found:?}")];
            }
            let (one, two) = (verdicts(&before), verdicts(&after));
            if one == two { Vec::new() } else { vec![format!("{label}: {found:?}\n{}", difference(&one, &two))] }
        };
        APART.iter().flat_map(|apart| [*apart, -apart]).flat_map(check).collect()
    });
    let (linked, unlinked) = (linked.into_inner(), unlinked.into_inner());
    println!("{linked} captures whose clocks are known to a second, {unlinked} others");
    if std::env::var("ONLY").is_err() {
        assert!(linked >= 80, "{linked} of {}", linked + unlinked);
    }
}

/// All frames once more, as a second host sees them on the way: what goes to the higher address later, the rest before. By
/// less than a proxy needs to send on what it got.
fn also_elsewhere(frames: &[Owned], apart: i64) -> Vec<Owned> {
    let copy = |frame: &Owned| {
        let up = Segment::read(frame).is_some_and(|segment| segment.source < segment.destination);
        let way = if up { 3_000 } else { -2_000 };
        Owned { clock: 1, interface: frame.interface + 1000, ..frame.clone().delayed(apart * MS + way) }
    };
    let mut copies: Vec<_> = frames.iter().map(copy).collect();
    copies.sort_by_key(|frame| frame.at);
    copies
}

#[test]
fn one_connection_in_two_captures_tells_how_their_clocks_stand() {
    let linked = AtomicUsize::new(0);
    on_all(|capture| {
        let [frames] = &capture.files[..] else { return Vec::new() };
        if NAMELESS.iter().any(|name| capture.name.starts_with(name)) {
            return Vec::new();
        }
        let before = read([frames.clone(), also_elsewhere(frames, 0)]).0.kinds();
        let check = |apart: i64| {
            let (after, clocks) = read([frames.clone(), also_elsewhere(frames, apart)]);
            let label = format!("{} {apart} ms", capture.name);
            let Some(within) = clocks.between(ClockId(0), ClockId(1)) else {
                return Some(format!("{label}: {:?}", clocks.estimates()));
            };
            linked.fetch_add(1, Ordering::Relaxed);
            let off = (clocks.estimates()[1].ahead - apart * MS).unsigned_abs();
            if u128::from(off) > within.as_nanos() || within > ONE_WAY {
                return Some(format!("{label}: {:?}", clocks.estimates()[1]));
            }
            (before != after.kinds()).then(|| format!("{label}\n{}", difference(&before, &after.kinds())))
        };
        [350, -5_000, 3_600_000].into_iter().filter_map(check).collect()
    });
    println!("{} runs", linked.into_inner());
}
