//! Mutations that change how traffic was captured but not what it was: the verdicts must stay.

use std::{collections::HashMap, time::Duration};

use observer::engine::frame::LinkType;

use super::{
    random::Random,
    wire::{FIN, Owned, RST, SYN, Segment},
};

/// Cuts payloads into smaller segments, down to single bytes.
pub fn recut(frames: &[Owned], random: &mut Random) -> Vec<Owned> {
    let mut out = Vec::new();
    for frame in frames {
        let cuttable = |segment: &Segment| segment.payload.len() > 1 && !segment.has(SYN | RST);
        match Segment::read(frame).filter(cuttable) {
            Some(segment) => pieces(frame, &segment, random, &mut out),
            None => out.push(frame.clone()),
        }
    }
    out
}

fn pieces(frame: &Owned, segment: &Segment, random: &mut Random, out: &mut Vec<Owned>) {
    let length = segment.payload.len();
    let mut cuts: Vec<usize> = match random.below(4) {
        0 => Vec::new(),
        1 if length < 400 => (1..length).collect(),
        _ => (0..random.between(1, 6)).map(|_| random.between(1, length - 1)).collect(),
    };
    cuts.extend([0, length]);
    cuts.sort_unstable();
    cuts.dedup();
    for pair in cuts.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let last = to == length;
        let mut piece = segment.clone();
        piece.sequence = segment.sequence.wrapping_add(u32::try_from(from).expect("inside a segment"));
        piece.payload = segment.payload[from..to].to_vec();
        piece.wire_payload = if last { segment.wire_payload - from } else { to - from };
        piece.flags = if last { segment.flags } else { segment.flags & !FIN };
        out.push(piece.write(frame));
    }
}

/// Merges segments that follow each other, as a network card does (GRO).
pub fn coalesce(frames: &[Owned], random: &mut Random) -> Vec<Owned> {
    let mut out: Vec<Owned> = Vec::new();
    // Of each connection, where its last frame is in `out`.
    let mut last = HashMap::new();
    for frame in frames {
        let Some(segment) = Segment::read(frame) else {
            out.push(frame.clone());
            continue;
        };
        let before = last.get(&segment.connection()).copied().filter(|_| random.chance(80));
        if let Some((at, merged)) = before.and_then(|at: usize| Some((at, merged(&out[at], frame, &segment)?))) {
            out[at] = merged;
            continue;
        }
        last.insert(segment.connection(), out.len());
        out.push(frame.clone());
    }
    out
}

fn merged(before: &Owned, frame: &Owned, segment: &Segment) -> Option<Owned> {
    let mut first = Segment::read(before)?;
    let near = frame.at.since(before.at).as_micros() < 100 && before.interface == frame.interface;
    let follows = first.flow() == segment.flow()
        && first.end() == segment.sequence
        && first.acknowledgment == segment.acknowledgment
        && !first.has(SYN | FIN | RST)
        && !segment.has(SYN | RST);
    let bytes = !first.payload.is_empty() && !segment.payload.is_empty();
    let small = first.payload.len() + segment.payload.len() < 65000;
    if !(near && follows && bytes && small && first.is_whole() && segment.is_whole()) {
        return None;
    }
    first.payload.extend(&segment.payload);
    first.wire_payload = first.payload.len();
    first.flags |= segment.flags;
    Some(first.write(before))
}

/// How far apart frames may be taken out of order: capture time steps back a little, not by minutes.
const NEAR: Duration = Duration::from_millis(250);

/// Whether a frame may change its place. A SYN stays: of the two names of a connection behind NAT, the one seen first is
/// told.
fn is_movable(frame: &Owned) -> bool {
    Segment::read(frame).is_none_or(|segment| !segment.has(SYN))
}

/// Whether an end comes before the SYN of its connection: it is taken for one of a connection from before the capture.
/// What refuses a SYN tells by its sequence number.
fn ends_unopened(frames: &[Owned]) -> bool {
    let segments: Vec<_> = frames.iter().filter_map(Segment::read).collect();
    let ends = |segment: &Segment| segment.has(FIN) || segment.has(RST) && segment.sequence != 0;
    (0..segments.len()).filter(|&at| ends(&segments[at])).any(|at| {
        let own = |later: &Segment| later.has(SYN) && later.connection() == segments[at].connection();
        segments[at + 1..].iter().any(own)
    })
}

/// Swaps frames that are up to 16 apart; every frame keeps its time.
pub fn swap(frames: &[Owned], random: &mut Random) -> Vec<Owned> {
    let mut out = frames.to_vec();
    let mut at = 0;
    while at + 1 < out.len() {
        let other = (at + random.between(1, 15)).min(out.len() - 1);
        let movable = is_movable(&out[at]) && is_movable(&out[other]);
        if movable && out[at].at.distance(out[other].at) <= NEAR {
            out.swap(at, other);
            if ends_unopened(&out[at..=other]) {
                out.swap(at, other);
            }
        }
        at = other + 1;
    }
    out
}

