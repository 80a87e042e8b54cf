//! More connections and segments than anybody can remember.

use std::io::Result;

use super::{
    heads::{SWITCHING, key, upgrade},
    wire::{End, Flag, ORIGIN, PROXY, Talk, Wire},
};

/// Connections over which a flood of segments is spread.
const SPREAD: u64 = 500;

/// SYNs that nobody answers.
pub(super) fn syns(wire: &mut Wire<'_>, count: u64) -> Result<()> {
    (0..count).try_for_each(|n| {
        let talk = Talk::new(End::client(n), PROXY);
        wire.segment(talk.ends, talk.next.0, None, Flag::Syn, b"")
    })
}

/// Upgrade requests without an answer.
pub(super) fn half_open_upgrades(wire: &mut Wire<'_>, count: u64) -> Result<()> {
    (0..count).try_for_each(|n| Talk::open(End::client(n), PROXY, wire)?.ask(&upgrade("/ws", &key(n), ""), wire))
}

/// Tunnels that nobody closes, each with a hop upstream.
pub(super) fn open_tunnels(wire: &mut Wire<'_>, count: u64) -> Result<()> {
    (0..count).try_for_each(|n| tunnel(n, &upgrade("/ws", super::heads::SAMPLE_KEY, ""), wire).map(drop))
}

/// Tunnels with heads of 16 KiB that nobody closes.
pub(super) fn fat_tunnels(wire: &mut Wire<'_>, count: u64) -> Result<()> {
    let head = upgrade("/ws", super::heads::SAMPLE_KEY, &format!("Cookie: {}\r\n", "c".repeat(16 << 10)));
    (0..count).try_for_each(|n| tunnel(n, &head, wire).map(drop))
}

/// Tunnels that the proxy closes all at one moment.
pub(super) fn mass_close(wire: &mut Wire<'_>, count: u64) -> Result<()> {
    let head = upgrade("/ws", super::heads::SAMPLE_KEY, "");
    let mut open = Vec::new();
    for n in 0..count {
        open.push(tunnel(n, &head, wire)?);
    }
    wire.pause(1000);
    open.iter_mut().flatten().try_for_each(|talk| talk.close(wire))
}

/// A tunnel through the proxy: its hops.
pub(super) fn tunnel(n: u64, head: &[u8], wire: &mut Wire<'_>) -> Result<[Talk; 2]> {
    let mut down = Talk::open(End::client(n), PROXY, wire)?;
    down.ask(head, wire)?;
    let mut up = Talk::open(End::of_proxy(n), ORIGIN, wire)?;
    up.ask(head, wire)?;
    up.answer(SWITCHING, wire)?;
    down.answer(SWITCHING, wire)?;
    Ok([down, up])
}

/// Segments with holes before each of them, that nothing fills.
pub(super) fn out_of_order(wire: &mut Wire<'_>, count: u64) -> Result<()> {
    let mut talks = open(wire)?;
    for n in 0..count {
        let talk = &mut talks[place(n)];
        talk.next.0 = talk.next.0.wrapping_add(200);
        wire.segment(talk.ends, talk.next.0, None, Flag::None, &[b'x'; 100])?;
    }
    Ok(())
}

/// Segments behind a hole that contradict each other.
pub(super) fn overlaps(wire: &mut Wire<'_>, count: u64) -> Result<()> {
    let talks = open(wire)?;
    for n in 0..count {
        let talk = &talks[place(n)];
        let step = u32::try_from(n % 7919).unwrap_or_default() * 13;
        let bytes = [u8::try_from(n / SPREAD % 251).unwrap_or_default(); 1200];
        wire.segment(talk.ends, talk.next.0.wrapping_add(10 + step), None, Flag::None, &bytes)?;
    }
    Ok(())
}

/// Sequence numbers that walk backwards through their whole space.
pub(super) fn backwards(wire: &mut Wire<'_>, count: u64) -> Result<()> {
    let mut talks = open(wire)?;
    for n in 0..count {
        let talk = &mut talks[place(n)];
        talk.next.0 = talk.next.0.wrapping_sub(50_000_017);
        wire.segment(talk.ends, talk.next.0, Some(talk.next.1), Flag::None, &[b'x'; 64])?;
        wire.segment(
            (talk.ends.1, talk.ends.0),
            talk.next.1,
            Some(talk.next.0.wrapping_sub(1 << 30)),
            Flag::None,
            b"",
        )?;
    }
    Ok(())
}

/// The same ports used again and again.
pub(super) fn reused_ports(wire: &mut Wire<'_>, count: u64) -> Result<()> {
    for n in 0..count {
        let mut talk = Talk::new(End::client(n % SPREAD), PROXY);
        talk.next.0 = talk.next.0.wrapping_add(u32::try_from(n).unwrap_or_default().wrapping_mul(77_777));
        wire.segment(talk.ends, talk.next.0, None, Flag::Syn, b"")?;
        talk.next.0 = talk.next.0.wrapping_add(1);
        talk.ask(&upgrade("/ws", &key(n), ""), wire)?;
    }
    Ok(())
}

/// Requests on a few connections, none of which is answered.
pub(super) fn pipelined(wire: &mut Wire<'_>, count: u64) -> Result<()> {
    let mut talks = open(wire)?;
    talks.truncate(4);
    let requests = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20);
    for n in 0..count {
        talks[usize::try_from(n % 4).unwrap_or_default()].ask(&requests, wire)?;
    }
    Ok(())
}

fn open(wire: &mut Wire<'_>) -> Result<Vec<Talk>> {
    (0..SPREAD).map(|n| Talk::open(End::client(n), PROXY, wire)).collect()
}

fn place(n: u64) -> usize {
    usize::try_from(n % SPREAD).unwrap_or_default()
}
