//! The live tap: frames from the interfaces of this host, through libpcap. One handle on the pseudo-device `any`, or
//! one for each interface that was named; all are read by one thread that sleeps in one poll. Frames are lent out of
//! the kernel's ring, never copied.

mod clock;
mod handle;

use std::{io, os::fd::RawFd, sync::Arc, time::Duration};

use mio::{Events, Interest, Poll, Token, Waker, unix::SourceFd};

pub use self::clock::{Clock, Reading};
use self::handle::Handle;
use super::{SharedInterfaces, TapError, names::Names};
use crate::engine::{frame::Frame, time::Timestamp};

/// Every interface, also those that appear later.
pub const ANY: &str = "any";

/// What the other end of [`Waker`] is registered as.
const WAKE: Token = Token(usize::MAX);

/// The latest a frame is seen after it was captured, while this thread keeps up: the kernel hands a block of its ring
/// over when it is full or 10 ms old; the rest is what timers of both sides are late by.
pub const LAG: Duration = Duration::from_millis(13);

/// What to capture.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The interfaces; none for every interface.
    pub interfaces: Vec<String>,
    /// What the user wants of all TCP, in the language of `pcap-filter`(7).
    pub filter: Option<String>,
    /// Bytes of the ring between kernel and observer, for each handle.
    pub buffer: usize,
    /// Ordinary requests per second that are looked at while no upgrade is under way, where the tap can leave them out.
    pub ordinary: u32,
    /// How the program in the kernel is attached.
    pub hook: Hook,
    /// Bytes for what is known of connections of which payload is left out.
    pub memory: usize,
}

/// How a program in the kernel is attached to an interface.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Hook {
    /// As this kernel has it.
    #[default]
    Auto,
    /// By links, of Linux 6.6, which end with their process.
    Tcx,
    /// By filters, which another process removes.
    Clsact,
}

/// Open handles.
pub struct LiveTap {
    options: Options,
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
    handles: Vec<Handle>,
    /// Interfaces that vanished, and may come back.
    gone: Vec<Gone>,
    names: Names,
    frames: u64,
    clock: Clock,
}

/// An interface that vanished.
struct Gone {
    name: String,
    /// Keeps the number of its descriptor: the fence lets nothing be written to that number, so it is not to become
    /// another file's.
    _handle: Handle,
    /// Whether the user knows that it cannot be opened again.
    told: bool,
}

/// What happened to an interface while running.
#[derive(Debug)]
pub enum Change {
    /// It vanished, or could not be read any more.
    Lost(TapError),
    /// It is back.
    Back(String),
}

