//! Fragmented datagrams, whole, cut, repeated, contradictory and too many.

use std::time::Duration;

use super::{LIMIT, PAYLOAD, check_segment, frame, ipv4, ipv6, properties::Random};
use crate::engine::{
    anomaly::AnomalyKind,
    frame::{Frame, LinkType},
    packet::{Packets, Parsed},
    time::Timestamp,
};

const SECOND: Duration = Duration::from_secs(1);
const DROPPED: Parsed<'static> = Parsed::Anomaly(AnomalyKind::FragmentsDropped);

/// The IPv4 packet of [`ipv4`] in fragments of `size` bytes, a multiple of 8.
pub(super) fn ipv4_fragments(identification: u16, payload: &[u8], size: usize) -> Vec<Vec<u8>> {
    let packet = ipv4(payload);
    let (header, body) = packet.split_at(20);
    let count = body.len().div_ceil(size);
    let build = |(index, part): (usize, &[u8])| {
        let more = if index + 1 < count { 0x2000 } else { 0 };
        let place = u16::try_from(index * size / 8).unwrap() | more;
        let mut bytes = header.to_vec();
        bytes[2..4].copy_from_slice(&u16::try_from(20 + part.len()).unwrap().to_be_bytes());
        bytes[4..6].copy_from_slice(&identification.to_be_bytes());
        bytes[6..8].copy_from_slice(&place.to_be_bytes());
        bytes.extend(part);
        bytes
    };
    body.chunks(size).enumerate().map(build).collect()
}

/// The IPv6 packet of [`ipv6`] in fragments, with destination options among what is fragmented.
pub(super) fn ipv6_fragments(identification: u32, payload: &[u8], size: usize) -> Vec<Vec<u8>> {
    let packet = ipv6(payload);
    let (header, body) = packet.split_at(40);
    let body = [&[6, 0, 1, 4, 0, 0, 0, 0], body].concat();
    let count = body.len().div_ceil(size);
    let build = |(index, part): (usize, &[u8])| {
        let place = u16::try_from(index * size + usize::from(index + 1 < count)).unwrap();
        let mut bytes = header.to_vec();
        bytes[4..6].copy_from_slice(&u16::try_from(8 + part.len()).unwrap().to_be_bytes());
        bytes[6] = 44;
        bytes.extend([60, 0]);
        bytes.extend(place.to_be_bytes());
        bytes.extend(identification.to_be_bytes());
        bytes.extend(part);
        bytes
    };
    body.chunks(size).enumerate().map(build).collect()
}

fn raw(bytes: &[u8]) -> Frame<'_> {
    frame(LinkType::Raw, bytes)
}

fn late(bytes: &[u8], by: Duration) -> Frame<'_> {
    Frame { at: Timestamp::from_nanos(0) + by, ..raw(bytes) }
}

#[track_caller]
fn check_whole(parsed: &Parsed<'_>) {
    let Parsed::Segment(segment) = parsed else { panic!("{parsed:?}") };
    assert_eq!((segment.payload, segment.wire_payload), (PAYLOAD, 40));
    assert_eq!((segment.source.port(), segment.acknowledgment), (53012, Some(77)));
}

#[test]
fn any_order_with_any_repetition_gives_the_same_segment_once() {
    let mut random = Random(3);
    for round in 0..2_000 {
        let size = 8 * (1 + random.below(6));
        let once = if round % 2 == 0 { ipv4_fragments(9, PAYLOAD, size) } else { ipv6_fragments(9, PAYLOAD, size) };
        let mut order: Vec<usize> =
            (0..once.len()).chain((0..random.below(5)).map(|index| index % once.len())).collect();
        for index in (1..order.len()).rev() {
            order.swap(index, random.below(index + 1));
        }
        let mut packets = Packets::new(LIMIT);
        let mut segments = 0;
        for index in order {
            match packets.parse(&raw(&once[index])) {
                Parsed::Skipped => {}
                parsed => {
                    check_whole(&parsed);
                    segments += 1;
                }
            }
        }
        assert_eq!(segments, 1);
        assert_eq!(packets.expire(Timestamp::MAX), 0);
        assert_eq!(packets.memory(), 0);
    }
}

#[test]
fn fragments_of_other_protocols_take_no_memory() {
    let mut packets = Packets::new(LIMIT);
    for mut fragment in ipv4_fragments(9, PAYLOAD, 16) {
        fragment[9] = 17;
        assert_eq!(packets.parse(&raw(&fragment)), Parsed::Skipped);
    }
    assert_eq!(packets.memory(), 0);
}

#[test]
fn fragments_that_overlap_and_agree_are_put_together() {
    let (coarse, fine) = (ipv4_fragments(9, PAYLOAD, 32), ipv4_fragments(9, PAYLOAD, 24));
    let mut packets = Packets::new(LIMIT);
    assert_eq!(packets.parse(&raw(&coarse[0])), Parsed::Skipped);
    assert_eq!(packets.parse(&raw(&fine[2])), Parsed::Skipped);
    check_whole(&packets.parse(&raw(&fine[1])));
}

