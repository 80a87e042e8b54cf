//! The classic pcap format (draft-ietf-opsawg-pcap): a header, then records. The walk over the records is written out
//! by hand, since it runs once for every frame.

use super::{
    record::{Fault, Order, RECORD_MAX, Record},
    window::Window,
};
use crate::engine::{
    frame::{ClockId, InterfaceId, LinkType},
    time::Timestamp,
};

/// The length of the file's header.
pub(super) const HEADER: usize = 24;

/// How much is read at first of a record that may be skipped: the headers. Shorter ones are not worth it.
const PEEK: usize = 512;
const WORTH: usize = 8 << 10;

/// What libpcap believes of a record, whatever the file's snapshot length says.
const CAPTURED_MAX: u32 = 262_144;

/// A pcap file after its header.
#[derive(Debug)]
pub(super) struct Pcap {
    order: Order,
    /// Nanoseconds in a unit of the fraction.
    unit: i64,
    /// The length of a record's header.
    head: usize,
    /// The snapshot length, or what is believed in its place.
    snapshot: u32,
    link: LinkType,
    interface: InterfaceId,
    clock: ClockId,
    /// Whether a record may have its two lengths in the other order, as before version 2.4.
    swapped: bool,
}

/// Byte order, nanoseconds of a unit, and length of a record's header, by the first four bytes.
pub(super) const fn variant(magic: [u8; 4]) -> Option<(Order, i64, usize)> {
    Some(match magic {
        [0xd4, 0xc3, 0xb2, 0xa1] => (Order::Little, 1000, 16),
        [0xa1, 0xb2, 0xc3, 0xd4] => (Order::Big, 1000, 16),
        [0x4d, 0x3c, 0xb2, 0xa1] => (Order::Little, 1, 16),
        [0xa1, 0xb2, 0x3c, 0x4d] => (Order::Big, 1, 16),
        // Kuznetzov's "modified" format: interface index, protocol and packet type follow each record's header.
        [0x34, 0xcd, 0xb2, 0xa1] => (Order::Little, 1000, 24),
        [0xa1, 0xb2, 0xcd, 0x34] => (Order::Big, 1000, 24),
        _ => return None,
    })
}

impl Pcap {
    /// Reads the file's header, which the caller has found to be there.
    pub(super) fn new(
        header: &[u8; HEADER],
        clock: ClockId,
        register: impl FnOnce() -> InterfaceId,
    ) -> Result<Self, Fault> {
        let [a, b, c, d, ..] = *header;
        let (order, unit, head) = variant([a, b, c, d]).ok_or_else(|| Fault::Version("no pcap version".to_owned()))?;
        let major = order.u16_at(header, 4);
        if major != 2 {
            return Err(Fault::Version(format!("pcap version {major}")));
        }
        let snapshot = match order.u32_at(header, 16) {
            0 => CAPTURED_MAX,
            length => length.min(RECORD_MAX),
        };
        // The upper bits may tell the length of the frame check sequence.
        let link = LinkType::from_number(order.u32_at(header, 20) & 0x03ff_ffff);
        let swapped = order.u16_at(header, 6) < 4;
        Ok(Self { order, unit, head, snapshot, link, interface: register(), clock, swapped })
    }

    /// Goes to the next record. False where the file ends.
    #[inline]
    pub(super) fn advance(&self, window: &mut Window, record: &mut Record) -> Result<bool, Fault> {
        if !window.has(self.head)? {
            return if window.bytes().is_empty() { Ok(false) } else { Err(Fault::Cut) };
        }
        let Some(&[s0, s1, s2, s3, f0, f1, f2, f3, c0, c1, c2, c3, w0, w1, w2, w3]) = window.bytes().first_chunk()
        else {
            return Err(Fault::Cut);
        };
        let mut captured = self.order.u32([c0, c1, c2, c3]);
        let mut wire_length = self.order.u32([w0, w1, w2, w3]);
        if self.swapped && captured > wire_length {
            (captured, wire_length) = (wire_length, captured);
        }
        if captured > self.snapshot.max(CAPTURED_MAX) {
            return Err(too_long(captured));
        }
        let fraction = i64::from(self.order.u32([f0, f1, f2, f3])) * self.unit;
        let length = self.head + captured as usize;
        let seconds = i64::from(self.order.u32([s0, s1, s2, s3]));
        record.at = Timestamp::from_nanos((seconds * 1_000_000_000).saturating_add(fraction));
        record.wire_length = wire_length.max(captured);
        let worth = length > WORTH && captured >= wire_length && window.can_skip(length);
        if worth && window.has(self.head + PEEK)? {
            let start = window.position() + self.head;
            (record.bytes, record.unread) = (start..start + PEEK, length);
            return Ok(true);
        }
        if !window.has(length)? {
            return Err(self.cut(captured, wire_length, fraction));
        }
        let bytes = window.consume(length);
        record.bytes = bytes.start + self.head..bytes.end;
        Ok(true)
    }

    /// Reads the rest of a record of which only the first bytes are there.
    pub(super) fn complete(&self, window: &mut Window, record: &mut Record) -> Result<(), Fault> {
        if !window.has(record.unread)? {
            return Err(Fault::Cut);
        }
        let bytes = window.consume(std::mem::take(&mut record.unread));
        record.bytes = bytes.start + self.head..bytes.end;
        Ok(())
    }

    /// What all records of the file have in common.
    pub(super) fn record(&self) -> Record {
        Record { interface: self.interface, clock: self.clock, link: self.link, ..Record::default() }
    }

    /// The file ends inside a record: it was cut, unless the record's header is not to be believed.
    #[cold]
    fn cut(&self, captured: u32, wire_length: u32, fraction: i64) -> Fault {
        if captured > wire_length || captured > self.snapshot || fraction >= 1_000_000_000 {
            return Fault::Corrupt(format!(
                "a record claims {captured} bytes of a frame of {wire_length}, more than the file holds"
            ));
        }
        Fault::Cut
    }
}

#[cold]
fn too_long(captured: u32) -> Fault {
    Fault::Corrupt(format!("a record claims {captured} bytes"))
}
