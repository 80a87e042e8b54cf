//! The link layer: finds the IP header behind Ethernet with VLAN tags (IEEE 802.1Q), LLC/SNAP (RFC 1042), Linux
//! cooked capture, BSD loopback, or nothing at all.

use etherparse::{EtherType, ether_type};

use super::{Unread, View};
use crate::engine::frame::{Frame, LinkType};

/// VLAN tags read at most; real networks stack two or three.
const MAX_VLAN_TAGS: usize = 8;

/// `EtherType` fields up to this are lengths (IEEE 802.3 3.2.6).
const MAX_LENGTH: u16 = 1500;

/// Protocol of Linux cooked capture for a frame that begins with an LLC header (`ETH_P_802_2`).
const COOKED_LLC: u16 = 4;

/// The IP packet in a frame, with whatever padding follows it.
#[inline(always)]
pub(super) fn read<'a>(frame: &Frame<'a>) -> Result<View<'a>, Unread> {
    let captured = frame.bytes.len();
    let view = View { bytes: frame.bytes, wire: (frame.wire_length as usize).max(captured) };
    match frame.link {
        LinkType::Ethernet => ethernet(view),
        LinkType::Null | LinkType::Loop => loopback(view),
        LinkType::Raw | LinkType::Ipv4 | LinkType::Ipv6 => Ok(view),
        LinkType::LinuxSll => {
            let header: &[u8; 16] = view.header("Linux cooked header")?;
            cooked(u16::from_be_bytes([header[14], header[15]]), view.after(16))
        }
        LinkType::LinuxSll2 => {
            let header: &[u8; 20] = view.header("Linux cooked header")?;
            cooked(u16::from_be_bytes([header[0], header[1]]), view.after(20))
        }
        LinkType::Other(_) => Err(Unread::Skipped),
    }
}

#[inline]
fn ethernet(view: View<'_>) -> Result<View<'_>, Unread> {
    let header: &[u8; 14] = view.header("Ethernet header")?;
    by_type(u16::from_be_bytes([header[12], header[13]]), view.after(14))
}

/// What follows an `EtherType`.
#[inline]
fn by_type(ether_type: u16, payload: View<'_>) -> Result<View<'_>, Unread> {
    match EtherType(ether_type) {
        ether_type::IPV4 | ether_type::IPV6 => Ok(payload),
        _ => tagged(ether_type, payload),
    }
}

fn tagged(mut ether_type: u16, mut payload: View<'_>) -> Result<View<'_>, Unread> {
    for _ in 0..MAX_VLAN_TAGS {
        if !is_vlan(ether_type) {
            break;
        }
        let tag: &[u8; 4] = payload.header("VLAN tag")?;
        ether_type = u16::from_be_bytes([tag[2], tag[3]]);
        payload = payload.after(4);
    }
    match EtherType(ether_type) {
        ether_type::IPV4 | ether_type::IPV6 => Ok(payload),
        EtherType(length) if length <= MAX_LENGTH => llc(payload.limit(length.into())),
        _ => Err(Unread::Skipped),
    }
}

/// 802.1Q, 802.1ad, and the two numbers used for `QinQ` before that.
const fn is_vlan(ether_type: u16) -> bool {
    matches!(ether_type, 0x8100 | 0x88a8 | 0x9100 | 0x9200)
}

/// An LLC header (IEEE 802.2) with the IP service access point, or with a SNAP header that names an `EtherType`.
fn llc(view: View<'_>) -> Result<View<'_>, Unread> {
    match view.bytes {
        [0x06, 0x06, 0x03, ..] => Ok(view.after(3)),
        [0xaa, 0xaa, 0x03, 0, 0, 0, 0x08, 0x00, ..] | [0xaa, 0xaa, 0x03, 0, 0, 0, 0x86, 0xdd, ..] => Ok(view.after(8)),
        _ => Err(Unread::Skipped),
    }
}

fn cooked(protocol: u16, payload: View<'_>) -> Result<View<'_>, Unread> {
    match protocol {
        COOKED_LLC => llc(payload),
        // Small numbers are the kernel's own, not lengths.
        0..=MAX_LENGTH => Err(Unread::Skipped),
        _ => by_type(protocol, payload),
    }
}

/// The address family, in the byte order of whoever captured: each BSD has its own number for IPv6, Linux has 10.
fn loopback(view: View<'_>) -> Result<View<'_>, Unread> {
    match view.header("loopback header")? {
        [0, 0, 0, 2 | 10 | 24 | 28 | 30] | [2 | 10 | 24 | 28 | 30, 0, 0, 0] => Ok(view.after(4)),
        _ => Err(Unread::Skipped),
    }
}
