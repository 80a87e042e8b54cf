//! Connections on which one ordinary request follows the other. While no upgrade is under way, requests beyond a share
//! and their answers are left out; the last request is held until it is answered, since a proxy may turn out to have made
//! an upgrade of it. When an upgrade is asked for, everything unanswered is shipped, and all that follows until it is
//! answered: a proxy sends on a request after it got it.

use core::{arch::asm, ffi::c_void};

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    helpers::generated::{bpf_for_each_map_elem, bpf_get_smp_processor_id, bpf_map_update_elem},
    macros::map,
    maps::{Array, HashMap, PerCpuArray},
    programs::TcContext,
};
use observer_ebpf::{Connection, Epoch, Left, TALKS as MOST, Talk, talk};

use crate::{
    keep::{self, is_before},
    packet::Segment,
    scan::{self, Class},
    ship,
};

#[map]
static TALKS: HashMap<Connection, Talk> = HashMap::with_max_entries(MOST, BPF_F_NO_PREALLOC);

/// A new entry.
#[map]
static BLANK: PerCpuArray<Talk> = PerCpuArray::with_max_entries(1, 0);

/// Ordinary requests that were left out.
#[map]
static LEFT: Array<Left> = Array::with_max_entries(1, 0);

#[map]
static EPOCH: Array<Epoch> = Array::with_max_entries(1, 0);

/// How long a slice is, of which a share is seen.
const SLICE: u64 = 100_000_000;
/// For how long it is told who sends after an upgrade, so that whoever answered it is.
const GRACE: u64 = 20_000_000;
/// The same where an upgrade cannot be followed to its answer.
const BLIND: u64 = 10_000_000_000;
/// For how long an answer is waited for: its connection may have gone without a sign.
const PATIENCE: u64 = 600_000_000_000;
/// Add, do not replace.
const NEW: u64 = 1;

/// What to do with a segment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is no talk's.
    Ship,
    /// It is a talk's.
    ShipOfTalk,
    /// Its payload has been told to be left out.
    ShipHeaders,
    LeaveOut,
}

/// Ports are used again.
#[inline(always)]
pub(crate) fn forget(connection: &Connection) {
    if let Some(talk) = TALKS.get_ptr_mut(connection) {
        // SAFETY: an entry that is deleted lives on until this program has run.
        settle(unsafe { &mut *talk });
        let _ = TALKS.remove(connection);
    }
}

/// Whether who sends is to be told.
#[inline(always)]
pub(crate) fn is_watched() -> bool {
    let Some(epoch) = epoch() else { return true };
    epoch.seen < epoch.share || pending(epoch) != 0 || epoch.until | epoch.named != 0
}

/// Decides about a segment, and ships what has to come before it.
#[inline(always)]
pub(crate) fn fate(context: &TcContext, segment: &Segment) -> Fate {
    let talk = match TALKS.get_ptr_mut(&segment.connection) {
        // SAFETY: as above. Packets of one flow come one after the other.
        Some(talk) => unsafe { &mut *talk },
        None => match begin(context, segment) {
            Some(talk) => talk,
            None => return Fate::Ship,
        },
    };
    if segment.begins_or_ends() {
        return end(segment, talk);
    }
    if segment.flow as u32 & 1 == talk.client & 1 {
        from_client(context, segment, talk)
    } else {
        from_server(context, segment, talk)
    }
}

/// The entry of what may become a talk.
#[inline(always)]
fn begin(context: &TcContext, segment: &Segment) -> Option<&'static mut Talk> {
    let is_payload = segment.length > 0 && !segment.begins_or_ends();
    if !is_payload || !is_request(context, segment) || keep::is_wanted(&segment.connection) {
        return None;
    }
    let blank = BLANK.get_ptr_mut(0)?;
    let talks = (&raw const TALKS).cast_mut().cast();
    // SAFETY: key and value are of the map's types.
    unsafe { bpf_map_update_elem(talks, (&raw const segment.connection).cast_mut().cast(), blank.cast(), NEW) };
    let Some(talk) = TALKS.get_ptr_mut(&segment.connection) else {
        // It may ask for an upgrade, of which the answer would not be noticed.
        let epoch = epoch()?;
        epoch.full += 1;
        epoch.until = ship::now() + BLIND;
        return None;
    };
    // SAFETY: as above.
    let talk = unsafe { &mut *talk };
    let client = segment.flow & 1;
    talk.client = client as u32;
    talk.ends[client] = segment.sequence;
    talk.ends[1 - client] = segment.acknowledgment;
    ship::announce(context, segment, talk);
    talk.flags = talk::ANSWERED;
    Some(talk)
}

