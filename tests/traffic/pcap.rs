//! Frames as a capture file, for a person to look at.

use observer::engine::frame::LinkType;

use super::wire::{Owned, Segment};

/// A pcap file of raw IP packets with nanoseconds, in little-endian order: it has one link type, and captures have several.
pub fn file(frames: &[Owned]) -> Vec<u8> {
    let mut file = vec![0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 101, 0, 0, 0];
    for frame in frames {
        let Some(mut segment) = Segment::read(frame) else { continue };
        segment.relink(LinkType::Raw, false);
        let raw = segment.write(frame);
        let nanos = raw.at.as_nanos();
        let length = i64::try_from(raw.bytes.len()).expect("a frame's length");
        for word in [nanos / 1_000_000_000, nanos % 1_000_000_000, length, i64::from(raw.wire)] {
            file.extend(u32::try_from(word).expect("times are after 1970").to_le_bytes());
        }
        file.extend(&raw.bytes);
    }
    file
}
