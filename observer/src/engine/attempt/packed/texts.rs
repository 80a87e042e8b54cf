//! Texts as bytes. Of a Sec-WebSocket-Key, its repetition on the next hop and its Sec-WebSocket-Accept only the sixteen bytes
//! are kept that they come from.

use base64::{Engine, prelude::BASE64_STANDARD};

use super::bytes::{number, take, take_number};
use crate::engine::handshake::field;

/// How a text is told: as Sec-WebSocket-Key, that key once more, its Sec-WebSocket-Accept, or by its length plus this.
const KEY: u64 = 0;
const SAME_KEY: u64 = 1;
const ACCEPT: u64 = 2;
const PLAIN: u64 = 3;

/// The key of the handshake, and what answers it: told once, by the bytes that it stands for.
#[derive(Default)]
pub(super) struct Key {
    key: String,
    accept: String,
}

impl Key {
    fn set(&mut self, bytes: &[u8]) {
        self.key = BASE64_STANDARD.encode(bytes);
        self.accept = field::accept(&self.key);
    }

    /// Adds a text to what is `alike`; of a key only that it is one, and its bytes to the attempt's `own`.
    pub(super) fn put(&mut self, text: &str, alike: &mut Vec<u8>, own: &mut Vec<u8>) {
        match text {
            "" => number(alike, PLAIN),
            _ if text == self.key => number(alike, SAME_KEY),
            _ if text == self.accept => number(alike, ACCEPT),
            _ => {
                if let Some(bytes) = raw_key(text) {
                    self.set(&bytes);
                    own.extend(bytes);
                    return number(alike, KEY);
                }
                number(alike, text.len() as u64 + PLAIN);
                alike.extend(text.as_bytes());
            }
        }
    }

    /// Takes a text.
    pub(super) fn take<'a, 'b: 'a>(&'a mut self, alike: &mut &'b [u8], own: &mut &[u8]) -> Option<&'a str> {
        Some(match take_number(alike)? {
            KEY => {
                self.set(take(own, 16)?);
                &self.key
            }
            SAME_KEY => &self.key,
            ACCEPT => &self.accept,
            length => str::from_utf8(take(alike, usize::try_from(length - PLAIN).ok()?)?).ok()?,
        })
    }
}

/// The bytes that a key stands for, where it is exactly what they are written as.
fn raw_key(text: &str) -> Option<[u8; 16]> {
    if text.len() != 24 {
        return None;
    }
    let bytes = <[u8; 16]>::try_from(BASE64_STANDARD.decode(text).ok()?).ok()?;
    (BASE64_STANDARD.encode(bytes) == text).then_some(bytes)
}
