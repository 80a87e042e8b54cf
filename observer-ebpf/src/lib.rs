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

plain!(Endpoint, Connection, Start, Frame);

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
    /// When, by the monotonic clock, in nanoseconds.
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
}

/// Bytes of a frame in one record.
pub const BYTES: usize = 16 << 10;

/// Headers that TCP's payload may stand behind.
pub const HEADERS: usize = 255;

/// The causes of what was not shipped, as places in [`super::Counts`].
pub mod count {
    /// Records for which the ring had no room.
    pub const RING_FULL: usize = 0;
    /// Frames of TCP that could not be read or copied.
    pub const UNREAD: usize = 1;
    /// Frames with more headers than are looked behind, or longer than are copied.
    pub const CUT: usize = 2;
    /// Bytes of payload that were shipped; no loss.
    pub const SHIPPED: usize = 3;
}

/// What is counted, by [`count`].
pub type Counts = [u64; 4];

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
        assert_eq!(size_of::<Frame>(), 16 + 6 * 4);
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
