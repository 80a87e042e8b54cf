//! The file tap: every format and byte order, damage of every kind, and several captures as one.
#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod bytes;

use std::{
    io::Write,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use bytes::*;
use flate2::{Compression, write::GzEncoder};
use observer::{
    engine::frame::LinkType,
    tap::{
        InterfaceInfo, SharedInterfaces, TapError,
        file::{FileTap, Input},
    },
};

/// A frame that was handed out.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Seen {
    at: i64,
    number: u64,
    interface: u32,
    clock: u32,
    link: LinkType,
    wire_length: u32,
    bytes: Vec<u8>,
}

struct Outcome {
    frames: Vec<Seen>,
    errors: Vec<TapError>,
    interfaces: Vec<InterfaceInfo>,
}

impl Outcome {
    fn times(&self) -> Vec<i64> {
        self.frames.iter().map(|frame| frame.at / 1_000_000_000).collect()
    }

    fn error(&self) -> String {
        assert_eq!(self.errors.len(), 1, "{:?}", self.errors);
        self.errors[0].to_string()
    }

    fn clean(self) -> Self {
        assert!(self.errors.is_empty(), "{:?}", self.errors);
        self
    }
}

fn read(paths: &[PathBuf]) -> Outcome {
    let inputs: Vec<Input> = paths.iter().cloned().map(Input::Path).collect();
    let interfaces = SharedInterfaces::default();
    let (mut tap, mut errors) = FileTap::open(&inputs, &interfaces, Arc::new(AtomicBool::new(false)));
    let mut frames = Vec::new();
    loop {
        match tap.next_frame() {
            Ok(Some(frame)) => frames.push(Seen {
                at: frame.at.as_nanos(),
                number: frame.number,
                interface: frame.interface.0,
                clock: frame.clock.0,
                link: frame.link,
                wire_length: frame.wire_length,
                bytes: frame.bytes.to_vec(),
            }),
            Ok(None) => break,
            Err(error) => errors.push(error),
        }
    }
    drop(tap);
    let interfaces = interfaces.borrow().clone();
    Outcome { frames, errors, interfaces }
}

