//! Out of the kernel: one copy into a scratch of this CPU, one into the ring.

use core::{ffi::c_void, hint::black_box, ptr::addr_of_mut};

use aya_ebpf::{
    EbpfContext,
    helpers::generated::{bpf_ktime_get_ns, bpf_loop, bpf_ringbuf_output, bpf_skb_load_bytes},
    macros::map,
    maps::{PerCpuArray, RingBuf},
    programs::TcContext,
};
use observer_ebpf::{BYTES, Frame, HEADERS, Start, count, kind};

use crate::packet::Segment;

/// What user space reads. It chooses the size.
#[map]
pub(crate) static RECORDS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// How much of what was not shipped, by its cause: see [`count`].
#[map]
static COUNTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(count::ALL, 0);

#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// A record in the making.
#[repr(C)]
struct Scratch {
    frame: Frame,
    bytes: [u8; BYTES],
}

/// Payload of all parts of a frame but the first.
const PART: usize = BYTES - HEADERS - 1;
/// Parts of the longest frame: 512 KiB.
const PARTS: u32 = 34;

#[inline(always)]
pub(crate) fn count(cause: u32, more: u64) {
    if let Some(counter) = COUNTS.get_ptr_mut(cause) {
        // SAFETY: it is of this CPU.
        unsafe { *counter += more };
    }
}

/// Now, by the monotonic clock.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: it only reads the clock.
    unsafe { bpf_ktime_get_ns() }
}

/// Ships a frame of which only the place of IP is known.
#[inline(always)]
pub(crate) fn opaque(context: &TcContext, network: u32) {
    first(context, network, None, context.len());
}

/// Ships the headers of a segment alone.
#[inline(always)]
pub(crate) fn headers(context: &TcContext, segment: &Segment) {
    first(context, segment.network, Some(segment), segment.payload);
}

/// Ships a segment, in parts if it is long.
#[inline(always)]
pub(crate) fn whole(context: &TcContext, segment: &Segment) {
    count(count::SHIPPED, u64::from(segment.length));
    let end = segment.payload + segment.length;
    first(context, segment.network, Some(segment), end);
    if end > BYTES as u32 {
        let mut rest = Rest { context, headers: segment.payload, end, next: BYTES as u32 };
        // SAFETY: the callback is given what it takes, and the loop ends before `rest` does.
        unsafe { bpf_loop(PARTS, part as *mut c_void, addr_of_mut!(rest).cast(), 0) };
        if rest.next < end {
            count(count::CUT, 1);
        }
    }
}

/// The front of a frame, as far as there is room for it.
#[inline(always)]
fn first(context: &TcContext, network: u32, segment: Option<&Segment>, end: u32) {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return };
    // SAFETY: it is of this CPU.
    let scratch = unsafe { &mut *scratch };
    let captured = clamp(end.min(BYTES as u32), BYTES as u32);
    // SAFETY: `clamp` keeps it within the scratch.
    if unsafe { bpf_skb_load_bytes(context.as_ptr(), 0, addr_of_mut!(scratch.bytes).cast(), captured) } != 0 {
        count(count::UNREAD, 1);
        return;
    }
    scratch.frame = Frame {
        start: Start { at: now(), kind: kind::FRAME, interface: interface(context) },
        length: context.len(),
        captured,
        offset: 0,
        payload: segment.map_or(0, |segment| segment.length),
        network,
        headers: segment.map_or(0, |segment| segment.payload),
    };
    output(scratch, captured);
}

/// What is left of a frame.
struct Rest<'a> {
    context: &'a TcContext,
    headers: u32,
    end: u32,
    next: u32,
}

/// The next part: the headers again, and the payload from `next` on.
unsafe extern "C" fn part(_index: u64, rest: *mut c_void) -> i64 {
    // SAFETY: `whole` gives it.
    let rest = unsafe { &mut *rest.cast::<Rest<'_>>() };
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return 1 };
    // SAFETY: it is of this CPU.
    let scratch = unsafe { &mut *scratch };
    let headers = clamp(rest.headers, HEADERS as u32);
    let length = clamp((rest.end - rest.next).min(PART as u32), PART as u32);
    let skb = rest.context.as_ptr();
    // SAFETY: `clamp` keeps both within the scratch.
    let failed = unsafe {
        let bytes = addr_of_mut!(scratch.bytes).cast::<u8>();
        bpf_skb_load_bytes(skb, 0, bytes.cast(), headers) != 0
            || bpf_skb_load_bytes(skb, rest.next, bytes.add(headers as usize).cast(), length) != 0
    };
    if failed {
        count(count::UNREAD, 1);
        return 1;
    }
    // The rest is as in the first part.
    scratch.frame.captured = headers + length;
    scratch.frame.offset = rest.next - rest.headers;
    rest.next += length;
    output(scratch, headers + length);
    i64::from(rest.next >= rest.end)
}

#[inline(always)]
fn output(scratch: &mut Scratch, captured: u32) {
    let length = size_of::<Frame>() as u32 + clamp(captured, BYTES as u32);
    let record = core::ptr::from_mut(scratch).cast();
    let ring = core::ptr::addr_of!(RECORDS).cast_mut().cast();
    // SAFETY: `clamp` keeps it within the scratch.
    if unsafe { bpf_ringbuf_output(ring, record, u64::from(length), 0) } != 0 {
        count(count::RING_FULL, 1);
    }
}

#[inline(always)]
fn interface(context: &TcContext) -> u32 {
    // SAFETY: the context is the kernel's.
    unsafe { (*context.skb.skb).ifindex }
}

/// From 1 to `most`. The compiler must not know what is known already, since the verifier does not.
#[inline(always)]
fn clamp(length: u32, most: u32) -> u32 {
    let length = black_box(length);
    if length == 0 || length > most { most } else { length }
}