/// Shuffles windows of up to 16 frames, but for what must stay.
pub fn shuffle(frames: &[Owned], random: &mut Random) -> Vec<Owned> {
    let mut out = frames.to_vec();
    let mut start = 0;
    while start < out.len() {
        let longest = (start + random.between(2, 16)).min(out.len());
        let far = |frame: &Owned| frame.at.distance(frames[start].at) > NEAR;
        let end = (start..longest).find(|&at| far(&frames[at])).unwrap_or(longest);
        let places: Vec<_> = (start..end).filter(|&at| is_movable(&frames[at])).collect();
        let mut order = places.clone();
        random.shuffle(&mut order);
        places.iter().zip(order).for_each(|(&to, from)| out[to] = frames[from].clone());
        if ends_unopened(&out[start..end]) {
            out[start..end].clone_from_slice(&frames[start..end]);
        }
        start = end;
    }
    out
}

/// Repeats frames, at once or a little later, on the same or on another interface.
pub fn duplicate(frames: &[Owned], random: &mut Random) -> Vec<Owned> {
    let mut keyed: Vec<(usize, Owned)> = Vec::new();
    for (at, frame) in frames.iter().enumerate() {
        keyed.push((2 * at, frame.clone()));
        if random.chance(30) {
            let place = at + random.below(20) * random.below(2);
            let mut copy = frame.clone();
            copy.interface += u32::try_from(random.below(2)).expect("0 or 1") * 100;
            copy = copy.delayed(i64::try_from(random.below(300_000)).expect("a short time"));
            keyed.push((2 * place + 1, copy));
        }
    }
    keyed.sort_by_key(|(place, _)| *place);
    keyed.into_iter().map(|(_, frame)| frame).collect()
}

/// Captures every frame on two interfaces.
pub fn double(frames: &[Owned], _: &mut Random) -> Vec<Owned> {
    let twice =
        |frame: &Owned| [frame.clone(), Owned { interface: frame.interface + 50, ..frame.clone().delayed(3000) }];
    frames.iter().flat_map(twice).collect()
}

/// Sends bytes again, cut otherwise: from the middle of a segment, or with the segment before.
pub fn overlap(frames: &[Owned], random: &mut Random) -> Vec<Owned> {
    let mut out = Vec::new();
    let mut before: HashMap<_, Segment> = HashMap::new();
    for frame in frames {
        out.push(frame.clone());
        let plain =
            |segment: &Segment| segment.is_whole() && !segment.payload.is_empty() && !segment.has(SYN | FIN | RST);
        let Some(segment) = Segment::read(frame).filter(plain) else { continue };
        let last = before.insert(segment.flow(), segment.clone());
        if !random.chance(25) {
            continue;
        }
        let mut again = match last.filter(|last| last.end() == segment.sequence && random.chance(60)) {
            Some(last) => {
                let payload = [&*last.payload, &segment.payload].concat();
                Segment { sequence: last.sequence, payload, ..segment }
            }
            None => segment,
        };
        let skipped = random.below(again.payload.len());
        again.sequence = again.sequence.wrapping_add(u32::try_from(skipped).expect("inside a segment"));
        again.payload.drain(..skipped);
        again.wire_payload = again.payload.len();
        out.push(again.write(frame));
    }
    out
}

/// Shifts sequence numbers so that every flow wraps soon after its start. Flows that began alike (one connection on
/// both sides of a NAT) shift alike.
pub fn wrap(frames: &[Owned], random: &mut Random) -> Vec<Owned> {
    let salt = random.next();
    let mut offsets: HashMap<_, u32> = HashMap::new();
    let mut shift = |flow, first: u32| {
        *offsets.entry(flow).or_insert_with(|| {
            let mut own = Random::new("wrap", salt ^ u64::from(first));
            let near = u32::try_from(own.between(2, 900)).expect("a small number");
            0u32.wrapping_sub(near).wrapping_sub(first)
        })
    };
    let mut out = Vec::new();
    for frame in frames {
        let Some(mut segment) = Segment::read(frame) else {
            out.push(frame.clone());
            continue;
        };
        let (source, destination) = segment.flow();
        segment.sequence = segment.sequence.wrapping_add(shift((source, destination), segment.sequence));
        if segment.has(super::wire::ACK) {
            let first = segment.acknowledgment.wrapping_sub(1);
            segment.acknowledgment = segment.acknowledgment.wrapping_add(shift((destination, source), first));
        }
        out.push(segment.write(frame));
    }
    out
}

/// Gives frames another link layer.
pub fn relink(frames: &[Owned], random: &mut Random) -> Vec<Owned> {
    let kinds = [
        (LinkType::Ethernet, false),
        (LinkType::Ethernet, true),
        (LinkType::LinuxSll, false),
        (LinkType::LinuxSll2, false),
        (LinkType::Null, false),
        (LinkType::Loop, false),
        (LinkType::Raw, false),
    ];
    let one = random.chance(70).then(|| kinds[random.below(kinds.len())]);
    let mut out = Vec::new();
    for frame in frames {
        let (link, vlan) = one.unwrap_or_else(|| kinds[random.below(kinds.len())]);
        out.push(match Segment::read(frame) {
            Some(mut segment) => {
                segment.relink(link, vlan);
                segment.write(frame)
            }
            None => frame.clone(),
        });
    }
    out
}

/// Puts frames of others among these by their times. These stay in their order, whatever it is.
pub fn among(frames: Vec<Owned>, mut others: Vec<Owned>) -> Vec<Owned> {
    others.sort_by_key(|frame| frame.at);
    let mut others = others.into_iter().peekable();
    let mut out = Vec::with_capacity(frames.len());
    for frame in frames {
        while let Some(before) = others.next_if(|other| other.at < frame.at) {
            out.push(before);
        }
        out.push(frame);
    }
    out.extend(others);
    out
}
