//! Capture files built byte by byte, and a place to put them.
#![allow(dead_code, reason = "each test program uses a part")]

use std::{fs, path::PathBuf};

/// The two byte orders.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

impl Order {
    /// Both.
    pub(crate) const BOTH: [Self; 2] = [Self::Little, Self::Big];

    /// Two bytes.
    pub(crate) fn u16(self, value: u16) -> [u8; 2] {
        if self == Self::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    /// Four bytes.
    pub(crate) fn u32(self, value: u32) -> [u8; 4] {
        if self == Self::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    /// Eight bytes.
    pub(crate) fn i64(self, value: i64) -> [u8; 8] {
        if self == Self::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }
}

/// The header of a pcap file.
pub(crate) fn pcap_header(order: Order, magic: u32, snapshot: u32, link: u32) -> Vec<u8> {
    let mut bytes = order.u32(magic).to_vec();
    bytes.extend(order.u16(2));
    bytes.extend(order.u16(4));
    for field in [0xffff_f1f0, 7, snapshot, link] {
        bytes.extend(order.u32(field));
    }
    bytes
}

/// A record of a pcap file.
pub(crate) fn pcap_record(order: Order, seconds: u32, fraction: u32, frame: &[u8]) -> Vec<u8> {
    let length = u32::try_from(frame.len()).unwrap();
    let mut bytes = Vec::new();
    for field in [seconds, fraction, length, length] {
        bytes.extend(order.u32(field));
    }
    bytes.extend(frame);
    bytes
}

/// A little-endian microsecond pcap file of Ethernet frames, with one frame at each of these times in seconds.
pub(crate) fn pcap(seconds: &[u32]) -> Vec<u8> {
    let mut bytes = pcap_header(Order::Little, 0xa1b2_c3d4, 262_144, 1);
    for second in seconds {
        bytes.extend(pcap_record(Order::Little, *second, 0, &frame(*second)));
    }
    bytes
}

/// Bytes that are easy to tell apart; the length varies.
pub(crate) fn frame(number: u32) -> Vec<u8> {
    vec![u8::try_from(number % 251).unwrap(); 14 + number as usize % 7]
}

/// A block of a pcapng file, padded.
pub(crate) fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let length = order.u32(u32::try_from(padded + 12).unwrap());
    let mut bytes = order.u32(kind).to_vec();
    bytes.extend(length);
    bytes.extend(body);
    bytes.resize(8 + padded, 0);
    bytes.extend(length);
    bytes
}

/// A section header.
pub(crate) fn section(order: Order) -> Vec<u8> {
    let mut body = order.u32(0x1a2b_3c4d).to_vec();
    body.extend(order.u16(1));
    body.extend(order.u16(0));
    body.extend([0xff; 8]);
    body.extend(option(order, 4, b"a test"));
    body.extend(option(order, 0, b""));
    block(order, 0x0a0d_0d0a, &body)
}

/// An option of a block.
pub(crate) fn option(order: Order, code: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = order.u16(code).to_vec();
    bytes.extend(order.u16(u16::try_from(value.len()).unwrap()));
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// An interface description with these options.
pub(crate) fn interface(order: Order, link: u16, snapshot: u32, options: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = order.u16(link).to_vec();
    body.extend([0; 2]);
    body.extend(order.u32(snapshot));
    for (code, value) in options {
        body.extend(option(order, *code, value));
    }
    if !options.is_empty() {
        body.extend(option(order, 0, b""));
    }
    block(order, 1, &body)
}

/// An enhanced packet block.
pub(crate) fn enhanced(order: Order, interface: u32, units: u64, frame: &[u8], comment: Option<&str>) -> Vec<u8> {
    let length = u32::try_from(frame.len()).unwrap();
    let high = u32::try_from(units >> 32).unwrap();
    let low = u32::try_from(units & 0xffff_ffff).unwrap();
    let mut body = Vec::new();
    for field in [interface, high, low, length, length + 5] {
        body.extend(order.u32(field));
    }
    body.extend(frame);
    body.resize(body.len().next_multiple_of(4), 0);
    if let Some(comment) = comment {
        body.extend(option(order, 1, comment.as_bytes()));
        body.extend(option(order, 0, b""));
    }
    block(order, 6, &body)
}

/// Writes a file that no other test uses.
pub(crate) fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", env!("CARGO_CRATE_NAME")));
    fs::write(&path, bytes).unwrap();
    path
}
