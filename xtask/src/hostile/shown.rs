//! Texts that a terminal would obey or a reader would misread, in every field that is shown; and how to find them again.

use std::io::Result;

use super::{
    heads::{SAMPLE_KEY, upgrade},
    wire::{End, ORIGIN, PROXY, Talk, Wire},
};

/// What is put everywhere: control sequences in 7 and 8 bits, as UTF-8, bidirectional marks, invisible characters, bytes
/// that are no UTF-8.
const POISONS: [&[u8]; 7] = [
    b"\x1b]0;owned\x07\x1b[31m",
    b"\x9b31mred\x9d0;x\x9c",
    "\u{9b}31mred\u{9d}0;x\u{9c}\u{85}".as_bytes(),
    "\u{202e}txt.exe\u{2066}\u{2069}\u{200f}\u{61c}".as_bytes(),
    "\u{2028}\u{2029}\u{200b}\u{feff}\u{ad}\u{e0041}".as_bytes(),
    b"\xff\xfe\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80",
    b"\x7f\x08\x0b\x0c\x00",
];

/// Each poison in each part of a request and of its answer.
pub(super) fn poisons(wire: &mut Wire<'_>, count: u64) -> Result<()> {
    const PLACES: u64 = 12;
    (0..count).try_for_each(|n| {
        let poison = POISONS[usize::try_from(n / PLACES).unwrap_or_default() % POISONS.len()];
        let (asked, forwarded, answer) = heads(n % PLACES, poison);
        let mut down = Talk::open(End::client(n), PROXY, wire)?;
        down.ask(&asked, wire)?;
        let mut up = Talk::open(End::of_proxy(n), ORIGIN, wire)?;
        up.ask(&forwarded, wire)?;
        up.answer(&answer, wire)?;
        down.answer(&answer, wire)?;
        wire.pause(1);
        up.close(wire)?;
        down.close(wire)
    })
}

/// What the client asks, what the proxy makes of it, and the answer.
fn heads(place: u64, poison: &[u8]) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let at = |wanted: u64| if place == wanted { poison } else { b"x" };
    let more = [
        &b"Origin: http://"[..],
        at(0),
        b"\r\nUser-Agent: curl/8 ",
        at(1),
        b"\r\nSec-WebSocket-Protocol: ",
        at(2),
        b"\r\nSec-WebSocket-Extensions: ",
        at(3),
        b"\r\nX-Request-ID: ",
        at(4),
        b"\r\nX-",
        at(5),
        b": y\r\n",
    ]
    .concat();
    let head = |target: &[u8], token: &[u8], host: &[u8]| {
        let plain = String::from_utf8_lossy(&upgrade("/TARGET", SAMPLE_KEY, "")).into_owned();
        let (before, after) = plain.split_once("TARGET").unwrap_or_default();
        let start = [before.as_bytes(), target, after.as_bytes()].concat();
        let start = start[..start.len() - 2].to_vec();
        [&start[..], b"Upgrade: ", token, b"\r\nHost: ", host, b"\r\n", &more, b"\r\n"].concat()
    };
    let asked = head(at(6), at(7), at(8));
    let forwarded =
        [b"GET /", at(6), b" HTTP/1.0\r\nHost: ", at(8), b"\r\nConnection: ", at(9), b"\r\n", &more, b"\r\n"];
    let answer = [
        &b"HTTP/1.1 426 "[..],
        at(10),
        b"\r\nServer: nginx/",
        at(11),
        b"\r\nLocation: ",
        at(11),
        b"\r\nContent-Length: 0\r\n\r\n",
    ];
    (asked, forwarded.concat(), answer.concat())
}

/// What in a line of output a terminal would obey, or a reader misread.
pub(super) fn raw(line: &[u8]) -> Option<String> {
    let Ok(text) = std::str::from_utf8(line) else { return Some("bytes that are no UTF-8".to_owned()) };
    let harmful = |c: &char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
            || matches!(c, '\u{61c}' | '\u{ad}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    };
    text.chars().find(harmful).map(|c| format!("U+{:04X}", u32::from(c)))
}
