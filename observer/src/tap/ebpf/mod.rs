//! The eBPF tap: a program in the kernel looks at every packet of the interfaces, and ships through one ring what the
//! engine needs. It is held by file descriptors alone: when this process ends, however it ends, nothing of it is left.

mod clsact;
mod hooks;
mod lease;
mod links;
mod load;
mod netlink;
mod owners;
mod record;
mod table;

use std::{io, sync::Arc, time::Duration};

use aya::maps::{Array, MapData, RingBuf};
use mio::{Events, Interest, Poll, Token, Waker, unix::SourceFd};
use observer_ebpf::{Counts, Epoch, Frame, Left, Skipped, Start, kind};

pub use self::record::Parts;
use self::{hooks::Hooks, owners::Owners, table::Table};
use super::{
    Seen, SharedInterfaces, TapError, Watcher,
    live::{Change, Clock, Options},
    names::Names,
};
use crate::engine::time::Timestamp;

pub use self::{
    clsact::unhook,
    load::{CAPABILITIES, permission},
};

const WAKE: Token = Token(0);
const RING: Token = Token(1);
const LINKS: Token = Token(2);

/// How long records are left to gather after the first of them has woken us.
const GATHER: Duration = Duration::from_millis(4);

/// A loaded and attached program, and the ring it fills.
pub struct EbpfTap {
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
    ring: RingBuf<MapData>,
    counts: Array<MapData, Counts>,
    /// What had been lost as of the last look.
    lost: u64,
    hooks: Hooks,
    names: Names,
    clock: Clock,
    parts: Parts,
    table: Table,
    epoch: Array<MapData, Epoch>,
    /// For how many connections there had been no room as of the last look.
    full: u64,
    left: Array<MapData, Left>,
    /// Ordinary requests that had been left out as of the last look.
    left_before: u64,
    owners: Owners,
    frames: u64,
}

impl EbpfTap {
    /// Loads the program and attaches it to every interface that was asked for.
    ///
    /// # Errors
    /// When the kernel takes the program not, or not from this user, or an interface is missing.
    pub fn open(options: &Options, interfaces: &SharedInterfaces) -> Result<Self, TapError> {
        let broken = |source| TapError::Poll { source };
        let loaded = load::load(options.buffer, options.ordinary)?;
        let hooks = Hooks::open(loaded.programs, &options.interfaces, options.hook)?;
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
            clock: Clock::start(),
            parts: Parts::default(),
            table: Table::new(loaded.demands, loaded.flows, loaded.talks, options.memory),
            epoch: loaded.epoch,
            full: 0,
            left: loaded.left,
            left_before: 0,
            owners: Owners::default(),
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

    /// Lets capture time go on. Says how many nanoseconds the wall clock is ahead of it, when that was just set.
    pub fn tick(&mut self) -> Option<i64> {
        self.clock.tick()
    }

    /// Capture time as of the last [`Self::tick`].
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Hands out what is there, of at most `most` records. Says whether that were all, and which interfaces came or went.
    pub fn drain(&mut self, most: usize, to: &mut impl Watcher) -> (bool, Vec<Change>) {
        let Self { ring, names, parts, table, owners, clock, frames, .. } = self;
        for _ in 0..most {
            let Some(item) = ring.next() else {
                table.write();
                let mut changes = self.hooks.follow();
                changes.extend(table.trouble().map(|why| Change::Lost(TapError::Costly { why })));
                return (true, changes);
            };
            let Some(start) = observer_ebpf::read::<Start>(&item) else { continue };
            match start.kind {
                kind::FRAME => {
                    let Some(record) = observer_ebpf::read::<Frame>(&item) else { continue };
                    *frames += 1;
                    let (at, interface) = (clock.of_uptime(start.at), names.by_index(start.interface));
                    if let Some(frame) = parts.frame(&item, &record, at, *frames, interface) {
                        let flags = record::flags(&record, frame.bytes);
                        table.before(&record);
                        if let Some(owner) = owners.frame(&record) {
                            to.seen(Seen::Owner(owner));
                        }
                        to.seen(Seen::Frame(&frame));
                        table.after(&record, flags);
                        if record::ends(flags) {
                            owners.forget(record.cookie);
                        }
                    }
                }
                kind::ACTIVITY => {
                    if let Some(activity) = observer_ebpf::read(&item) {
                        table.activity(&activity, clock, to);
                    }
                }
                kind::CONTROL => {
                    if let Some(control) = observer_ebpf::read(&item) {
                        table.control(&control, clock, to);
                    }
                }
                kind::SKIPPED => {
                    if let Some(record) = observer_ebpf::read::<Skipped>(&item) {
                        let ends = (&record.connection, record.client, record.ends);
                        let skipped = table::skipped(ends, record.is_clean != 0, clock.of_uptime(start.at));
                        to.seen(Seen::Skipped(&skipped));
                    }
                }
                kind::OWNER => {
                    if let Some(owner) = observer_ebpf::read(&item).and_then(|record| owners.process(&record)) {
                        to.seen(Seen::Owner(owner));
                    }
                }
                _ => {}
            }
            while let Some(demand) = to.demand() {
                table.demand(&demand);
            }
        }
        table.write();
        (false, Vec::new())
    }

    /// Hands out what the kernel has left out since the last time, if somebody waits for it. To be called each second.
    pub fn look(&mut self, is_awaited: bool, to: &mut impl Watcher) {
        self.table.look(is_awaited, &self.clock, to);
        let full = self.epoch.get(&0, 0).map_or(self.full, |epoch| epoch.full);
        if std::mem::replace(&mut self.full, full) != full {
            self.table.sweep(&self.clock, to);
        }
        let Ok(left) = self.left.get(&0, 0) else { return };
        let left = left.iter().fold(0, |sum: u64, [left, ..]| sum.wrapping_add(*left));
        let more = left.wrapping_sub(std::mem::replace(&mut self.left_before, left));
        to.seen(Seen::LeftOut(more.cast_signed()));
    }

    /// Frames that were not shipped, or not whole, since the last call.
    pub fn drops(&mut self) -> u64 {
        // Where the kernel does not say how many, there may have been some.
        let Ok(counts) = self.counts.get(&0, 0) else { return 1 };
        let lost = counts.iter().sum();
        lost - std::mem::replace(&mut self.lost, lost)
    }
}