fn read_bytes(name: &str, bytes: &[u8]) -> Outcome {
    read(&[file(name, bytes)])
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn pcap_in_both_orders_and_units() {
    for order in Order::BOTH {
        for (magic, nanos) in [(0xa1b2_c3d4, 5_000), (0xa1b2_3c4d, 5)] {
            let mut bytes = pcap_header(order, magic, 262_144, 113);
            bytes.extend(pcap_record(order, 3, 5, b"abc"));
            bytes.extend(pcap_record(order, 4, 0, b""));
            let outcome = read_bytes(&format!("variant-{order:?}-{magic:x}"), &bytes).clean();
            let first = Seen {
                at: 3_000_000_000 + nanos,
                number: 1,
                interface: 0,
                clock: 0,
                link: LinkType::LinuxSll,
                wire_length: 3,
                bytes: b"abc".to_vec(),
            };
            assert_eq!(outcome.frames[0], first);
            assert_eq!((outcome.frames[1].number, outcome.frames[1].bytes.len()), (2, 0));
            assert_eq!(outcome.interfaces.len(), 1);
        }
    }
}

#[test]
fn modified_pcap_has_longer_record_headers() {
    for order in Order::BOTH {
        let mut bytes = pcap_header(order, 0xa1b2_cd34, 0, 1);
        for second in [1, 2] {
            let record = pcap_record(order, second, 0, b"frame");
            bytes.extend(&record[..16]);
            bytes.extend([0xee; 8]);
            bytes.extend(&record[16..]);
        }
        let outcome = read_bytes(&format!("modified-{order:?}"), &bytes).clean();
        assert_eq!(outcome.times(), [1, 2]);
        assert!(outcome.frames.iter().all(|frame| frame.bytes == b"frame"));
    }
}

#[test]
fn old_pcap_may_have_its_lengths_swapped() {
    let mut bytes = pcap_header(Order::Little, 0xa1b2_c3d4, 0, 1);
    bytes[6] = 3;
    let mut record = pcap_record(Order::Little, 1, 0, b"abc");
    record[8..12].copy_from_slice(&60_u32.to_le_bytes());
    bytes.extend(record);
    bytes.extend(pcap_record(Order::Little, 2, 0, b"abc"));
    let outcome = read_bytes("swapped.pcap", &bytes).clean();
    let found: Vec<_> = outcome.frames.iter().map(|seen| (&seen.bytes[..], seen.wire_length)).collect();
    assert_eq!(found, [(&b"abc"[..], 60), (&b"abc"[..], 3)]);
}

#[test]
fn odd_header_fields_are_harmless() {
    for snapshot in [0, 1, u32::MAX] {
        let mut bytes = pcap_header(Order::Little, 0xa1b2_c3d4, snapshot, 0x5000_0001);
        bytes.extend(pcap_record(Order::Little, u32::MAX, u32::MAX, b"x"));
        let outcome = read_bytes(&format!("snapshot-{snapshot}"), &bytes).clean();
        assert_eq!(outcome.frames[0].at, 4_294_967_295_000_000_000 + 4_294_967_295_000);
        assert_eq!(outcome.frames[0].link, LinkType::Ethernet);
    }
}

#[test]
fn pcapng_sections_have_interfaces_of_their_own() {
    let mut bytes = Vec::new();
    for order in Order::BOTH {
        bytes.extend(section(order));
        bytes.extend(interface(order, 1, 0, &[(2, b"eth0"), (1, b"a comment")]));
        bytes.extend(interface(order, 113, 0, &[(9, &[9]), (14, &order.i64(2)), (2, "any\u{fffd}".as_bytes())]));
        bytes.extend(block(order, 4, b"names"));
        bytes.extend(enhanced(order, 0, 3_000_001, b"first", Some("look")));
        bytes.extend(block(order, 0x8000_0bad, b"of some vendor"));
        bytes.extend(enhanced(order, 1, 4_000_000_001, b"second", None));
        bytes.extend(block(order, 5, &[0; 12]));
    }
    let outcome = read_bytes("sections.pcapng", &bytes).clean();
    let found: Vec<_> =
        outcome.frames.iter().map(|seen| (seen.number, seen.interface, seen.link, seen.at, seen.wire_length)).collect();
    assert_eq!(
        found,
        [
            (1, 0, LinkType::Ethernet, 3_000_001_000, 10),
            (2, 1, LinkType::LinuxSll, 6_000_000_001, 11),
            (3, 2, LinkType::Ethernet, 3_000_001_000, 10),
            (4, 3, LinkType::LinuxSll, 6_000_000_001, 11),
        ]
    );
    assert_eq!(outcome.frames[3].bytes, b"second");
    let clocks: Vec<_> = outcome.frames.iter().map(|seen| seen.clock).collect();
    assert_eq!(clocks, [0, 0, 1, 1]);
    let names: Vec<_> = outcome.interfaces.iter().map(|info| info.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["eth0", "any\u{fffd}", "eth0", "any\u{fffd}"]);
}

#[test]
fn simple_and_obsolete_packets() {
    for order in Order::BOTH {
        let mut bytes = section(order);
        bytes.extend(interface(order, 1, 4, &[]));
        let mut body = order.u16(0).to_vec();
        body.extend(order.u16(9));
        for field in [0, 7_000_000, 3, 60] {
            body.extend(order.u32(field));
        }
        body.extend(b"old");
        bytes.extend(block(order, 2, &body));
        let mut body = order.u32(100).to_vec();
        body.extend(b"simp");
        bytes.extend(block(order, 3, &body));
        let outcome = read_bytes(&format!("simple-{order:?}.pcapng"), &bytes).clean();
        assert_eq!(outcome.times(), [7, 7], "a simple packet has the time of the one before");
        assert_eq!((&outcome.frames[0].bytes[..], outcome.frames[0].wire_length), (&b"old"[..], 60));
        assert_eq!((&outcome.frames[1].bytes[..], outcome.frames[1].wire_length), (&b"simp"[..], 100));
    }
}

#[test]
fn timestamps_saturate() {
    let order = Order::Little;
    let mut bytes = section(order);
    bytes.extend(interface(order, 1, 0, &[(9, &[0])]));
    bytes.extend(interface(order, 1, 0, &[(14, &order.i64(i64::MIN))]));
    bytes.extend(enhanced(order, 0, u64::MAX, b"", None));
    bytes.extend(enhanced(order, 1, 0, b"", None));
    let outcome = read_bytes("saturate.pcapng", &bytes).clean();
    assert_eq!((outcome.frames[0].at, outcome.frames[1].at), (i64::MAX, i64::MIN));
}

#[test]
fn a_cut_anywhere_keeps_the_whole_frames_before_it() {
    let order = Order::Little;
    let mut pcapng = section(order);
    pcapng.extend(interface(order, 1, 0, &[(2, b"eth0")]));
    for second in 1..4 {
        pcapng.extend(enhanced(order, 0, second * 1_000_000, &frame(u32::try_from(second).unwrap()), None));
    }
    for (name, whole, header) in [("cut.pcap", pcap(&[1, 2, 3]), 24), ("cut.pcapng", pcapng, 12)] {
        let all = read_bytes(name, &whole).clean().frames;
        let mut ends = 0;
        for length in 0..whole.len() {
            let outcome = read_bytes(name, &whole[..length]);
            assert_eq!(outcome.frames, all[..outcome.frames.len()], "{name} {length}");
            match outcome.errors.as_slice() {
                [] => ends += 1,
                [error] => {
                    assert_eq!(error.is_warning(), length >= header, "{error}");
                    let place = format!("byte {length},");
                    assert!(length < 4 || error.to_string().contains(&place), "{error}");
                }
                more => panic!("{more:?}"),
            }
        }
        assert!(ends >= 3, "{name}: a cut between records is none");
    }
}

#[test]
fn gzip_of_either_and_cut() {
    let plain = pcap(&(1..2000).collect::<Vec<_>>());
    let packed = gzip(&plain);
    assert_eq!(read_bytes("whole.pcap.gz", &packed).clean().frames.len(), 1999);
    let two = [gzip(&plain[..500]), gzip(&plain[500..])].concat();
    assert_eq!(read_bytes("members.pcap.gz", &two).clean().frames.len(), 1999);
    let cut = read_bytes("cut.pcap.gz", &packed[..packed.len() / 2]);
    assert!(cut.frames.len() > 100, "{}", cut.frames.len());
    assert!(cut.errors[0].is_warning() && cut.error().contains("of the unpacked data"), "{}", cut.error());
    let mut broken = packed;
    let middle = broken.len() / 2;
    broken[middle..middle + 20].fill(0xff);
    let broken = read_bytes("broken.pcap.gz", &broken);
    assert!(!broken.errors[0].is_warning(), "{}", broken.error());
}

#[test]
fn lying_lengths_are_named_and_keep_what_was_before() {
    for lie in [u32::MAX, 0x7fff_ffff, 64 << 20, 300_000] {
        let mut bytes = pcap(&[1, 2]);
        let place = bytes.len();
        let mut record = pcap_record(Order::Little, 3, 0, b"abc");
        record[8..12].copy_from_slice(&lie.to_le_bytes());
        bytes.extend(record);
        bytes.extend(&pcap(&[4, 5])[24..]);
        let outcome = read_bytes(&format!("lie-{lie}.pcap"), &bytes);
        assert_eq!(outcome.times(), [1, 2]);
        assert!(!outcome.errors[0].is_warning());
        assert!(outcome.error().contains(&format!("byte {place}:")), "{}", outcome.error());
    }
}

#[test]
fn lying_blocks_are_named_and_keep_what_was_before() {
    let order = Order::Little;
    let mut good = section(order);
    good.extend(interface(order, 1, 0, &[]));
    good.extend(enhanced(order, 0, 1_000_000, b"abcd", None));
    let packet = enhanced(order, 0, 2_000_000, b"efgh", None);
    let lies: [(usize, u32); 7] =
        [(4, 0), (4, 11), (4, u32::MAX), (4, 16), (20, u32::MAX), (20, 5), (packet.len() - 4, 7)];
    for (at, lie) in lies.into_iter().chain([(8, 1)]) {
        let mut bad = packet.clone();
        bad[at..at + 4].copy_from_slice(&lie.to_le_bytes());
        let bytes = [good.clone(), bad, packet.clone()].concat();
        let outcome = read_bytes("lie.pcapng", &bytes);
        assert_eq!(outcome.times(), [1], "{at} {lie}");
        assert!(!outcome.errors[0].is_warning());
        assert!(outcome.error().contains(&format!("byte {}:", good.len())), "{}", outcome.error());
    }
}

#[test]
fn what_is_no_capture_is_named() {
    let cases: [(&str, &[u8], &str); 6] = [
        ("packed", b"\x28\xb5\x2f\xfd....", "is packed with zstd; unpack it on the way: `zstd -dc"),
        ("version", b"\xd4\xc3\xb2\xa1\x03\x00\x04\x00................", "pcap version 3, which is not known"),
        ("empty", b"", "is empty"),
        ("text", b"GET / HTTP/1.1\r\n", "neither pcap nor pcapng: it begins with 47 45 54 20"),
        ("short", b"\xd4\xc3\xb2\xa1\x02\x00", "ends at byte 6"),
        ("one", b"\n", "neither pcap nor pcapng"),
    ];
    for (name, bytes, expected) in cases {
        let outcome = read_bytes(name, bytes);
        assert!(outcome.error().contains(expected), "{}", outcome.error());
        assert!(!outcome.error().contains('\n') && outcome.error().contains(name));
    }
    assert!(read(&[env!("CARGO_TARGET_TMPDIR").into()]).error().contains("is a directory"));
    assert!(read(&["no\x1bwhere".into()]).error().starts_with("cannot open no\\u{1b}where: No such file"));
    assert!(read_bytes("header.pcap", &pcap(&[])).clean().frames.is_empty());
}

#[test]
fn garbage_never_panics() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut pcapng = section(Order::Big);
    pcapng.extend(interface(Order::Big, 1, 0, &[(2, b"eth0"), (9, &[0x8a])]));
    pcapng.extend(enhanced(Order::Big, 0, 1, b"abcdef", Some("comment")));
    pcapng.extend(block(Order::Big, 3, b"\0\0\0\x04abcd"));
    for seed in [pcap(&[1, 2, 3]), pcapng, gzip(&pcap(&[1, 2, 3]))] {
        for _ in 0..500 {
            let mut bytes = seed.clone();
            for _ in 0..=random() % 4 {
                let place = usize::try_from(random()).unwrap() % bytes.len();
                bytes[place] = [0, 1, 0x7f, 0xff, u8::try_from(random() & 0xff).unwrap()][place % 5];
            }
            let outcome = read_bytes("garbage", &bytes);
            assert!(outcome.errors.len() <= 1 && outcome.frames.len() < 40, "{:?}", outcome.errors);
        }
    }
}

