//! Frames taken apart into TCP segments and put together again, so that mutations can rewrite them. Checksums stay
//! zero: the engine does not look at them.

use std::net::{IpAddr, SocketAddr};

use observer::engine::{
    frame::{ClockId, Frame, InterfaceId, LinkType},
    time::Timestamp,
};

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;

/// A frame that owns its bytes.
#[derive(Clone)]
pub struct Owned {
    pub at: Timestamp,
    pub number: u64,
    pub interface: u32,
    pub clock: u32,
    pub link: LinkType,
    pub wire: u32,
    pub bytes: Vec<u8>,
}

impl Owned {
    pub fn frame(&self) -> Frame<'_> {
        Frame {
            at: self.at,
            number: self.number,
            interface: InterfaceId(self.interface),
            clock: ClockId(self.clock),
            link: self.link,
            wire_length: self.wire,
            bytes: &self.bytes,
        }
    }

    /// A frame to write a segment into, on a raw link.
    pub fn raw(at: Timestamp, number: u64, interface: u32) -> Self {
        Self { at, number, interface, clock: 0, link: LinkType::Raw, wire: 0, bytes: Vec::new() }
    }

    pub fn delayed(mut self, nanos: i64) -> Self {
        self.at = Timestamp::from_nanos(self.at.as_nanos() + nanos);
        self
    }
}

/// One TCP segment with the link header that stood before it.
#[derive(Clone)]
pub struct Segment {
    pub link: LinkType,
    pub link_header: Vec<u8>,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub sequence: u32,
    pub acknowledgment: u32,
    pub flags: u8,
    pub options: Vec<u8>,
    pub payload: Vec<u8>,
    /// Bytes of payload on the wire: more than `payload` where the snapshot length cut it.
    pub wire_payload: usize,
}

impl Segment {
    /// What the end `own` of a connection says next, on a raw link; `next` are both ends' sequence numbers.
    pub fn said(ends: [SocketAddr; 2], next: &mut [u32; 2], own: usize, flags: u8, payload: &[u8]) -> Self {
        let segment = Self {
            link: LinkType::Raw,
            link_header: Vec::new(),
            source: ends[own],
            destination: ends[1 - own],
            sequence: next[own],
            acknowledgment: if flags & ACK == 0 { 0 } else { next[1 - own] },
            flags,
            options: Vec::new(),
            payload: payload.to_vec(),
            wire_payload: payload.len(),
        };
        next[own] = segment.end();
        segment
    }

    /// The segment of a frame; `None` when it is none, or is fragmented, or its headers are not whole.
    pub fn read(frame: &Owned) -> Option<Self> {
        let start = link_length(frame)?;
        let ip = frame.bytes.get(start..)?;
        let wire = usize::try_from(frame.wire).ok()? - start;
        let (source, destination, header, total) = match ip.first()? >> 4 {
            4 => {
                let fragment = u16::from_be_bytes([*ip.get(6)?, *ip.get(7)?]) & 0x3fff;
                let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
                if fragment != 0 || *ip.get(9)? != 6 {
                    return None;
                }
                let address = |at: usize| Some(IpAddr::from(*ip.get(at..)?.first_chunk::<4>()?));
                let total = if total == 0 { wire } else { total };
                (address(12)?, address(16)?, usize::from(ip[0] & 15) * 4, total)
            }
            6 if *ip.get(6)? == 6 => {
                let address = |at: usize| Some(IpAddr::from(*ip.get(at..)?.first_chunk::<16>()?));
                let length = usize::from(u16::from_be_bytes([ip[4], ip[5]]));
                (address(8)?, address(24)?, 40, if length == 0 { wire } else { 40 + length })
            }
            _ => return None,
        };
        let tcp = ip.get(header..ip.len().min(total))?;
        let offset = usize::from(tcp.get(12)? >> 4) * 4;
        let port = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
        let number = |at: usize| u32::from_be_bytes([tcp[at], tcp[at + 1], tcp[at + 2], tcp[at + 3]]);
        Some(Self {
            link: frame.link,
            link_header: frame.bytes[..start].to_vec(),
            source: SocketAddr::new(source, port(0)),
            destination: SocketAddr::new(destination, port(2)),
            sequence: number(4),
            acknowledgment: number(8),
            flags: *tcp.get(13)?,
            options: tcp.get(20..offset)?.to_vec(),
            payload: tcp[offset..].to_vec(),
            wire_payload: total.checked_sub(header + offset)?,
        })
    }

