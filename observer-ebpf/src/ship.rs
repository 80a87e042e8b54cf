//! Out of the kernel: one copy into a scratch of this CPU, one into the ring.

use core::{arch::asm, ffi::c_void, ptr::addr_of_mut};

use aya_ebpf::{
    EbpfContext,
    helpers::generated::{
        bpf_get_socket_cookie, bpf_ktime_get_boot_ns, bpf_loop, bpf_ringbuf_output, bpf_skb_load_bytes,
    },
    macros::map,
    maps::{Array, PerCpuArray, RingBuf},
    programs::TcContext,
};
use observer_ebpf::{
    Activity, BYTES, Connection, Control, Counts, Endpoint, Flow, Flows, Frame, HEADERS, HELD, Owner, SEARCHED,
    Skipped, Start, Talk, count, flag, kind,
};

use crate::packet::Segment;

/// What user space reads. It chooses the size.
#[map]
pub(crate) static RECORDS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// How much of what was not shipped, by its cause: see [`count`].
#[map]
static COUNTS: Array<Counts> = Array::with_max_entries(1, 0);

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
pub(crate) fn count(cause: usize, more: u64) {
    if let Some(counts) = COUNTS.get_ptr_mut(0) {
        // SAFETY: it lives as long as the map, and every CPU adds like this.
        unsafe { asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) &raw mut (*counts)[cause], in(reg) more) };
    }
}

/// Now, by the time since the system started.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: it only reads the clock.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// Ships a frame of which only the place of IP is known.
#[inline(always)]
pub(crate) fn opaque(context: &TcContext, network: u32) {
    first(context, network, None, None, context.len());
}

/// Ships the headers of a segment alone.
#[inline(always)]
pub(crate) fn headers(context: &TcContext, segment: &Segment, flow: Option<&Flow>) {
    first(context, segment.network, Some(segment), flow, segment.payload);
}

/// Ships a segment, in parts if it is long.
#[inline(always)]
pub(crate) fn whole(context: &TcContext, segment: &Segment, flow: Option<&Flow>) {
    let end = segment.payload + segment.length;
    first(context, segment.network, Some(segment), flow, end);
    if end > BYTES as u32 {
        let mut rest = Rest { context, headers: segment.payload, end };
        // SAFETY: the callback is given what it takes, and the loop ends before `rest` does.
        unsafe { bpf_loop(PARTS, part as *mut c_void, addr_of_mut!(rest).cast(), 0) };
        if end > BYTES as u32 + PARTS * PART as u32 {
            count(count::CUT, 1);
        }
    }
}

/// The front of a frame, as far as there is room for it.
#[inline(always)]
fn first(context: &TcContext, network: u32, segment: Option<&Segment>, flow: Option<&Flow>, end: u32) {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return };
    // SAFETY: it is of this CPU.
    let scratch = unsafe { &mut *scratch };
    let captured = clamp(end.min(BYTES as u32), BYTES as u32);
    // SAFETY: `clamp` keeps it within the scratch.
    if unsafe { bpf_skb_load_bytes(context.as_ptr(), 0, addr_of_mut!(scratch.bytes).cast(), captured) } != 0 {
        count(count::UNREAD, 1);
        return;
    }
    // SAFETY: the context is the kernel's.
    let cookie = unsafe { bpf_get_socket_cookie(context.as_ptr()) };
    scratch.frame = front(context, network, segment, flow, (now(), captured, cookie));
    output(scratch, captured);
}

