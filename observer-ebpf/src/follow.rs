//! Follows WebSocket frames from header to header (RFC 6455 5.2): control frames are shipped, data frames counted.
//! Headers may be cut by segments: what came of one is held.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext,
    helpers::generated::{bpf_loop, bpf_skb_load_bytes},
    programs::TcContext,
};
use observer_ebpf::{Control, Flow, Start, Wanted, flag, kind};

use crate::{
    keep::is_before,
    packet::Segment,
    ship::{self, clamp},
};

/// Headers that are read of one segment: who sends more in one pays for their being shipped.
const MOST: u32 = 1024;
/// The longest header: two bytes, eight of length, four of mask.
const LONGEST: u32 = 14;
/// Longer frames are not followed, as sequence numbers come round.
const FARTHEST: u64 = 1 << 30;

/// Decides from where on frames are followed in the payload that begins at `start`.
#[inline(always)]
pub(crate) fn begin(wanted: &Wanted, flow: &mut Flow, start: u32, has_hole: bool) {
    if has_hole && is_before(flow.header.wrapping_add(flow.held), start) {
        flow.flags &= !(flag::FOLLOWED | flag::TRUSTED);
    }
    if flow.flags & flag::TRUSTED != 0 {
        return;
    }
    let is_new = flow.mark != wanted.mark;
    flow.mark = wanted.mark;
    let is_followed = flow.flags & flag::FOLLOWED != 0;
    if is_followed && wanted.mark == flow.base {
        // It was a header that the guess began with.
        flow.flags |= flag::TRUSTED;
    } else if !is_before(wanted.mark, start) {
        (flow.base, flow.header, flow.held) = (wanted.mark, wanted.mark, 0);
        flow.flags |= flag::FOLLOWED | flag::TRUSTED;
    } else if is_new || !is_followed {
        // A guess: segments often begin where frames do. Should user space find that one began here, the guess was right.
        (flow.base, flow.header, flow.held) = (start, start, 0);
        flow.flags |= flag::FOLLOWED;
    }
}

/// A walk over the headers of a segment.
struct Walk<'a> {
    context: &'a TcContext,
    segment: &'a Segment,
    flow: &'a mut Flow,
    /// Whether the payload is left out, so that what is found has to be told.
    tells: bool,
    is_bad: bool,
}

/// Follows the frames whose headers lie in a segment. False where they cannot be followed to its end.
#[inline(always)]
pub(crate) fn frames(context: &TcContext, segment: &Segment, flow: &mut Flow, in_order: bool) -> bool {
    let end = segment.sequence.wrapping_add(segment.length);
    if !is_before(flow.header.wrapping_add(flow.held), end) {
        return true;
    }
    let tells = in_order && flow.flags & flag::TRUSTED != 0;
    let mut walk = Walk { context, segment, flow, tells, is_bad: false };
    // SAFETY: the callback is given what it takes, and the loop ends before `walk` does.
    unsafe { bpf_loop(MOST, step as *mut c_void, (&raw mut walk).cast(), 0) };
    !walk.is_bad && !is_before(walk.flow.header.wrapping_add(walk.flow.held), end)
}

/// Reads one header, or as much of it as there is.
unsafe extern "C" fn step(_index: u64, walk: *mut c_void) -> i64 {
    // SAFETY: `frames` gives it.
    let walk = unsafe { &mut *walk.cast::<Walk<'_>>() };
    let (flow, segment) = (&mut *walk.flow, walk.segment);
    let held = flow.held & 15;
    let offset = flow.header.wrapping_add(held).wrapping_sub(segment.sequence);
    if offset >= segment.length || held >= LONGEST {
        walk.is_bad = offset.cast_signed() < 0 || held >= LONGEST;
        return 1;
    }
    let more = clamp((segment.length - offset).min(LONGEST - held), LONGEST);
    // SAFETY: `held` is at most 15 and `more` at most 14, and there is room for 32.
    let failed = unsafe {
        let to = (&raw mut flow.bytes_held).cast::<u8>().add(held as usize);
        bpf_skb_load_bytes(walk.context.as_ptr(), segment.payload + offset, to.cast(), more) != 0
    };
    if failed {
        walk.is_bad = true;
        return 1;
    }
    let there = held + more;
    let bytes = &flow.bytes_held;
    let (opcode, short, mask) = (bytes[0] & 15, bytes[1] & 0x7f, u32::from(bytes[1] >> 7) * 4);
    let (header, length) = match short {
        126 => (4 + mask, u64::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
        127 => {
            let eight = [bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7], bytes[8], bytes[9]];
            (10 + mask, u64::from_be_bytes(eight))
        }
        short => (2 + mask, u64::from(short)),
    };
    let code = if opcode == 8 { length.min(2) as u32 } else { 0 };
    if there < 2 || there < header + code {
        flow.held = there;
        return 1;
    }
    if length > FARTHEST || (opcode >= 8 && short > 125) {
        walk.is_bad = true;
        return 1;
    }
    let next = flow.header.wrapping_add(header).wrapping_add(length as u32);
    if walk.tells && opcode >= 8 {
        let mut kept = [0; 16];
        kept.copy_from_slice(&bytes[..16]);
        ship::control(&Control {
            start: Start { at: ship::now(), kind: kind::CONTROL, interface: 0 },
            connection: segment.connection,
            flow: segment.flow as u32,
            next,
            kept: header + code,
            reserved: 0,
            bytes: kept,
        });
    } else if walk.tells {
        flow.frames += 1;
    }
    (flow.header, flow.held) = (next, 0);
    0
}
