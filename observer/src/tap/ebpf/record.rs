//! From records to frames. A frame that came in parts becomes as many frames: each gets the sequence number and the
//! length of its part, as if it had never been one.

use std::ops::Range;

use observer_ebpf::Frame as Record;

use crate::engine::{
    frame::{Frame, InterfaceId, LinkType},
    time::Timestamp,
};

/// FIN and PSH, which are the last part's.
const LAST: u8 = 0b1001;

/// Room for one part.
#[derive(Default)]
pub(super) struct Parts {
    bytes: Vec<u8>,
}

impl Parts {
    /// The frame in a record; nothing if the record contradicts itself.
    pub(super) fn frame<'a>(
        &'a mut self,
        item: &'a [u8],
        record: &Record,
        at: Timestamp,
        number: u64,
        interface: InterfaceId,
    ) -> Option<Frame<'a>> {
        let bytes = item.get(size_of::<Record>()..)?.get(..record.captured as usize)?;
        let link = if record.network == 0 { LinkType::Raw } else { LinkType::Ethernet };
        let frame = Frame { at, number, interface, link, wire_length: record.length, bytes };
        if record.headers == 0 {
            return Some(frame);
        }
        let whole = record.headers.checked_add(record.payload)?;
        let is_part = record.captured > record.headers && record.captured < whole;
        if !is_part {
            // Behind the packet there was padding.
            return Some(Frame { wire_length: whole, ..frame });
        }
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
        cut(&mut self.bytes, record)?;
        Some(Frame { wire_length: record.captured, bytes: &self.bytes, ..frame })
    }
}

/// The flags of TCP; of what is no segment, none.
pub(super) fn flags(record: &Record, bytes: &[u8]) -> u8 {
    if record.headers == 0 { 0 } else { bytes.get(usize::from(record.transport) + 13).copied().unwrap_or(0) }
}

/// Whether its sender ends the connection, by FIN or RST.
pub(super) const fn ends(flags: u8) -> bool {
    flags & 0b101 != 0
}

/// Makes the headers those of a part.
fn cut(bytes: &mut [u8], record: &Record) -> Option<()> {
    let (network, transport) = (usize::from(record.network), usize::from(record.transport));
    let end = record.offset + (record.captured - record.headers);
    if end < record.payload {
        *bytes.get_mut(transport + 13)? &= !LAST;
    }
    let sequence = word(bytes, transport + 4)?.wrapping_add(record.offset);
    bytes.get_mut(transport + 4..transport + 8)?.copy_from_slice(&sequence.to_be_bytes());
    let length = bytes.len().checked_sub(network)?;
    let (place, length): (Range<usize>, _) = match bytes.get(network)? >> 4 {
        4 => (network + 2..network + 4, length),
        _ => (network + 4..network + 6, length.checked_sub(40)?),
    };
    bytes.get_mut(place)?.copy_from_slice(&u16::try_from(length).ok()?.to_be_bytes());
    Some(())
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}
