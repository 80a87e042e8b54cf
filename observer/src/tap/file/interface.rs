//! An interface of a pcapng section: its link type, and how its timestamps are to be read.

use pcap_parser::{
    OptionCode,
    pcapng::{InterfaceDescriptionBlock, parse_interfacedescriptionblock_be, parse_interfacedescriptionblock_le},
};

use super::record::{Fault, Order};
use crate::engine::{
    frame::{InterfaceId, LinkType},
    time::Timestamp,
};

/// Characters of a name that are kept.
const NAME_MAX: usize = 255;

/// One interface.
#[derive(Clone, Debug)]
pub(super) struct Interface {
    pub(super) id: InterfaceId,
    pub(super) link: LinkType,
    /// The snapshot length; no limit where the file has none.
    pub(super) snapshot: usize,
    pub(super) clock: Clock,
}

impl Interface {
    /// Reads a description, and the interface's name. The id is left to the caller.
    pub(super) fn read(order: Order, block: &[u8]) -> Result<(Self, Option<String>), Fault> {
        let parsed = match order {
            Order::Little => parse_interfacedescriptionblock_le(block),
            Order::Big => parse_interfacedescriptionblock_be(block),
        };
        let (_, description) =
            parsed.map_err(|_| Fault::Corrupt("an interface description is malformed".to_owned()))?;
        let snapshot = match description.snaplen {
            0 => usize::MAX,
            length => length as usize,
        };
        let interface = Self {
            id: InterfaceId::default(),
            link: LinkType::from_number(u32::try_from(description.linktype.0).unwrap_or(u32::MAX)),
            snapshot,
            clock: clock(order, &description),
        };
        let name = option(&description, OptionCode::IfName)
            .map(|name| String::from_utf8_lossy(name).trim_end_matches('\0').chars().take(NAME_MAX).collect());
        Ok((interface, name))
    }
}

/// The first option with this code, before the end of options (which `pcap-parser` does not stop at).
fn option<'a>(description: &'a InterfaceDescriptionBlock<'_>, code: OptionCode) -> Option<&'a [u8]> {
    description
        .options
        .iter()
        .take_while(|option| option.code != OptionCode::EndOfOpt)
        .find(|option| option.code == code)
        .and_then(|option| option.as_bytes().ok())
}

/// `pcap-parser` reads the offset as little-endian in either byte order, and takes no binary resolution: so both are
/// read here, from the options' bytes.
fn clock(order: Order, description: &InterfaceDescriptionBlock<'_>) -> Clock {
    let resolution = option(description, OptionCode::IfTsresol).and_then(<[u8]>::first).copied();
    let offset =
        option(description, OptionCode::IfTsoffset).and_then(<[u8]>::first_chunk).map_or(0, |bytes| match order {
            Order::Little => i64::from_le_bytes(*bytes),
            Order::Big => i64::from_be_bytes(*bytes),
        });
    Clock::new(resolution.unwrap_or(Clock::MICROSECONDS), offset)
}

/// How the timestamps of an interface count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Clock {
    unit: Unit,
    /// Nanoseconds to add.
    offset: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unit {
    /// So many nanoseconds.
    Nanoseconds(u64),
    /// So many of them are a nanosecond.
    PerNanosecond(u64),
    /// A second divided by two to this power.
    Binary(u32),
}

impl Clock {
    /// `if_tsresol` where there is none.
    const MICROSECONDS: u8 = 6;

    /// From the values of `if_tsresol` and `if_tsoffset` (seconds).
    fn new(resolution: u8, offset: i64) -> Self {
        let power = u32::from(resolution & 0x7f);
        let unit = match (resolution & 0x80 != 0, power) {
            (true, power) => Unit::Binary(power),
            (false, power @ 0..=9) => Unit::Nanoseconds(10_u64.pow(9 - power)),
            // Beyond 64 bits, every timestamp is zero.
            (false, power) => 10_u64.checked_pow(power - 9).map_or(Unit::Nanoseconds(0), Unit::PerNanosecond),
        };
        Self { unit, offset: offset.saturating_mul(1_000_000_000) }
    }

    /// The time of a packet; saturates at either end of what a [`Timestamp`] can say.
    #[inline]
    pub(super) fn timestamp(self, units: u64) -> Timestamp {
        let nanos = match self.unit {
            Unit::Nanoseconds(each) => units.saturating_mul(each),
            Unit::PerNanosecond(many) => units / many,
            Unit::Binary(power) => u64::try_from((u128::from(units) * 1_000_000_000) >> power).unwrap_or(u64::MAX),
        };
        Timestamp::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX).saturating_add(self.offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(resolution: u8, offset: i64, units: u64, expected: i64) {
        assert_eq!(Clock::new(resolution, offset).timestamp(units).as_nanos(), expected, "{resolution:#x}");
    }

    #[test]
    fn decimal_resolutions() {
        check(0, 0, 3, 3_000_000_000);
        check(3, 0, 1_500, 1_500_000_000);
        check(6, 0, 1_500_000, 1_500_000_000);
        check(9, 0, 1_500_000_001, 1_500_000_001);
        check(12, 0, 1_500_000_001_999, 1_500_000_001);
        check(127, 0, u64::MAX, 0);
    }

    #[test]
    fn binary_resolutions() {
        check(0x80, 0, 3, 3_000_000_000);
        check(0x80 | 10, 0, 1536, 1_500_000_000);
        check(0x80 | 32, 0, 3 << 31, 1_500_000_000);
        check(0x80 | 64, 0, u64::MAX, 999_999_999);
        check(0x80 | 127, 0, u64::MAX, 0);
    }

    #[test]
    fn offsets_and_saturation() {
        check(6, 10, 1, 10_000_001_000);
        check(6, -1, 2_000_000, 1_000_000_000);
        check(0, 0, u64::MAX, i64::MAX);
        check(0x80, 0, u64::MAX, i64::MAX);
        check(6, i64::MAX, u64::MAX, i64::MAX);
        check(6, i64::MIN, 0, i64::MIN);
    }
}