#[test]
fn a_contradiction_drops_the_datagram_and_what_is_left_of_it() {
    let good = ipv4_fragments(9, PAYLOAD, 16);
    let mut other = good[1].clone();
    *other.last_mut().unwrap() ^= 1;
    let mut shorter = good[1].clone();
    shorter[6] &= !0x20;
    let mut packets = Packets::new(LIMIT);
    for wrong in [other, shorter] {
        for fragment in [&good[0], &good[1], &good[3]] {
            assert_eq!(packets.parse(&raw(fragment)), Parsed::Skipped);
        }
        assert_eq!(packets.parse(&raw(&wrong)), DROPPED);
        for fragment in &good {
            assert_eq!(packets.parse(&raw(fragment)), Parsed::Skipped);
        }
        assert_eq!(packets.expire(Timestamp::MAX), 0);
    }
}

#[test]
fn an_identification_may_be_used_again() {
    let mut packets = Packets::new(LIMIT);
    let other: Vec<u8> = PAYLOAD.iter().map(|byte| byte ^ 0x20).collect();
    for payload in [PAYLOAD, &other, PAYLOAD] {
        let fragments = ipv4_fragments(9, payload, 32);
        assert_eq!(packets.parse(&raw(&fragments[1])), Parsed::Skipped);
        let Parsed::Segment(segment) = packets.parse(&raw(&fragments[0])) else { panic!("not read") };
        assert_eq!(segment.payload, payload);
    }
    assert_eq!(packets.expire(Timestamp::MAX), 0);
}

#[test]
fn a_cut_fragment_cuts_the_datagram() {
    let fragments = ipv4_fragments(9, PAYLOAD, 32);
    let mut packets = Packets::new(LIMIT);
    assert_eq!(packets.parse(&Frame { bytes: &fragments[0][..45], ..raw(&fragments[0]) }), Parsed::Skipped);
    let Parsed::Segment(segment) = packets.parse(&raw(&fragments[1])) else { panic!("not read") };
    assert_eq!((segment.payload, segment.wire_payload), (&PAYLOAD[..5], 40));
    // Another copy, whole, comes before the datagram is.
    let mut packets = Packets::new(LIMIT);
    assert_eq!(packets.parse(&Frame { bytes: &fragments[0][..45], ..raw(&fragments[0]) }), Parsed::Skipped);
    assert_eq!(packets.parse(&raw(&fragments[0])), Parsed::Skipped);
    check_whole(&packets.parse(&raw(&fragments[1])));
}

#[test]
fn fragments_wait_thirty_seconds() {
    let (first, second) = (ipv4_fragments(9, PAYLOAD, 32), ipv4_fragments(10, PAYLOAD, 32));
    let mut packets = Packets::new(LIMIT);
    assert_eq!(packets.parse(&raw(&first[0])), Parsed::Skipped);
    assert_eq!(packets.parse(&late(&second[0], 30 * SECOND)), Parsed::Skipped);
    check_whole(&packets.parse(&late(&first[1], 30 * SECOND)));
    assert_eq!(packets.parse(&late(&first[0], 61 * SECOND)), DROPPED);
    assert_eq!(packets.expire(Timestamp::MAX), 1);
    assert_eq!(packets.memory(), 0);
}

#[test]
fn a_flood_stays_within_the_memory_limit_and_is_told() {
    let limit = 64 << 10;
    let mut packets = Packets::new(limit);
    let mut dropped = 0;
    for identification in 0..5_000 {
        let fragments = ipv4_fragments(identification, &[b'x'; 1000], 512);
        match packets.parse(&raw(&fragments[1])) {
            Parsed::Skipped => {}
            parsed => {
                assert_eq!(parsed, DROPPED);
                dropped += 1;
            }
        }
        assert!(packets.memory() <= limit);
    }
    assert!(dropped > 4_900);
    let fragments = ipv4_fragments(60_000, PAYLOAD, 32);
    packets.parse(&raw(&fragments[1]));
    check_whole(&packets.parse(&raw(&fragments[0])));
    assert_eq!(Packets::new(100).parse(&raw(&fragments[0])), DROPPED);
}

#[test]
fn a_datagram_has_so_many_fragments() {
    let payload = |fragments: usize| vec![b'x'; 8 * fragments - 20];
    let parse = |count: usize| {
        let fragments = ipv4_fragments(9, &payload(count), 8);
        let mut packets = Packets::new(LIMIT);
        let kinds = fragments.iter().map(|fragment| match packets.parse(&raw(fragment)) {
            Parsed::Segment(_) => 's',
            Parsed::Skipped => '.',
            Parsed::Anomaly(_) | Parsed::Cut(_) => '!',
        });
        kinds.collect::<String>()
    };
    assert_eq!(parse(64), ".".repeat(63) + "s");
    assert_eq!(parse(65), ".".repeat(64) + "!");
}

#[test]
fn impossible_fragments_are_malformed() {
    let fragments = ipv4_fragments(9, PAYLOAD, 16);
    let mut odd = fragments[0].clone();
    odd[3] -= 1;
    let mut empty = fragments[1].clone();
    empty[3] = 20;
    let mut far = fragments[0].clone();
    far[6..8].copy_from_slice(&[0x1f, 0xff]);
    for (bytes, what) in [(odd, "fragment length"), (empty, "fragment length"), (far, "fragment beyond 64 KiB")] {
        let mut packets = Packets::new(LIMIT);
        assert_eq!(packets.parse(&raw(&bytes)), Parsed::Anomaly(AnomalyKind::Malformed(what)));
        assert_eq!(packets.memory(), 0);
    }
}

#[test]
fn what_is_not_fragmented_is_left_alone() {
    let mut packet = ipv4(PAYLOAD);
    packet[6] = 0x40;
    check_segment(LinkType::Raw, &packet);
}
