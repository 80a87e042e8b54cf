//! HTTP and WebSocket as nobody should speak them.

use std::io::Result;

use super::{
    floods::tunnel,
    wire::{End, ORIGIN, PROXY, Talk, Wire},
};

/// The key of RFC 6455 1.3, which [`SWITCHING`] answers.
pub(super) const SAMPLE_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// An answer that is right for [`SAMPLE_KEY`].
pub(super) const SWITCHING: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const REFUSED: &[u8] = b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n";

/// A valid key, another for each number.
pub(super) fn key(number: u64) -> String {
    format!("{number:021}A==")
}

/// An upgrade request; `more` are further field lines.
pub(super) fn upgrade(target: &str, key: &str, more: &str) -> Vec<u8> {
    format!(
        "GET {target} HTTP/1.1\r\nHost: chat.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{more}\r\n"
    )
    .into_bytes()
}

/// Heads that grow and never end.
pub(super) fn endless(wire: &mut Wire<'_>, count: u64) -> Result<()> {
    let line = format!("X: {}\r\n", "x".repeat(8 << 10));
    let mut talks = Vec::new();
    for n in 0..count {
        let mut talk = Talk::open(End::client(n), PROXY, wire)?;
        talk.ask(b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n", wire)?;
        talks.push(talk);
    }
    // All of them at once, up to what a head may have, and beyond it.
    (0..10).try_for_each(|_| talks.iter_mut().try_for_each(|talk| talk.ask(line.as_bytes(), wire)))
}

/// Heads that grow by single bytes.
pub(super) fn trickle(wire: &mut Wire<'_>, count: u64) -> Result<()> {
    let mut talks = (0..8).map(|n| Talk::open(End::client(n), PROXY, wire)).collect::<Result<Vec<_>>>()?;
    talks.iter_mut().try_for_each(|talk| talk.ask(b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nX: ", wire))?;
    for n in 0..count {
        talks[usize::try_from(n % 8).unwrap_or_default()].ask(b"x", wire)?;
    }
    Ok(())
}

/// Heads of almost 64 KiB, begun on all connections before the first one ends.
pub(super) fn large(wire: &mut Wire<'_>, count: u64) -> Result<()> {
    let mut talks = Vec::new();
    for n in 0..count {
        let mut talk = Talk::open(End::client(n), PROXY, wire)?;
        let head = upgrade("/ws", &key(n), &format!("Cookie: {}", "c".repeat(63 << 10)));
        talk.ask(&head[..head.len() - 2], wire)?;
        talks.push(talk);
    }
    talks.iter_mut().try_for_each(|talk| {
        talk.ask(b"\r\n\r\n", wire)?;
        talk.answer(REFUSED, wire)
    })
}

/// Chunk sizes and lengths near the ends of what numbers hold, each before an upgrade.
pub(super) fn lengths(wire: &mut Wire<'_>, count: u64) -> Result<()> {
    const SIZES: [&str; 10] = [
        "FFFFFFFFFFFFFFFF",
        "fffffffffffffffe",
        "10000000000000000",
        "7fffffffffffffff",
        "8000000000000000",
        "-1",
        "0x10",
        "",
        "00000000000000000000000000000001",
        "1;a=\"\u{1b}[31m\"",
    ];
    const LENGTHS: [&str; 5] = ["18446744073709551615", "18446744073709551616", "9223372036854775807", "-1", "1, 2"];
    (0..count).zip(SIZES.iter().cycle().zip(LENGTHS.iter().cycle())).try_for_each(|(n, (size, length))| {
        let mut talk = Talk::open(End::client(n), PROXY, wire)?;
        let chunked = "Transfer-Encoding: chunked\r\n".to_owned();
        let framing = if n % 2 == 0 { chunked } else { format!("Content-Length: {length}\r\n") };
        talk.ask(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n{size}\r\nx\r\n0\r\n\r\n").as_bytes(), wire)?;
        talk.answer(format!("HTTP/1.1 200 OK\r\n{framing}\r\n{size}\r\n").as_bytes(), wire)?;
        talk.ask(&upgrade("/ws", &key(n), ""), wire)?;
        talk.answer(SWITCHING, wire)
    })
}

/// A thousand Connection lines.
pub(super) fn connection_lines(wire: &mut Wire<'_>, count: u64) -> Result<()> {
    let lines: String = (0..1000).map(|n| format!("Connection: x{n}\r\n")).collect();
    let head = upgrade("/ws", SAMPLE_KEY, &lines);
    (0..count).try_for_each(|n| tunnel(n, &head, wire)?.iter_mut().try_for_each(|talk| talk.close(wire)))
}

/// Keys that are none.
pub(super) fn odd_keys(wire: &mut Wire<'_>, count: u64) -> Result<()> {
    let long = "A".repeat(8000);
    let keys = ["", "=", "====", "not base64!", "\u{fffd}\u{202e}", &long, "dGhlIHNhbXBsZSBub25jZQ", ","];
    (0..count).zip(keys.into_iter().cycle()).try_for_each(|(n, key)| {
        let mut talk = Talk::open(End::client(n), PROXY, wire)?;
        talk.ask(&upgrade("/ws", key, ""), wire)?;
        talk.answer(if n % 2 == 0 { SWITCHING } else { REFUSED }, wire)?;
        talk.close(wire)
    })
}

/// One key in all attempts, with all of them open at the same time.
pub(super) fn equal_keys_at_once(wire: &mut Wire<'_>, count: u64) -> Result<()> {
    let head = upgrade("/ws", SAMPLE_KEY, "");
    let mut talks = Vec::new();
    for n in 0..count {
        for (client, server) in [(End::client(n), PROXY), (End::of_proxy(n), ORIGIN)] {
            let mut talk = Talk::open(client, server, wire)?;
            talk.ask(&head, wire)?;
            talks.push(talk);
        }
    }
    talks.iter_mut().rev().try_for_each(|talk| talk.answer(SWITCHING, wire))
}

/// One key in all attempts, one after the other.
pub(super) fn equal_keys(wire: &mut Wire<'_>, count: u64) -> Result<()> {
    let head = upgrade("/ws", SAMPLE_KEY, "");
    (0..count).try_for_each(|n| tunnel(n, &head, wire)?.iter_mut().rev().try_for_each(|talk| talk.close(wire)))
}

/// Frames of 2^63 bytes and their like.
pub(super) fn huge_frames(wire: &mut Wire<'_>, count: u64) -> Result<()> {
    let lengths = [1_u64 << 63, u64::MAX, (1 << 63) - 1, 0, 125];
    let head = upgrade("/ws", SAMPLE_KEY, "");
    (0..count).zip(lengths.into_iter().cycle()).try_for_each(|(n, length)| {
        let mut hops = tunnel(n, &head, wire)?;
        for opcode in [0x82, 0x89, 0x8b, 0xff] {
            let frame = [&[opcode, 0xff][..], &length.to_be_bytes(), b"mask", b"payload"].concat();
            hops[0].ask(&frame, wire)?;
            hops[0].answer(&frame, wire)?;
        }
        hops.iter_mut().try_for_each(|talk| talk.close(wire))
    })
}

/// Polls, and attempts that fail, with targets of 16 KiB: both are remembered for a while.
pub(super) fn fat_polls(wire: &mut Wire<'_>, count: u64) -> Result<()> {
    let path = "p".repeat(16 << 10);
    (0..count).try_for_each(|n| {
        let mut talk = Talk::open(End::client(n), PROXY, wire)?;
        if n % 2 == 0 {
            talk.ask(&upgrade(&format!("/{path}/{n}"), &key(n), ""), wire)?;
        } else {
            let poll = format!("GET /{path}/{n}?transport=polling&sid={path} HTTP/1.1\r\nHost: a\r\n\r\n");
            talk.ask(poll.as_bytes(), wire)?;
        }
        talk.answer(REFUSED, wire)?;
        talk.close(wire)
    })
}

/// Ordinary requests that are refused with 48 KiB of fields each.
pub(super) fn fat_refusals(wire: &mut Wire<'_>, count: u64) -> Result<()> {
    let line = format!("X: {}\r\n", "x".repeat(4 << 10));
    let answer = format!("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n{}\r\n", line.repeat(12));
    let mut talk = Talk::open(End::client(0), PROXY, wire)?;
    (0..count).try_for_each(|n| {
        talk.ask(format!("GET /{n} HTTP/1.1\r\n\r\n").as_bytes(), wire)?;
        talk.answer(answer.as_bytes(), wire)
    })
}

/// Answers that are never final.
pub(super) fn informational(wire: &mut Wire<'_>, count: u64) -> Result<()> {
    let mut talk = Talk::open(End::client(0), PROXY, wire)?;
    talk.ask(&upgrade("/ws", SAMPLE_KEY, ""), wire)?;
    (0..count).try_for_each(|_| talk.answer(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", wire))
}
