//! What the kernel program and user space share: the records in the ring, and keys and values of the maps (`repr(C)`,
//! without padding). Addresses are as on the wire, numbers are the machine's.
#![no_std]
#![expect(unsafe_code, reason = "plain data is read out of a ring that another program writes")]

/// Plain data: every pattern of its bytes is a value.
///
/// # Safety
/// `repr(C)`, without padding, of numbers and arrays of them alone.
pub unsafe trait Plain: Copy {}

/// Reads a value from the front of `bytes`, however they are aligned.
#[must_use]
pub fn read<T: Plain>(bytes: &[u8]) -> Option<T> {
    // SAFETY: the bytes are there, and all of them make a value.
    (bytes.len() >= size_of::<T>()).then(|| unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

macro_rules! plain {
    ($($name:ty),*) => {$(
        // SAFETY: the layout test holds it to the sum of its fields.
        unsafe impl Plain for $name {}
        // SAFETY: as above.
        #[cfg(feature = "user")]
        unsafe impl aya::Pod for $name {}
    )*};
}

plain!(Endpoint, Connection, Start, Frame, Wanted, Demand, Flow, Flows, Activity, Control, Owner, Skipped, Talk, Epoch);

/// One end of a connection.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Endpoint {
    /// IPv6, or IPv4 mapped into it (RFC 4291 2.5.5.2), as on the wire.
    pub address: [u32; 4],
    /// The port.
    pub port: u32,
}

impl Endpoint {
    /// Of IPv4.
    #[inline(always)]
    #[must_use]
    pub const fn v4(address: u32, port: u16) -> Self {
        Self { address: [0, 0, 0xffff_u32.to_be(), address], port: port as u32 }
    }

    /// Any order will do, if both sides have the same.
    #[inline(always)]
    const fn is_below(&self, other: &Self) -> bool {
        let mut at = 0;
        while at < 4 {
            if self.address[at] != other.address[at] {
                return self.address[at] < other.address[at];
            }
            at += 1;
        }
        self.port < other.port
    }
}

/// Both ends of a connection, the lower one first. It has two flows: 0 from the lower end, 1 from the higher.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Connection {
    /// The lower end.
    pub low: Endpoint,
    /// The higher end.
    pub high: Endpoint,
}

impl Connection {
    /// The connection between two ends, and the flow from the first of them.
    #[inline(always)]
    #[must_use]
    pub const fn between(from: Endpoint, to: Endpoint) -> (Self, usize) {
        if to.is_below(&from) { (Self { low: to, high: from }, 1) } else { (Self { low: from, high: to }, 0) }
    }
}

/// How every record begins.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Start {
    /// When, in nanoseconds since the system started.
    pub at: u64,
    /// Which record it is: one of [`kind`].
    pub kind: u32,
    /// The index of the interface, or 0.
    pub interface: u32,
}

/// The kinds of records.
pub mod kind {
    /// [`super::Frame`] and its bytes.
    pub const FRAME: u32 = 1;
    /// [`super::Activity`].
    pub const ACTIVITY: u32 = 2;
    /// [`super::Control`].
    pub const CONTROL: u32 = 3;
    /// [`super::Owner`].
    pub const OWNER: u32 = 4;
    /// [`super::Skipped`].
    pub const SKIPPED: u32 = 5;
}

/// A frame, or a part of one that is longer than [`BYTES`]: then each part has the headers of the whole, and the part of
/// the payload that begins at `offset`. The bytes follow.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Of kind [`kind::FRAME`].
    pub start: Start,
    /// Length of the whole frame.
    pub length: u32,
    /// Bytes that follow.
    pub captured: u32,
    /// Where the payload of this part begins in that of the frame.
    pub offset: u32,
    /// Length of the whole payload of TCP, 0 where TCP was not read.
    pub payload: u32,
    /// Where IP begins in the bytes: 0 where there is no link layer.
    pub network: u16,
    /// Where TCP begins in the bytes.
    pub transport: u16,
    /// Where TCP's payload begins in the bytes, or 0 where TCP was not read.
    pub headers: u32,
    /// The connection, where TCP was read.
    pub connection: Connection,
    /// Which flow of it.
    pub flow: u32,
    /// Whether [`Flows`] are kept of it: 0 or 1.
    pub is_kept: u32,
    /// Whether frames are followed from a place that is not known to be a header: 0 or 1.
    pub is_guess: u32,
    /// That place.
    pub base: u32,
    /// The socket of this host that sent it, or 0.
    pub cookie: u64,
}