    /// A frame that holds this segment and keeps all else of `like`.
    pub fn write(&self, like: &Owned) -> Owned {
        let tcp_length = 20 + self.options.len() + self.wire_payload;
        let mut bytes = self.link_header.clone();
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let total = u16::try_from(20 + tcp_length).unwrap_or(0).to_be_bytes();
                bytes.extend([0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, 6, 0, 0]);
                bytes.extend(source.octets());
                bytes.extend(destination.octets());
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let length = u16::try_from(tcp_length).unwrap_or(0).to_be_bytes();
                bytes.extend([0x60, 0, 0, 0, length[0], length[1], 6, 64]);
                bytes.extend(source.octets());
                bytes.extend(destination.octets());
            }
            _ => unreachable!("both ends are of one family"),
        }
        let headers = bytes.len();
        bytes.extend(self.source.port().to_be_bytes());
        bytes.extend(self.destination.port().to_be_bytes());
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.acknowledgment.to_be_bytes());
        let offset = u8::try_from((20 + self.options.len()) / 4 * 16).expect("at most 60 bytes of header");
        bytes.extend([offset, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
        bytes.extend(&self.options);
        bytes.extend(&self.payload);
        let wire = u32::try_from(headers + tcp_length).expect("a frame's length");
        Owned { link: self.link, wire, bytes, ..like.clone() }
    }

    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }

    /// Whether all its payload was captured.
    pub fn is_whole(&self) -> bool {
        self.payload.len() == self.wire_payload
    }

    /// Both ends, the sender first.
    pub fn flow(&self) -> (SocketAddr, SocketAddr) {
        (self.source, self.destination)
    }

    /// Both ends, the same for both directions.
    pub fn connection(&self) -> (SocketAddr, SocketAddr) {
        (self.source.min(self.destination), self.source.max(self.destination))
    }

    /// The sequence number after its last byte.
    pub fn end(&self) -> u32 {
        let length = u32::try_from(self.wire_payload).expect("a segment's length");
        self.sequence.wrapping_add(length + u32::from(self.has(SYN)) + u32::from(self.has(FIN)))
    }

    /// Gives it another link layer.
    pub fn relink(&mut self, link: LinkType, vlan: bool) {
        let v6 = self.source.is_ipv6();
        let ether = if v6 { [0x86, 0xdd] } else { [8, 0] };
        self.link_header = match link {
            LinkType::Ethernet if vlan => [&[2; 12][..], &[0x88, 0xa8, 0, 7, 0x81, 0, 0, 9], &ether].concat(),
            LinkType::Ethernet => [&[2; 12][..], &ether].concat(),
            LinkType::LinuxSll => [&[0, 0, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0][..], &ether].concat(),
            LinkType::LinuxSll2 => [&ether[..], &[0; 18]].concat(),
            LinkType::Null => (if v6 { 10u32 } else { 2 }).to_le_bytes().to_vec(),
            LinkType::Loop => (if v6 { 28u32 } else { 2 }).to_be_bytes().to_vec(),
            _ => Vec::new(),
        };
        self.link = link;
    }
}

/// Bytes before the IP header; `None` when another protocol follows.
fn link_length(frame: &Owned) -> Option<usize> {
    let ether = |at: usize| frame.bytes.get(at..at + 2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let (mut at, mut kind) = match frame.link {
        LinkType::Ethernet => (14, ether(12)?),
        LinkType::LinuxSll => (16, ether(14)?),
        LinkType::LinuxSll2 => (20, ether(0)?),
        LinkType::Null | LinkType::Loop => return Some(4),
        LinkType::Raw | LinkType::Ipv4 | LinkType::Ipv6 => return Some(0),
        LinkType::Other(_) => return None,
    };
    while matches!(kind, 0x8100 | 0x88a8) {
        kind = ether(at + 2)?;
        at += 4;
    }
    matches!(kind, 0x0800 | 0x86dd).then_some(at)
}
