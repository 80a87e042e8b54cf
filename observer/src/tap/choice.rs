//! Which tap watches this host: the one in the kernel where it loads, else libpcap. Both hand out the same frames.

use std::{os::fd::RawFd, sync::Arc, time::Duration};

use mio::Waker;

#[cfg(feature = "ebpf")]
use super::ebpf::EbpfTap;
use super::{
    Seen, SharedInterfaces, TapError, Watcher,
    live::{Change, LiveTap, Options},
};
use crate::engine::time::Timestamp;

/// What the user wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice {
    /// The best that works here.
    Auto,
    /// The program in the kernel.
    #[cfg(feature = "ebpf")]
    Ebpf,
    /// libpcap.
    Pcap,
}

/// The tap that was taken.
#[expect(clippy::large_enum_variant, reason = "there is one in a process")]
pub enum HostTap {
    /// The program in the kernel.
    #[cfg(feature = "ebpf")]
    Ebpf(EbpfTap),
    /// libpcap.
    Pcap(LiveTap),
}

/// Calls a method of whichever tap it is.
macro_rules! either {
    ($tap:expr, $it:ident => $call:expr) => {
        match $tap {
            #[cfg(feature = "ebpf")]
            HostTap::Ebpf($it) => $call,
            HostTap::Pcap($it) => $call,
        }
    };
}

impl HostTap {
    /// Opens the tap of choice. With [`Choice::Auto`], says also why it is not the one in the kernel.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(
        choice: Choice,
        options: &Options,
        interfaces: &SharedInterfaces,
    ) -> Result<(Self, Option<TapError>), TapError> {
        #[cfg(feature = "ebpf")]
        let why = match (choice, &options.filter) {
            (Choice::Ebpf, _) => return Ok((Self::Ebpf(EbpfTap::open(options, interfaces)?), None)),
            // The filter is in libpcap's language.
            (Choice::Auto, None) => match EbpfTap::open(options, interfaces) {
                Ok(tap) => return Ok((Self::Ebpf(tap), None)),
                Err(error @ TapError::NoInterface { .. }) => return Err(error),
                Err(error) => Some(error),
            },
            _ => None,
        };
        #[cfg(not(feature = "ebpf"))]
        let (why, Choice::Auto | Choice::Pcap) = (None, choice);
        Ok((Self::Pcap(LiveTap::open(options, interfaces)?), why))
    }

    /// Whether a program in the kernel has to be talked to.
    #[must_use]
    pub const fn has_program(&self) -> bool {
        !matches!(self, Self::Pcap(_))
    }

    /// The sockets that capture, by which frames could be sent as well.
    #[must_use]
    pub fn packet_sockets(&self) -> Vec<RawFd> {
        match self {
            #[cfg(feature = "ebpf")]
            Self::Ebpf(_) => Vec::new(),
            Self::Pcap(tap) => tap.packet_sockets(),
        }
    }

    /// What ends [`Self::wait`] early, from any thread.
    #[must_use]
    pub fn waker(&self) -> Arc<Waker> {
        either!(self, tap => tap.waker())
    }

    /// Whether there is nothing left to read from.
    #[must_use]
    pub fn is_deaf(&self) -> bool {
        either!(self, tap => tap.is_deaf())
    }

    /// Whether what vanished may be watched again.
    #[must_use]
    pub fn may_reopen(&self) -> bool {
        either!(self, tap => tap.may_reopen())
    }

    /// Sleeps until there are frames, or somebody wakes it, or for `most`.
    ///
    /// # Errors
    /// When the kernel refuses to wait.
    pub fn wait(&mut self, most: Duration) -> Result<(), TapError> {
        either!(self, tap => tap.wait(most))
    }

    /// Lets capture time go on. Says how many nanoseconds the wall clock is ahead of it, when that was just set.
    pub fn tick(&mut self) -> Option<i64> {
        either!(self, tap => tap.tick())
    }

    /// Capture time as of the last [`Self::tick`].
    #[must_use]
    pub fn now(&self) -> Timestamp {
        either!(self, tap => tap.now())
    }

    /// Hands out the frames that are there, at most about `most`. Says whether that were all, and which interfaces came
    /// or went.
    pub fn drain(&mut self, most: usize, to: &mut impl Watcher) -> (bool, Vec<Change>) {
        match self {
            #[cfg(feature = "ebpf")]
            Self::Ebpf(tap) => tap.drain(most, to),
            Self::Pcap(tap) => tap.drain(most, |frame| to.seen(Seen::Frame(frame))),
        }
    }

    /// Hands out what the kernel has left out since the last time, if somebody waits for it. To be called each second.
    #[cfg_attr(not(feature = "ebpf"), expect(unused_variables, reason = "libpcap leaves nothing out"))]
    pub fn look(&mut self, is_awaited: bool, to: &mut impl Watcher) {
        #[cfg(feature = "ebpf")]
        if let Self::Ebpf(tap) = self {
            tap.look(is_awaited, to);
        }
    }

    /// Frames that the kernel dropped since the last call.
    pub fn drops(&mut self) -> u64 {
        either!(self, tap => tap.drops())
    }

    /// Tries to open again what vanished. Says what changed.
    pub fn reopen(&mut self) -> Vec<Change> {
        match self {
            // The kernel tells it which interfaces come.
            #[cfg(feature = "ebpf")]
            Self::Ebpf(_) => Vec::new(),
            Self::Pcap(tap) => tap.reopen(),
        }
    }
}
