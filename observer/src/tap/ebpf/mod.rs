//! The eBPF tap: a program in the kernel looks at every packet of the interfaces, and ships through one ring what the
//! engine needs. It is held by file descriptors alone: when this process ends, however it ends, nothing of it is left.

mod clock;
mod hooks;
mod links;
mod load;
mod record;

use std::{io, sync::Arc, time::Duration};

use aya::maps::{MapData, PerCpuArray, RingBuf};
use mio::{Events, Interest, Poll, Token, Waker, unix::SourceFd};
use observer_ebpf::{Counts, count, kind};

use self::{clock::Clock, hooks::Hooks, record::Parts};
use super::{
    SharedInterfaces, TapError,
    live::{Change, Options},
    names::Names,
};
use crate::engine::frame::Frame;

pub use self::load::{CAPABILITIES, permission};

const WAKE: Token = Token(0);
const RING: Token = Token(1);
const LINKS: Token = Token(2);

/// How long records are left to gather after the first of them has woken us.
const GATHER: Duration = Duration::from_millis(10);

/// A loaded and attached program, and the ring it fills.
pub struct EbpfTap {
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
    ring: RingBuf<MapData>,
    counts: PerCpuArray<MapData, Counts>,
    /// What had been lost as of the last look.
    lost: u64,
    hooks: Hooks,
    names: Names,
    clock: Clock,
    parts: Parts,
    frames: u64,
}

impl EbpfTap {
    /// Loads the program and attaches it to every interface that was asked for.
    ///
    /// # Errors
    /// When the kernel takes the program not, or not from this user, or an interface is missing.
    pub fn open(options: &Options, interfaces: &SharedInterfaces) -> Result<Self, TapError> {
        let broken = |source| TapError::Poll { source };
        let loaded = load::load(options.buffer)?;
        let hooks = Hooks::open(loaded.programs, &options.interfaces)?;
        let poll = Poll::new().map_err(broken)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE).map_err(broken)?);
        for (fd, token) in [(loaded.ring_fd, RING), (hooks.fd(), LINKS)] {
            poll.registry().register(&mut SourceFd(&fd), token, Interest::READABLE).map_err(broken)?;
        }
        Ok(Self {
            poll,
            events: Events::with_capacity(16),
            waker,
            ring: loaded.ring,
            counts: loaded.counts,
            lost: 0,
            hooks,
            names: Names::new(interfaces).map_err(broken)?,
            clock: Clock::now(),
            parts: Parts::default(),
            frames: 0,
        })
    }

    /// How many interfaces are watched.
    #[must_use]
    pub const fn watched(&self) -> usize {
        self.hooks.len()
    }

    /// What ends [`Self::wait`] early, from any thread.
    #[must_use]
    pub fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// Whether there is nothing left to read from.
    #[must_use]
    pub fn is_deaf(&self) -> bool {
        self.hooks.len() == 0
    }

    /// Whether interfaces that come may be attached to.
    #[must_use]
    pub fn may_reopen(&self) -> bool {
        self.hooks.may_attach()
    }

    /// Sleeps until there are records, or somebody wakes it, or for `most`.
    ///
    /// # Errors
    /// When the kernel refuses to wait.
    pub fn wait(&mut self, most: Duration) -> Result<(), TapError> {
        match self.poll.poll(&mut self.events, Some(most)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(TapError::Poll { source: error }),
            _ => {}
        }
        // The kernel wakes us for the first record after the ring was empty: one switch for many of them.
        if self.events.iter().any(|event| event.token() == RING) {
            std::thread::sleep(GATHER.min(most));
        }
        Ok(())
    }

    /// Hands out the frames that are there, of at most `most` records. Says whether that were all, and which interfaces
    /// came or went.
    pub fn drain(&mut self, most: usize, mut each: impl FnMut(&Frame<'_>)) -> (bool, Vec<Change>) {
        self.clock = Clock::now();
        for _ in 0..most {
            let Some(item) = self.ring.next() else { return (true, self.hooks.follow()) };
            let Some(start) = observer_ebpf::read::<observer_ebpf::Start>(&item) else { continue };
            let at = self.clock.wall(start.at);
            if start.kind == kind::FRAME {
                self.frames += 1;
                let interface = self.names.by_index(start.interface);
                if let Some(frame) = self.parts.frame(&item, at, self.frames, interface) {
                    each(&frame);
                }
            }
        }
        (false, Vec::new())
    }

    /// Frames that were not shipped, or not whole, since the last call.
    pub fn drops(&mut self) -> u64 {
        let Ok(counts) = self.counts.get(&0, 0) else { return 0 };
        let lost =
            counts.iter().map(|counts| counts[count::RING_FULL] + counts[count::UNREAD] + counts[count::CUT]).sum();
        lost - std::mem::replace(&mut self.lost, lost)
    }
}
