//! Tables and properties of the whole stage, with frames built here.

use std::net::SocketAddr;

use etherparse::PacketBuilder;

use super::{Flags, Packets, Parsed, Segment};
use crate::engine::{
    anomaly::AnomalyKind,
    frame::{ClockId, Frame, InterfaceId, LinkType},
    time::Timestamp,
};

mod fragments;
mod properties;

const LIMIT: usize = 1 << 20;
const PAYLOAD: &[u8] = b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n";

fn frame(link: LinkType, bytes: &[u8]) -> Frame<'_> {
    let wire_length = u32::try_from(bytes.len()).unwrap();
    Frame {
        at: Timestamp::from_nanos(0),
        number: 1,
        interface: InterfaceId(0),
        clock: ClockId(0),
        link,
        wire_length,
        bytes,
    }
}

/// An IPv4 packet with a PSH, ACK segment that holds `payload`.
fn ipv4(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ipv4([10, 0, 0, 7], [10, 0, 0, 1], 64)
        .tcp(53012, 80, 0xffff_fff0, 1024)
        .psh()
        .ack(77)
        .write(&mut bytes, payload)
        .unwrap();
    bytes
}

fn ipv6(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ipv6([0xfd; 16], [0xfe; 16], 64)
        .tcp(53012, 80, 0xffff_fff0, 1024)
        .psh()
        .ack(77)
        .write(&mut bytes, payload)
        .unwrap();
    bytes
}

/// An IPv6 packet whose TCP segment stands behind `headers`, the first of which has the number `next`.
fn ipv6_behind(next: u8, headers: &[u8]) -> Vec<u8> {
    let mut bytes = ipv6(PAYLOAD);
    bytes[6] = next;
    let length = u16::try_from(bytes.len() - 40 + headers.len()).unwrap();
    bytes[4..6].copy_from_slice(&length.to_be_bytes());
    bytes.splice(40..40, headers.iter().copied());
    bytes
}

fn behind(header: &[u8], packet: &[u8]) -> Vec<u8> {
    [header, packet].concat()
}

fn ethernet(ether_type: &[u8], packet: &[u8]) -> Vec<u8> {
    [&[2; 12], ether_type, packet].concat()
}

#[track_caller]
fn check_segment(link: LinkType, bytes: &[u8]) {
    let mut packets = Packets::new(LIMIT);
    let Parsed::Segment(segment) = packets.parse(&frame(link, bytes)) else {
        panic!("{link:?}: {:?}", Packets::new(LIMIT).parse(&frame(link, bytes)));
    };
    assert_eq!((segment.source.port(), segment.destination.port()), (53012, 80));
    assert_eq!((segment.sequence, segment.acknowledgment), (0xffff_fff0, Some(77)));
    assert_eq!((segment.payload, segment.wire_payload as usize), (PAYLOAD, PAYLOAD.len()));
}

#[track_caller]
fn check_unread(link: LinkType, bytes: &[u8], expected: &Parsed<'_>) {
    assert_eq!(&Packets::new(LIMIT).parse(&frame(link, bytes)), expected);
}

