//! Segments of a few connections between fixed ends.

use std::net::{Ipv4Addr, SocketAddr};

use etherparse::{PacketBuilder, TcpHeader};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const ORIGIN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);

/// Flags of a segment as on the wire.
#[derive(Clone, Copy)]
pub(super) struct Flags(pub(super) u8);

impl Flags {
    pub(super) const FIN: u8 = 1;
    pub(super) const SYN: u8 = 2;
    pub(super) const RST: u8 = 4;
    pub(super) const ACK: Self = Self(16);
}

/// The ends of the first connection, client first.
pub(super) fn ends() -> (SocketAddr, SocketAddr) {
    let talk = Conversation::unopened(0);
    (talk.ends[0].into(), talk.ends[1].into())
}

/// A connection, and where both its flows stand.
pub(super) struct Conversation {
    ends: [(Ipv4Addr, u16); 2],
    next: [u32; 2],
}

impl Conversation {
    /// One of four: two of clients, two of their proxy.
    pub(super) fn unopened(number: u16) -> Self {
        let (client, server) = if number < 2 {
            ((CLIENT, 50_000 + number), (SERVER, 80))
        } else {
            ((SERVER, 40_000 + number), (ORIGIN, 3000))
        };
        let first = 0xffff_ff00_u32.wrapping_add(u32::from(number) * 0x1_0001);
        Self { ends: [client, server], next: [first, first.wrapping_mul(77)] }
    }

    /// SYN, SYN and ACK.
    pub(super) fn open(&mut self) -> [Vec<u8>; 2] {
        let syn = self.placed(false, Flags(Flags::SYN), (0, 0), b"");
        [syn, self.placed(true, Flags(Flags::SYN | Flags::ACK.0), (0, 0), b"")]
    }

    /// A segment so far from where its flow stands, which goes on behind it.
    pub(super) fn placed(
        &mut self,
        by_server: bool,
        flags: Flags,
        (off, ack_off): (u32, u32),
        payload: &[u8],
    ) -> Vec<u8> {
        let (from, to) = if by_server { (1, 0) } else { (0, 1) };
        let (source, destination) = (self.ends[from], self.ends[to]);
        let sequence = self.next[from].wrapping_add(off);
        let mut header = TcpHeader::new(source.1, destination.1, sequence, 1000);
        header.fin = flags.0 & Flags::FIN != 0;
        header.syn = flags.0 & Flags::SYN != 0;
        header.rst = flags.0 & Flags::RST != 0;
        header.ack = flags.0 & Flags::ACK.0 != 0;
        header.acknowledgment_number = if header.ack { self.next[to].wrapping_add(ack_off) } else { 0 };
        let payload = &payload[..payload.len().min(60_000)];
        let turned = u32::from(header.syn) + u32::from(header.fin);
        self.next[from] = sequence.wrapping_add(turned).wrapping_add(u32::try_from(payload.len()).unwrap_or(0));
        let mut bytes = Vec::with_capacity(60 + payload.len());
        let packet = PacketBuilder::ipv4(source.0.octets(), destination.0.octets(), 64).tcp_header(header);
        packet.write(&mut bytes, payload).expect("it is short enough");
        bytes
    }
}
