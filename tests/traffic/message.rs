//! Requests and responses as the actors pass them on.

use base64::{Engine, prelude::BASE64_STANDARD};
use sha1::{Digest, Sha1};

use super::random::Random;

/// Field lines in order.
#[derive(Clone, Default, Debug)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// Puts a value in the place of the one that is there, or at the end.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        match self.0.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((_, known)) => *known = value.into(),
            None => self.0.push((name.to_owned(), value.into())),
        }
    }

    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    pub fn lower(&mut self) {
        self.0.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
    }

    fn write(&self, to: &mut String) {
        for (name, value) in &self.0 {
            to.push_str(name);
            to.push_str(": ");
            to.push_str(value);
            to.push_str("\r\n");
        }
        to.push_str("\r\n");
    }
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: &'static str,
    pub target: String,
    /// HTTP/1.0.
    pub old: bool,
    pub fields: Fields,
    pub body: Vec<u8>,
}

impl Request {
    pub fn get(target: &str) -> Self {
        let mut fields = Fields::default();
        fields.set("Host", "chat.test");
        Self { method: "GET", target: target.to_owned(), old: false, fields, body: Vec::new() }
    }

    /// Asks for another protocol.
    pub fn upgrade(target: &str, token: &str) -> Self {
        let mut request = Self::get(target);
        request.fields.set("Connection", "Upgrade");
        request.fields.set("Upgrade", token);
        request
    }

    pub fn websocket(target: &str, key: &str) -> Self {
        let mut request = Self::upgrade(target, "websocket");
        request.fields.set("Sec-WebSocket-Key", key);
        request.fields.set("Sec-WebSocket-Version", "13");
        request
    }

    pub fn key(&self) -> Option<&str> {
        self.fields.get("Sec-WebSocket-Key")
    }

    /// Whether Upgrade and `Connection: upgrade` are both there.
    pub fn is_upgrade(&self) -> bool {
        let asks = |value: &str| value.split(',').any(|member| member.trim().eq_ignore_ascii_case("upgrade"));
        self.fields.get("Upgrade").is_some() && self.fields.get("Connection").is_some_and(asks)
    }

    /// Whether it is a handshake that a server may accept, where it asks for WebSocket (RFC 6455 4.2.1).
    pub fn is_proper(&self) -> bool {
        let has = |name: &str| self.fields.get(name).is_some();
        let key = self.key().is_some_and(|key| key.len() == 24 && key.ends_with("=="));
        self.fields.get("Upgrade") != Some("websocket") || key && has("Sec-WebSocket-Version") && has("Host")
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.{}\r\n", self.method, self.target, u8::from(!self.old));
        self.fields.write(&mut text);
        [text.as_bytes(), &self.body].concat()
    }
}

/// How a body tells its end (RFC 9112 6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    Length,
    Chunked,
    /// By the end of the connection.
    Close,
    /// None, whatever the fields say: 101, 204, 304, the answer to HEAD.
    None,
}

/// A response.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub fields: Fields,
    pub body: Vec<u8>,
    pub framing: Framing,
}

impl Response {
    pub fn new(status: u16, body: &[u8]) -> Self {
        Self { status, fields: Fields::default(), body: body.to_vec(), framing: Framing::Length }
    }

    pub fn switching(token: &str, key: Option<&str>) -> Self {
        let mut response = Self { framing: Framing::None, ..Self::new(101, b"") };
        response.fields.set("Connection", "Upgrade");
        response.fields.set("Upgrade", token);
        if let Some(key) = key {
            response.fields.set("Sec-WebSocket-Accept", accept(key));
        }
        response
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut fields = self.fields.clone();
        match self.framing {
            Framing::Length => fields.set("Content-Length", self.body.len().to_string()),
            Framing::Chunked => fields.set("Transfer-Encoding", "chunked"),
            Framing::Close => fields.set("Connection", "close"),
            Framing::None => {}
        }
        let mut text = format!("HTTP/1.1 {} Said\r\n", self.status);
        fields.write(&mut text);
        let mut bytes = text.into_bytes();
        match self.framing {
            Framing::Length | Framing::Close => bytes.extend(&self.body),
            Framing::Chunked => {
                for part in self.body.chunks(300) {
                    bytes.extend(format!("{:x}\r\n", part.len()).bytes());
                    bytes.extend(part);
                    bytes.extend(b"\r\n");
                }
                bytes.extend(b"0\r\n\r\n");
            }
            Framing::None => {}
        }
        bytes
    }
}

/// A new Sec-WebSocket-Key.
pub fn new_key(random: &mut Random) -> String {
    BASE64_STANDARD.encode([random.next().to_be_bytes(), random.next().to_be_bytes()].concat())
}

/// What RFC 6455 4.2.2 asks of the answer to a key.
pub fn accept(key: &str) -> String {
    BASE64_STANDARD.encode(Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")))
}

/// A WebSocket frame (RFC 6455 5.2); a client's is masked.
pub fn frame(opcode: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let marked = if mask.is_some() { 0x80 } else { 0 };
    let mut bytes = vec![0x80 | opcode];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short), _) if short < 126 => bytes.push(marked | short),
        (_, Ok(length)) => {
            bytes.push(marked | 126);
            bytes.extend(length.to_be_bytes());
        }
        _ => {
            bytes.push(marked | 127);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend(mask.iter().flatten());
    let mask = mask.unwrap_or_default();
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}
