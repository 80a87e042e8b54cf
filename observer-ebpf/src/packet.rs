//! From the link layer to TCP's payload: Ethernet with VLAN tags (IEEE 802.1Q), or no link layer; IPv4 (RFC 791), IPv6
//! with extension headers (RFC 8200); TCP (RFC 9293).

use aya_ebpf::programs::TcContext;
use observer_ebpf::{Connection, Endpoint, HEADERS};

/// Tags that are looked behind.
const TAGS: usize = 3;
/// Extension headers that are looked behind.
const EXTENSIONS: usize = 4;

const TCP: u8 = 6;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;

/// What a frame turned out to be.
pub(crate) enum Packet {
    /// Not TCP.
    Other,
    /// A fragment that may belong to TCP, or TCP behind more headers than are looked behind.
    Opaque,
    /// It breaks off.
    Unread,
    /// A segment of TCP.
    Segment(Segment),
}

/// Who sends, and to whom.
type Addresses = [[u32; 4]; 2];

/// A segment, by its places in the frame.
pub(crate) struct Segment {
    pub(crate) connection: Connection,
    /// Which of its flows.
    pub(crate) flow: usize,
    pub(crate) network: u32,
    pub(crate) transport: u32,
    pub(crate) payload: u32,
    /// Bytes of payload.
    pub(crate) length: u32,
    pub(crate) sequence: u32,
    pub(crate) acknowledgment: u32,
    flags: u8,
}

impl Segment {
    /// The first of a connection.
    #[inline(always)]
    pub(crate) const fn opens(&self) -> bool {
        self.flags & 0b1_0010 == 0b10
    }

    /// RST.
    #[inline(always)]
    pub(crate) const fn resets(&self) -> bool {
        self.flags & 0b100 != 0
    }

    /// FIN, SYN or RST.
    #[inline(always)]
    pub(crate) const fn begins_or_ends(&self) -> bool {
        self.flags & 0b0111 != 0
    }
}

/// Reads a frame with an Ethernet header.
#[inline(always)]
pub(crate) fn ethernet(frame: &TcContext) -> Packet {
    // What most of them are, at once: no tag, and no options of IPv4.
    if let Ok([kind, ip @ .., w, x, y, z]) = frame.load::<[u32; 10]>(10)
        && bytes(kind)[2..] == [8, 0]
        && bytes(ip[0])[0] == 0x45
    {
        return match v4(&ip) {
            Ok((_, length, ends)) => segment(frame, (14, 34), length, ends, [w, x, y, z]),
            Err(other) => other,
        };
    }
    let mut at = 12;
    for _ in 0..TAGS {
        let Ok(kind) = frame.load::<[u8; 2]>(at) else { return Packet::Other };
        match u16::from_be_bytes(kind) {
            0x0800 | 0x86dd => return ip(frame, at + 2),
            0x8100 | 0x88a8 | 0x9100 | 0x9200 => at += 4,
            _ => return Packet::Other,
        }
    }
    Packet::Other
}

/// Reads a packet, by its version.
#[inline(always)]
pub(crate) fn ip(frame: &TcContext, at: usize) -> Packet {
    let Ok(words) = frame.load::<[u32; 5]>(at) else { return Packet::Other };
    match bytes(words[0])[0] >> 4 {
        4 => match v4(&words) {
            Ok((header, length, ends)) => tcp(frame, at, at + header, length, ends),
            Err(other) => other,
        },
        6 => ipv6(frame, at, words[1]),
        _ => Packet::Other,
    }
}

/// Reads a header of IPv4: its length, that of the packet, and the addresses.
#[inline(always)]
fn v4(words: &[u32; 5]) -> Result<(usize, u32, Addresses), Packet> {
    let (first, second, third) = (bytes(words[0]), bytes(words[1]), bytes(words[2]));
    if third[1] != TCP {
        return Err(Packet::Other);
    }
    // The flag "more fragments", and the offset.
    if u16::from_be_bytes([second[2], second[3]]) & 0x3fff != 0 {
        return Err(Packet::Opaque);
    }
    let header = usize::from(first[0] & 15) * 4;
    let length = u32::from(u16::from_be_bytes([first[2], first[3]]));
    Ok((header, length, [words[3], words[4]].map(|four| [0, 0, 0xffff_u32.to_be(), four])))
}

#[inline(always)]
fn ipv6(frame: &TcContext, network: usize, word: u32) -> Packet {
    let Ok(ends) = frame.load::<[[u32; 4]; 2]>(network + 8) else { return Packet::Unread };
    let word = bytes(word);
    // A jumbogram (RFC 2675) says 0: then the frame's length decides.
    let length = match u32::from(u16::from_be_bytes([word[0], word[1]])) {
        0 => 0,
        length => length + 40,
    };
    let (mut next, mut at) = (word[2], network + 40);
    for _ in 0..EXTENSIONS {
        match next {
            TCP => return tcp(frame, network, at, length, ends),
            FRAGMENT => return Packet::Opaque,
            HOP_BY_HOP | ROUTING | DESTINATION => {
                let Ok(header) = frame.load::<[u8; 2]>(at) else { return Packet::Unread };
                next = header[0];
                at += (usize::from(header[1]) + 1) * 8;
            }
            _ => return Packet::Other,
        }
    }
    Packet::Opaque
}

/// `length` is that of the packet, or 0 where it does not say.
#[inline(always)]
fn tcp(frame: &TcContext, network: usize, at: usize, length: u32, ends: Addresses) -> Packet {
    match frame.load::<[u32; 4]>(at) {
        Ok(words) => segment(frame, (network, at), length, ends, words),
        Err(_) => Packet::Unread,
    }
}

/// Reads a header of TCP.
#[inline(always)]
fn segment(frame: &TcContext, (network, at): (usize, usize), length: u32, ends: Addresses, words: [u32; 4]) -> Packet {
    let (ports, offset) = (bytes(words[0]), bytes(words[3]));
    let payload = at + usize::from(offset[0] >> 4) * 4;
    if payload - network > HEADERS - 32 {
        return Packet::Opaque;
    }
    #[expect(clippy::cast_possible_truncation, reason = "places in a frame")]
    let (network, transport, payload) = (network as u32, at as u32, payload as u32);
    // Behind the packet there may be padding.
    let there = frame.len();
    let end = if length == 0 { there } else { (network + length).min(there) };
    let port = |at: usize| u32::from(u16::from_be_bytes([ports[at], ports[at + 1]]));
    let [from, to] = ends;
    let (from, to) = (Endpoint { address: from, port: port(0) }, Endpoint { address: to, port: port(2) });
    let (connection, flow) = Connection::between(from, to);
    Packet::Segment(Segment {
        connection,
        flow,
        network,
        transport,
        payload,
        length: end.saturating_sub(payload),
        sequence: u32::from_be(words[1]),
        acknowledgment: u32::from_be(words[2]),
        flags: offset[1],
    })
}

/// As they stand in the frame.
#[inline(always)]
const fn bytes(word: u32) -> [u8; 4] {
    word.to_ne_bytes()
}
