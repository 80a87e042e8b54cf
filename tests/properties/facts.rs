//! What is told of a hop beside its request and its answer, by hand-made scenarios: the same however the bytes were cut, and
//! where payload stays in the kernel.

use std::{fmt::Write, time::Duration};

use observer::engine::event::{Attempt, Hop, Tunnel, TunnelHop};

use crate::{
    kernel,
    talk::{Client, KEY, Server, Wire, answer, switching, upgrade},
    traffic::{
        mutate,
        observe::{Seen, observe},
        random::Random,
    },
};

const PROXY: &str = "10.0.0.1:80";
const ORIGIN: &str = "10.0.1.2:3000";

/// Says of every hop what `tell` does, whole, cut in many ways, and by a tap that leaves payload where it is.
fn check(wire: &Wire, tell: impl Fn(&Hop) -> String, expected: &str) {
    check_all(wire, expected, |seen| {
        let hops = |attempt: &Attempt| attempt.hops.iter().map(&tell).collect::<Vec<_>>().join(", ");
        seen.attempts.iter().map(|attempt| hops(attempt)).collect::<Vec<_>>().join("; ")
    });
}

/// Says of every hop of every tunnel what `tell` does.
fn check_tunnels(wire: &Wire, tell: impl Fn(&TunnelHop) -> String, expected: &str) {
    check_all(wire, expected, |seen| {
        let hops = |tunnel: &Tunnel| tunnel.hops.iter().flatten().map(&tell).collect::<Vec<_>>().join(", ");
        seen.ended.iter().map(hops).collect::<Vec<_>>().join("; ")
    });
}

fn check_all(wire: &Wire, expected: &str, told: impl Fn(&Seen) -> String) {
    assert_eq!(told(&observe(&wire.frames)), expected, "whole");
    for seed in 0..8 {
        let frames = mutate::recut(&wire.frames, &mut Random::new("facts", seed));
        assert_eq!(told(&observe(&frames)), expected, "cut by seed {seed}");
        for late in [1, 5] {
            let luck = kernel::Luck { late, talks: 8, ..kernel::Luck::default() };
            let (seen, _) = kernel::observe(&frames, luck, Random::new("facts late", seed));
            assert_eq!(told(&seen), expected, "in the kernel, seed {seed}, late {late}");
        }
    }
}

fn not_http(hop: &Hop) -> String {
    let mut told = format!("{:?}", hop.silence);
    if let Some(first) = &hop.not_http {
        let protocol = first.protocol().map_or("?", |protocol| protocol.as_str());
        let _ = write!(told, " {protocol} {}", first.escaped());
    }
    told
}

#[test]
fn what_a_server_says_in_place_of_an_answer_is_kept() {
    for (bytes, told) in [
        (&b"RFB 003.008\n"[..], "vnc RFB 003.008\\n"),
        (b"220 mail.test ESMTP Postfix, and more than is kept", "smtp-or-ftp 220 mail.test ESMTP Postfix, and"),
        (b"\x15\x03\x01\0\x02\x02\x46", "tls-alert \\x15\\x03\\x01\\x00\\x02\\x02F"),
        (b"plain text\n", "text plain text\\n"),
    ] {
        for speaks_first in [false, true] {
            let mut wire = Wire::default();
            let request = upgrade("/ws", KEY);
            let mut down = wire.open("10.9.0.1:5000", PROXY);
            wire.say(&mut down, Client, &request);
            let mut up = wire.open("10.0.0.1:6000", ORIGIN);
            let sides = if speaks_first { [Server, Client] } else { [Client, Server] };
            for side in sides {
                wire.bytes(&mut up, side, if side == Server { bytes } else { request.as_bytes() });
            }
            wire.wait(Duration::from_millis(500));
            wire.close(&mut up, Client);
            wire.say(&mut down, Server, &answer("502 Bad Gateway"));
            check(&wire, not_http, &format!("None, Some(NotHttp) {told}"));
        }
    }
}

