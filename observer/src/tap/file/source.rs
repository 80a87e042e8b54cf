//! From a name on the command line to a stream of capture bytes: opens, tells files from pipes, unpacks.

use std::{
    cell::Cell,
    fs::{self, File},
    io::{self, BufReader, Cursor, IsTerminal, Read, Seek, SeekFrom, Take},
    os::{fd::AsFd, unix::fs::FileTypeExt},
    path::PathBuf,
    rc::Rc,
    sync::{Arc, atomic::AtomicBool},
};

use flate2::read::MultiGzDecoder;

use super::pipe::Pipe;
use crate::tap::TapError;

/// A capture as the user named it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// `-`.
    Stdin,
    /// A file, or a named pipe.
    Path(PathBuf),
}

impl Input {
    /// The name as given. Control characters are escaped, so that it can be printed.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Stdin => "-".to_owned(),
            Self::Path(path) => escape(&path.to_string_lossy()),
        }
    }

    /// Whether its bytes may come slowly, so that what they show should be told at once.
    #[must_use]
    pub fn is_pipe(&self) -> bool {
        match self {
            Self::Stdin => true,
            Self::Path(path) => fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()),
        }
    }

    /// The name for a sentence.
    pub(super) fn spoken(&self) -> String {
        match self {
            Self::Stdin => "standard input".to_owned(),
            Self::Path(_) => self.label(),
        }
    }
}

fn escape(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// The bytes of an input.
pub(super) trait Bytes: Read {
    /// Goes on behind so many bytes that nobody reads; only asked of files.
    fn skip(&mut self, _length: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Bytes for Pipe {}

impl<R: Read> Bytes for MultiGzDecoder<R> {}

impl Bytes for File {
    fn skip(&mut self, length: u64) -> io::Result<()> {
        self.seek(SeekFrom::Current(i64::try_from(length).unwrap_or(i64::MAX))).map(drop)
    }
}

/// An open input, before it is unpacked.
pub(super) struct Source {
    pub(super) bytes: Box<dyn Bytes>,
    /// `None` for a pipe.
    pub(super) size: Option<u64>,
}

/// Opens an input. `read` counts the bytes read from it, packed as they are.
pub(super) fn open(input: &Input, stop: &Arc<AtomicBool>, read: &Rc<Cell<u64>>) -> Result<Source, TapError> {
    let source = match input {
        Input::Stdin if io::stdin().is_terminal() => return Err(TapError::Terminal),
        Input::Stdin => open_stdin(stop),
        Input::Path(path) => open_path(path.clone(), stop),
    };
    match source {
        Ok(Some((bytes, size))) => {
            Ok(Source { bytes: Box::new(Counted { inner: bytes, read: Rc::clone(read) }), size })
        }
        Ok(None) => Err(TapError::Directory { file: input.spoken() }),
        Err(source) => Err(TapError::Open { file: input.spoken(), source }),
    }
}

/// A stream, and its size where it is a file's.
type Stream = (Box<dyn Bytes>, Option<u64>);

/// `None` for a directory.
fn open_path(path: PathBuf, stop: &Arc<AtomicBool>) -> io::Result<Option<Stream>> {
    let metadata = fs::metadata(&path)?;
    if metadata.is_dir() {
        return Ok(None);
    }
    if metadata.is_file() {
        return Ok(Some((Box::new(File::open(path)?), Some(metadata.len()))));
    }
    if metadata.file_type().is_fifo() || metadata.file_type().is_char_device() {
        return Ok(Some((Box::new(Pipe::spawn(|| File::open(path), Arc::clone(stop))?), None)));
    }
    Ok(Some((Box::new(File::open(path)?), None)))
}

fn open_stdin(stop: &Arc<AtomicBool>) -> io::Result<Option<Stream>> {
    let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Ok(None);
    }
    if metadata.is_file() {
        return Ok(Some((Box::new(file), Some(metadata.len()))));
    }
    Ok(Some((Box::new(Pipe::spawn(|| Ok(file), Arc::clone(stop))?), None)))
}

/// Counts what is read.
struct Counted {
    inner: Box<dyn Bytes>,
    read: Rc<Cell<u64>>,
}

impl Bytes for Counted {
    fn skip(&mut self, length: u64) -> io::Result<()> {
        self.inner.skip(length)?;
        self.read.set(self.read.get() + length);
        Ok(())
    }
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.read.set(self.read.get() + length as u64);
        Ok(length)
    }
}

/// Unpacks by the first bytes, whatever the file's name says; also tells whether it did.
pub(super) fn unpack(mut packed: Box<dyn Bytes>) -> io::Result<(Box<dyn Bytes>, bool)> {
    let mut magic = [0; 4];
    let length = read_full(&mut packed, &mut magic)?;
    let head = Cursor::new(magic).take(length as u64);
    let whole = Whole { head, rest: packed };
    Ok(match magic[..length] {
        [0x1f, 0x8b, ..] => (Box::new(MultiGzDecoder::new(BufReader::with_capacity(64 << 10, whole))), true),
        _ => (Box::new(whole), false),
    })
}

/// An input whose first bytes were looked at.
struct Whole {
    head: Take<Cursor<[u8; 4]>>,
    rest: Box<dyn Bytes>,
}

impl Read for Whole {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.head.limit() > 0 { self.head.read(buffer) } else { self.rest.read(buffer) }
    }
}

impl Bytes for Whole {
    fn skip(&mut self, length: u64) -> io::Result<()> {
        self.rest.skip(length)
    }
}

/// Reads until the buffer is full or the input ends.
fn read_full(input: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
