//! From records to frames. A frame that came in parts becomes as many frames: each gets the sequence number and the
//! length of its part, as if it had never been one.

use std::ops::Range;

use observer_ebpf::Frame as Record;

use crate::engine::{
    frame::{ClockId, Frame, InterfaceId, LinkType},
    time::Timestamp,
};

/// FIN and PSH, which are the last part's.
const LAST: u8 = 0b1001;

/// Room for one part.
#[derive(Default, Debug)]
pub struct Parts {
    bytes: Vec<u8>,
}

impl Parts {
    /// The frame in a record; nothing if the record contradicts itself.
    #[must_use]
    pub fn frame<'a>(
        &'a mut self,
        item: &'a [u8],
        record: &Record,
        at: Timestamp,
        number: u64,
        interface: InterfaceId,
    ) -> Option<Frame<'a>> {
        let bytes = item.get(size_of::<Record>()..)?.get(..record.captured as usize)?;
        let link = if record.network == 0 { LinkType::Raw } else { LinkType::Ethernet };
        let frame = Frame { at, number, interface, clock: ClockId::default(), link, wire_length: record.length, bytes };
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
    let end = record.offset.checked_add(record.captured - record.headers)?;
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

#[cfg(test)]
mod tests {
    use observer_ebpf::{Connection, Endpoint, Start, kind};

    use super::*;

    const PAYLOAD: u32 = 40_000;
    const HEADERS: usize = 54;

    /// An Ethernet, an IPv4 and a TCP header, and so much payload.
    fn frame(sequence: u32, payload: usize) -> Vec<u8> {
        let mut bytes = vec![0; HEADERS + payload];
        bytes[12] = 8;
        (bytes[14], bytes[23]) = (0x45, 6);
        bytes[16..18].copy_from_slice(&u16::try_from(40 + PAYLOAD).unwrap().to_be_bytes());
        bytes[38..42].copy_from_slice(&sequence.to_be_bytes());
        (bytes[46], bytes[47]) = (0x50, 0b1_1001);
        bytes
    }

    fn record(offset: u32, captured: usize) -> Record {
        let end = Endpoint::v4(0, 1);
        Record {
            start: Start { at: 1, kind: kind::FRAME, interface: 1 },
            length: PAYLOAD + 54,
            captured: u32::try_from(captured).unwrap(),
            offset,
            payload: PAYLOAD,
            network: 14,
            transport: 34,
            headers: 54,
            connection: Connection { low: end, high: end },
            flow: 0,
            is_kept: 0,
            is_guess: 0,
            base: 0,
            cookie: 0,
        }
    }

    #[test]
    fn parts_stand_for_themselves() {
        let mut parts = Parts::default();
        for (offset, payload, is_last) in [(0, 16_000, false), (16_000, 16_000, false), (32_000, 8_000, true)] {
            let item = [vec![0; size_of::<Record>()], frame(u32::MAX - 20_000, payload)].concat();
            let record = record(offset, HEADERS + payload);
            let frame = parts.frame(&item, &record, Timestamp::default(), 1, InterfaceId(0)).unwrap();
            let sequence = (u32::MAX - 20_000).wrapping_add(offset);
            assert_eq!(frame.bytes[38..42], sequence.to_be_bytes());
            assert_eq!(usize::from(u16::from_be_bytes([frame.bytes[16], frame.bytes[17]])), payload + 40);
            assert_eq!(frame.wire_length as usize, frame.bytes.len());
            assert_eq!(frame.bytes[47] & LAST != 0, is_last, "FIN and PSH at {offset}");
        }
    }

    #[test]
    fn headers_alone_are_a_frame_that_was_cut() {
        let item = [vec![0; size_of::<Record>()], frame(7, 0)].concat();
        let mut parts = Parts::default();
        let frame = parts.frame(&item, &record(0, HEADERS), Timestamp::default(), 1, InterfaceId(0)).unwrap();
        assert_eq!((frame.bytes.len(), frame.wire_length), (HEADERS, PAYLOAD + 54));
        assert_eq!(flags(&record(0, HEADERS), frame.bytes), 0b1_1001);
    }

    #[test]
    fn a_record_that_contradicts_itself_is_no_frame() {
        let item = [vec![0; size_of::<Record>()], frame(7, 10)].concat();
        let mut parts = Parts::default();
        assert!(parts.frame(&item, &record(0, HEADERS + 11), Timestamp::default(), 1, InterfaceId(0)).is_none());
        let mut wrong = record(0, HEADERS + 10);
        (wrong.transport, wrong.network) = (60_000, 60_000);
        assert!(parts.frame(&item, &wrong, Timestamp::default(), 1, InterfaceId(0)).is_none());
    }
}
