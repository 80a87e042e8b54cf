//! Whatever comes, nothing panics and memory stays within its limit.

use super::{LIMIT, PAYLOAD, behind, ethernet, fragments, frame, ipv4, ipv6, ipv6_behind};
use crate::engine::{
    frame::{Frame, LinkType},
    packet::{Packets, Parsed},
    time::Timestamp,
};

const LINKS: [LinkType; 9] = [
    LinkType::Ethernet,
    LinkType::Null,
    LinkType::Loop,
    LinkType::Raw,
    LinkType::Ipv4,
    LinkType::Ipv6,
    LinkType::LinuxSll,
    LinkType::LinuxSll2,
    LinkType::Other(147),
];

/// Pseudo-random numbers (xorshift64*), the same in every run.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        usize::try_from(bits).unwrap() % bound
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}

/// Frames of every shape that is read, each with its link type.
fn corpus() -> Vec<(LinkType, Vec<u8>)> {
    let (four, six) = (ipv4(PAYLOAD), ipv6(PAYLOAD));
    let mut frames = vec![
        (LinkType::Ethernet, ethernet(&[8, 0], &four)),
        (LinkType::Ethernet, ethernet(&[0x81, 0, 0, 7, 0x88, 0xa8, 0, 7, 0x86, 0xdd], &six)),
        (LinkType::Ethernet, ethernet(&[0, 88, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &four)),
        (LinkType::Null, behind(&[2, 0, 0, 0], &four)),
        (LinkType::Loop, behind(&[0, 0, 0, 30], &six)),
        (LinkType::LinuxSll, behind(&[0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0], &four)),
        (LinkType::LinuxSll2, [&[0x86, 0xdd][..], &[0; 18], &six].concat()),
        (LinkType::Raw, ipv6_behind(0, &[43, 0, 1, 4, 0, 0, 0, 0, 51, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0])),
    ];
    let packets = fragments::ipv4_fragments(1, PAYLOAD, 16).into_iter().chain(fragments::ipv6_fragments(2, PAYLOAD, 8));
    frames.extend(packets.map(|packet| (LinkType::Raw, packet)));
    frames
}

fn check_bounds(packets: &mut Packets, frame: &Frame<'_>) {
    if let Parsed::Segment(segment) = packets.parse(frame) {
        assert!(segment.payload.len() <= segment.wire_payload as usize);
    }
    assert!(packets.memory() <= LIMIT + 4096);
}

#[test]
fn random_frames_do_no_harm() {
    let mut random = Random(1);
    let mut packets = Packets::new(LIMIT);
    for _ in 0..100_000 {
        let bytes: Vec<u8> = (0..random.below(120)).map(|_| random.byte()).collect();
        let wire_length = u32::try_from(random.below(200)).unwrap();
        let link = LINKS[random.below(LINKS.len())];
        check_bounds(&mut packets, &Frame { wire_length, ..frame(link, &bytes) });
    }
}

#[test]
fn mutated_frames_do_no_harm() {
    let mut random = Random(2);
    let mut packets = Packets::new(64 << 10);
    let corpus = corpus();
    for round in 0..300_000 {
        let (link, mut bytes) = corpus[random.below(corpus.len())].clone();
        for _ in 0..random.below(6) {
            let at = random.below(bytes.len());
            bytes[at] = random.byte();
        }
        let whole = Frame { at: Timestamp::from_nanos(round * 1_000_000), ..frame(link, &bytes) };
        let kept = if random.below(4) == 0 { random.below(bytes.len()) } else { bytes.len() };
        check_bounds(&mut packets, &Frame { bytes: &bytes[..kept], ..whole });
        assert!(packets.memory() <= (64 << 10) + 4096);
    }
}

#[test]
fn every_prefix_does_no_harm() {
    for (link, bytes) in corpus() {
        for kept in 0..=bytes.len() {
            let mut packets = Packets::new(LIMIT);
            check_bounds(&mut packets, &Frame { bytes: &bytes[..kept], ..frame(link, &bytes) });
            check_bounds(&mut packets, &frame(link, &bytes[..kept]));
        }
    }
}