/// What is told of a frame whose first bytes are `captured`.
#[inline(always)]
fn front(
    context: &TcContext,
    network: u32,
    segment: Option<&Segment>,
    flow: Option<&Flow>,
    (at, captured, cookie): (u64, u32, u64),
) -> Frame {
    Frame {
        start: Start { at, kind: kind::FRAME, interface: interface(context) },
        length: context.len(),
        captured,
        offset: 0,
        payload: segment.map_or(0, |segment| segment.length),
        network: network as u16,
        transport: segment.map_or(0, |segment| segment.transport as u16),
        headers: segment.map_or(0, |segment| segment.payload),
        connection: segment.map_or(NOBODY, |segment| segment.connection),
        flow: segment.map_or(0, |segment| segment.flow as u32),
        is_kept: u32::from(flow.is_some()),
        is_guess: flow.map_or(0, |flow| u32::from(flow.flags & (flag::FOLLOWED | flag::TRUSTED) == flag::FOLLOWED)),
        base: flow.map_or(0, |flow| flow.base),
        cookie,
    }
}

/// Holds the beginning of a frame: where its payload begins there, and how much of it is there.
#[inline(always)]
pub(crate) fn hold(context: &TcContext, segment: &Segment, talk: &mut Talk) -> Option<(*const u8, u32)> {
    let headers = clamp(segment.payload, HEADERS as u32);
    let captured = clamp((segment.payload + segment.length).min(segment.payload + SEARCHED), HELD as u32);
    let bytes = (&raw mut talk.bytes).cast::<u8>();
    // SAFETY: `clamp` keeps both within the entry.
    unsafe {
        let failed = bpf_skb_load_bytes(context.as_ptr(), 0, bytes.cast(), captured) != 0;
        (!failed).then(|| (bytes.add(headers as usize).cast_const(), segment.length.min(SEARCHED)))
    }
}

/// Says of a talk what is the same with all that it will hold.
#[inline(always)]
pub(crate) fn announce(context: &TcContext, segment: &Segment, talk: &mut Talk) {
    talk.held = front(context, segment.network, Some(segment), None, (0, 0, 0));
}

/// Says what is held now.
#[inline(always)]
pub(crate) fn describe(context: &TcContext, segment: &Segment, at: u64, talk: &mut Talk) {
    let held = &mut talk.held;
    (held.start.at, held.start.interface) = (at, interface(context));
    (held.network, held.transport) = (segment.network as u16, segment.transport as u16);
    (held.length, held.headers, held.payload) = (context.len(), segment.payload, segment.length);
    held.captured = segment.payload + segment.length;
}

/// Where the payload of the frame begins that is held.
#[inline(always)]
pub(crate) fn sequence_held(talk: &Talk) -> u32 {
    talk.ends[talk.client as usize & 1].wrapping_sub(talk.held.payload)
}

/// Ships the frame that is held.
#[inline(always)]
pub(crate) fn held(talk: &mut Talk) {
    let length = size_of::<Frame>() as u32 + clamp(talk.held.captured, HELD as u32);
    // SAFETY: `clamp` keeps it within the entry.
    unsafe { put((&raw mut talk.held).cast(), u64::from(length)) };
}

/// Ships what was left out of a talk.
#[inline(always)]
pub(crate) fn skipped(connection: &Connection, talk: &Talk, ends: [u32; 2], is_clean: bool) {
    let record = Skipped {
        start: Start { at: now(), kind: kind::SKIPPED, interface: 0 },
        connection: *connection,
        ends,
        client: talk.client,
        is_clean: u32::from(is_clean),
    };
    // SAFETY: the record is whole.
    unsafe { put((&raw const record).cast_mut().cast(), size_of::<Skipped>() as u64) };
}

const NOBODY: Connection = {
    let end = Endpoint { address: [0; 4], port: 0 };
    Connection { low: end, high: end }
};

/// Ships what is known of a connection's flows.
#[inline(always)]
pub(crate) fn activity(connection: &Connection, flows: &Flows) {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return };
    let record = scratch.cast::<Activity>();
    // SAFETY: the scratch is of this CPU, and longer.
    unsafe {
        (*record).start = Start { at: now(), kind: kind::ACTIVITY, interface: 0 };
        (*record).connection = *connection;
        (*record).flows = *flows;
        put(record.cast(), size_of::<Activity>() as u64);
    }
}

