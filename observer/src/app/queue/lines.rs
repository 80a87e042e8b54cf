//! Where lines go, one write each: a line is whole or absent, also when the disk is full. A file can be opened again under
//! its name, which is how logs are rotated.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::{
        fd::AsFd,
        unix::fs::{OpenOptionsExt, fchown},
    },
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Context;

use crate::app::fence::TargetUser;

/// Who may read a log: its owner and its group.
const MODE: u32 = 0o640;
/// No line is longer.
const LONGEST: u64 = 16 << 10;
/// How each record begins.
const BEGINNING: &[u8] = b"{\"@timestamp\":\"";
/// How long to wait for a reader whose end was made not to block.
const AGAIN: Duration = Duration::from_millis(10);

/// An output for whole lines. Clones are the same output.
#[derive(Clone)]
pub(in crate::app) struct Lines(Arc<Mutex<Place>>);

struct Place {
    file: File,
    /// Nothing for standard output.
    path: Option<PathBuf>,
    /// What to do where the file cannot be opened again.
    advice: String,
    /// A line was begun, could not be ended, and could not be taken back.
    torn: bool,
    broken: Arc<AtomicBool>,
}

impl Lines {
    /// Standard output.
    pub(in crate::app) fn stdout(broken: Arc<AtomicBool>) -> anyhow::Result<Self> {
        let file = io::stdout().as_fd().try_clone_to_owned().context("cannot write to standard output")?;
        Ok(Self::new(File::from(file), None, String::new(), false, broken))
    }

    /// The end of a file, which is made where there is none, for the user that runs behind the fence.
    pub(in crate::app) fn append(path: &Path, user: &TargetUser, broken: Arc<AtomicBool>) -> anyhow::Result<Self> {
        let failed = || format!("cannot create --output {}", path.display());
        let mut torn = false;
        let file = match OpenOptions::new().append(true).create_new(true).mode(MODE).open(path) {
            Ok(file) => {
                if let Some((uid, gid)) = user.ids {
                    fchown(&file, Some(uid), Some(gid)).with_context(failed)?;
                }
                file
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                torn = mend(path).with_context(failed)?;
                open(path).with_context(failed)?
            }
            Err(error) => return Err(error).with_context(failed),
        };
        Ok(Self::new(file, Some(path.to_owned()), advice(user), torn, broken))
    }

    fn new(file: File, path: Option<PathBuf>, advice: String, torn: bool, broken: Arc<AtomicBool>) -> Self {
        Self(Arc::new(Mutex::new(Place { file, path, advice, torn, broken })))
    }

    /// Opens the file under its name again. Where that fails the old one goes on.
    ///
    /// # Errors
    /// With what to do.
    pub(super) fn reopen(&self) -> anyhow::Result<()> {
        let place = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(path) = &place.path else { return Ok(()) };
        place.file =
            open(path).with_context(|| format!("cannot open --output {} again {}", path.display(), place.advice))?;
        place.torn = false;
        Ok(())
    }
}

fn advice(TargetUser { name, may_open, .. }: &TargetUser) -> String {
    if *may_open {
        format!(
            "as {name}; lines go to the file that was open before. Let logrotate make it for that user (`create 0640 \
             {name}`), give {name} the directory, or name its owner with --user"
        )
    } else {
        "without Landlock, which this kernel does not have or enable; lines go to the file that was open before. Let \
         logrotate copy it (`copytruncate`), or start with --fence off"
            .to_owned()
    }
}

/// Takes away the beginning of a line at the end of a file: who wrote it was killed before its end. Says whether what
/// stands there is somebody else's, and no line.
fn mend(path: &Path) -> io::Result<bool> {
    if !fs::metadata(path)?.is_file() {
        return Ok(false);
    }
    // What may only be written to is left as it is.
    let Ok(mut file) = OpenOptions::new().read(true).write(true).open(path) else { return Ok(false) };
    let length = file.metadata()?.len();
    let from = length.saturating_sub(LONGEST);
    file.seek(SeekFrom::Start(from))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    let start = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let line = &end[start..];
    let is_ours = BEGINNING.starts_with(line) || line.starts_with(BEGINNING);
    if is_ours {
        file.set_len(from + start as u64)?;
    }
    Ok(!is_ours)
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(MODE).open(path)
}

impl Write for Lines {
    /// All of it, or an error and nothing.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).whole(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Place {
    fn whole(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.torn {
            // What stands there is no line; at least the next one begins on its own.
            self.put(b"\n").map_err(|(_, error)| error)?;
            self.torn = false;
        }
        self.put(bytes).map_err(|(written, error)| {
            if written > 0 && self.take_back(written).is_err() {
                self.torn = true;
            }
            if error.kind() == io::ErrorKind::BrokenPipe {
                self.broken.store(true, Ordering::Relaxed);
            }
            error
        })
    }

    /// Writes; where that fails, says how far it came.
    fn put(&self, bytes: &[u8]) -> Result<(), (u64, io::Error)> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match (&self.file).write(rest) {
                Ok(0) => return Err(((bytes.len() - rest.len()) as u64, io::ErrorKind::WriteZero.into())),
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(AGAIN),
                Err(error) => return Err(((bytes.len() - rest.len()) as u64, error)),
            }
        }
        Ok(())
    }

    /// Cuts off what was written of a line that has no room.
    fn take_back(&self, written: u64) -> io::Result<()> {
        let metadata = self.file.metadata()?;
        if !metadata.is_file() {
            return Err(io::ErrorKind::NotSeekable.into());
        }
        let length = metadata.len().saturating_sub(written);
        self.file.set_len(length)?;
        (&self.file).seek(SeekFrom::Start(length)).map(drop)
    }
}