/// What is wanted of a flow.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Wanted {
    /// One of [`want`].
    pub kind: u32,
    /// A sequence number.
    pub mark: u32,
}

/// The kinds of [`Wanted`].
pub mod want {
    /// All payload.
    pub const ALL: u32 = 0;
    /// All from the mark on.
    pub const FROM: u32 = 1;
    /// Control frames of WebSocket; the next frame header begins at the mark.
    pub const FRAMES: u32 = 2;
    /// No payload.
    pub const NOTHING: u32 = 3;
}

/// What user space wants of a connection. The kernel only reads it, so that neither overwrites what the other counts.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Demand {
    /// By flow.
    pub flows: [Wanted; 2],
}

/// What the kernel knows of a flow. Only the kernel writes it.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Flow {
    /// When payload was left out last, as [`Start::at`].
    pub at: u64,
    /// Bytes left out.
    pub bytes: u64,
    /// Data frames that began in them.
    pub frames: u64,
    /// The end of what was seen.
    pub seen: u32,
    /// The end of what was left out.
    pub left: u32,
    /// The first frame header behind that.
    pub header_then: u32,
    /// Where following of frames began.
    pub base: u32,
    /// The first frame header that was not read whole.
    pub header: u32,
    /// Bytes of it that are held.
    pub held: u32,
    /// The mark that was looked at last.
    pub mark: u32,
    /// Of [`flag`].
    pub flags: u32,
    /// The held bytes, and room to read more behind them.
    pub bytes_held: [u8; 32],
}

/// What is known of a [`Flow`].
pub mod flag {
    /// `seen` is.
    pub const SEEN: u32 = 1;
    /// `left` is.
    pub const LEFT: u32 = 2;
    /// `header_then` is.
    pub const HEADER_THEN: u32 = 4;
    /// `base` and `header` are: frames are followed.
    pub const FOLLOWED: u32 = 8;
    /// That `base` was a header.
    pub const TRUSTED: u32 = 16;
    /// Something was left out that was not told with a frame.
    pub const UNTOLD: u32 = 32;
    /// So much of it that it has to be told: sequence numbers come round.
    pub const FAR: u32 = 64;
}

/// Both flows of a connection.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Flows {
    /// By flow.
    pub flows: [Flow; 2],
}

/// What was left out of a connection before the frame that follows.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Activity {
    /// Of kind [`kind::ACTIVITY`].
    pub start: Start,
    /// The connection.
    pub connection: Connection,
    /// What is known of it.
    pub flows: Flows,
}

/// A control frame of WebSocket in payload that was left out.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Control {
    /// Of kind [`kind::CONTROL`].
    pub start: Start,
    /// The connection.
    pub connection: Connection,
    /// Which flow of it.
    pub flow: u32,
    /// The sequence number after its last byte.
    pub next: u32,
    /// How many bytes were kept.
    pub kept: u32,
    /// None.
    pub reserved: u32,
    /// The header, and of a Close frame its code.
    pub bytes: [u8; 16],
}

/// A process has sent through a socket for the first time.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner {
    /// Of kind [`kind::OWNER`].
    pub start: Start,
    /// The socket.
    pub cookie: u64,
    /// The process.
    pub pid: u32,
    /// None.
    pub reserved: u32,
    /// Its command's name, up to a 0.
    pub command: [u8; 16],
}

/// Ordinary exchanges of a connection went by before the frame that follows.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Skipped {
    /// Of kind [`kind::SKIPPED`].
    pub start: Start,
    /// The connection.
    pub connection: Connection,
    /// By flow, the end of what was left out.
    pub ends: [u32; 2],
    /// Which flow is the client's.
    pub client: u32,
    /// Whether a message begins there both ways: 0 or 1.
    pub is_clean: u32,
}

/// A connection on which requests go by that nobody needs while no upgrade is under way. Only the kernel writes it.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Talk {
    /// Of [`talk`].
    pub flags: u64,
    /// By flow, the end of what was seen.
    pub ends: [u32; 2],
    /// Which flow is the client's.
    pub client: u32,
    /// The end of what the server had sent when `held` was.
    pub answered: u32,
    /// The last request, as a record.
    pub held: Frame,
    /// Its bytes.
    pub bytes: [u8; HELD],
}