#[inline(always)]
fn from_server(context: &TcContext, segment: &Segment, talk: &mut Talk) -> Fate {
    let end = segment.sequence.wrapping_add(segment.length);
    let flow = segment.flow & 1;
    let is_new = is_before(talk.ends[flow], end);
    if is_new {
        talk.ends[flow] = end;
        if talk.flags & talk::ANSWERED == 0 {
            match status(context, segment) {
                Status::Interim => {}
                Status::Switch => wake(&segment.connection, talk),
                Status::Final => {
                    talk.flags |= talk::ANSWERED;
                    settle(talk);
                }
            }
        }
    }
    if talk.flags & talk::QUIET != 0 { Fate::LeaveOut } else { Fate::ShipOfTalk }
}

#[inline(always)]
fn from_client(context: &TcContext, segment: &Segment, talk: &mut Talk) -> Fate {
    let (flow, end) = (segment.flow & 1, segment.sequence.wrapping_add(segment.length));
    let server = talk.ends[1 - flow];
    if !is_before(talk.ends[flow], end) {
        // Again: as it was the first time.
        return if talk.flags & talk::QUIET != 0 { Fate::LeaveOut } else { Fate::ShipOfTalk };
    }
    let Some(epoch) = epoch() else { return Fate::ShipOfTalk };
    if talk.flags & (talk::QUIET | talk::ANSWERED) == talk::QUIET {
        // It does not wait for answers.
        wake(&segment.connection, talk);
    }
    // Nothing is held now that is needed.
    let class = match ship::hold(context, segment, talk) {
        Some((text, length)) => scan::class(text, length, segment.length),
        None => Class::Upgrade,
    };
    let is_next = talk.ends[flow] == segment.sequence;
    let is_clean = is_next && talk.flags & talk::ANSWERED != 0 && segment.acknowledgment == server;
    if class == Class::Ordinary && is_clean {
        let now = ship::now();
        if !is_loud(epoch, now) && !is_seen(epoch, now) {
            ship::describe(context, segment, now, talk);
            talk.ends[flow] = end;
            talk.answered = server;
            let flags = talk.flags & !talk::ANSWERED | talk::QUIET;
            count(1);
            // Either who begins an epoch sees this entry, or the epoch is seen here.
            exchange(&raw mut talk.flags, flags);
            if pending(epoch) != 0 {
                wake(&segment.connection, talk);
            }
            return Fate::LeaveOut;
        }
    }
    if talk.flags & talk::QUIET != 0 {
        talk.flags &= !talk::QUIET;
        ship::skipped(&segment.connection, talk, talk.ends, is_clean);
    }
    talk.ends[flow] = end;
    talk.flags &= !talk::ANSWERED;
    if class == Class::Upgrade && talk.flags & talk::UPGRADING == 0 {
        talk.flags |= talk::UPGRADING;
        epoch.asked = ship::now();
        if add(&raw mut epoch.pending, 1) == 0 {
            let talks = (&raw const TALKS).cast_mut().cast();
            // SAFETY: the callback takes what the map holds.
            unsafe { bpf_for_each_map_elem(talks, wake_each as *mut c_void, core::ptr::null_mut(), 0) };
        }
    }
    Fate::ShipOfTalk
}

/// A side ends.
#[inline(always)]
fn end(segment: &Segment, talk: &mut Talk) -> Fate {
    let flow = segment.flow & 1;
    let was_quiet = talk.flags & talk::QUIET != 0;
    let end = segment.sequence.wrapping_add(segment.length);
    if was_quiet {
        talk.flags &= !talk::QUIET;
        if is_before(talk.ends[flow], end) {
            talk.ends[flow] = end;
        }
        ship::skipped(&segment.connection, talk, talk.ends, false);
    }
    // A client that has ended may wait for its answer all the same.
    let is_over = segment.resets() || flow as u32 != talk.client & 1;
    if is_over || talk.flags & talk::UPGRADING == 0 {
        settle(talk);
        let _ = TALKS.remove(&segment.connection);
    }
    if was_quiet { Fate::ShipHeaders } else { Fate::Ship }
}

/// Ships what is held, and leaves out no more.
#[inline(always)]
fn wake(connection: &Connection, talk: &mut Talk) {
    if talk.flags & talk::QUIET == 0 {
        return;
    }
    talk.flags &= !talk::QUIET;
    count(u64::MAX);
    let (held, answered) = (ship::sequence_held(talk), talk.answered);
    let ends = if talk.client & 1 == 0 { [held, answered] } else { [answered, held] };
    ship::skipped(connection, talk, ends, true);
    ship::held(talk);
}

