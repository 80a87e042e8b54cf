//! Input that may be silent for long: standard input and named pipes. It is read on a thread of its own, so that a
//! signal can end a run that waits for bytes.

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel},
    },
    thread,
    time::Duration,
};

/// What is read at once; a pipe holds 64 KiB.
const BLOCK: usize = 64 << 10;

/// Blocks that may wait to be taken.
const AHEAD: usize = 4;

/// How soon a stop is noticed, and silence is told.
const PATIENCE: Duration = Duration::from_millis(50);

/// A block, and how much of it is filled.
struct Block {
    bytes: Box<[u8]>,
    filled: usize,
}

/// The reading end. It says `WouldBlock` now and then while nothing comes, and ends early once `stop` is set.
pub(super) struct Pipe {
    full: Receiver<io::Result<Block>>,
    spent: Sender<Block>,
    current: Option<Block>,
    taken: usize,
    stop: Arc<AtomicBool>,
}

impl Pipe {
    /// Opens the input on the thread as well: opening a named pipe waits for its writer.
    pub(super) fn spawn<R: Read>(
        open: impl FnOnce() -> io::Result<R> + Send + 'static,
        stop: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let (full_sender, full) = sync_channel(AHEAD);
        let (spent, spent_receiver) = channel();
        thread::Builder::new().name("pipe".to_owned()).spawn(move || match open() {
            Ok(input) => pump(input, &full_sender, &spent_receiver),
            Err(error) => drop(full_sender.send(Err(error))),
        })?;
        Ok(Self { full, spent, current: None, taken: 0, stop })
    }

    /// Waits for the next block. False where there is none; `WouldBlock` where there is none for now.
    fn refill(&mut self) -> io::Result<bool> {
        if let Some(block) = self.current.take() {
            // The thread may have come to its end.
            let _ = self.spent.send(block);
        }
        self.taken = 0;
        if self.stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        match self.full.recv_timeout(PATIENCE) {
            Ok(block) => {
                self.current = Some(block?);
                Ok(true)
            }
            Err(RecvTimeoutError::Timeout) => Err(io::ErrorKind::WouldBlock.into()),
            Err(RecvTimeoutError::Disconnected) => Ok(false),
        }
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.current.as_ref().is_none_or(|block| self.taken == block.filled) && !self.refill()? {
            return Ok(0);
        }
        let Some(block) = &self.current else { return Ok(0) };
        let ready = &block.bytes[self.taken..block.filled];
        let length = ready.len().min(buffer.len());
        buffer[..length].copy_from_slice(&ready[..length]);
        self.taken += length;
        Ok(length)
    }
}

/// Reads until the end, an error, or until nobody takes blocks any more.
fn pump(mut input: impl Read, full: &SyncSender<io::Result<Block>>, spent: &Receiver<Block>) {
    loop {
        let mut block =
            spent.try_recv().unwrap_or_else(|_| Block { bytes: vec![0; BLOCK].into_boxed_slice(), filled: 0 });
        let message = match input.read(&mut block.bytes) {
            Ok(0) => return,
            Ok(length) => {
                block.filled = length;
                Ok(block)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let failed = message.is_err();
        if full.send(message).is_err() || failed {
            return;
        }
    }
}