fn malformed(what: &'static str) -> Parsed<'static> {
    Parsed::Anomaly(AnomalyKind::Malformed(what))
}

#[test]
fn every_field_of_a_segment_is_read() {
    let packet = ethernet(&[8, 0], &ipv4(PAYLOAD));
    assert_eq!(
        Packets::new(LIMIT).parse(&frame(LinkType::Ethernet, &packet)),
        Parsed::Segment(Segment {
            source: SocketAddr::from(([10, 0, 0, 7], 53012)),
            destination: SocketAddr::from(([10, 0, 0, 1], 80)),
            sequence: 0xffff_fff0,
            acknowledgment: Some(77),
            flags: Flags::NONE,
            timestamp_value: None,
            payload: PAYLOAD,
            wire_payload: 40,
        })
    );
}

#[test]
fn every_link_layer_leads_to_the_segment() {
    let (four, six) = (ipv4(PAYLOAD), ipv6(PAYLOAD));
    for (protocol, packet) in [([0x08, 0x00], &four), ([0x86, 0xdd], &six)] {
        check_segment(LinkType::Ethernet, &ethernet(&protocol, packet));
        check_segment(LinkType::Ethernet, &ethernet(&[0x81, 0, 0, 7], &behind(&protocol, packet)));
        let qinq = [0x88, 0xa8, 0, 7, 0x91, 0, 0, 8, 0x81, 0, 0, 9];
        check_segment(LinkType::Ethernet, &ethernet(&qinq, &behind(&protocol, packet)));
        let snap = [&[0xaa, 0xaa, 3, 0, 0, 0][..], &protocol[..], packet].concat();
        let length = u16::try_from(snap.len()).unwrap().to_be_bytes();
        check_segment(LinkType::Ethernet, &ethernet(&length, &snap));
        check_segment(LinkType::LinuxSll, &[&[0; 14][..], &protocol, packet].concat());
        check_segment(LinkType::LinuxSll, &[&[0; 14][..], &[0x81, 0, 0, 7], &protocol, packet].concat());
        check_segment(LinkType::LinuxSll2, &[&protocol, &[0; 18][..], packet].concat());
        check_segment(LinkType::Raw, packet);
    }
    check_segment(LinkType::Ipv4, &four);
    check_segment(LinkType::Ipv6, &six);
    for (family, packet) in [(2, &four), (10, &six), (24, &six), (28, &six), (30, &six)] {
        for link in [LinkType::Null, LinkType::Loop] {
            check_segment(link, &behind(&[family, 0, 0, 0], packet));
            check_segment(link, &behind(&[0, 0, 0, family], packet));
        }
    }
}

#[test]
fn vlan_tags_are_followed_so_far() {
    let tagged = |tags: usize| ethernet(&[0x81, 0, 0, 7].repeat(tags), &behind(&[8, 0], &ipv4(PAYLOAD)));
    check_segment(LinkType::Ethernet, &tagged(8));
    check_unread(LinkType::Ethernet, &tagged(9), &Parsed::Skipped);
}

#[test]
fn an_unknown_link_type_is_told_once_for_each_interface() {
    let mut packets = Packets::new(LIMIT);
    for (interface, expected) in [
        (0, Parsed::Anomaly(AnomalyKind::UnknownLinkType(105))),
        (0, Parsed::Skipped),
        (1, Parsed::Anomaly(AnomalyKind::UnknownLinkType(105))),
        (1, Parsed::Skipped),
    ] {
        let frame = Frame { interface: InterfaceId(interface), ..frame(LinkType::Other(105), &[]) };
        assert_eq!(packets.parse(&frame), expected);
    }
}

#[test]
fn padding_is_no_payload() {
    let mut packet = ethernet(&[8, 0], &ipv4(PAYLOAD));
    packet.extend([0; 9]);
    check_segment(LinkType::Ethernet, &packet);
    let mut packet = ethernet(&[0x86, 0xdd], &ipv6(PAYLOAD));
    packet.extend([0; 9]);
    check_segment(LinkType::Ethernet, &packet);
}

#[test]
fn lengths_of_offloaded_packets_are_those_of_the_frame() {
    let mut four = ipv4(PAYLOAD);
    four[2..4].fill(0);
    check_segment(LinkType::Raw, &four);
    let mut six = ipv6(PAYLOAD);
    six[4..6].fill(0);
    check_segment(LinkType::Raw, &six);
    // With the jumbo payload option (RFC 2675).
    let mut six = ipv6_behind(0, &[6, 0, 0xc2, 4, 0, 1, 0x11, 0x70]);
    six[4..6].fill(0);
    check_segment(LinkType::Raw, &six);
}

#[test]
fn segments_above_64_kib_are_read() {
    let payload = vec![b'x'; 180_000];
    for (mut packet, length) in [(ipv4(PAYLOAD), 2..4), (ipv6(PAYLOAD), 4..6)] {
        packet.truncate(packet.len() - PAYLOAD.len());
        packet[length].fill(0);
        packet.extend(&payload);
        let mut packets = Packets::new(LIMIT);
        let Parsed::Segment(segment) = packets.parse(&frame(LinkType::Raw, &packet)) else { panic!("not read") };
        assert_eq!((segment.payload.len(), segment.wire_payload), (180_000, 180_000));
    }
}

#[test]
fn a_length_beyond_the_frame_is_cut_to_it() {
    let mut packet = ipv4(PAYLOAD);
    packet[2] = 0xff;
    check_segment(LinkType::Raw, &packet);
    let mut packet = ipv6(PAYLOAD);
    packet[4] = 0xff;
    check_segment(LinkType::Raw, &packet);
}

#[test]
fn contradictory_headers_are_malformed() {
    let packet = ipv4(PAYLOAD);
    let changed = |at: usize, value: u8| {
        let mut packet = packet.clone();
        packet[at] = value;
        packet
    };
    for (bytes, what) in [
        (changed(0, 0x54), "IP version"),
        (changed(0, 0x44), "IPv4 header length"),
        (
            changed(3, 19).into_iter().enumerate().map(|(at, byte)| if at == 2 { 0 } else { byte }).collect(),
            "IPv4 total length",
        ),
        (packet[..19].to_vec(), "IPv4 header"),
        (packet[..39].to_vec(), "TCP header"),
        (changed(32, 0x40), "TCP data offset"),
        (changed(32, 0xf0)[..50].to_vec(), "TCP data offset"),
        (Vec::new(), "IP header"),
    ] {
        check_unread(LinkType::Raw, &bytes, &malformed(what));
    }
    check_unread(LinkType::Ethernet, &[0; 13], &malformed("Ethernet header"));
    check_unread(LinkType::Raw, &changed(9, 17), &Parsed::Skipped);
    check_unread(LinkType::Ethernet, &ethernet(&[8, 6], &[0; 28]), &Parsed::Skipped);
}

#[test]
fn ipv4_options_and_wrong_checksums_do_not_matter() {
    let mut packet = ipv4(PAYLOAD);
    packet[0] = 0x46;
    packet[3] += 4;
    packet[10..12].fill(0xee);
    packet[36..38].fill(0xee);
    packet.splice(20..20, [1, 1, 1, 0]);
    check_segment(LinkType::Raw, &packet);
}

#[test]
fn ipv6_extension_headers_are_passed_over() {
    let hop_by_hop = [43, 0, 1, 4, 0, 0, 0, 0];
    let routing = [60, 0, 3, 0, 0, 0, 0, 0];
    let destination = [51, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let authentication = [44, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0];
    let atomic_fragment = [6, 0, 0, 0, 0, 0, 0, 9];
    let all = [&hop_by_hop[..], &routing[..], &destination[..], &authentication[..], &atomic_fragment[..]].concat();
    check_segment(LinkType::Raw, &ipv6_behind(0, &all));
    check_segment(
        LinkType::Raw,
        &ipv6_behind(
            60,
            &[60, 0, 1, 4, 0, 0, 0, 0].repeat(14).into_iter().chain([6, 0, 1, 4, 0, 0, 0, 0]).collect::<Vec<u8>>(),
        ),
    );
    check_unread(LinkType::Raw, &ipv6_behind(60, &[60, 0, 1, 4, 0, 0, 0, 0].repeat(20)), &Parsed::Skipped);
    check_unread(LinkType::Raw, &ipv6_behind(60, &[6, 255]), &malformed("IPv6 extension header"));
    check_unread(LinkType::Raw, &ipv6_behind(59, &[]), &Parsed::Skipped);
}

#[test]
fn a_cut_frame_tells_how_long_it_was() {
    let bytes = ethernet(&[8, 0], &ipv4(PAYLOAD));
    let whole = frame(LinkType::Ethernet, &bytes);
    let mut packets = Packets::new(LIMIT);
    for kept in 0..bytes.len() {
        match packets.parse(&Frame { bytes: &bytes[..kept], ..whole }) {
            Parsed::Segment(segment) => {
                assert_eq!(segment.payload, &PAYLOAD[..kept - 54]);
                assert_eq!(segment.wire_payload, 40);
            }
            Parsed::Skipped => assert!(kept < 34, "{kept}"),
            other => {
                assert_eq!(other, Parsed::Cut(AnomalyKind::Malformed("TCP header, cut by the snapshot length")));
                assert!((34..54).contains(&kept), "{kept}");
            }
        }
    }
}

#[test]
fn the_timestamp_is_looked_for_in_syn_segments() {
    let built = |syn: bool| {
        let mut bytes = Vec::new();
        let options = [2, 4, 5, 180, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7];
        let tcp = PacketBuilder::ipv4([1; 4], [2; 4], 64).tcp(1, 2, 3, 4).options_raw(&options).unwrap();
        let tcp = if syn { tcp.syn() } else { tcp.ack(5).fin().rst() };
        tcp.write(&mut bytes, &[]).unwrap();
        bytes
    };
    let mut packets = Packets::new(LIMIT);
    let syn = built(true);
    let whole = frame(LinkType::Raw, &syn);
    let Parsed::Segment(segment) = packets.parse(&whole) else { panic!("not read") };
    assert_eq!(segment.timestamp_value, Some(0x0102_0304));
    assert_eq!((segment.flags, segment.acknowledgment), (Flags::SYN, None));
    // Options that were cut are not there, but all the rest is.
    let Parsed::Segment(segment) = packets.parse(&Frame { bytes: &syn[..49], ..whole }) else { panic!("not read") };
    assert_eq!((segment.timestamp_value, segment.flags.syn(), segment.wire_payload), (None, true, 0));
    let other = built(false);
    let Parsed::Segment(segment) = packets.parse(&frame(LinkType::Raw, &other)) else { panic!("not read") };
    assert_eq!((segment.timestamp_value, segment.acknowledgment), (None, Some(5)));
    assert_eq!(segment.flags, Flags::FIN | Flags::RST);
}
