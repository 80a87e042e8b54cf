//! The part of a capture that is in memory: one buffer, refilled in blocks and reused. It grows only for a record
//! that is larger, and only as far as bytes really arrive.

use std::{io, ops::Range};

use super::source::Bytes;

/// What is read at once: large enough to hide the cost of the call, small enough to stay in the processor's cache.
const BLOCK: usize = 256 << 10;

/// What is read at first: enough to see when the capture begins. Many captures may wait for their turn so.
const FIRST_BLOCK: usize = 8 << 10;

/// What is read at first behind bytes that were skipped: more may be skipped soon.
const SMALL_BLOCK: usize = 4 << 10;

/// A sliding window over an input.
pub(super) struct Window {
    input: Box<dyn Bytes>,
    /// Up to where bytes can be skipped.
    size: Option<u64>,
    /// What is read at once now.
    block: usize,
    buffer: Vec<u8>,
    /// Bytes that are read but not consumed.
    filled: Range<usize>,
    /// Bytes consumed since the beginning.
    consumed: u64,
    ended: bool,
}

impl Window {
    /// `size` is that of a file.
    pub(super) fn new(input: Box<dyn Bytes>, size: Option<u64>) -> Self {
        let buffer = vec![0; FIRST_BLOCK];
        Self { input, size, block: FIRST_BLOCK, buffer, filled: 0..0, consumed: 0, ended: false }
    }

    /// Whether the next `wanted` bytes are there, after reading more where needed. False when the input ends first.
    #[inline]
    pub(super) fn has(&mut self, wanted: usize) -> io::Result<bool> {
        if self.filled.len() >= wanted { Ok(true) } else { self.fill(wanted) }
    }

    /// The bytes that are there.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.filled.clone()]
    }

    /// Where the next byte is, for [`Self::slice`]; true until the next call of [`Self::has`].
    #[inline]
    pub(super) const fn position(&self) -> usize {
        self.filled.start
    }

    /// Consumes `length` bytes that [`Self::has`] found, and says where they are: that stays true until the next
    /// call of `has`.
    #[inline]
    pub(super) fn consume(&mut self, length: usize) -> Range<usize> {
        let start = self.filled.start;
        let end = (start + length).min(self.filled.end);
        self.filled.start = end;
        self.consumed += (end - start) as u64;
        start..end
    }

    /// Whether the next `length` bytes are in the input but not here, so that skipping them saves time.
    #[inline]
    pub(super) fn can_skip(&self, length: usize) -> bool {
        length > self.filled.len() && self.size.is_some_and(|size| self.consumed + length as u64 <= size)
    }

    /// Consumes bytes that [`Self::can_skip`], or that are here.
    pub(super) fn skip(&mut self, length: usize) -> io::Result<()> {
        let here = self.consume(length).len();
        if length > here {
            let rest = (length - here) as u64;
            self.input.skip(rest)?;
            self.consumed += rest;
            self.block = SMALL_BLOCK;
        }
        Ok(())
    }

    /// Bytes that were consumed.
    #[inline]
    pub(super) fn slice(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// Bytes consumed since the beginning.
    pub(super) const fn offset(&self) -> u64 {
        self.consumed
    }

    /// Where the input ended, once it has.
    pub(super) fn end(&self) -> u64 {
        self.consumed + self.filled.len() as u64
    }

    #[cold]
    fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        self.buffer.copy_within(self.filled.clone(), 0);
        self.filled = 0..self.filled.len();
        if self.consumed > 0 && self.buffer.len() < BLOCK {
            self.buffer.resize(BLOCK, 0);
        }
        while self.filled.len() < wanted && !self.ended {
            if self.filled.end == self.buffer.len() {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
            let until = self.filled.end + self.block.max(wanted - self.filled.len());
            let until = until.min(self.buffer.len());
            self.block = (self.block * 2).min(BLOCK);
            match self.input.read(&mut self.buffer[self.filled.end..until]) {
                Ok(0) => self.ended = true,
                Ok(length) => self.filled.end += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.filled.len() >= wanted)
    }
}
