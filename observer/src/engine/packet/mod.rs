//! From a frame to its TCP segment: link layer, IP (RFC 791, RFC 8200) with reassembly of fragments, TCP header
//! (RFC 9293 3.1). What the bytes of a flow mean is left to `tcp`.
//!
//! Checksums are not looked at: with offload they are wrong on every frame the host sends itself.

mod fragment;
mod ip;
mod link;
mod tcp;
#[cfg(test)]
mod tests;

use std::{
    net::{IpAddr, SocketAddr},
    ops::BitOr,
};

use hashbrown::HashSet;

use super::{
    anomaly::AnomalyKind,
    frame::{Frame, InterfaceId, LinkType},
    time::Timestamp,
};

/// One TCP segment of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment<'a> {
    /// Who sent it. IPv4-mapped IPv6 addresses stay as they are.
    pub source: SocketAddr,
    /// For whom it is.
    pub destination: SocketAddr,
    /// Sequence number of its first byte, or of its SYN (RFC 9293 3.1).
    pub sequence: u32,
    /// The next byte its sender expects; `None` without the ACK flag.
    pub acknowledgment: Option<u32>,
    /// SYN, FIN and RST.
    pub flags: Flags,
    /// `TSval` of the timestamps option (RFC 7323 3.2), only looked for in SYN segments.
    pub timestamp_value: Option<u32>,
    /// The captured payload, from its first byte on.
    pub payload: &'a [u8],
    /// Bytes of payload on the wire. More than `payload.len()` when the snapshot length cut it.
    pub wire_payload: u32,
}

/// The control bits that open and close a connection (RFC 9293 3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Flags(u8);

impl Flags {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// FIN.
    pub const FIN: Self = Self(0x01);
    /// SYN.
    pub const SYN: Self = Self(0x02);
    /// RST.
    pub const RST: Self = Self(0x04);

    /// From the byte of control bits in the header; other bits are left out.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte & (Self::FIN.0 | Self::SYN.0 | Self::RST.0))
    }

    /// No more data from the sender.
    #[must_use]
    pub const fn fin(self) -> bool {
        self.0 & Self::FIN.0 != 0
    }

    /// Synchronize sequence numbers.
    #[must_use]
    pub const fn syn(self) -> bool {
        self.0 & Self::SYN.0 != 0
    }

    /// Reset the connection.
    #[must_use]
    pub const fn rst(self) -> bool {
        self.0 & Self::RST.0 != 0
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a frame held.
#[derive(Clone, PartialEq, Debug)]
pub enum Parsed<'a> {
    /// A TCP segment; of a fragmented datagram, given with the frame that completed it.
    Segment(Segment<'a>),
    /// Nothing for us: not IP, not TCP, a fragment that waits for others, or cut before that could be told.
    Skipped,
    /// Nothing for us, and it ought to be mentioned.
    Anomaly(AnomalyKind),
    /// A TCP segment, cut by the snapshot length before what it says.
    Cut(AnomalyKind),
}

/// Interfaces remembered as told about. A capture file may declare any number of them.
const MAX_TOLD: usize = 4096;

/// Reads frames. Its only state is what needs more than one frame.
#[derive(Debug)]
pub struct Packets {
    fragments: fragment::Table,
    told: HashSet<InterfaceId>,
}

impl Packets {
    /// A reader that holds at most `fragment_memory_limit` bytes of fragments.
    #[must_use]
    pub fn new(fragment_memory_limit: usize) -> Self {
        Self { fragments: fragment::Table::new(fragment_memory_limit), told: HashSet::new() }
    }

    /// The TCP segment in a frame.
    #[inline(always)]
    pub fn parse<'a>(&'a mut self, frame: &Frame<'a>) -> Parsed<'a> {
        if let LinkType::Other(number) = frame.link {
            return self.unknown_link(frame.interface, number).into();
        }
        let view = match link::read(frame) {
            Ok(view) => view,
            Err(unread) => return unread.into(),
        };
        // By the version nibble, whatever the link layer called it.
        match view.header::<1>("IP header").map(|[first]| first >> 4) {
            Ok(4) => self.read_packet(frame.at, ip::read_v4(view)),
            Ok(6) => self.read_packet(frame.at, ip::read_v6(view)),
            Ok(_) => Unread::Malformed("IP version").into(),
            Err(unread) => unread.into(),
        }
    }

    /// The TCP segment in a frame, where that takes nothing but the frame.
    pub fn peek<'a>(frame: &Frame<'a>) -> Option<Segment<'a>> {
        fn alone<A: Into<IpAddr>>(packet: ip::Packet<'_, A>) -> Option<Segment<'_>> {
            let ip::Packet { source, destination, fragment: None, payload } = packet else { return None };
            match tcp::read(source, destination, payload) {
                Parsed::Segment(segment) => Some(segment),
                _ => None,
            }
        }
        let view = link::read(frame).ok()?;
        match view.header::<1>("IP header").ok()?[0] >> 4 {
            4 => alone(ip::read_v4(view).ok()?),
            6 => alone(ip::read_v6(view).ok()?),
            _ => None,
        }
    }

    /// Drops fragments that have waited too long at `now` (all of them at [`Timestamp::MAX`]). Returns how many
    /// datagrams were dropped and not yet mentioned by [`Self::parse`].
    pub fn expire(&mut self, now: Timestamp) -> u64 {
        self.fragments.expire(now);
        self.fragments.take_dropped()
    }

    /// Bytes of state held.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.fragments.memory() + self.told.capacity() * (size_of::<InterfaceId>() + 1)
    }

    /// Generic over the address, and without a `Result` of a segment, so that a segment is written once, where the
    /// caller wants it: copying it costs more than all the rest.
    #[inline]
    fn read_packet<'a, A>(&'a mut self, at: Timestamp, packet: Result<ip::Packet<'a, A>, Unread>) -> Parsed<'a>
    where
        A: Into<IpAddr> + Copy,
    {
        match packet {
            Ok(ip::Packet { source, destination, fragment: None, payload }) => tcp::read(source, destination, payload),
            Ok(ip::Packet { source, destination, fragment: Some(fragment), payload }) => {
                self.read_fragment(at, source.into(), destination.into(), &fragment, payload)
            }
            Err(unread) => unread.into(),
        }
    }

    #[cold]
    fn read_fragment(
        &mut self,
        at: Timestamp,
        source: IpAddr,
        destination: IpAddr,
        fragment: &ip::Fragment,
        payload: View<'_>,
    ) -> Parsed<'_> {
        let key = fragment::Key::new(source, destination, fragment);
        let whole = self.fragments.insert(at, key, fragment, payload);
        match whole.and_then(|(protocol, datagram)| ip::read_reassembled(protocol, datagram)) {
            Ok(payload) => tcp::read(source, destination, payload),
            Err(unread) => unread.into(),
        }
    }

    #[cold]
    fn unknown_link(&mut self, interface: InterfaceId, number: u32) -> Unread {
        if self.told.len() < MAX_TOLD && self.told.insert(interface) {
            Unread::UnknownLinkType(number)
        } else {
            Unread::Skipped
        }
    }
}

