use std::{fmt::Write, net::SocketAddr};

use super::*;
use crate::engine::{
    event::{Mixup, Reply},
    http::{RequestHead, ResponseHead},
};

/// Writes down what it hears of a connection whose sides speak different protocols.
#[derive(Default)]
struct Heard(Vec<String>);

impl Listener for Heard {
    fn request(&mut self, _: &Link, head: &RequestHead<'_>, _: Option<&ProxyHeader>) -> Option<Ticket> {
        self.0.push(format!("asks for {}", head.target));
        None
    }

    fn mixup(&mut self, _: &Link, mixup: &Mixup, _: Stamp) {
        let mut line = mixup.client.protocol().map_or("?", |protocol| protocol.as_str()).to_owned();
        let _ = match &mixup.server {
            Reply::Bytes(first) => write!(line, " got {:?} {}", first.status(), first.bytes.escape_ascii()),
            silent => write!(line, " got {silent:?}"),
        };
        self.0.push(line);
    }

    fn asks(&mut self, _: &Link, _: Stamp) {}
    fn response(&mut self, _: Ticket, _: &ResponseHead<'_>) {}
    fn interim(&mut self, _: Ticket, _: &ResponseHead<'_>) {}
    fn body(&mut self, _: Ticket, _: &[u8]) {}
    fn not_http(&mut self, _: Ticket, _: &[u8], _: Stamp) {}
    fn unanswered(&mut self, _: Ticket, _: Silence, _: Timestamp) {}
    fn left(&mut self, _: Ticket, _: Silence, _: Timestamp) {}
    fn tunnel(&mut self, _: Ticket, _: &Tunnel, _: Option<Closed>, _: Timestamp) {}
    fn spoke(&mut self, _: Ticket) {}
    fn http2(&mut self, _: &Link, _: Stamp) {
        self.0.push("switches to http2".to_owned());
    }
    fn hole(&mut self, _: &Link, _: Hole) {}
    fn classified(&mut self, _: &Link, _: FlowClass) {}
    fn tls_ended(&mut self, _: &Link, _: &TlsConnection) {}
    fn disowned(&mut self, _: &Link) {}
    fn closed(&mut self, _: &Link, _: Closed) {}
    fn opened(&mut self, _: &Link, _: Opening, _: Stamp) {}
    fn anomaly(&mut self, _: &Link, _: AnomalyKind, _: Stamp) {}
}

/// What happens on a connection.
#[derive(Clone, Copy)]
enum Act {
    Said(Direction, &'static [u8]),
    Ended(Direction, End),
    /// Bytes are missing.
    Missed(Direction),
}
use Act::{Ended, Missed, Said};
use Direction::{ToClient, ToServer};

const FIN: End = End::Fin { heard: true };

/// Plays what happens with the bytes cut into pieces of a length, and compares what is heard.
fn check(acts: &[Act], expected: &[&str]) {
    let address = |end: &str| end.parse::<SocketAddr>().unwrap();
    let server = address("10.0.0.1:80");
    let link = Link::new(Default::default(), address("10.9.0.1:5000"), server, Default::default());
    for length in [1, 2, 7, 4096] {
        let (mut dialogue, mut heard) = (Dialogue::<Heard>::default(), Heard::default());
        let stamp = Stamp::default();
        dialogue.opened(&mut heard, &link, Opening::Accepted, stamp);
        for act in acts {
            match *act {
                Said(way, bytes) => bytes.chunks(length).for_each(|piece| {
                    assert_eq!(dialogue.bytes(&mut heard, &link, way, piece, stamp), piece.len());
                }),
                Ended(way, end) => dialogue.end(&mut heard, &link, way, end, stamp.at),
                Missed(way) => {
                    let missing = Missing { length: 5, stamp, by: stamp.at, clock: None };
                    dialogue.gap(&mut heard, &link, way, &missing);
                }
            }
        }
        dialogue.close(&mut heard, &link, Closed::Ended, stamp.at);
        let kept = |line: &String| expected.iter().any(|known| known.is_empty() || line.starts_with(known));
        assert!(heard.0.len() == expected.len() && heard.0.iter().all(kept), "by {length}: {:?}", heard.0);
    }
}

/// A ClientHello that says nothing.
const HELLO: &[u8] = b"\x16\x03\x01\0\x04\x01\0\0\0";

#[test]
fn tls_to_a_port_that_does_not_speak_it_is_told() {
    let plain: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\r\n";
    check(&[Said(ToServer, HELLO), Said(ToClient, plain)], &["tls got Some(400) HTTP/1.1 400"]);
    check(&[Said(ToServer, HELLO), Said(ToClient, b"RFB 003.008\n")], &["tls got None R"]);
    check(&[Said(ToClient, b"SSH-2.0-x\r\n"), Said(ToServer, HELLO)], &["tls got None SSH-2.0-x"]);
    check(&[Said(ToServer, HELLO), Ended(ToClient, FIN)], &["tls got Closed"]);
    check(&[Said(ToServer, HELLO), Ended(ToClient, End::Reset)], &["tls got Reset"]);
}

#[test]
fn tls_between_those_who_speak_it_is_no_mixup() {
    check(&[Said(ToServer, HELLO), Said(ToClient, b"\x16\x03\x03\0\x02\x02\0"), Ended(ToClient, FIN)], &[]);
    check(&[Said(ToServer, HELLO), Said(ToClient, b"\x15\x03\x03\0\x02\x02\x70"), Ended(ToClient, FIN)], &[]);
    // The client gave up first; bytes are missing; the answer is cut.
    check(&[Said(ToServer, HELLO), Ended(ToServer, FIN), Ended(ToClient, FIN)], &[]);
    check(&[Said(ToServer, HELLO), Missed(ToClient), Said(ToClient, b"HTTP/1.1 400 Bad Request\r\n\r\n")], &[]);
    check(&[Said(ToServer, HELLO), Said(ToClient, b"\x16"), Ended(ToClient, FIN)], &[]);
}

#[test]
fn other_protocols_to_an_http_port_are_told() {
    let connect: &[u8] = b"\x10\x16\0\x04MQTT\x04\x02\0\x3c\0\x0aobserver-1";
    let plain: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\r\n";
    check(&[Said(ToServer, connect), Said(ToClient, plain)], &["mqtt got Some(400) HTTP/1.1 400"]);
    check(&[Said(ToServer, connect), Said(ToClient, b"\x20\x02\0\0")], &[]);
    check(&[Said(ToServer, connect), Ended(ToClient, FIN)], &[]);
    let preface: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    check(&[Said(ToServer, preface), Said(ToClient, plain)], &["http2 got Some(400)"]);
    check(&[Said(ToServer, preface), Said(ToClient, b"\0\0\0\x04\0\0\0\0\0")], &[]);
}

#[test]
fn a_switch_to_http2_is_told() {
    let asked: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n";
    let other: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let http2: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    check(&[Said(ToServer, asked), Said(ToClient, http2)], &["asks for /", "switches to http2"]);
    check(&[Said(ToServer, asked), Said(ToClient, other)], &["asks for /"]);
}