#[test]
fn later_bytes_of_a_server_are_no_first_ones() {
    let mut wire = Wire::default();
    let mut down = wire.open("10.9.0.1:5000", PROXY);
    wire.say(&mut down, Client, &crate::talk::get("/"));
    wire.say(&mut down, Server, &answer("200 OK"));
    wire.say(&mut down, Client, &upgrade("/ws", KEY));
    wire.say(&mut down, Server, "not what was due");
    wire.close(&mut down, Server);
    check(&wire, not_http, "Some(NotCaptured)");
}

#[test]
fn a_mail_client_asks_for_nothing() {
    let mut wire = Wire::default();
    let mut mail = wire.open("10.9.0.1:5000", "10.0.0.1:25");
    wire.say(&mut mail, Server, "220 mail.test ESMTP\r\n");
    wire.say(&mut mail, Client, "EHLO a.test\r\n");
    wire.say(&mut mail, Server, "250 mail.test\r\n");
    wire.close(&mut mail, Client);
    check(&wire, not_http, "");
    assert_eq!(observe(&wire.frames).stats.requests, 0);
}

fn status(hop: &Hop) -> String {
    let response = hop.response.as_ref().map(|response| (response.status, response.fields.len()));
    format!("{response:?} {:?}", hop.silence)
}

/// As HAProxy does before a server that does not expect it.
const PROXY_LINE: &str = "PROXY TCP4 10.9.0.1 10.0.0.1 5000 80\r\n";

#[test]
fn an_answer_to_a_proxy_line_is_that_to_the_request() {
    let mut wire = Wire::default();
    let mut down = wire.open("10.9.0.1:5000", PROXY);
    let mut up = wire.open("10.0.0.1:6000", ORIGIN);
    wire.say(&mut up, Client, PROXY_LINE);
    for (hop, side) in [(&mut up, Server), (&mut down, Server)] {
        wire.say(hop, side, &answer("400 Bad Request"));
        wire.fin(hop, side);
    }
    wire.say(&mut down, Client, &upgrade("/ws", KEY));
    wire.say(&mut up, Client, &upgrade("/ws", KEY));
    wire.fin(&mut down, Client);
    wire.fin(&mut up, Client);
    check(&wire, status, "Some((400, 1)) None, Some((400, 1)) None");
}

#[test]
fn an_answer_to_half_a_head_is_an_answer() {
    let request = upgrade("/ws", KEY);
    for (rest_comes, resets) in [(true, false), (false, true), (false, false)] {
        let mut wire = Wire::default();
        let mut down = wire.open("10.9.0.1:5000", PROXY);
        wire.say(&mut down, Client, &request[..request.len() - 20]);
        wire.say(&mut down, Server, &answer("431 Request Header Fields Too Large"));
        wire.fin(&mut down, Server);
        if rest_comes {
            wire.say(&mut down, Client, &request[request.len() - 20..]);
        }
        if resets {
            wire.reset(&mut down, Client);
        } else {
            wire.fin(&mut down, Client);
        }
        check(&wire, status, "Some((431, 1)) None");
    }
}

/// The answer to a request that was not captured is not that to the next one.
#[test]
fn an_answer_to_another_request_is_none_to_a_later_one() {
    let mut wire = Wire::default();
    let mut down = wire.open("10.9.0.1:5000", PROXY);
    wire.say(&mut down, Client, &crate::talk::get("/lost"));
    wire.frames.pop();
    wire.say(&mut down, Server, &answer("400 Bad Request"));
    wire.say(&mut down, Client, &upgrade("/ws", KEY));
    wire.say(&mut down, Server, &switching());
    check(&wire, status, "Some((101, 3)) None");
}