/// Of each talk that waits for an answer.
unsafe extern "C" fn wake_each(_map: *mut c_void, key: *const Connection, talk: *mut Talk, _: *mut c_void) -> i64 {
    // SAFETY: the kernel gives them.
    let (key, talk) = unsafe { (&*key, &mut *talk) };
    if talk.flags & (talk::QUIET | talk::ANSWERED) == talk::QUIET {
        wake(key, talk);
    }
    0
}

/// An upgrade, if there was one, waits no longer.
#[inline(always)]
fn settle(talk: &mut Talk) {
    if talk.flags & talk::UPGRADING == 0 {
        return;
    }
    talk.flags &= !talk::UPGRADING;
    if let Some(epoch) = epoch() {
        epoch.named = ship::now() + GRACE;
        add(&raw mut epoch.pending, u64::MAX);
    }
}

/// Counts what is left out.
#[inline(always)]
fn count(more: u64) {
    if let Some(left) = LEFT.get_ptr_mut(0) {
        // SAFETY: it only asks for the number of this CPU; the place is within the entry.
        unsafe { add(&raw mut (*left)[bpf_get_smp_processor_id() as usize & 63][0], more) };
    }
}

#[inline(always)]
fn epoch() -> Option<&'static mut Epoch> {
    // SAFETY: it lives as long as the map; its numbers are read and written one by one.
    EPOCH.get_ptr_mut(0).map(|epoch| unsafe { &mut *epoch })
}

#[inline(always)]
fn pending(epoch: &Epoch) -> u64 {
    // SAFETY: it is there; other CPUs write it.
    unsafe { (&raw const epoch.pending).read_volatile() }
}

#[inline(always)]
fn is_loud(epoch: &mut Epoch, now: u64) -> bool {
    if pending(epoch) != 0 && now < epoch.asked.saturating_add(PATIENCE) {
        return true;
    }
    let until = epoch.until;
    for time in [&raw mut epoch.until, &raw mut epoch.named] {
        // SAFETY: both are there.
        let end = unsafe { time.read_volatile() };
        if end != 0 && now >= end {
            // Unless another CPU has just moved it on.
            replace(time, end, 0);
        }
    }
    now < until
}

/// Whether an ordinary request is of the share that is seen.
#[inline(always)]
fn is_seen(epoch: &mut Epoch, now: u64) -> bool {
    if now.wrapping_sub(epoch.slice) > SLICE {
        epoch.slice = now;
        epoch.seen = 0;
    }
    if epoch.seen >= epoch.share {
        return false;
    }
    add(&raw mut epoch.seen, 1);
    true
}

/// How an answer begins.
enum Status {
    Interim,
    Switch,
    Final,
}

#[inline(always)]
fn status(context: &TcContext, segment: &Segment) -> Status {
    let Ok(line) = context.load::<[u8; 12]>(segment.payload as usize) else { return Status::Final };
    let is_interim = line[0] == b'H' && line[4] == b'/' && line[8] == b' ' && line[9] == b'1';
    match is_interim {
        true if line[10] == b'0' && line[11] == b'1' => Status::Switch,
        true => Status::Interim,
        false => Status::Final,
    }
}

/// Whether a segment may begin with a request: with a method, which is in capitals.
#[inline(always)]
fn is_request(context: &TcContext, segment: &Segment) -> bool {
    context.load::<u8>(segment.payload as usize).is_ok_and(|first| first.is_ascii_uppercase())
}

/// Adds, and says what there was before.
#[inline(always)]
fn add(number: *mut u64, more: u64) -> u64 {
    let mut more = more;
    // SAFETY: the number is there, and every CPU adds like this.
    unsafe { asm!("{1} = atomic_fetch_add((u64 *)({0} + 0), {1})", in(reg) number, inout(reg) more) };
    more
}

/// Writes; nothing that is read afterwards is read before it.
#[inline(always)]
fn exchange(number: *mut u64, value: u64) {
    let mut value = value;
    // SAFETY: the number is there.
    unsafe { asm!("{1} = xchg_64({0} + 0, {1})", in(reg) number, inout(reg) value) };
    let _ = value;
}

/// Writes what is new where the old still stands.
#[inline(always)]
fn replace(number: *mut u64, old: u64, new: u64) {
    // SAFETY: the number is there.
    unsafe { asm!("r0 = cmpxchg_64({0} + 0, r0, {1})", in(reg) number, in(reg) new, inout("r0") old => _) };
}
