//! The pcapng format (draft-ietf-opsawg-pcapng): sections of blocks. Blocks are walked by hand, so that each is known
//! to be whole before its content is read; `pcap-parser` reads the descriptions of sections and interfaces.

use pcap_parser::pcapng::parse_sectionheaderblock;

use super::{
    interface::Interface,
    record::{Fault, Order, RECORD_MAX, Record, clock},
    window::Window,
};
use crate::{
    engine::frame::ClockId,
    tap::{InterfaceInfo, SharedInterfaces},
};

/// The first four bytes of a section, in either byte order.
pub(super) const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// Type, length, and length again: the smallest block. Also what must be there to read a section's byte order.
pub(super) const BLOCK_MIN: usize = 12;

/// Where an enhanced or obsolete packet's bytes begin in its block, and what follows them at least.
const PACKET_HEAD: usize = 28;
const TRAILER: usize = 4;

/// More than any capture has; a bound on what a hostile one can make us remember.
const INTERFACES_MAX: usize = 65_536;

/// A pcapng file.
#[derive(Debug)]
pub(super) struct PcapNg {
    label: String,
    order: Order,
    /// Those of the current section.
    interfaces: Vec<Interface>,
    /// Those of all sections.
    described: usize,
    table: SharedInterfaces,
    /// The file's place among all.
    place: usize,
    /// The number of the current section, from 0, once there is one.
    number: Option<u16>,
}

impl PcapNg {
    pub(super) fn new(place: usize, label: &str, table: &SharedInterfaces) -> Self {
        Self {
            label: label.to_owned(),
            order: Order::Little,
            interfaces: Vec::new(),
            described: 0,
            table: table.clone(),
            place,
            number: None,
        }
    }

    /// Goes to the next frame. False where the file ends.
    #[inline]
    pub(super) fn advance(&mut self, window: &mut Window, record: &mut Record) -> Result<bool, Fault> {
        loop {
            if !window.has(BLOCK_MIN)? {
                return if window.bytes().is_empty() { Ok(false) } else { Err(Fault::Cut) };
            }
            let kind = self.order.u32_at(window.bytes(), 0);
            if kind == SECTION {
                self.order = section_order(window.bytes())?;
            }
            let claimed = self.order.u32_at(window.bytes(), 4);
            // Some writers do not count the padding.
            let length = (claimed as usize).next_multiple_of(4);
            if claimed > RECORD_MAX || (claimed as usize) < BLOCK_MIN {
                return Err(bad_length(claimed));
            }
            if !window.has(length)? {
                return Err(self.cut(kind, length, window.bytes()));
            }
            let block = &window.bytes()[..length];
            let repeated = self.order.u32_at(block, length - TRAILER);
            if repeated != claimed {
                return Err(bad_trailer(claimed, repeated));
            }
            let is_frame = self.block(kind, block, window.position(), record)?;
            window.consume(length);
            if is_frame {
                return Ok(true);
            }
        }
    }

