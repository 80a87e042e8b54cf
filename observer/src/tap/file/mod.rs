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
    collections::{BinaryHeap, binary_heap::PeekMut},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use self::reader::{Reader, Step};
pub use self::source::Input;
use super::{SharedInterfaces, TapError};
use crate::engine::{
    clocks::Clocks,
    frame::{ClockId, Frame},
};

/// Several captures as one. Each is read in its own order; at each step the one whose next frame is the earliest goes
/// first, so a file whose time steps back only moves its own frames.
pub struct FileTap {
    /// The capture whose frame is lent, or will be.
    current: Option<Box<Waiting>>,
    /// Whether it is.
    lent: bool,
    /// The others.
    waiting: BinaryHeap<Box<Waiting>>,
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
        Self::open_by(inputs, interfaces, &Clocks::default(), stop)
    }

    /// As [`Self::open`]; frames tell the time by one clock, as far as it is known how others stand to it.
    #[must_use]
    pub fn open_by(
        inputs: &[Input],
        interfaces: &SharedInterfaces,
        clocks: &Clocks,
        stop: Arc<AtomicBool>,
    ) -> (Self, Vec<TapError>) {
        Self::open_each(inputs.iter().enumerate(), interfaces, clocks, stop)
    }

    /// Opens those that can be read once more later.
    #[must_use]
    pub fn open_files(inputs: &[Input], stop: Arc<AtomicBool>) -> (Self, Vec<TapError>) {
        let files = inputs.iter().enumerate().filter(|(_, input)| !input.is_pipe());
        Self::open_each(files, &SharedInterfaces::default(), &Clocks::default(), stop)
    }

    /// The first clock of the capture at a place among all, and the only one if it has one section.
    #[must_use]
    pub fn first_clock(place: usize) -> ClockId {
        record::clock(place, 0)
    }

    fn open_each<'a>(
        inputs: impl Iterator<Item = (usize, &'a Input)>,
        interfaces: &SharedInterfaces,
        clocks: &Clocks,
        stop: Arc<AtomicBool>,
    ) -> (Self, Vec<TapError>) {
        let mut tap =
            Self { current: None, lent: false, waiting: BinaryHeap::new(), stop, read: Rc::default(), size: Some(0) };
        let mut errors = Vec::new();
        for (place, input) in inputs {
            match tap.add(place, input, interfaces, clocks) {
                // A pipe that was told to stop ends anywhere.
                Err(_) if tap.stop.load(Ordering::Relaxed) => break,
                Err(error) => errors.push(error),
                Ok(()) => {}
            }
        }
        tap.current = tap.waiting.pop();
        (tap, errors)
    }

    /// What comes next. After an error, the other captures go on.
    ///
    /// # Errors
    /// When one of the captures ends in another way than it should.
    #[inline]
    pub fn next_turn(&mut self) -> Result<Turn<'_>, TapError> {
        if self.lent && !self.advance()? {
            return Ok(Turn::Quiet);
        }
        self.lent = self.current.is_some();
        Ok(match &self.current {
            None => Turn::End,
            Some(current) if current.reader.is_begun() => Turn::Head(current.reader.frame()),
            Some(current) => Turn::Frame(current.reader.frame()),
        })
    }

    /// All of the frame of which [`Turn::Head`] gave the first bytes; `None` where there is no such frame.
    ///
    /// # Errors
    /// When the capture ends in it.
    pub fn whole(&mut self) -> Result<Option<Frame<'_>>, TapError> {
        let Some(current) = &mut self.current else { return Ok(None) };
        match current.reader.complete() {
            Ok(()) => Ok(self.current.as_ref().map(|current| current.reader.frame())),
            Err(error) => {
                self.lent = false;
                self.retire(Some(error)).map(|()| None)
            }
        }
    }

    /// Bytes read so far, and the size of all files; `None` where a pipe is among them.
    #[must_use]
    pub fn progress(&self) -> (u64, Option<u64>) {
        (self.read.get(), self.size)
    }

    /// The next frame, however long it takes; `None` after the last one.
    ///
    /// # Errors
    /// As [`Self::next_turn`].
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, TapError> {
        while self.lent && !self.advance()? {}
        self.lent = self.current.is_some();
        self.whole()
    }

    fn add(
        &mut self,
        place: usize,
        input: &Input,
        interfaces: &SharedInterfaces,
        clocks: &Clocks,
    ) -> Result<(), TapError> {
        let source = source::open(input, &self.stop, &self.read)?;
        self.size = self.size.zip(source.size).map(|(all, one)| all + one);
        let mut reader = Reader::new(place, input, source, interfaces)?.by(clocks);
        loop {
            match reader.advance()? {
                Step::Frame => break self.waiting.push(Box::new(Waiting { place, reader })),
                Step::Quiet => {}
                Step::End => break,
            }
        }
        Ok(())
    }

    /// Moves the current capture on, and makes the one with the earliest frame the current one. False where it is
    /// quiet, and no other one waits: as long as one does, the quiet one may still bring what came before.
    #[inline]
    fn advance(&mut self) -> Result<bool, TapError> {
        let Some(current) = &mut self.current else { return Ok(true) };
        let step = loop {
            match current.reader.advance() {
                Ok(Step::Quiet) if self.waiting.is_empty() => return Ok(false),
                Ok(Step::Quiet) => {}
                other => break other,
            }
        };
        self.lent = false;
        match step {
            Ok(Step::Frame | Step::Quiet) => {
                if let Some(earliest) = self.waiting.peek_mut()
                    && *earliest > *current
                {
                    swap(earliest, current);
                }
                Ok(true)
            }
            Ok(Step::End) => self.retire(None).map(|()| true),
            Err(error) => self.retire(Some(error)).map(|()| true),
        }
    }

    /// Closes the current capture, which came to its end.
    #[cold]
    fn retire(&mut self, error: Option<TapError>) -> Result<(), TapError> {
        self.current = self.waiting.pop();
        match error {
            Some(TapError::Cut { .. }) if self.stop.load(Ordering::Relaxed) => Ok(()),
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// What a tap gives when it is asked.
#[derive(Debug)]
pub enum Turn<'a> {
    /// A frame.
    Frame(Frame<'a>),
    /// The first bytes of a long frame, all of which are captured. The rest is read when [`FileTap::whole`] asks for it.
    Head(Frame<'a>),
    /// Nothing comes for now; ask again.
    Quiet,
    /// Nothing will come.
    End,
}

fn swap(mut earliest: PeekMut<'_, Box<Waiting>>, current: &mut Box<Waiting>) {
    std::mem::swap(&mut *earliest, current);
}

/// A capture with a frame to give. The greatest is the one whose frame is the earliest, as a heap wants it; between
/// equals, the one named first.
struct Waiting {
    place: usize,
    reader: Reader,
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.reader.at(), other.place).cmp(&(self.reader.at(), self.place))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}
