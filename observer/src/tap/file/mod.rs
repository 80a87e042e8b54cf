//! The file tap: pcap and pcapng, packed or not, from files and pipes, merged by time. Reads in blocks into a reused
//! buffer and lends frames out of it: memory does not depend on the size of a file.

mod interface;
mod pcap;
mod pcapng;
mod pipe;
mod reader;
mod record;
mod source;
mod window;

use std::{
    cell::Cell,
    cmp::Reverse,
    collections::BinaryHeap,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use self::reader::Reader;
pub use self::source::Input;
use super::{SharedInterfaces, TapError};
use crate::engine::{frame::Frame, time::Timestamp};

/// Several captures as one. Each is read in its own order; at each step the one whose next frame is the earliest goes
/// first, so a file whose time steps back only moves its own frames.
pub struct FileTap {
    readers: Vec<Option<Reader>>,
    /// Readers that wait with a frame, but for the current one.
    waiting: BinaryHeap<Reverse<(Timestamp, usize)>>,
    /// The reader whose frame is lent, or will be.
    current: Option<usize>,
    /// Whether it is.
    lent: bool,
    stop: Arc<AtomicBool>,
    read: Rc<Cell<u64>>,
    size: Option<u64>,
}

impl FileTap {
    /// Opens captures. Those that fail are named in the second result; the others can be read all the same.
    ///
    /// Once `stop` is set, pipes end; the caller stops asking for frames.
    #[must_use]
    pub fn open(inputs: &[Input], interfaces: &SharedInterfaces, stop: Arc<AtomicBool>) -> (Self, Vec<TapError>) {
        let mut tap = Self {
            readers: Vec::new(),
            waiting: BinaryHeap::new(),
            current: None,
            lent: false,
            stop,
            read: Rc::default(),
            size: Some(0),
        };
        let mut errors = Vec::new();
        for input in inputs {
            if let Err(error) = tap.add(input, interfaces) {
                errors.push(error);
            }
        }
        tap.current = tap.waiting.pop().map(|Reverse((_, index))| index);
        (tap, errors)
    }

    /// The next frame; `None` after the last one. After an error, the other captures go on.
    ///
    /// # Errors
    /// When one of the captures ends in another way than it should.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, TapError> {
        if self.lent {
            self.advance()?;
        }
        let Some(reader) = self.current.and_then(|index| self.readers[index].as_ref()) else { return Ok(None) };
        self.lent = true;
        Ok(reader.frame())
    }

    /// Bytes read so far, and the size of all files; `None` where a pipe is among them.
    #[must_use]
    pub fn progress(&self) -> (u64, Option<u64>) {
        (self.read.get(), self.size)
    }

    fn add(&mut self, input: &Input, interfaces: &SharedInterfaces) -> Result<(), TapError> {
        let source = source::open(input, &self.stop, &self.read)?;
        self.size = self.size.zip(source.size).map(|(all, one)| all + one);
        let mut reader = Reader::new(input, source.bytes, interfaces)?;
        if reader.advance()? {
            self.waiting.push(Reverse((reader.at(), self.readers.len())));
            self.readers.push(Some(reader));
        }
        Ok(())
    }

    /// Moves the current reader on, and makes the one with the earliest frame the current one.
    #[inline]
    fn advance(&mut self) -> Result<(), TapError> {
        self.lent = false;
        let Some(index) = self.current else { return Ok(()) };
        let step = self.readers[index].as_mut().map_or(Ok(false), Reader::advance);
        if !matches!(step, Ok(true)) {
            return self.retire(index, step.err());
        }
        if !self.waiting.is_empty() {
            self.swap(index);
        }
        Ok(())
    }

    /// Lets an earlier frame of another reader go first.
    fn swap(&mut self, index: usize) {
        let at = self.readers[index].as_ref().map_or(Timestamp::MAX, Reader::at);
        if let Some(mut earliest) = self.waiting.peek_mut()
            && earliest.0 < (at, index)
        {
            self.current = Some(earliest.0.1);
            *earliest = Reverse((at, index));
        }
    }

    /// Closes a reader that came to its end.
    #[cold]
    fn retire(&mut self, index: usize, error: Option<TapError>) -> Result<(), TapError> {
        self.readers[index] = None;
        self.current = self.waiting.pop().map(|Reverse((_, next))| next);
        match error {
            // A pipe that was told to stop ends anywhere.
            Some(TapError::Cut { .. }) if self.stop.load(Ordering::Relaxed) => Ok(()),
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}
