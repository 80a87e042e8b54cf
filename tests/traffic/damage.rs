//! Mutations that take something away: verdicts may get lost, but nobody may be accused for it.

use std::{collections::HashMap, time::Duration};

use observer::engine::time::Timestamp;

use super::{
    random::Random,
    wire::{FIN, Owned, RST, SYN, Segment},
};

/// Whether damage took away every trace of a connection, or of a request or answer on one: all that is left of the one are
/// acknowledgments and ends, as of any connection from before the capture; of the other, nothing comes after it, or not
/// before everything had settled that it was for. What nobody can know then is not asked.
pub fn is_traceless(whole: &[Owned], damaged: &[Owned]) -> bool {
    let of = |frames: &[Owned]| -> HashMap<_, Vec<(Segment, Timestamp)>> {
        let mut segments: HashMap<_, Vec<_>> = HashMap::new();
        for (segment, at) in frames.iter().filter_map(|frame| Some((Segment::read(frame)?, frame.at))) {
            segments.entry(segment.connection()).or_default().push((segment, at));
        }
        segments
    };
    let left = of(damaged);
    of(whole).into_iter().any(|(connection, whole)| {
        let Some(left) = left.get(&connection) else { return true };
        let of = |segment: &Segment| {
            (segment.flow(), segment.sequence, segment.acknowledgment, segment.flags, segment.wire_payload)
        };
        let is_left = |(one, _): &(Segment, _)| left.iter().any(|(other, _)| of(one) == of(other));
        let speaks = |(segment, _): &(Segment, _)| segment.wire_payload > 0;
        let spoke = whole.iter().any(speaks) && !left.iter().any(speaks);
        // A connection that was opened, and no more, tells that something was to come.
        let (mut lost, mut is_opened) = (None, false);
        // Lone acknowledgments begin no connection: what was said before its first bytes is that of a time before the capture,
        // unless these answer it.
        let mut is_begun = false;
        // Who gave up an answer seems to wait for it still.
        let mut waits = false;
        for one in &whole {
            if !is_left(one) {
                let begins = BEGINNINGS.iter().any(|begin| one.0.payload.starts_with(begin));
                let gives_up = waits && (one.0.has(FIN) || one.0.has(RST));
                lost = if begins || gives_up { Some(one.1) } else { lost };
                continue;
            }
            let begins = speaks(one) || one.0.has(SYN);
            let unseen = begins && !is_begun && !one.0.payload.starts_with(b"HTTP/1.");
            is_begun |= begins;
            let is_told = begins || is_begun;
            if is_told && lost.take().is_some_and(|lost| unseen || !is_opened && one.1.since(lost) > SETTLED) {
                return true;
            }
            waits = if speaks(one) { one.0.payload.starts_with(b"GET ") } else { waits };
            is_opened = !speaks(one) && (is_opened || one.0.has(SYN));
        }
        spoke || lost.is_some()
    })
}

/// After what time nothing is waited for any more: no less than that of the captures' reader.
const SETTLED: Duration = Duration::from_secs(1);
/// How requests and answers begin here.
const BEGINNINGS: [&[u8]; 4] = [b"GET ", b"POST ", b"HEAD ", b"HTTP/1."];

/// A kind of damage, by name, and how often it is tried.
pub type Kind = (&'static str, u64, fn(&[Owned], &mut Random) -> Vec<Owned>);

pub const KINDS: [Kind; 7] = [
    ("drop-few", 8, drop_few),
    ("drop-run", 8, drop_run),
    ("drop-payload", 6, drop_payload),
    ("drop-flow-run", 6, drop_flow_run),
    ("snaplen", 4, snaplen),
    ("snaplen-some", 4, snaplen_some),
    ("drop-tenth", 3, drop_tenth),
];

fn drop_few(frames: &[Owned], random: &mut Random) -> Vec<Owned> {
    let mut out = frames.to_vec();
    for _ in 0..random.between(1, 5) {
        if !out.is_empty() {
            out.remove(random.below(out.len()));
        }
    }
    out
}

fn drop_run(frames: &[Owned], random: &mut Random) -> Vec<Owned> {
    let from = random.below(frames.len());
    let to = (from + random.between(2, 2 + frames.len() / 2)).min(frames.len());
    [&frames[..from], &frames[to..]].concat()
}

/// Drops segments that carry bytes, of one connection if there is more than one.
fn drop_payload(frames: &[Owned], random: &mut Random) -> Vec<Owned> {
    let full: Vec<_> = (0..frames.len())
        .filter(|&at| Segment::read(&frames[at]).is_some_and(|segment| segment.wire_payload > 0))
        .collect();
    let gone: Vec<_> = (0..random.between(1, 3)).filter_map(|_| full.get(random.below(full.len())).copied()).collect();
    frames.iter().enumerate().filter(|(at, _)| !gone.contains(at)).map(|(_, frame)| frame.clone()).collect()
}

/// Drops a run of one connection, acknowledgments and all.
fn drop_flow_run(frames: &[Owned], random: &mut Random) -> Vec<Owned> {
    let Some(chosen) = Segment::read(&frames[random.below(frames.len())]) else { return frames.to_vec() };
    let of = |frame: &Owned| Segment::read(frame).is_some_and(|other| other.connection() == chosen.connection());
    let total = frames.iter().filter(|frame| of(frame)).count();
    let from = random.below(total);
    let to = from + random.between(1, total);
    let mut place = 0;
    let mut out = Vec::new();
    for frame in frames {
        let own = of(frame);
        if !own || place < from || place >= to {
            out.push(frame.clone());
        }
        place += usize::from(own);
    }
    out
}

fn snaplen(frames: &[Owned], random: &mut Random) -> Vec<Owned> {
    let length = random.between(40, 600);
    frames.iter().map(|frame| cut(frame, length)).collect()
}

fn snaplen_some(frames: &[Owned], random: &mut Random) -> Vec<Owned> {
    let mut out = Vec::new();
    for frame in frames {
        let length = if random.chance(20) { random.between(30, frame.bytes.len().max(31)) } else { frame.bytes.len() };
        out.push(cut(frame, length));
    }
    out
}

fn cut(frame: &Owned, length: usize) -> Owned {
    let mut cut = frame.clone();
    cut.bytes.truncate(length);
    cut
}

fn drop_tenth(frames: &[Owned], random: &mut Random) -> Vec<Owned> {
    let percent = random.between(3, 25);
    let mut out = frames.to_vec();
    out.retain(|_| !random.chance(percent));
    out
}
