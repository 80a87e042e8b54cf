//! pcapng files whose blocks lie about their length: what came before is told, and nothing is set aside for what is not
//! there.

use std::io::{self, ErrorKind, Write};

use anyhow::{Context, Result};

use super::{
    Trial,
    run::{feed, observer},
};

/// Frames before the lie.
const FRAMES: u32 = 1000;
/// Bytes behind it.
const FILL: usize = 256 << 20;
/// The type of a block that holds a frame.
const ENHANCED_PACKET: u32 = 6;

/// What a block says of itself, and what is wrong with it: its type, its length, and words of its body.
type Lie = (&'static str, u32, u32, &'static [u32]);

const LIES: [Lie; 10] = [
    ("a block without end", ENHANCED_PACKET, 0xffff_fffc, &[0, 0, 0, 64, 64]),
    ("a block of an odd length", ENHANCED_PACKET, 0x7fff_ffff, &[0, 0, 0, 64, 64]),
    ("a block of no length", ENHANCED_PACKET, 0, &[0, 0, 0, 64, 64]),
    ("a block shorter than its head", ENHANCED_PACKET, 8, &[0, 0, 0, 64, 64]),
    ("a frame larger than its block", ENHANCED_PACKET, 96, &[0, 0, 0, 0xffff_ffff, 0xffff_ffff]),
    ("a frame of another interface", ENHANCED_PACKET, 96, &[0xffff_ffff, 0, 0, 64, 64]),
    ("an unknown block without end", 0x0bad_beef, 0xffff_fffc, &[0; 5]),
    ("an interface without end", 1, 0xffff_fffc, &[0x0001_0001, 0, 0xffff_0002, 0, 0]),
    ("a section without end", 0x0a0d_0d0a, 0xffff_fffc, &[0x1a2b_3c4d, 1, 0xffff_ffff, 0xffff_ffff, 0]),
    ("names without end", 4, 0xffff_fffc, &[0xffff_0001, 0, 0, 0, 0]),
];

/// Reads each of them. Says what is wrong.
pub(super) fn play(trial: &Trial<'_>) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for lie in &LIES {
        let (status, outcome) = feed(observer(trial.program, trial.limit, "json"), move |mut to| {
            // Whoever sees the lie reads no further.
            match write(&mut to, lie) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(u64::from(FRAMES)),
                written => written.map(|()| u64::from(FRAMES)),
            }
        })?;
        complaints.extend(trial.judge(lie.0, "json", &outcome));
        let stats = outcome.stats.as_ref().with_context(|| format!("{}: {status}", lie.0))?;
        let told = stats["details"]["frames"].as_u64().unwrap_or_default();
        if told < u64::from(FRAMES) {
            complaints.push(format!("{}: of {FRAMES} frames before it {told} were read", lie.0));
        }
        if !matches!(status.code(), Some(0 | 3)) {
            complaints.push(format!("{}: {status}", lie.0));
        }
    }
    Ok(complaints)
}

fn write(to: &mut impl Write, (_, kind, length, body): &Lie) -> io::Result<()> {
    let block = |kind: u32, words: &[u32]| {
        let length = u32::try_from(12 + 4 * words.len()).unwrap_or_default();
        [&[kind, length][..], words, &[length]].concat()
    };
    let mut words = block(0x0a0d_0d0a, &[0x1a2b_3c4d, 1, 0xffff_ffff, 0xffff_ffff]);
    words.extend(block(1, &[1, 0]));
    let frame = block(ENHANCED_PACKET, &[&[0, 0, 0, 64, 64][..], &[0; 16]].concat());
    (0..FRAMES).for_each(|_| words.extend(&frame));
    words.extend([*kind, *length]);
    words.extend(*body);
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    to.write_all(&bytes)?;
    let fill = vec![0; 1 << 16];
    (0..FILL / fill.len()).try_for_each(|_| to.write_all(&fill))
}
