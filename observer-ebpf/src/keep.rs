//! Connections of which payload may be left out: what is wanted of them, and what was left out.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    helpers::generated::{bpf_loop, bpf_map_update_elem},
    macros::map,
    maps::{HashMap, PerCpuArray},
    programs::TcContext,
};
use observer_ebpf::{CONNECTIONS, Connection, Demand, Flow, Flows, Wanted, flag, want};

use crate::{follow, packet::Segment, ship};

/// What user space wants. Where a connection is not in it, all is shipped and nothing is kept.
#[map]
static DEMANDS: HashMap<Connection, Demand> = HashMap::with_max_entries(CONNECTIONS, BPF_F_NO_PREALLOC);

/// What is known of those connections.
#[map]
static FLOWS: HashMap<Connection, Flows> = HashMap::with_max_entries(CONNECTIONS, BPF_F_NO_PREALLOC);

/// Room for a new entry, which the stack has not.
#[map]
static FRESH: PerCpuArray<Flows> = PerCpuArray::with_max_entries(1, 0);

/// How far into a response its end is looked for.
const HEAD: u32 = 4096;
/// After so many bytes it is told what was left out.
const FAR: u64 = 1 << 29;
/// Add, do not replace.
const NEW: u64 = 1;

/// A connection with demands.
#[inline(always)]
pub(crate) fn find(connection: &Connection) -> Option<(Demand, &'static mut Flows)> {
    let demand = DEMANDS.get_ptr(connection)?;
    let flows = FLOWS.get_ptr_mut(connection)?;
    // SAFETY: an entry that user space deletes lives on until this program has run. Packets of one flow come one after
    // the other.
    Some(unsafe { (*demand, &mut *flows) })
}

/// Whether user space has said what it wants of a connection.
#[inline(always)]
pub(crate) fn is_wanted(connection: &Connection) -> bool {
    DEMANDS.get_ptr(connection).is_some()
}

/// Ports are used again: nothing is wanted of the new connection yet.
#[inline(always)]
pub(crate) fn forget(connection: &Connection) {
    if DEMANDS.remove(connection).is_ok() {
        let _ = FLOWS.remove(connection);
    }
}

/// Ships what is known, if something was left out since the last time.
#[inline(always)]
pub(crate) fn tell(connection: &Connection, flows: &mut Flows) {
    if (flows.flows[0].flags | flows.flows[1].flags) & flag::UNTOLD != 0 {
        ship::activity(connection, flows);
        flows.flows[0].flags &= !(flag::UNTOLD | flag::FAR);
        flows.flows[1].flags &= !(flag::UNTOLD | flag::FAR);
    }
}

/// Whether a segment's payload has to be shipped. Else it is counted.
#[inline(always)]
pub(crate) fn ships(context: &TcContext, segment: &Segment, wanted: &Wanted, flow: &mut Flow) -> bool {
    let (start, end) = (segment.sequence, segment.sequence.wrapping_add(segment.length));
    let is_first = flow.flags & flag::SEEN == 0;
    // It may be a probe of TCP's keep-alive.
    if is_first && segment.length == 1 {
        return true;
    }
    if !is_first && !is_before(flow.seen, end) {
        // Again: as it was the first time.
        return flow.flags & flag::LEFT == 0 || is_before(flow.left, end);
    }
    let in_order = is_first || flow.seen == start;
    let has_hole = !is_first && is_before(flow.seen, start);
    flow.seen = end;
    flow.flags |= flag::SEEN;
    let left = match wanted.kind {
        want::FROM => in_order && !is_before(wanted.mark, end),
        want::NOTHING => in_order,
        want::FRAMES => {
            follow::begin(wanted, flow, start, has_hole);
            let is_followed = follow::frames(context, segment, flow, in_order);
            let left = in_order && flow.flags & flag::TRUSTED != 0;
            if !is_followed {
                if left && is_before(start, flow.header) {
                    // Up to there it was, and told.
                    leave(flow, flow.header, flow.header.wrapping_sub(start));
                }
                flow.flags &= !(flag::FOLLOWED | flag::TRUSTED);
            }
            left && is_followed
        }
        _ => {
            if flow.flags & flag::FOLLOWED != 0 && (has_hole || !follow::frames(context, segment, flow, false)) {
                flow.flags &= !(flag::FOLLOWED | flag::TRUSTED);
            }
            false
        }
    };
    if left {
        leave(flow, end, segment.length);
    }
    !left
}

