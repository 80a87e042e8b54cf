//! Frames made up and written as a pcap file, as fast as somebody takes them.

use std::{
    io::{self, Write},
    net::Ipv4Addr,
};

use etherparse::{PacketBuilder, TcpHeader};

/// Capture time between two frames, in microseconds.
const PACE: u64 = 10;
/// When the first frame was captured, in microseconds since 1970.
const START: u64 = 1_750_000_000_000_000;
/// Longer than any frame here.
const SNAPSHOT: u32 = 262_144;
/// Payload of one frame: as offloaded segments are seen.
const SEGMENT: usize = 16 << 10;

/// Where the observed proxy listens.
pub(super) const PROXY: End = End { ip: Ipv4Addr::new(10, 0, 0, 1), port: 80 };
/// Where its origin does.
pub(super) const ORIGIN: End = End { ip: Ipv4Addr::new(10, 0, 1, 1), port: 3000 };

/// An address and a port.
#[derive(Clone, Copy)]
pub(super) struct End {
    pub(super) ip: Ipv4Addr,
    pub(super) port: u16,
}

impl End {
    /// One of sixteen million clients, each with an address of its own.
    pub(super) fn client(number: u64) -> Self {
        let [.., a, b, c] = number.to_be_bytes();
        Self { ip: Ipv4Addr::new(100, a, b, c), port: 0xc000 | u16::from_be_bytes([b & 0x3f, c]) }
    }

    /// A port of the proxy, as it is seen from its origin.
    pub(super) fn of_proxy(number: u64) -> Self {
        let [.., a, b, c] = number.to_be_bytes();
        Self { ip: Ipv4Addr::new(10, 0, 0, 1), port: u16::from_be_bytes([b, c]) | 0x400 }.beside(a)
    }

    /// The same port of another of the host's addresses.
    fn beside(self, number: u8) -> Self {
        let [a, b, _, d] = self.ip.octets();
        Self { ip: Ipv4Addr::new(a, b, number, d), ..self }
    }
}

/// What a segment says beside its payload.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flag {
    Syn,
    Fin,
    Rst,
    None,
}

/// A capture file that is being written.
pub(super) struct Wire<'a> {
    out: &'a mut dyn Write,
    now: u64,
    frame: Vec<u8>,
    /// How many frames were written.
    pub(super) frames: u64,
}

impl<'a> Wire<'a> {
    /// Begins a pcap file of Ethernet frames.
    pub(super) fn new(out: &'a mut dyn Write) -> io::Result<Self> {
        for field in [0xa1b2_c3d4, 4 << 16 | 2, 0, 0, SNAPSHOT, 1_u32] {
            out.write_all(&field.to_le_bytes())?;
        }
        Ok(Self { out, now: START, frame: Vec::new(), frames: 0 })
    }

    /// Lets capture time go on.
    pub(super) fn pause(&mut self, milliseconds: u64) {
        self.now += milliseconds * 1000;
    }

    /// Writes one frame.
    pub(super) fn frame(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.now += PACE;
        self.frames += 1;
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let time = [self.now / 1_000_000, self.now % 1_000_000];
        for field in time {
            self.out.write_all(&u32::try_from(field).map_err(io::Error::other)?.to_le_bytes())?;
        }
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(bytes)
    }

    /// Writes one TCP segment.
    pub(super) fn segment(
        &mut self,
        (from, to): (End, End),
        sequence: u32,
        acknowledgment: Option<u32>,
        flag: Flag,
        payload: &[u8],
    ) -> io::Result<()> {
        let mut header = TcpHeader::new(from.port, to.port, sequence, u16::MAX);
        header.syn = flag == Flag::Syn;
        header.fin = flag == Flag::Fin;
        header.rst = flag == Flag::Rst;
        header.ack = acknowledgment.is_some();
        header.acknowledgment_number = acknowledgment.unwrap_or_default();
        let packet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let packet = packet.ipv4(from.ip.octets(), to.ip.octets(), 64).tcp_header(header);
        let mut frame = std::mem::take(&mut self.frame);
        frame.clear();
        packet.write(&mut frame, payload).map_err(io::Error::other)?;
        let written = self.frame(&frame);
        self.frame = frame;
        written
    }
}

/// One connection, and where both its sides stand.
#[derive(Clone, Copy)]
pub(super) struct Talk {
    pub(super) ends: (End, End),
    /// The next sequence number of the client, and of the server.
    pub(super) next: (u32, u32),
}

impl Talk {
    /// Not open yet.
    pub(super) fn new(client: End, server: End) -> Self {
        let initial =
            u32::from(client.ip).wrapping_mul(0x9e37_79b1) ^ u32::from(client.port) << 13 ^ u32::from(server.port);
        Self { ends: (client, server), next: (initial, initial.wrapping_mul(0x85eb_ca77)) }
    }

    /// SYN, SYN and ACK.
    pub(super) fn open(client: End, server: End, wire: &mut Wire<'_>) -> io::Result<Self> {
        let mut talk = Self::new(client, server);
        wire.segment(talk.ends, talk.next.0, None, Flag::Syn, b"")?;
        talk.next.0 = talk.next.0.wrapping_add(1);
        wire.segment((server, client), talk.next.1, Some(talk.next.0), Flag::Syn, b"")?;
        talk.next.1 = talk.next.1.wrapping_add(1);
        Ok(talk)
    }

    /// The client sends.
    pub(super) fn ask(&mut self, bytes: &[u8], wire: &mut Wire<'_>) -> io::Result<()> {
        for part in bytes.chunks(SEGMENT) {
            wire.segment(self.ends, self.next.0, Some(self.next.1), Flag::None, part)?;
            self.next.0 = self.next.0.wrapping_add(u32::try_from(part.len()).unwrap_or_default());
        }
        Ok(())
    }

    /// The server sends.
    pub(super) fn answer(&mut self, bytes: &[u8], wire: &mut Wire<'_>) -> io::Result<()> {
        for part in bytes.chunks(SEGMENT) {
            wire.segment((self.ends.1, self.ends.0), self.next.1, Some(self.next.0), Flag::None, part)?;
            self.next.1 = self.next.1.wrapping_add(u32::try_from(part.len()).unwrap_or_default());
        }
        Ok(())
    }

    /// The server closes, and the client does.
    pub(super) fn close(&mut self, wire: &mut Wire<'_>) -> io::Result<()> {
        wire.segment((self.ends.1, self.ends.0), self.next.1, Some(self.next.0), Flag::Fin, b"")?;
        wire.segment(self.ends, self.next.0, Some(self.next.1.wrapping_add(1)), Flag::Fin, b"")
    }
}
