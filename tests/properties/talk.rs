//! Hand-made traffic: connections between named ends, said line by line. Every frame comes 200 µs after the last.

use std::{net::SocketAddr, time::Duration};

use observer::engine::time::Timestamp;

use crate::traffic::wire::{ACK, FIN, Owned, RST, SYN, Segment};

/// The key and the accept of RFC 6455 1.3.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Client,
    Server,
}
pub use Side::{Client, Server};

/// One connection: its ends and where each side's bytes have come to.
pub struct Connection {
    ends: [SocketAddr; 2],
    next: [u32; 2],
}

/// All frames so far.
#[derive(Default)]
pub struct Wire {
    pub frames: Vec<Owned>,
    nanos: i64,
}

impl Wire {
    pub fn wait(&mut self, span: Duration) {
        self.nanos += i64::try_from(span.as_nanos()).unwrap();
    }

    /// A connection whose SYN was answered.
    pub fn open(&mut self, client: &str, server: &str) -> Connection {
        let mut connection = self.connection(client, server);
        self.segment(&mut connection, Client, SYN, b"");
        self.segment(&mut connection, Server, SYN | ACK, b"");
        self.segment(&mut connection, Client, ACK, b"");
        connection
    }

    /// A SYN that was refused.
    pub fn refused(&mut self, client: &str, server: &str) {
        let mut connection = self.connection(client, server);
        self.segment(&mut connection, Client, SYN, b"");
        connection.next[1] = 0;
        self.segment(&mut connection, Server, RST | ACK, b"");
    }

    pub fn say(&mut self, connection: &mut Connection, side: Side, text: &str) {
        self.segment(connection, side, ACK, text.as_bytes());
    }

    pub fn bytes(&mut self, connection: &mut Connection, side: Side, bytes: &[u8]) {
        self.segment(connection, side, ACK, bytes);
    }

    pub fn fin(&mut self, connection: &mut Connection, side: Side) {
        self.segment(connection, side, ACK | FIN, b"");
    }

    pub fn reset(&mut self, connection: &mut Connection, side: Side) {
        self.segment(connection, side, ACK | RST, b"");
    }

    /// Both sides end, the given one first.
    pub fn close(&mut self, connection: &mut Connection, first: Side) {
        let other = if first == Client { Server } else { Client };
        self.fin(connection, first);
        self.fin(connection, other);
        self.segment(connection, first, ACK, b"");
    }

    fn connection(&self, client: &str, server: &str) -> Connection {
        let number = u32::try_from(self.frames.len()).unwrap();
        let initial = number.wrapping_mul(0x9e37_79b9) | 1 << 24;
        Connection { ends: [client.parse().unwrap(), server.parse().unwrap()], next: [initial, initial ^ 0x00ff_00ff] }
    }

    fn segment(&mut self, connection: &mut Connection, side: Side, flags: u8, payload: &[u8]) {
        let own = if side == Client { 0 } else { 1 };
        let segment = Segment::said(connection.ends, &mut connection.next, own, flags, payload);
        self.nanos += 200_000;
        let at = Timestamp::from_nanos(1_700_000_000_000_000_000 + self.nanos);
        let like = Owned::raw(at, self.frames.len() as u64 + 1, 0);
        self.frames.push(segment.write(&like));
    }
}

/// A WebSocket upgrade request with a key of its own.
pub fn upgrade(path: &str, key: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: chat.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// The same, as a proxy sends it that is not configured to forward it.
pub fn stripped(path: &str, key: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: chat.test\r\nConnection: keep-alive\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// An ordinary request.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: chat.test\r\n\r\n")
}

/// The 101 to [`KEY`].
pub fn switching() -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
    )
}

/// An answer with a short body.
pub fn answer(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno")
}
