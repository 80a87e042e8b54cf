//! Loopback addresses: those of one machine are one host, those of two machines are not, and what tells two captures to be of
//! one machine is a connection between its own addresses that both saw.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicUsize, Ordering},
};

use observer::engine::frame::ClockId;

use crate::{
    ORDERED,
    beside::Likeness,
    capture::{self, Capture},
    check_kinds,
    clocks::read,
    difference,
    observe::Detail,
    on_all, rests_on_neighbours,
    traffic::{
        net::{Client, MILLI, Net, SECOND, Server},
        observe::{Seen, observe},
        random::Random,
        wire::{Owned, Segment},
    },
    world,
};

/// The frames of a capture that was made on one machine, and all on its own addresses.
fn local(capture: &Capture) -> Option<Vec<Owned>> {
    let frames = capture.frames();
    let is_local = |frame: &Owned| Segment::read(frame).is_none_or(|segment| segment.source.ip().is_loopback());
    (capture.files.len() == 1 && frames.iter().all(is_local)).then_some(frames)
}

/// By another clock.
fn by(clock: u32, frames: &[Owned]) -> Vec<Owned> {
    frames.iter().map(|frame| Owned { clock, interface: frame.interface + clock * 1000, ..frame.clone() }).collect()
}

/// What is said, without what names time.
fn told(seen: &Seen) -> Vec<String> {
    seen.lines(Detail::Facts)
}

/// A connection between two other hosts, from the beginning of a capture to its end.
fn between_others(frames: &[Owned]) -> Vec<Owned> {
    let ends = ["198.51.100.9:40000", "198.51.100.10:9000"].map(|end| end.parse().unwrap());
    let mut net = Net::new(Random::new("between others", 0));
    let [from, to] = [&frames[0], &frames[frames.len() - 1]].map(|frame| frame.at.as_nanos());
    let id = net.open(ends[0], ends[1], 0, from);
    for step in 1..100 {
        let at = from + (to - from).min(50 * SECOND) / 100 * step;
        net.say(id, Client, at, b"ping");
        net.say(id, Server, at + MILLI / 10, b"pong");
    }
    world::captured(net.sent.iter(), frames)
}

#[test]
fn two_machines_that_use_the_same_own_addresses_have_nothing_to_do_with_each_other() {
    let others: Vec<_> = capture::all()
        .into_iter()
        .filter_map(|other| local(&other).map(|frames| (Likeness::new(&frames), other.name, frames)))
        .collect();
    let [linked, unlinked] = [AtomicUsize::new(0), AtomicUsize::new(0)];
    on_all(|capture| {
        let Some(frames) = local(capture) else { return Vec::new() };
        let likeness = Likeness::new(&frames);
        let at = others.iter().position(|(_, name, _)| *name == capture.name).unwrap();
        let mut next = (0..others.len()).map(|step| &others[(at * 7 + 3 + step) % others.len()]);
        let Some((_, name, other)) = next.find(|(other, ..)| likeness.is_apart(other)) else { return Vec::new() };
        let other = world::shifted_to(&frames, other);
        let mut before = [&frames, &other].map(|frames| told(&observe(frames))).concat();
        before.sort();
        let check = |is_linked: bool| {
            let mut files = [by(0, &frames), by(1, &other)];
            if is_linked {
                let common = between_others(&frames);
                for (clock, file) in (0..).zip(&mut files) {
                    *file = capture::merge(vec![std::mem::take(file), by(clock, &common)]);
                }
            }
            let (after, clocks) = read(files);
            let known = clocks.between(ClockId(0), ClockId(1)).is_some();
            (if known { &linked } else { &unlinked }).fetch_add(1, Ordering::Relaxed);
            let after = told(&after);
            let label = format!("{} and {name}, {} clocks", capture.name, if known { "linked" } else { "unlinked" });
            (before != after).then(|| format!("{label}\n{}", difference(&before, &after)))
        };
        [false, true].into_iter().filter_map(check).collect()
    });
    let tried = [linked, unlinked].map(AtomicUsize::into_inner);
    assert!(tried.iter().all(|tried| *tried > 60) || std::env::var("ONLY").is_ok(), "{tried:?}");
}

#[test]
fn captures_that_follow_each_other_on_one_machine_say_the_same_as_one() {
    let tried = AtomicUsize::new(0);
    on_all(|capture| {
        let is_guess = ORDERED.iter().any(|name| capture.name.starts_with(name)) || rests_on_neighbours(&capture.name);
        let Some(frames) = local(capture).filter(|_| !is_guess) else { return Vec::new() };
        let before = observe(&frames).kinds();
        let check = |part: usize| {
            let cut = frames.len() * part / 4;
            let (first, second) = frames.split_at(cut);
            if !goes_on(first, second) {
                return None;
            }
            tried.fetch_add(1, Ordering::Relaxed);
            let after = read([by(0, first), by(1, second)]).0.kinds();
            (before != after).then(|| format!("{} {part}\n{}", capture.name, difference(&before, &after)))
        };
        (1..4).filter_map(check).collect()
    });
    assert!(tried.into_inner() > 60 || std::env::var("ONLY").is_ok());
}

/// Whether something is said on a connection before and after.
fn goes_on(before: &[Owned], after: &[Owned]) -> bool {
    let ends = |frames: &[Owned]| -> BTreeSet<[SocketAddr; 2]> {
        let segments = frames.iter().filter_map(Segment::read).filter(|segment| segment.wire_payload > 0);
        segments
            .map(|segment| [segment.source.min(segment.destination), segment.source.max(segment.destination)])
            .collect()
    };
    !ends(before).is_disjoint(&ends(after))
}

#[test]
fn other_names_of_one_machine_say_the_same() {
    on_all(|capture| {
        let Some(frames) = local(capture) else { return Vec::new() };
        // Each server has a name of its own, from which it also sends.
        let name = |end: SocketAddr| match end.ip() {
            IpAddr::V4(_) if end.port() < 32768 => IpAddr::from([127, 0, 1, (end.port() % 251).to_be_bytes()[1] + 1]),
            ip => ip,
        };
        let renamed = world::renamed(&frames, name);
        check_kinds("aliases", capture, &observe(&frames).kinds(), &renamed).into_iter().collect()
    });
}