#[test]
fn a_head_that_is_too_long_is_read_as_far_as_it_goes() {
    let head = upgrade("/ws", KEY);
    let long = format!("{}X-Long: {}\r\n\r\n", &head[..head.len() - 2], "x".repeat(70 << 10));
    let mut wire = Wire::default();
    let mut down = wire.open("10.9.0.1:5000", PROXY);
    for part in long.as_bytes().chunks(8 << 10) {
        wire.bytes(&mut down, Client, part);
    }
    wire.say(&mut down, Server, &answer("400 Bad Request"));
    wire.close(&mut down, Server);
    check(&wire, status, "Some((400, 1)) None");
}

fn body(hop: &Hop) -> String {
    format!("{:?}", hop.response.as_ref().and_then(|response| response.body.as_ref()))
}

#[test]
fn the_beginning_of_a_refusals_body_is_kept() {
    let long = "b".repeat(3000);
    for (head, bytes, told) in [
        ("Content-Length: 3", "why", "Some(Text(\"why\"))"),
        ("Content-Length: 0", "", "None"),
        ("Transfer-Encoding: chunked", "2\r\nwh\r\n1;x=y\r\ny\r\n0\r\n\r\n", "Some(Text(\"why\"))"),
        ("Content-Encoding: br\r\nContent-Length: 3", "\x01\x02\x03", "Some(Coded(\"br\"))"),
        ("Content-Length: 3", "\x01\x02\x03", "Some(Binary)"),
        ("Content-Length: 3000", &*long, &*format!("Some(Text(\"{}\"))", &long[..1024])),
    ] {
        let mut wire = Wire::default();
        let mut down = wire.open("10.9.0.1:5000", PROXY);
        wire.say(&mut down, Client, &upgrade("/ws", KEY));
        wire.say(&mut down, Server, &format!("HTTP/1.1 400 Bad Request\r\n{head}\r\n\r\n{bytes}"));
        wire.close(&mut down, Server);
        check(&wire, body, told);
    }
}

/// A text frame from the server's side, and one from the client's.
const TEXT: &[u8] = b"\x81\x02hi";
const MASKED: &[u8] = b"\x81\x82\0\0\0\0hi";

fn broken(hop: &TunnelHop) -> String {
    hop.broken.as_ref().map_or("whole".to_owned(), |broken| {
        let side = if broken.from_client { "client" } else { "server" };
        format!("{side} {:?} {}", broken.first.status(), broken.first.escaped())
    })
}

#[test]
fn an_answer_inside_a_tunnel_is_no_missing_byte() {
    let second = "server Some(101) HTTP/1.1 101 Switching Protocols";
    for frames in [0, 1, 3] {
        let mut wire = Wire::default();
        let mut down = wire.open("10.9.0.1:5000", PROXY);
        wire.say(&mut down, Client, &upgrade("/ws", KEY));
        wire.say(&mut down, Server, &switching());
        for _ in 0..frames {
            wire.bytes(&mut down, Client, MASKED);
            wire.bytes(&mut down, Server, TEXT);
        }
        wire.say(&mut down, Server, &switching());
        wire.bytes(&mut down, Server, TEXT);
        wire.close(&mut down, Client);
        check_tunnels(&wire, broken, second);
        let incomplete = observe(&wire.frames).ended.iter().any(|tunnel| tunnel.incomplete);
        assert!(!incomplete, "no bytes are missing");
    }
    // In one segment with the first.
    let mut wire = Wire::default();
    let mut down = wire.open("10.9.0.1:5000", PROXY);
    wire.say(&mut down, Client, &upgrade("/ws", KEY));
    wire.say(&mut down, Server, &[switching(), switching()].concat());
    wire.close(&mut down, Client);
    check_tunnels(&wire, broken, second);
}

#[test]
fn an_answer_behind_missing_bytes_of_a_tunnel_is_none() {
    let mut wire = Wire::default();
    let mut down = wire.open("10.9.0.1:5000", PROXY);
    wire.say(&mut down, Client, &upgrade("/ws", KEY));
    wire.say(&mut down, Server, &switching());
    wire.bytes(&mut down, Server, &[b"\x82\x7e\x01\x00", &[b'x'; 100][..]].concat());
    wire.frames.pop();
    wire.say(&mut down, Server, &switching());
    wire.close(&mut down, Client);
    check_tunnels(&wire, broken, "whole");
    assert!(observe(&wire.frames).ended.iter().all(|tunnel| tunnel.incomplete));
}