/// Counts payload that is left out, up to `end`.
#[inline(always)]
fn leave(flow: &mut Flow, end: u32, length: u32) {
    flow.at = ship::now();
    let before = flow.bytes;
    flow.bytes += u64::from(length);
    if before / FAR != flow.bytes / FAR {
        flow.flags |= flag::FAR;
    }
    flow.left = end;
    flow.flags |= flag::LEFT | flag::UNTOLD;
    flow.header_then = flow.header;
    if flow.flags & flag::TRUSTED != 0 && flow.held == 0 {
        flow.flags |= flag::HEADER_THEN;
    } else {
        flow.flags &= !flag::HEADER_THEN;
    }
}

/// After a response that switches protocols come frames, it is guessed: by the time user space says so, it may be too
/// late to find them. All is shipped until then. Says whether it is one.
#[inline(always)]
pub(crate) fn upgraded(context: &TcContext, segment: &Segment) -> bool {
    if segment.length < 16 {
        return false;
    }
    let Ok(line) = context.load::<[u8; 12]>(segment.payload as usize) else { return false };
    let is_http = line[0] == b'H' && line[1] == b'T' && line[2] == b'T' && line[3] == b'P' && line[4] == b'/';
    if !is_http || line[9] != b'1' || line[10] != b'0' || line[11] != b'1' {
        return false;
    }
    let mut search = Search { payload: ship::payload_of_last(segment), end: 0 };
    // SAFETY: the callback is given what it takes, and the loop ends before `search` does.
    unsafe { bpf_loop(HEAD.min(segment.length), blank as *mut c_void, (&raw mut search).cast(), 0) };
    let Some(fresh) = FRESH.get_ptr_mut(0).filter(|_| search.end > 0) else { return false };
    // SAFETY: it is of this CPU.
    let fresh = unsafe { &mut *fresh };
    let base = segment.sequence.wrapping_add(search.end);
    let from = segment.flow & 1;
    restart(&mut fresh.flows[from], base, segment.sequence.wrapping_add(segment.length));
    restart(&mut fresh.flows[1 - from], segment.acknowledgment, segment.acknowledgment);
    if !follow::frames(context, segment, &mut fresh.flows[from], false) {
        return false;
    }
    let all = Demand::default();
    let flows = (&raw const FLOWS).cast_mut().cast();
    // SAFETY: key and value are of the map's types.
    let added = unsafe {
        bpf_map_update_elem(flows, (&raw const segment.connection).cast_mut().cast(), (&raw mut *fresh).cast(), NEW)
    };
    if added == 0 {
        let _ = DEMANDS.insert(&segment.connection, &all, NEW);
    }
    true
}

#[inline(always)]
fn restart(flow: &mut Flow, base: u32, seen: u32) {
    flow.at = 0;
    flow.bytes = 0;
    flow.frames = 0;
    flow.held = 0;
    flow.left = 0;
    flow.mark = 0;
    (flow.base, flow.header, flow.seen) = (base, base, seen);
    flow.flags = flag::SEEN | flag::FOLLOWED;
}

/// A search for the end of a head.
struct Search {
    payload: Option<*const u8>,
    end: u32,
}

/// Looks for it at one place.
unsafe extern "C" fn blank(index: u64, search: *mut c_void) -> i64 {
    // SAFETY: `upgraded` gives it.
    let search = unsafe { &mut *search.cast::<Search>() };
    let Some(payload) = search.payload else { return 1 };
    if index >= u64::from(HEAD) {
        return 1;
    }
    // SAFETY: the scratch goes on behind the longest headers for longer than that.
    let is_end = unsafe {
        let at = payload.add(index as usize);
        *at == b'\r' && *at.add(1) == b'\n' && *at.add(2) == b'\r' && *at.add(3) == b'\n'
    };
    if is_end {
        search.end = index as u32 + 4;
    }
    i64::from(is_end)
}

/// Whether one sequence number is before the other (RFC 9293 3.4).
#[inline(always)]
pub(crate) const fn is_before(one: u32, other: u32) -> bool {
    one.wrapping_sub(other).cast_signed() < 0
}
