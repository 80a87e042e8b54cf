//! The pcapng format (draft-ietf-opsawg-pcapng): sections of blocks. Blocks are walked by hand, so that each is known
//! to be whole before its content is read; `pcap-parser` reads the descriptions of sections and interfaces.

use pcap_parser::pcapng::parse_sectionheaderblock;

use super::{
    interface::Interface,
    record::{Fault, Order, RECORD_MAX, Record},
    window::Window,
};
use crate::{
    engine::time::Timestamp,
    tap::{InterfaceInfo, SharedInterfaces, register},
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
    /// For simple packets, which carry no time of their own.
    last: Timestamp,
}

impl PcapNg {
    pub(super) fn new(label: &str, table: &SharedInterfaces) -> Self {
        Self {
            label: label.to_owned(),
            order: Order::Little,
            interfaces: Vec::new(),
            described: 0,
            table: table.clone(),
            last: Timestamp::default(),
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
            let length = self.length(window.bytes())?;
            if !window.has(length)? {
                return Err(self.cut(kind, length, window.bytes()));
            }
            let block = &window.bytes()[..length];
            self.check_trailer(block)?;
            match kind {
                SECTION => self.section(block)?,
                INTERFACE => self.interface(block)?,
                ENHANCED_PACKET | OBSOLETE_PACKET | SIMPLE_PACKET => {
                    *record = self.packet(kind, block)?;
                    let start = window.consume(length).start;
                    record.bytes = start + record.bytes.start..start + record.bytes.end;
                    return Ok(true);
                }
                _ => {}
            }
            window.consume(length);
        }
    }

    /// The length of a block with its padding, which some writers do not count.
    fn length(&self, block: &[u8]) -> Result<usize, Fault> {
        let length = self.order.u32_at(block, 4);
        if length > RECORD_MAX || (length as usize) < BLOCK_MIN {
            return Err(Fault::Corrupt(format!("a block claims {length} bytes")));
        }
        Ok((length as usize).next_multiple_of(4))
    }

    fn check_trailer(&self, block: &[u8]) -> Result<(), Fault> {
        let first = self.order.u32_at(block, 4);
        let second = self.order.u32_at(block, block.len() - TRAILER);
        if first != second {
            return Err(Fault::Corrupt(format!("a block claims {first} bytes at its beginning, {second} at its end")));
        }
        Ok(())
    }

    fn section(&mut self, block: &[u8]) -> Result<(), Fault> {
        let (_, header) =
            parse_sectionheaderblock(block).map_err(|_| Fault::Corrupt("a section header is malformed".to_owned()))?;
        let (major, minor) = (header.major_version, header.minor_version);
        if major != 1 || !matches!(minor, 0 | 2) {
            return Err(Fault::Corrupt(format!("pcapng version {major}.{minor} is not known")));
        }
        self.interfaces.clear();
        Ok(())
    }

    fn interface(&mut self, block: &[u8]) -> Result<(), Fault> {
        if self.described == INTERFACES_MAX {
            return Err(Fault::Corrupt(format!("more than {INTERFACES_MAX} interfaces are described")));
        }
        let (mut interface, name) = Interface::read(self.order, block)?;
        interface.id = register(&self.table, InterfaceInfo { name, source: self.label.clone() });
        self.interfaces.push(interface);
        self.described += 1;
        Ok(())
    }

    /// A packet block of any kind. The range of its bytes counts from the beginning of the block.
    #[inline]
    fn packet(&mut self, kind: u32, block: &[u8]) -> Result<Record, Fault> {
        if kind == SIMPLE_PACKET {
            return self.simple_packet(block);
        }
        let Some(&[_, _, _, _, _, _, _, _, i0, i1, i2, i3, ref rest @ ..]) = block.first_chunk::<PACKET_HEAD>() else {
            return Err(Fault::Corrupt(format!("a packet block of {} bytes is too short", block.len())));
        };
        let index = match kind {
            OBSOLETE_PACKET => u32::from(self.order.u16([i0, i1])),
            _ => self.order.u32([i0, i1, i2, i3]),
        };
        let [h0, h1, h2, h3, l0, l1, l2, l3, c0, c1, c2, c3, w0, w1, w2, w3] = *rest;
        let captured = self.order.u32([c0, c1, c2, c3]);
        if captured as usize > block.len().saturating_sub(PACKET_HEAD + TRAILER) {
            return Err(Fault::Corrupt(format!("a frame of {captured} bytes is in a block of {}", block.len())));
        }
        let Some(interface) = self.interfaces.get(index as usize) else {
            return Err(Fault::Corrupt(format!("a frame is of interface {index}, which was not described")));
        };
        let units = u64::from(self.order.u32([h0, h1, h2, h3])) << 32 | u64::from(self.order.u32([l0, l1, l2, l3]));
        self.last = interface.clock.timestamp(units);
        Ok(Record {
            at: self.last,
            interface: interface.id,
            link: interface.link,
            wire_length: self.order.u32([w0, w1, w2, w3]).max(captured),
            bytes: PACKET_HEAD..PACKET_HEAD + captured as usize,
        })
    }

    /// A packet of the section's first interface, without a time: it gets that of the frame before.
    fn simple_packet(&self, block: &[u8]) -> Result<Record, Fault> {
        const HEAD: usize = 12;
        let Some(interface) = self.interfaces.first() else {
            return Err(Fault::Corrupt("a frame comes before the interface was described".to_owned()));
        };
        let Some(room) = block.len().checked_sub(HEAD + TRAILER) else {
            return Err(Fault::Corrupt(format!("a packet block of {} bytes is too short", block.len())));
        };
        let wire_length = self.order.u32_at(block, 8);
        let captured = room.min(wire_length as usize).min(interface.snapshot);
        Ok(Record {
            at: self.last,
            interface: interface.id,
            link: interface.link,
            wire_length,
            bytes: HEAD..HEAD + captured,
        })
    }

    /// The file ends inside a block: it was cut, unless the block's beginning is not to be believed.
    fn cut(&self, kind: u32, length: usize, block: &[u8]) -> Fault {
        let is_packet = matches!(kind, ENHANCED_PACKET | OBSOLETE_PACKET) && block.len() >= PACKET_HEAD;
        let captured = self.order.u32_at(block, 20) as usize;
        if is_packet && captured.saturating_add(PACKET_HEAD + TRAILER) > length {
            return Fault::Corrupt(format!("a frame of {captured} bytes is in a block of {length}"));
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