/// Why a frame gives no segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unread {
    Skipped,
    Malformed(&'static str),
    Cut(&'static str),
    UnknownLinkType(u32),
    FragmentsDropped,
}

impl From<Unread> for Parsed<'_> {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Skipped => Self::Skipped,
            Unread::Malformed(what) => Self::Anomaly(AnomalyKind::Malformed(what)),
            Unread::Cut(what) => Self::Cut(AnomalyKind::Malformed(what)),
            Unread::UnknownLinkType(number) => Self::Anomaly(AnomalyKind::UnknownLinkType(number)),
            Unread::FragmentsDropped => Self::Anomaly(AnomalyKind::FragmentsDropped),
        }
    }
}

/// Captured bytes that were `wire` bytes long on the wire. `bytes.len() <= wire` always; less when cut.
#[derive(Clone, Copy, Debug)]
struct View<'a> {
    bytes: &'a [u8],
    wire: usize,
}

impl<'a> View<'a> {
    /// The first `N` bytes. Short on the wire is malformed; cut by the snapshot length is nobody's fault.
    #[inline]
    fn header<const N: usize>(&self, what: &'static str) -> Result<&'a [u8; N], Unread> {
        match self.bytes.first_chunk() {
            Some(header) => Ok(header),
            None if self.wire < N => Err(Unread::Malformed(what)),
            None => Err(Unread::Skipped),
        }
    }

    /// What follows the first `length` bytes.
    #[inline]
    fn after(&self, length: usize) -> Self {
        Self { bytes: self.bytes.get(length..).unwrap_or_default(), wire: self.wire.saturating_sub(length) }
    }

    /// At most the first `length` bytes: what follows is padding or a trailer.
    #[inline]
    fn limit(&self, length: usize) -> Self {
        Self { bytes: self.bytes.get(..length).unwrap_or(self.bytes), wire: self.wire.min(length) }
    }
}
