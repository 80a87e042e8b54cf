//! What taps capture of what was sent: every segment in some way, or less.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::Range,
};

use observer::engine::{
    clocks::{Clocks, Estimate, Survey},
    time::Timestamp,
};

use super::{
    net::{Id, MICRO, MILLI, Net, Sent, Time},
    play::Play,
};
use crate::traffic::{
    damage, mutate,
    noise::Noise,
    observe::config,
    random::Random,
    wire::{Owned, Segment},
};

/// When the world began.
const BEGIN: Time = 1_700_000_000_000_000_000;

/// How a capture came to be.
pub struct Capture {
    pub frames: Vec<Owned>,
    /// What was done to it, in words.
    pub ways: Vec<&'static str>,
    /// The addresses that NAT made, and the true ones.
    pub aliases: HashMap<SocketAddr, SocketAddr>,
    /// How far the clock of the tap at each level is ahead.
    pub clocks: [Time; 4],
    /// From when to when it lasted.
    pub times: Range<Time>,
}

impl Capture {
    /// Strangers' frames.
    fn add(&mut self, noise: &Noise, part: &Part) {
        let is_skewed = self.ways.contains(&"skew");
        let stamped = |sent: &Sent| {
            let level = noise.net.connections[sent.connection].level;
            let interface = if is_skewed { u32::try_from(level).expect("short") } else { 0 };
            frame(&sent.segment, sent.at + self.clocks[level], interface, interface)
        };
        let frames = noise.captured().filter(|sent| part.holds(sent, &noise.net)).map(stamped).collect();
        self.frames = mutate::among(std::mem::take(&mut self.frames), frames);
    }
}

/// Which part of what was sent is captured.
#[derive(Clone)]
struct Part {
    times: Range<Time>,
    levels: Range<usize>,
    /// But for this connection.
    lost: Option<Id>,
}

impl Part {
    const ALL: Self = Self { times: 0..Time::MAX, levels: 0..usize::MAX, lost: None };

    fn holds(&self, sent: &Sent, of: &Net) -> bool {
        let level = of.connections[sent.connection].level;
        self.times.contains(&sent.at) && self.levels.contains(&level) && self.lost != Some(sent.connection)
    }
}

/// The virtual time of a timestamp.
pub fn time(at: Timestamp) -> Time {
    at.as_nanos() - BEGIN
}

