//! IPv4 (RFC 791) and IPv6 (RFC 8200) with extension headers, up to the TCP header. Lengths are believed as far as
//! the frame can hold them, as other readers do: captures of offloaded segments leave them at 0.

use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::{IpNumber, ip_number};

use super::{Unread, View};

/// Extension headers read at most in one packet.
const MAX_EXTENSIONS: usize = 16;

/// A packet that holds TCP, or a fragment of one that may.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a, A> {
    pub(super) source: A,
    pub(super) destination: A,
    pub(super) fragment: Option<Fragment>,
    pub(super) payload: View<'a>,
}

/// Where a fragment belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment {
    /// 16 bits in IPv4, 32 in IPv6.
    pub(super) identification: u32,
    /// In bytes.
    pub(super) offset: usize,
    /// Whether others follow it.
    pub(super) more: bool,
    /// The protocol, or in IPv6 the next header.
    pub(super) protocol: IpNumber,
}

/// Reads an IPv4 header with its options, and the authentication header (RFC 4302) where there is one.
#[inline(always)]
pub(super) fn read_v4(view: View<'_>) -> Result<Packet<'_, Ipv4Addr>, Unread> {
    let header: &[u8; 20] = view.header("IPv4 header")?;
    let header_length = usize::from(header[0] & 0x0f) * 4;
    if header_length < 20 || header_length > view.wire {
        return Err(Unread::Malformed("IPv4 header length"));
    }
    let total_length = match u16::from_be_bytes([header[2], header[3]]) {
        // Left to the hardware that splits it (TSO), or too long for the field (BIG TCP).
        0 => view.wire,
        length => length.into(),
    };
    if total_length < header_length {
        return Err(Unread::Malformed("IPv4 total length"));
    }
    let payload = view.limit(total_length).after(header_length);
    let source = Ipv4Addr::from([header[12], header[13], header[14], header[15]]);
    let destination = Ipv4Addr::from([header[16], header[17], header[18], header[19]]);
    let protocol = IpNumber(header[9]);
    let place = u16::from_be_bytes([header[6], header[7]]);
    if place & 0x3fff != 0 {
        let identification = u16::from_be_bytes([header[4], header[5]]).into();
        let (offset, more) = (usize::from(place & 0x1fff) * 8, place & 0x2000 != 0);
        let fragment = Some(Fragment { identification, offset, more, protocol }.wanted()?);
        return Ok(Packet { source, destination, fragment, payload });
    }
    match protocol {
        ip_number::TCP => Ok(Packet { source, destination, fragment: None, payload }),
        ip_number::AUTHENTICATION_HEADER => {
            let (fragment, payload) = extensions(protocol, payload)?;
            Ok(Packet { source, destination, fragment, payload })
        }
        _ => Err(Unread::Skipped),
    }
}

/// Reads an IPv6 header and its extension headers.
#[inline]
pub(super) fn read_v6(view: View<'_>) -> Result<Packet<'_, Ipv6Addr>, Unread> {
    let header: &[u8; 40] = view.header("IPv6 header")?;
    let payload = match u16::from_be_bytes([header[4], header[5]]) {
        // A jumbogram (RFC 2675), whose option says no more than the frame does, or BIG TCP without that option.
        0 => view.after(40),
        length => view.after(40).limit(length.into()),
    };
    let [source, destination] = [8, 24].map(|at| {
        let octets: [u8; 16] = std::array::from_fn(|index| header[at + index]);
        Ipv6Addr::from(octets)
    });
    let (fragment, payload) = extensions(IpNumber(header[6]), payload)?;
    Ok(Packet { source, destination, fragment, payload })
}

/// The TCP segment of a datagram that was put together, behind extension headers that were fragmented with it.
pub(super) fn read_reassembled(protocol: IpNumber, datagram: View<'_>) -> Result<View<'_>, Unread> {
    match extensions(protocol, datagram)? {
        (None, payload) => Ok(payload),
        // Fragments of fragments: nobody sends them but to deceive.
        (Some(_), _) => Err(Unread::Skipped),
    }
}

/// Walks the extension headers (RFC 8200 4) up to TCP or to a fragment.
#[inline]
fn extensions(mut next: IpNumber, mut payload: View<'_>) -> Result<(Option<Fragment>, View<'_>), Unread> {
    for _ in 0..MAX_EXTENSIONS {
        if next == ip_number::TCP {
            return Ok((None, payload));
        }
        if !is_extension(next) {
            break;
        }
        let header: &[u8; 8] = payload.header("IPv6 extension header")?;
        let length = match next {
            ip_number::IPV6_FRAGMENTATION_HEADER => 8,
            ip_number::AUTHENTICATION_HEADER => (usize::from(header[1]) + 2) * 4,
            _ => (usize::from(header[1]) + 1) * 8,
        };
        if length > payload.wire {
            return Err(Unread::Malformed("IPv6 extension header"));
        }
        payload = payload.after(length);
        if next == ip_number::IPV6_FRAGMENTATION_HEADER {
            let fragment = ipv6_fragment(header);
            // One that is alone is whole (RFC 6946).
            if fragment.offset != 0 || fragment.more {
                return Ok((Some(fragment.wanted()?), payload));
            }
        }
        next = IpNumber(header[0]);
    }
    Err(Unread::Skipped)
}

/// The fragment header (RFC 8200 4.5).
fn ipv6_fragment(header: &[u8; 8]) -> Fragment {
    let place = u16::from_be_bytes([header[2], header[3]]);
    Fragment {
        identification: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        offset: usize::from(place & 0xfff8),
        more: place & 1 != 0,
        protocol: IpNumber(header[0]),
    }
}

const fn is_extension(protocol: IpNumber) -> bool {
    matches!(
        protocol,
        ip_number::IPV6_HEADER_HOP_BY_HOP
            | ip_number::IPV6_ROUTE_HEADER
            | ip_number::IPV6_FRAGMENTATION_HEADER
            | ip_number::AUTHENTICATION_HEADER
            | ip_number::IPV6_DESTINATION_OPTIONS
            | ip_number::MOBILITY_HEADER
            | ip_number::HIP
            | ip_number::SHIM6
    )
}

impl Fragment {
    /// Leaves out the fragments of other protocols, so that they take no memory.
    fn wanted(self) -> Result<Self, Unread> {
        if self.protocol == ip_number::TCP || is_extension(self.protocol) { Ok(self) } else { Err(Unread::Skipped) }
    }
}