impl LiveTap {
    /// Opens every interface that was asked for.
    ///
    /// # Errors
    /// When one of them cannot be opened, or the filter does not compile.
    pub fn open(options: &Options, interfaces: &SharedInterfaces) -> Result<Self, TapError> {
        let broken = |source| TapError::Poll { source };
        let poll = Poll::new().map_err(broken)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE).map_err(broken)?);
        let mut tap = Self {
            options: options.clone(),
            poll,
            events: Events::with_capacity(16),
            waker,
            handles: Vec::new(),
            gone: Vec::new(),
            names: Names::new(interfaces).map_err(broken)?,
            frames: 0,
            clock: Clock::start(),
        };
        let mut wanted = options.interfaces.clone();
        wanted.dedup();
        if wanted.is_empty() {
            wanted.push(ANY.to_owned());
        }
        for name in &wanted {
            if !tap.handles.iter().any(|handle| handle.name == *name) {
                tap.add(name)?;
            }
        }
        Ok(tap)
    }

    /// The sockets that capture, by which frames could be sent as well.
    #[must_use]
    pub fn packet_sockets(&self) -> Vec<RawFd> {
        self.handles.iter().map(Handle::fd).collect()
    }

    /// What ends [`Self::wait`] early, from any thread.
    #[must_use]
    pub fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// Whether there is nothing left to read from.
    #[must_use]
    pub fn is_deaf(&self) -> bool {
        self.handles.is_empty()
    }

    /// Whether what vanished may be opened again.
    #[must_use]
    pub fn may_reopen(&self) -> bool {
        self.gone.iter().any(|gone| !gone.told)
    }

    /// Sleeps until there are frames, or somebody wakes it, or for `most`.
    ///
    /// # Errors
    /// When the kernel refuses to wait.
    pub fn wait(&mut self, most: Duration) -> Result<(), TapError> {
        match self.poll.poll(&mut self.events, Some(most)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(TapError::Poll { source: error }),
            _ => Ok(()),
        }
    }

    /// Lets capture time go on. Says how many nanoseconds the wall clock is ahead of it, when that was just set.
    pub fn tick(&mut self) -> Option<i64> {
        self.clock.tick()
    }

    /// Capture time as of the last [`Self::tick`].
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Hands out the frames that are there, at most `most` of each handle. Says whether that were all, and which
    /// interface was lost.
    pub fn drain(&mut self, most: usize, mut each: impl FnMut(&Frame<'_>)) -> (bool, Vec<Change>) {
        let (mut empty, mut lost) = (true, Vec::new());
        let Self { handles, names, frames, clock, .. } = self;
        let mut each = |frame: &Frame<'_>| each(&Frame { at: clock.of_frame(frame.at), ..*frame });
        for (at, handle) in handles.iter_mut().enumerate() {
            match handle.drain(most, names, frames, &mut each) {
                Ok(0) => {}
                Ok(_) => empty = false,
                Err(error) => lost.push((at, error)),
            }
        }
        // The last first, so that places stay true.
        let changes = lost.into_iter().rev().map(|(at, error)| self.lose(at, error)).collect();
        (empty, changes)
    }

    /// Frames that the kernel dropped since the last call.
    pub fn drops(&mut self) -> u64 {
        self.handles.iter_mut().map(Handle::drops).sum()
    }

    /// Tries to open again what vanished. Says what changed.
    pub fn reopen(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for mut gone in std::mem::take(&mut self.gone) {
            if !self.names.exists(&gone.name) {
                self.gone.push(gone);
                continue;
            }
            match self.add(&gone.name) {
                Ok(()) => changes.push(Change::Back(gone.name)),
                Err(error) => {
                    if !std::mem::replace(&mut gone.told, true) {
                        changes.push(Change::Lost(error));
                    }
                    self.gone.push(gone);
                }
            }
        }
        changes
    }

    fn add(&mut self, name: &str) -> Result<(), TapError> {
        let handle = Handle::open(name, &self.options, &mut self.names)?;
        // Edges are enough: whoever waits has drained every handle before.
        self.poll
            .registry()
            .register(&mut SourceFd(&handle.fd()), Token(0), Interest::READABLE)
            .map_err(|source| TapError::Poll { source })?;
        self.handles.push(handle);
        Ok(())
    }

    fn lose(&mut self, at: usize, error: TapError) -> Change {
        let handle = self.handles.swap_remove(at);
        // It may have left by itself.
        let _ = self.poll.registry().deregister(&mut SourceFd(&handle.fd()));
        self.gone.push(Gone { name: handle.name.clone(), _handle: handle, told: false });
        Change::Lost(error)
    }
}

/// An interface of this host.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Whether it is up.
    pub up: bool,
    /// Its addresses.
    pub addresses: Vec<std::net::IpAddr>,
}

/// The network interfaces of this host, without libpcap's other devices.
///
/// # Errors
/// When libpcap cannot list them.
pub fn devices() -> Result<Vec<Device>, TapError> {
    let listed = pcap::Device::list().map_err(|error| TapError::List { why: handle::plain(&error) })?;
    let names = Names::new(&SharedInterfaces::default()).map_err(|source| TapError::Poll { source })?;
    let real = listed.into_iter().filter(|device| names.exists(&device.name));
    Ok(real
        .map(|device| Device {
            up: device.flags.is_up(),
            addresses: device.addresses.iter().map(|address| address.addr).collect(),
            name: device.name,
        })
        .collect())
}
