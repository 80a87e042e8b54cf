//! What a tap hands to the engine: link-layer bytes and where they were seen. Nothing above the link layer.

use super::time::Timestamp;

/// Bytes of one captured frame.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// When it was captured.
    pub at: Timestamp,
    /// Its number on its tap, from 1, as Wireshark counts: within its own file where several files are merged.
    pub number: u64,
    /// Where it was captured; unique over all taps of a run.
    pub interface: InterfaceId,
    /// Which clock `at` was read from.
    pub clock: ClockId,
    /// How to read the first bytes.
    pub link: LinkType,
    /// Length on the wire, in bytes. More than `bytes.len()` when the snapshot length cut it.
    pub wire_length: u32,
    /// The captured bytes.
    pub bytes: &'a [u8],
}

/// An interface of a tap: one pcapng interface description, one pcap file, or one live interface.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct InterfaceId(pub u32);

/// A clock that stamps frames. All interfaces of a live tap share one, and so do those of a pcapng section; every file has
/// its own. Times of two clocks may differ by anything, though both may stand for the same moment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct ClockId(pub u32);

/// The link-layer header types that the engine reads (names as in the tcpdump registry).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LinkType {
    /// 1, LINKTYPE_ETHERNET.
    Ethernet,
    /// 0, LINKTYPE_NULL: address family in the byte order of the capturing host.
    Null,
    /// 108, LINKTYPE_LOOP: address family in network byte order.
    Loop,
    /// 101, LINKTYPE_RAW (and the BSD values 12 and 14): IPv4 or IPv6 by the version nibble.
    Raw,
    /// 228, LINKTYPE_IPV4.
    Ipv4,
    /// 229, LINKTYPE_IPV6.
    Ipv6,
    /// 113, LINKTYPE_LINUX_SLL.
    LinuxSll,
    /// 276, LINKTYPE_LINUX_SLL2.
    LinuxSll2,
    /// Any other number: counted, not read.
    Other(u32),
}

impl LinkType {
    /// From the number in a capture file's header.
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Null,
            1 => Self::Ethernet,
            12 | 14 | 101 => Self::Raw,
            108 => Self::Loop,
            113 => Self::LinuxSll,
            228 => Self::Ipv4,
            229 => Self::Ipv6,
            276 => Self::LinuxSll2,
            other => Self::Other(other),
        }
    }
}
