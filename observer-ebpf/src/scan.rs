//! Looks through what a client sends for what must not be left out: eight bytes at a time, and closer where a field line,
//! or a part of the request target, begins.

use core::{arch::asm, ffi::c_void};

use aya_ebpf::helpers::generated::bpf_loop;
use observer_ebpf::SEARCHED;

use crate::ship::clamp;

/// What a client's segment is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// One or more whole requests without a body that ask for nothing special.
    Ordinary,
    /// Something else that asks for no upgrade.
    Other,
    /// It asks for an upgrade, or may do so in what follows.
    Upgrade,
}

/// What was found.
mod found {
    /// The fields `Upgrade` or `Sec-WebSocket-*`.
    pub(super) const UPGRADE: u32 = 1;
    /// The end of a head.
    pub(super) const END: u32 = 2;
    /// A body, or long polling.
    pub(super) const SPECIAL: u32 = 4;
    /// The end of the first line.
    pub(super) const LINE: u32 = 8;
}

/// A search through `length` bytes.
struct Search {
    text: *const u8,
    length: u32,
    found: u32,
}

/// Says what `whole` bytes are, of which `length` are there, at most [`SEARCHED`]; behind them others may be read.
#[inline(always)]
pub(crate) fn class(text: *const u8, length: u32, whole: u32) -> Class {
    let mut search = Search { text, length, found: 0 };
    // SAFETY: the callback is given what it takes, and the loop ends before `search` does.
    unsafe { bpf_loop(length.div_ceil(8), step as *mut c_void, (&raw mut search).cast(), 0) };
    if search.found & found::UPGRADE != 0 {
        return Class::Upgrade;
    }
    let last = clamp(length.saturating_sub(8), SEARCHED);
    // SAFETY: `text` is as long as that.
    let (first, last) = unsafe { (word(text), word(text.add(last as usize))) };
    let has_no_body = matches!(&(first as u32).to_le_bytes(), b"GET " | b"HEAD" | b"OPTI" | b"DELE");
    let is_whole = length == whole && length > 8 && (last >> 32) as u32 == u32::from_le_bytes(*b"\r\n\r\n");
    match search.found {
        found if is_whole && has_no_body && found & found::SPECIAL == 0 => Class::Ordinary,
        found if found & found::END != 0 => Class::Other,
        _ => Class::Upgrade,
    }
}

/// Looks at eight bytes.
unsafe extern "C" fn step(index: u64, search: *mut c_void) -> i64 {
    // SAFETY: `class` gives it.
    let search = unsafe { &mut *search.cast::<Search>() };
    if index >= u64::from(SEARCHED) / 8 {
        return 1;
    }
    // SAFETY: `text` is longer than that.
    let (text, at) = (search.text, index * 8);
    let bytes = unsafe { word(text.add(at as usize)) };
    let mut marks = equal(bytes, b'\n');
    if search.found & found::LINE == 0 {
        // `/` and `?` differ in this bit alone.
        marks |= equal(bytes | 0x1010_1010_1010_1010, b'?') | equal(bytes, b'&');
    }
    for _ in 0..8 {
        if marks == 0 {
            break;
        }
        // The lowest mark's place: it is moved to the top by what stands there.
        let place = ((marks & marks.wrapping_neg()) >> 7).wrapping_mul(0x0001_0203_0405_0607) >> 56 & 7;
        marks &= marks - 1;
        let next = at + place + 1;
        if next >= u64::from(search.length) {
            break;
        }
        // SAFETY: as above.
        let (mark, next) =
            unsafe { (bytes >> (place * 8) & 0xff, word(text.add(clamp(next as u32, SEARCHED) as usize))) };
        search.found |= look(mark, next);
    }
    0
}

/// What begins behind a mark. Exported, the verifier looks at it once, not at every call.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn look(mark: u64, next: u64) -> u32 {
    let lower = next | 0x2020_2020_2020_2020;
    let front = |bytes: u32| lower & (u64::MAX >> (64 - bytes * 8));
    match mark as u8 {
        b'\n' => {
            let mut found = found::LINE;
            if next as u16 == u16::from_le_bytes(*b"\r\n") {
                found |= found::END;
            }
            // `Upgrade-Insecure-Requests` is none.
            let names_protocol = front(7) == text(b"upgrade") && lower >> 56 != u64::from(b'-');
            if names_protocol || lower == text(b"sec-webs") {
                found |= found::UPGRADE;
            }
            if lower == text(b"content-") || lower == text(b"transfer") {
                found |= found::SPECIAL;
            }
            found
        }
        b'/' => {
            let is_polling = front(3) == text(b"xhr")
                || lower == text(b"eventsou")
                || lower == text(b"htmlfile")
                || front(5) == text(b"jsonp");
            if is_polling { found::SPECIAL } else { 0 }
        }
        _ if lower == text(b"transpor") => found::SPECIAL,
        _ => 0,
    }
}

/// Up to eight bytes as they are read.
const fn text(bytes: &[u8]) -> u64 {
    let (mut word, mut at) = (0, 0);
    while at < bytes.len() {
        word |= (bytes[at] as u64) << (at * 8);
        at += 1;
    }
    word
}

/// A mark, the highest bit, in each byte that is `byte`.
#[inline(always)]
const fn equal(bytes: u64, byte: u8) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let differ = bytes ^ (byte as u64 * 0x0101_0101_0101_0101);
    !(((differ & LOW) + LOW) | differ | LOW)
}

/// Eight bytes at once, wherever they stand: the compiler would read them one by one.
///
/// # Safety
/// They are there.
#[inline(always)]
unsafe fn word(at: *const u8) -> u64 {
    let word;
    // SAFETY: the caller says so, and the kernel takes it where the machine does.
    unsafe { asm!("{0} = *(u64 *)({1} + 0)", out(reg) word, in(reg) at) };
    word
}
