//! What the formats have in common: byte order, one record, and what stops them.

use std::{io, ops::Range};

use crate::engine::{
    frame::{ClockId, InterfaceId, LinkType},
    time::Timestamp,
};

/// The largest record that is believed. Frames of real interfaces stay below 1 MiB; blocks of other kinds (TLS
/// secrets, comments) may be larger.
pub(super) const RECORD_MAX: u32 = 64 << 20;

/// The byte order of a file or section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    #[inline]
    pub(super) const fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    #[inline]
    pub(super) const fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    /// The number at `at`; zero where the bytes end before.
    #[inline]
    pub(super) fn u32_at(self, bytes: &[u8], at: usize) -> u32 {
        bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |chunk| self.u32(*chunk))
    }

    /// The number at `at`; zero where the bytes end before.
    #[inline]
    pub(super) fn u16_at(self, bytes: &[u8], at: usize) -> u16 {
        bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |chunk| self.u16(*chunk))
    }
}

/// One frame of a file; its bytes are in the window.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) at: Timestamp,
    pub(super) interface: InterfaceId,
    pub(super) clock: ClockId,
    pub(super) link: LinkType,
    pub(super) wire_length: u32,
    pub(super) bytes: Range<usize>,
    /// Of a record whose `bytes` are only the first: its whole length, from the window's position on.
    pub(super) unread: usize,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            at: Timestamp::default(),
            interface: InterfaceId::default(),
            clock: ClockId::default(),
            link: LinkType::Null,
            wire_length: 0,
            bytes: 0..0,
            unread: 0,
        }
    }
}

/// The clock of a section of a file, by their places. It is the same each time that these files are read, in whichever
/// order frames come.
pub(super) fn clock(file: usize, section: u16) -> ClockId {
    let file = u16::try_from(file).unwrap_or(u16::MAX);
    ClockId(u32::from(file) << 16 | u32::from(section))
}

/// Why a format cannot go on.
#[derive(Debug)]
pub(super) enum Fault {
    /// The input ended inside a record.
    Cut,
    /// A record contradicts itself.
    Corrupt(String),
    /// The format, or its version, is none that is read.
    Version(String),
    /// Reading failed.
    Read(io::Error),
    /// Nothing comes for now. Asking again goes on where this stopped.
    Quiet,
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock => Self::Quiet,
            _ if error.raw_os_error().is_some() => Self::Read(error),
            // A decoder whose input ends too early: all before was handed out.
            io::ErrorKind::UnexpectedEof => Self::Cut,
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => Self::Corrupt(error.to_string()),
            _ => Self::Read(error),
        }
    }
}
