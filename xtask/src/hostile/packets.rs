//! Frames that no network should carry.

use std::io::Result;

use etherparse::{IpFragOffset, IpNumber, Ipv4Header};

use super::wire::{End, PROXY, Wire};

const ADDRESSES: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

/// VLAN tags upon VLAN tags, up to a whole frame of them.
pub(super) fn vlans(wire: &mut Wire<'_>, count: u64) -> Result<()> {
    (0..count).try_for_each(|n| {
        let depth = usize::try_from(n % 375).unwrap_or_default();
        let tags = [0x81, 0x00, 0x00, 0x01].repeat(depth);
        wire.frame(&[&ADDRESSES[..], &tags, &[0x08, 0x00, 0x45]].concat())
    })
}

/// First fragments of datagrams whose rest never comes.
pub(super) fn fragments(wire: &mut Wire<'_>, count: u64) -> Result<()> {
    (0..count).try_for_each(|n| fragment(wire, n / 2, if n % 2 == 0 { 0 } else { 4000 }))
}

/// Many fragments of few datagrams, in single units of eight bytes with holes between them.
pub(super) fn shreds(wire: &mut Wire<'_>, count: u64) -> Result<()> {
    (0..count).try_for_each(|n| {
        let offset = u16::try_from(n % 4001 * 2).unwrap_or_default();
        fragment(wire, n / 4001, offset)
    })
}

/// One fragment, with more to follow.
fn fragment(wire: &mut Wire<'_>, datagram: u64, offset: u16) -> Result<()> {
    let other = std::io::Error::other::<Box<dyn std::error::Error + Send + Sync>>;
    let payload = if offset == 0 { vec![b'x'; 1480] } else { vec![b'x'; 8] };
    let length = u16::try_from(payload.len()).unwrap_or_default();
    let [.., high, low] = datagram.to_be_bytes();
    let from = End::client(datagram >> 16).ip.octets();
    let mut header =
        Ipv4Header::new(length, 64, IpNumber::TCP, from, PROXY.ip.octets()).map_err(|e| other(e.into()))?;
    header.identification = u16::from_be_bytes([high, low]);
    header.dont_fragment = false;
    header.more_fragments = true;
    header.fragment_offset = IpFragOffset::try_new(offset).map_err(|e| other(e.into()))?;
    let mut frame = [&ADDRESSES[..], &[0x08, 0x00]].concat();
    header.write(&mut frame)?;
    frame.extend(payload);
    wire.frame(&frame)
}