#[test]
fn a_frame_larger_than_the_buffer() {
    let large = vec![7; 3 << 20];
    let mut bytes = pcap_header(Order::Little, 0xa1b2_c3d4, 16 << 20, 1);
    for second in 1..4 {
        bytes.extend(pcap_record(Order::Little, second, 0, &large));
    }
    let outcome = read_bytes("large.pcap", &bytes).clean();
    assert!(outcome.frames.iter().all(|frame| frame.bytes == large));
    assert_eq!(outcome.times(), [1, 2, 3]);
}

#[test]
fn many_blocks_of_the_buffer() {
    let seconds: Vec<u32> = (0..50_000).collect();
    let outcome = read_bytes("many.pcap", &pcap(&seconds)).clean();
    assert_eq!(outcome.frames.len(), seconds.len());
    for (seen, second) in outcome.frames.iter().zip(seconds) {
        assert_eq!((seen.number, &seen.bytes), (u64::from(second) + 1, &frame(second)));
    }
}

#[test]
fn several_files_are_merged_by_time() {
    let paths = [
        file("merge-a.pcap", &pcap(&[1, 4, 6, 6])),
        file("merge-b.pcap", &pcap(&[2, 3, 6, 9])),
        file("merge-c.pcap", &pcap(&[])),
        file("merge-d.pcap", &gzip(&pcap(&[5]))),
    ];
    let outcome = read(&paths).clean();
    assert_eq!(outcome.times(), [1, 2, 3, 4, 5, 6, 6, 6, 9]);
    let order: Vec<_> = outcome.frames.iter().map(|seen| (seen.interface, seen.number)).collect();
    assert_eq!(order, [(0, 1), (1, 1), (1, 2), (0, 2), (3, 1), (0, 3), (0, 4), (1, 3), (1, 4)]);
    let clocks: std::collections::BTreeSet<_> = outcome.frames.iter().map(|seen| seen.clock).collect();
    assert_eq!(clocks.len(), 3);
    assert!(outcome.interfaces[1].source.ends_with("merge-b.pcap"));
}