/// What is known of a [`Talk`].
pub mod talk {
    /// What goes by is left out, and `held` is the last request of it.
    pub const QUIET: u64 = 1;
    /// The server has begun to answer what the client sent last.
    pub const ANSWERED: u64 = 2;
    /// An upgrade was asked for and not answered.
    pub const UPGRADING: u64 = 4;
}

/// How much is to be seen now.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Epoch {
    /// Upgrades that were asked for and not answered.
    pub pending: u64,
    /// When the last of them was.
    pub asked: u64,
    /// All is seen until then, as [`Start::at`]; 0 when that is over.
    pub until: u64,
    /// Who sends is told until then; 0 when that is over.
    pub named: u64,
    /// When the slice began.
    pub slice: u64,
    /// Ordinary requests seen in it.
    pub seen: u64,
    /// Ordinary requests that are seen in a slice.
    pub share: u64,
    /// Connections for which there was no room.
    pub full: u64,
}

/// How many ordinary requests were left out, by CPU: far enough apart that no CPU waits for another.
pub type Left = [[u64; 8]; 64];

/// Room for a frame that is held.
pub const HELD: usize = 1792;

/// Bytes of its payload: a search reads a little farther.
#[expect(clippy::cast_possible_truncation, reason = "it is small")]
pub const SEARCHED: u32 = (HELD - HEADERS) as u32 / 8 * 8 - 24;

/// Connections on which ordinary requests may be left out.
pub const TALKS: u32 = 1 << 14;

/// Connections of which the kernel leaves payload out.
pub const CONNECTIONS: u32 = 1 << 16;

/// Bytes of a frame in one record.
pub const BYTES: usize = 16 << 10;

/// Headers that TCP's payload may stand behind.
pub const HEADERS: usize = 255;

/// The causes of what was not shipped, as places in [`Counts`].
pub mod count {
    /// Records for which the ring had no room.
    pub const RING_FULL: usize = 0;
    /// Frames of TCP that could not be read or copied.
    pub const UNREAD: usize = 1;
    /// Frames with more headers than are looked behind, or longer than are copied.
    pub const CUT: usize = 2;
}

/// What is counted, by [`count`].
pub type Counts = [u64; 3];

/// The kernel program as it is committed: `cargo xtask build-ebpf` makes it.
#[cfg(feature = "user")]
pub static OBJECT: &[u8] = aya::include_bytes_aligned!("../observer.bpf.o");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_have_no_padding() {
        assert_eq!(size_of::<Endpoint>(), 20);
        assert_eq!(size_of::<Connection>(), 40);
        assert_eq!(size_of::<Start>(), 16);
        assert_eq!(size_of::<Frame>(), 16 + 6 * 4 + 40 + 4 * 4 + 8);
        assert_eq!(size_of::<Owner>(), 16 + 8 + 2 * 4 + 16);
        assert_eq!(size_of::<Skipped>(), 16 + 40 + 4 * 4);
        assert_eq!(size_of::<Talk>(), 8 + 4 * 4 + size_of::<Frame>() + HELD);
        assert_eq!(size_of::<Epoch>(), 8 * 8);
        assert_eq!(size_of::<Demand>(), 2 * 8);
        assert_eq!(size_of::<Flow>(), 3 * 8 + 8 * 4 + 32);
        assert_eq!(size_of::<Activity>(), 16 + 40 + 2 * size_of::<Flow>());
        assert_eq!(size_of::<Control>(), 16 + 40 + 4 * 4 + 16);
        assert_eq!(core::mem::offset_of!(Start, kind), 8);
        assert_eq!(core::mem::offset_of!(Frame, length), 16);
        assert_eq!(core::mem::offset_of!(Frame, headers), 36);
    }

    #[test]
    fn both_flows_are_of_one_connection() {
        let (a, b) = (Endpoint::v4(7, 80), Endpoint::v4(7, 4000));
        let (one, from_a) = Connection::between(a, b);
        let (two, from_b) = Connection::between(b, a);
        assert_eq!((one, from_a, from_b), (two, 0, 1));
    }

    #[test]
    fn what_is_too_short_is_no_record() {
        assert_eq!(read::<Start>(&[0; 15]), None);
        let mut bytes = [0; 17];
        bytes[9] = 1;
        assert_eq!(read::<Start>(&bytes[1..]).map(|start| start.kind.to_ne_bytes()[0]), Some(1));
    }
}
