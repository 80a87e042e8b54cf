//! The TCP header (RFC 9293 3.1) and the one option that is asked for (RFC 7323 3.2).

use std::net::{IpAddr, SocketAddr};

use etherparse::{TcpOptionElement, TcpOptionsIterator};

use super::{Flags, Parsed, Segment, Unread, View};

const ACK: u8 = 0x10;

/// Reads a header and leaves the payload where it is. Options that were cut do not matter to the rest.
#[inline]
pub(super) fn read<A: Into<IpAddr>>(source: A, destination: A, view: View<'_>) -> Parsed<'_> {
    let Some(header) = view.bytes.first_chunk::<20>() else {
        return match view.wire {
            20.. => Unread::Cut("TCP header, cut by the snapshot length"),
            _ => Unread::Malformed("TCP header"),
        }
        .into();
    };
    let header_length = usize::from(header[12] >> 4) * 4;
    if header_length < 20 || header_length > view.wire {
        return Unread::Malformed("TCP data offset").into();
    }
    let flags = Flags::from_byte(header[13]);
    let payload = view.after(header_length);
    Parsed::Segment(Segment {
        source: SocketAddr::from((source, u16::from_be_bytes([header[0], header[1]]))),
        destination: SocketAddr::from((destination, u16::from_be_bytes([header[2], header[3]]))),
        sequence: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        acknowledgment: (header[13] & ACK != 0)
            .then(|| u32::from_be_bytes([header[8], header[9], header[10], header[11]])),
        flags,
        timestamp_value: if flags.syn() { timestamp_value(view.limit(header_length).after(20).bytes) } else { None },
        payload: payload.bytes,
        wire_payload: u32::try_from(payload.wire).unwrap_or(u32::MAX),
    })
}

#[cold]
fn timestamp_value(options: &[u8]) -> Option<u32> {
    TcpOptionsIterator::from_slice(options).find_map(|option| match option {
        Ok(TcpOptionElement::Timestamp(value, _)) => Some(value),
        _ => None,
    })
}