#[test]
fn a_file_whose_time_steps_back_keeps_its_order() {
    let paths = [file("back-a.pcap", &pcap(&[10, 2, 20])), file("back-b.pcap", &pcap(&[5, 11, 12]))];
    let outcome = read(&paths).clean();
    let own: Vec<_> = outcome.frames.iter().filter(|seen| seen.interface == 0).map(|seen| seen.number).collect();
    assert_eq!(own, [1, 2, 3]);
    assert_eq!(outcome.times(), [5, 10, 2, 11, 12, 20]);
}

#[test]
fn one_bad_file_does_not_lose_the_others() {
    let mut cut = pcap(&[1, 5]);
    cut.pop();
    let mut lie = pcap(&[2]);
    lie.extend([0xff; 40]);
    let paths = [
        file("bad-text.pcap", b"text"),
        file("bad-cut.pcap", &cut),
        "missing.pcap".into(),
        file("bad-lie.pcap", &lie),
        file("bad-good.pcap", &pcap(&[3, 4])),
    ];
    let outcome = read(&paths);
    assert_eq!(outcome.times(), [1, 2, 3, 4]);
    assert_eq!(outcome.errors.iter().filter(|error| error.is_warning()).count(), 1);
    assert_eq!(outcome.errors.len(), 4);
}