type Way = (&'static str, fn(&[Owned], &mut Random) -> Vec<Owned>);

/// Ways to capture the same traffic.
const WAYS: [Way; 8] = [
    ("recut", mutate::recut),
    ("coalesce", mutate::coalesce),
    ("overlap", mutate::overlap),
    ("wrap", mutate::wrap),
    ("duplicate", mutate::duplicate),
    ("double", mutate::double),
    ("swap", mutate::swap),
    ("shuffle", mutate::shuffle),
];

/// Ways that are not taken together, and why.
const EXCLUDED: [(&str, &str, &str); 6] = [
    ("skew", "duplicate", "a copy that comes late in its file holds up what other files have of its time"),
    ("skew", "wrap", "numbers that all begin nearly alike may make one connection of two that two clocks saw"),
    ("duplicate", "swap", "a copy that comes before its original tells a later time, and so a false order of ends"),
    ("duplicate", "shuffle", "the same"),
    ("nat", "swap", "of the two sides of a NAT the one whose bytes are read first gives the connection its name"),
    ("nat", "shuffle", "the same"),
];

/// A capture that holds everything.
pub fn complete(play: &Play, noise: &Noise, random: &mut Random) -> Capture {
    let mut capture = taps(play, random, true, &Part::ALL);
    let links = mutate::relink(&capture.frames, random);
    capture.frames = links;
    for (name, way) in WAYS {
        let excluded = EXCLUDED.iter().any(|(one, other, _)| *other == name && capture.ways.contains(one));
        if random.chance(20) && !excluded {
            capture.ways.push(name);
            capture.frames = way(&capture.frames, random);
        }
    }
    // Among strangers' frames a copy may come later than any connection is kept, and begins one of its own.
    if !capture.ways.contains(&"duplicate") {
        capture.add(noise, &Part::ALL);
    }
    capture
}

/// The names of kinds of captures that are not those of damaged frames.
pub const COMPLETE: &str = "complete";
pub const FOREIGN_GAP: &str = "foreign-gap";
pub const LATE: &str = "late start";
pub const EARLY: &str = "early end";
pub const DOWNSTREAM: &str = "client side only";
pub const UPSTREAM: &str = "upstream side only";
/// Where every byte of a connection is lost there is nothing to see of it: what its absence says cannot be told from the
/// truth.
pub const WHOLE: &str = "whole connections";

/// A capture that lacks only one segment of a stranger's connection of each kind; none where there are no strangers.
pub fn foreign_gap(play: &Play, noise: &mut Noise, random: &mut Random) -> Option<Capture> {
    if noise.kinds.is_empty() {
        return None;
    }
    noise.lose_one_of_each();
    let mut capture = taps(play, random, true, &Part::ALL);
    capture.add(noise, &Part::ALL);
    // Nothing links the clocks on both sides of a proxy that makes new keys: by such clocks a gap may have been at any time.
    let is_linked = !capture.ways.contains(&"skew") || play.world.proxies.iter().all(|proxy| !proxy.rekeys);
    is_linked.then_some(capture)
}

/// A capture that lacks something, and the kind of its damage.
pub fn damaged(play: &Play, noise: &Noise, random: &mut Random) -> (Capture, &'static str) {
    let kinds = damage::KINDS.len();
    let choice = random.below(kinds + 5);
    if let Some(&(name, _, damage)) = damage::KINDS.get(choice) {
        let mut capture = taps(play, random, false, &Part::ALL);
        let frames = damage(&capture.frames, random);
        let traceless = damage::is_traceless(&capture.frames, &frames);
        capture.frames = frames;
        capture.add(noise, &Part::ALL);
        return (capture, if traceless { WHOLE } else { name });
    }
    let moment = play.net.sent[random.below(play.net.sent.len())].at;
    let (part, kind) = match choice - kinds {
        0 => (Part { times: moment..Time::MAX, ..Part::ALL }, LATE),
        1 => (Part { times: 0..moment, ..Part::ALL }, EARLY),
        2 => (Part { levels: 0..1, ..Part::ALL }, DOWNSTREAM),
        3 => (Part { levels: 1..usize::MAX, ..Part::ALL }, UPSTREAM),
        _ => (Part { lost: Some(random.below(play.net.connections.len())), ..Part::ALL }, WHOLE),
    };
    let mut capture = taps(play, random, false, &part);
    capture.add(noise, &Part { lost: None, ..part });
    (capture, kind)
}

/// Frames of a part, each stamped by the clock of its tap, in order of the stamps.
fn taps(play: &Play, random: &mut Random, whole: bool, part: &Part) -> Capture {
    // Two clocks do not tell which of several hops with one key came first.
    let skewed = !play.world.is_one_host() && !play.truth.has_equal_keys && random.chance(30);
    let mut clock = || {
        let little = Time::try_from(random.below(400)).expect("short") * MILLI - LITTLE;
        little + if random.chance(50) { APART[random.below(APART.len())] * MILLI } else { 0 }
    };
    let clocks = if skewed { [0, clock(), clock(), clock()] } else { [0; 4] };
    let times = part.times.clone();
    let mut capture = Capture { frames: Vec::new(), ways: Vec::new(), aliases: HashMap::new(), clocks, times };
    if skewed {
        capture.ways.push("skew");
    }
    // Without both SYNs, or by two clocks, the two sides of a NAT are two connections.
    let nat =
        (whole && !play.world.loopback && !play.truth.has_equal_keys && random.chance(8)).then(|| nat(play, random));
    if let Some((inside, outside)) = nat {
        capture.ways.push("nat");
        capture.aliases.insert(outside, inside);
    }
    for sent in play.net.sent.iter().filter(|sent| part.holds(sent, &play.net)) {
        let level = play.net.connections[sent.connection].level;
        let interface = if skewed { u32::try_from(level).expect("short") } else { 0 };
        let at = sent.at + clocks[level];
        let clock = interface;
        capture.frames.push(frame(&sent.segment, at, interface, clock));
        if let Some((inside, outside)) = nat {
            let mut outer = sent.segment.clone();
            let coming = outer.destination == inside;
            let ends = [&mut outer.source, &mut outer.destination];
            let Some(end) = ends.into_iter().find(|end| **end == inside) else { continue };
            *end = outside;
            let apart = if coming { -5 * MICRO } else { 5 * MICRO };
            capture.frames.push(frame(&outer, at + apart, interface + 10, clock));
        }
    }
    capture.frames.sort_by_key(|frame| frame.at);
    for (number, frame) in capture.frames.iter_mut().enumerate() {
        frame.number = number as u64 + 1;
    }
    capture
}

/// How far clocks may be apart where nothing tells; how much more, in milliseconds, where something does.
const LITTLE: Time = 200 * MILLI;
const APART: [Time; 6] = [350, 800, 5000, -600_000, 3_600_000, -3_600_000];

/// As `observer read` does it: finds out how the clocks stand, and shows all frames by one. Of a clock that nothing links to
/// the first, or not closely, only what differs a little is left: more is not judged yet.
pub fn by_one_clock(capture: &mut Capture) -> Clocks {
    let mut survey = Survey::new(config());
    capture.frames.iter().for_each(|frame| survey.handle_frame(&frame.frame()));
    let found = survey.finish();
    let Some(first) = found.estimates().first().map(|estimate| estimate.clock) else { return found };
    let clocks = capture.clocks;
    for Estimate { clock, ahead, .. } in found.estimates() {
        let level = clock.0 as usize;
        let apart = clocks[level] - clocks[first.0 as usize];
        let is_sure = found.between(first, *clock).is_some_and(|within| within < config().settle);
        let ahead = if is_sure { *ahead } else { apart - apart % LITTLE };
        capture.clocks[level] -= ahead;
        let own = capture.frames.iter_mut().filter(|frame| frame.clock == clock.0);
        own.for_each(|frame| *frame = frame.clone().delayed(-ahead));
    }
    capture.frames = merged(&capture.frames);
    found
}

/// The frames of several clocks by time; those of one stay in their order.
fn merged(frames: &[Owned]) -> Vec<Owned> {
    let mut files = BTreeMap::<u32, VecDeque<&Owned>>::new();
    frames.iter().for_each(|frame| files.entry(frame.clock).or_default().push_back(frame));
    let earliest = move || {
        let next = files.values_mut().filter(|file| !file.is_empty()).min_by_key(|file| file[0].at)?;
        next.pop_front().cloned()
    };
    std::iter::from_fn(earliest).collect()
}

/// A server behind NAT: where it listens, and where it is asked.
fn nat(play: &Play, random: &mut Random) -> (SocketAddr, SocketAddr) {
    let servers = [play.world.proxies[0].listen, play.world.origins[0]];
    let inside = servers[random.below(2)];
    let ip: IpAddr = match inside.ip() {
        IpAddr::V4(_) => Ipv4Addr::new(172, 17, 0, 9).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0xfd17, 0, 0, 0, 0, 0, 0, 9).into(),
    };
    (inside, SocketAddr::new(ip, 8443))
}

fn frame(segment: &Segment, at: Time, interface: u32, clock: u32) -> Owned {
    let like = Owned::raw(Timestamp::from_nanos(BEGIN + at), 0, interface);
    segment.write(&Owned { clock, ..like })
}