    /// Reads a block, which is at `start` in the window. True when it is a frame.
    #[inline]
    fn block(&mut self, kind: u32, block: &[u8], start: usize, record: &mut Record) -> Result<bool, Fault> {
        match kind {
            ENHANCED_PACKET => self.packet(self.order.u32_at(block, 8), block, start, record)?,
            OBSOLETE_PACKET => self.packet(self.order.u16_at(block, 8).into(), block, start, record)?,
            SIMPLE_PACKET => self.simple_packet(block, start, record)?,
            SECTION => return self.section(block).map(|()| false),
            INTERFACE => return self.interface(block).map(|()| false),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn section(&mut self, block: &[u8]) -> Result<(), Fault> {
        let (_, header) =
            parse_sectionheaderblock(block).map_err(|_| Fault::Corrupt("a section header is malformed".to_owned()))?;
        let (major, minor) = (header.major_version, header.minor_version);
        if major != 1 || !matches!(minor, 0 | 2) {
            return Err(Fault::Version(format!("pcapng version {major}.{minor}")));
        }
        self.interfaces.clear();
        self.number = Some(self.number.map_or(0, |number| number.saturating_add(1)));
        Ok(())
    }

    fn interface(&mut self, block: &[u8]) -> Result<(), Fault> {
        if self.described == INTERFACES_MAX {
            return Err(Fault::Corrupt(format!("more than {INTERFACES_MAX} interfaces are described")));
        }
        let (mut interface, name) = Interface::read(self.order, block)?;
        let clock = self.clock();
        interface.id = self.table.register(InterfaceInfo { name, source: self.label.clone(), clock });
        self.interfaces.push(interface);
        self.described += 1;
        Ok(())
    }

    fn clock(&self) -> ClockId {
        clock(self.place, self.number.unwrap_or(0))
    }

    /// An enhanced or obsolete packet block: they differ in how they name the interface.
    #[inline]
    fn packet(&self, index: u32, block: &[u8], start: usize, record: &mut Record) -> Result<(), Fault> {
        let Some(head) = block.first_chunk::<PACKET_HEAD>() else { return Err(too_short(block)) };
        let captured = self.order.u32_at(head, 20);
        if captured as usize > block.len().saturating_sub(PACKET_HEAD + TRAILER) {
            return Err(too_large(captured, block.len()));
        }
        let Some(interface) = self.interfaces.get(index as usize) else { return Err(no_interface(index)) };
        let units = u64::from(self.order.u32_at(head, 12)) << 32 | u64::from(self.order.u32_at(head, 16));
        record.at = interface.clock.timestamp(units);
        record.interface = interface.id;
        record.clock = self.clock();
        record.link = interface.link;
        record.wire_length = self.order.u32_at(head, 24).max(captured);
        record.bytes = start + PACKET_HEAD..start + PACKET_HEAD + captured as usize;
        Ok(())
    }

    /// A packet of the section's first interface, without a time: it keeps that of the frame before.
    fn simple_packet(&self, block: &[u8], start: usize, record: &mut Record) -> Result<(), Fault> {
        const HEAD: usize = 12;
        let Some(interface) = self.interfaces.first() else { return Err(no_interface(0)) };
        let Some(room) = block.len().checked_sub(HEAD + TRAILER) else { return Err(too_short(block)) };
        record.interface = interface.id;
        record.clock = self.clock();
        record.link = interface.link;
        record.wire_length = self.order.u32_at(block, 8);
        let captured = room.min(record.wire_length as usize).min(interface.snapshot);
        record.bytes = start + HEAD..start + HEAD + captured;
        Ok(())
    }

    /// The file ends inside a block: it was cut, unless the block's beginning is not to be believed.
    #[cold]
    fn cut(&self, kind: u32, length: usize, block: &[u8]) -> Fault {
        let is_packet = matches!(kind, ENHANCED_PACKET | OBSOLETE_PACKET) && block.len() >= PACKET_HEAD;
        let captured = self.order.u32_at(block, 20) as usize;
        if is_packet && captured.saturating_add(PACKET_HEAD + TRAILER) > length {
            return too_large(self.order.u32_at(block, 20), length);
        }
        Fault::Cut
    }
}

/// The byte order of a section, by its magic number.
fn section_order(block: &[u8]) -> Result<Order, Fault> {
    match block.get(8..BLOCK_MIN) {
        Some([0x4d, 0x3c, 0x2b, 0x1a]) => Ok(Order::Little),
        Some([0x1a, 0x2b, 0x3c, 0x4d]) => Ok(Order::Big),
        _ => Err(Fault::Corrupt("a section header has no byte-order magic".to_owned())),
    }
}

#[cold]
fn bad_length(claimed: u32) -> Fault {
    Fault::Corrupt(format!("a block claims {claimed} bytes"))
}

#[cold]
fn bad_trailer(first: u32, second: u32) -> Fault {
    Fault::Corrupt(format!("a block claims {first} bytes at its beginning, {second} at its end"))
}

#[cold]
fn too_short(block: &[u8]) -> Fault {
    Fault::Corrupt(format!("a packet block of {} bytes is too short", block.len()))
}

#[cold]
fn too_large(captured: u32, block: usize) -> Fault {
    Fault::Corrupt(format!("a frame of {captured} bytes is in a block of {block}"))
}

#[cold]
fn no_interface(index: u32) -> Fault {
    Fault::Corrupt(format!("a frame is of interface {index}, which was not described"))
}