/// Ships a control frame.
#[inline(always)]
pub(crate) fn control(control: &Control) {
    // SAFETY: the record is whole.
    unsafe { put(core::ptr::from_ref(control).cast_mut().cast(), size_of::<Control>() as u64) };
}

/// Ships whose a socket is.
#[inline(always)]
pub(crate) fn owner(owner: &Owner) {
    // SAFETY: the record is whole.
    unsafe { put(core::ptr::from_ref(owner).cast_mut().cast(), size_of::<Owner>() as u64) };
}

/// What the scratch holds of the payload of the frame that was shipped last, and how much of it.
#[inline(always)]
pub(crate) fn payload_of_last(segment: &Segment) -> Option<*const u8> {
    let scratch = SCRATCH.get_ptr(0)?;
    let headers = clamp(segment.payload, HEADERS as u32) as usize;
    // SAFETY: `clamp` keeps it within the scratch.
    Some(unsafe { core::ptr::addr_of!((*scratch).bytes).cast::<u8>().add(headers) })
}

/// A frame of which the first part was shipped.
struct Rest<'a> {
    context: &'a TcContext,
    headers: u32,
    end: u32,
}

/// One more part: the headers again, and some payload. It changes nothing of `rest`: so the verifier looks at it once.
unsafe extern "C" fn part(index: u64, rest: *mut c_void) -> i64 {
    // SAFETY: `whole` gives it.
    let rest = unsafe { &*rest.cast::<Rest<'_>>() };
    let next = BYTES as u32 + index as u32 * PART as u32;
    if next >= rest.end {
        return 1;
    }
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return 1 };
    // SAFETY: it is of this CPU.
    let scratch = unsafe { &mut *scratch };
    let headers = clamp(rest.headers, HEADERS as u32);
    let length = clamp((rest.end - next).min(PART as u32), PART as u32);
    let skb = rest.context.as_ptr();
    // SAFETY: `clamp` keeps both within the scratch.
    let failed = unsafe {
        let bytes = addr_of_mut!(scratch.bytes).cast::<u8>();
        bpf_skb_load_bytes(skb, 0, bytes.cast(), headers) != 0
            || bpf_skb_load_bytes(skb, next, bytes.add(headers as usize).cast(), length) != 0
    };
    if failed {
        count(count::UNREAD, 1);
        return 1;
    }
    // The rest is as in the first part.
    scratch.frame.captured = headers + length;
    scratch.frame.offset = next - rest.headers;
    output(scratch, headers + length);
    0
}

#[inline(always)]
fn output(scratch: &mut Scratch, captured: u32) {
    let length = size_of::<Frame>() as u32 + clamp(captured, BYTES as u32);
    // SAFETY: `clamp` keeps it within the scratch.
    unsafe { put(core::ptr::from_mut(scratch).cast(), u64::from(length)) };
}

/// # Safety
/// The record is as long as is said.
#[inline(always)]
unsafe fn put(record: *mut c_void, length: u64) {
    let ring = core::ptr::addr_of!(RECORDS).cast_mut().cast();
    // SAFETY: the caller says so.
    if unsafe { bpf_ringbuf_output(ring, record, length, 0) } != 0 {
        count(count::RING_FULL, 1);
    }
}

#[inline(always)]
fn interface(context: &TcContext) -> u32 {
    // SAFETY: the context is the kernel's.
    unsafe { (*context.skb.skb).ifindex }
}

/// From 1 to `most`, in a register from the test to its use: the compiler must neither leave out the test because it knows
/// better, nor test one copy and use another, since the verifier would not follow.
#[inline(always)]
pub(crate) fn clamp(length: u32, most: u32) -> u32 {
    let mut length = u64::from(length);
    // SAFETY: it copies a register to itself.
    unsafe { asm!("{0} = {0}", inout(reg) length) };
    let mut length = if length == 0 || length > u64::from(most) { u64::from(most) } else { length };
    // SAFETY: as above.
    unsafe { asm!("{0} = {0}", inout(reg) length) };
    length as u32
}
