//! Frames as a capture file, for a person to look at.

use observer::engine::frame::LinkType;

use super::wire::Owned;

/// A pcap file with nanoseconds, in little-endian order. All frames have the link type of the first.
pub fn file(frames: &[Owned]) -> Vec<u8> {
    let link = match frames.first().map(|frame| frame.link) {
        Some(LinkType::Ethernet) => 1u32,
        Some(LinkType::LinuxSll) => 113,
        Some(LinkType::LinuxSll2) => 276,
        Some(LinkType::Null) => 0,
        Some(LinkType::Loop) => 108,
        _ => 101,
    };
    let mut file = vec![0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0];
    file.extend(link.to_le_bytes());
    for frame in frames {
        let nanos = frame.at.as_nanos();
        let length = i64::try_from(frame.bytes.len()).expect("a frame's length");
        for word in [nanos / 1_000_000_000, nanos % 1_000_000_000, length, i64::from(frame.wire)] {
            file.extend(u32::try_from(word).expect("times are after 1970").to_le_bytes());
        }
        file.extend(&frame.bytes);
    }
    file
}