fn closes(hop: &TunnelHop) -> String {
    let codes = hop.closes.map(|close| close.map(|close| close.code));
    let silent = hop.last_before_close_at.map(|last| {
        let first = hop.closes.into_iter().flatten().map(|close| close.at).min();
        first.map(|first| first.since(last).as_secs())
    });
    format!("{codes:?} {silent:?}")
}

/// A Close frame that the proxy makes up towards the client only.
#[test]
fn close_frames_are_told_by_hop_and_direction() {
    let mut wire = Wire::default();
    let request = upgrade("/ws", KEY);
    let mut down = wire.open("10.9.0.1:5000", PROXY);
    wire.say(&mut down, Client, &request);
    let mut up = wire.open("10.0.0.1:6000", ORIGIN);
    wire.say(&mut up, Client, &request);
    wire.say(&mut up, Server, &switching());
    wire.say(&mut down, Server, &switching());
    wire.bytes(&mut up, Server, TEXT);
    wire.bytes(&mut down, Server, TEXT);
    wire.wait(Duration::from_secs(600));
    wire.bytes(&mut down, Server, b"\x88\x02\x03\xe8");
    wire.bytes(&mut down, Client, b"\x88\x82\0\0\0\0\x03\xe8");
    wire.close(&mut down, Server);
    wire.fin(&mut up, Client);
    wire.fin(&mut up, Server);
    let told = "[Some(Some(1000)), Some(Some(1000))] Some(Some(600)), [None, None] None";
    let hops = |seen: &Seen| seen.ended[0].hops.iter().flatten().map(closes).collect::<Vec<_>>().join(", ");
    for seed in 0..8 {
        let frames = mutate::recut(&wire.frames, &mut Random::new("closes", seed));
        assert_eq!(hops(&observe(&frames)), told, "cut by seed {seed}");
    }
}

fn before(hop: &Hop) -> String {
    let header = hop.proxy_header.as_ref().map(|header| (header.version(), header.length, header.line.clone()));
    let interim = hop.interim.map(|interim| (interim.status, interim.count));
    format!("{header:?} {interim:?} {}", status(hop))
}

#[test]
fn a_proxy_header_is_kept() {
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\x09\0\x01\x0a\0\0\x01\x13\x88\0\x50";
    for (header, told) in [
        (PROXY_LINE.as_bytes(), "Some((1, 38, Some(\"PROXY TCP4 10.9.0.1 10.0.0.1 5000 80\")))"),
        (v2, "Some((2, 28, None))"),
        (b"", "None"),
    ] {
        let mut wire = Wire::default();
        let mut up = wire.open("10.0.0.1:6000", ORIGIN);
        wire.bytes(&mut up, Client, header);
        wire.say(&mut up, Client, &upgrade("/ws", KEY));
        wire.say(&mut up, Server, &answer("400 Bad Request"));
        wire.close(&mut up, Server);
        check(&wire, before, &format!("{told} None Some((400, 1)) None"));
    }
}

#[test]
fn interim_responses_are_counted() {
    for (interim, told) in [("", "None"), ("100 Continue", "Some((100, 2))"), ("103 Early Hints", "Some((103, 2))")] {
        let mut wire = Wire::default();
        let mut up = wire.open("10.0.0.1:6000", ORIGIN);
        wire.say(&mut up, Client, &upgrade("/ws", KEY));
        if !interim.is_empty() {
            wire.say(&mut up, Server, &format!("HTTP/1.1 {interim}\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"));
        }
        wire.say(&mut up, Server, &switching());
        wire.close(&mut up, Server);
        check(&wire, before, &format!("None {told} Some((101, 3)) None"));
    }
}
