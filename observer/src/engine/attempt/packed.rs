//! Attempts of open tunnels, kept small until their end is told. What clients and proxies say is nearly the same each time, so
//! it is compressed (LZ4) by what was said in earlier attempts: mostly one reference to that. What differs takes few bytes.

pub(super) mod bytes;
mod facts;
mod texts;

use std::collections::BTreeMap;

use lz4_flex::block::{compress_with_dict, decompress_with_dict};

use self::{
    bytes::{number, take_number},
    facts::Unpacker,
};
use super::super::{event::Attempt, memory::block};

/// Bytes of phrases, at most.
const PHRASES: usize = 8 << 10;
/// Attempts that are packed by the same phrases, at most.
const RENEWED_AFTER: u64 = 4096;

/// An attempt, packed. It has to be taken back by [`Packing`] when it is needed no more.
#[derive(Debug)]
pub(super) struct Packed(Box<[u8]>);

/// What packs attempts, and gives them back as they were.
#[derive(Default, Debug)]
pub(super) struct Packing {
    /// Phrases by number: the latest, and those by which others are packed.
    phrases: BTreeMap<u64, Phrases>,
    latest: u64,
    packed: u64,
    memory: usize,
}

/// What was said in earlier attempts.
#[derive(Default, Debug)]
struct Phrases {
    said: Box<[u8]>,
    /// Attempts that are packed by it.
    users: u64,
}

impl Packed {
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Bytes that it refers to.
    pub(super) fn memory(&self) -> usize {
        block(self.0.len())
    }
}

impl Packing {
    /// Bytes that the phrases cost.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    pub(super) fn pack(&mut self, attempt: &Attempt) -> Packed {
        let plain = facts::pack(attempt);
        let phrases = self.phrases.entry(self.latest).or_default();
        phrases.users += 1;
        let mut bytes = Vec::new();
        number(&mut bytes, self.latest);
        number(&mut bytes, plain.bytes.len() as u64);
        bytes.extend(compress_with_dict(&plain.bytes, &phrases.said));
        self.packed += 1;
        if self.packed.is_power_of_two() || self.packed.is_multiple_of(RENEWED_AFTER) {
            self.learn(&plain.bytes[plain.alike..]);
        }
        Packed(bytes.into())
    }

    /// What comes like this is packed well from now on.
    fn learn(&mut self, said: &[u8]) {
        let before = self.phrases.get(&self.latest).map_or(&[][..], |phrases| &phrases.said);
        let mut all = [before, said].concat();
        all.drain(..all.len().saturating_sub(PHRASES));
        self.memory += block(all.len());
        self.latest += 1;
        self.phrases.insert(self.latest, Phrases { said: all.into(), users: 0 });
    }

    pub(super) fn unpack(&self, packed: &Packed) -> Attempt {
        self.read(packed).expect("what was packed is unpacked by the phrases that it was packed by")
    }

    fn read(&self, packed: &Packed) -> Option<Attempt> {
        let mut bytes = &*packed.0;
        let phrases = self.phrases.get(&take_number(&mut bytes)?)?;
        let length = usize::try_from(take_number(&mut bytes)?).ok()?;
        let plain = decompress_with_dict(bytes, length, &phrases.said).ok()?;
        Unpacker::new(&plain)?.attempt()
    }

    /// The attempt, which is needed no more in its packed form.
    pub(super) fn take(&mut self, packed: &Packed) -> Attempt {
        let attempt = self.unpack(packed);
        if let Some(number) = take_number(&mut &*packed.0)
            && let Some(phrases) = self.phrases.get_mut(&number)
        {
            phrases.users -= 1;
            if phrases.users == 0 && number != self.latest {
                self.memory -= block(phrases.said.len());
                self.phrases.remove(&number);
            }
        }
        attempt
    }
}

#[cfg(test)]
mod tests;
