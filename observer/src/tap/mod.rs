//! Taps: where frames come from. A tap knows nothing above the link layer.

#[cfg(feature = "pcap")]
mod choice;
#[cfg(feature = "ebpf")]
pub mod ebpf;
mod error;
pub mod file;
#[cfg(feature = "pcap")]
pub mod live;
#[cfg(feature = "pcap")]
mod names;
#[cfg(feature = "pcap")]
pub mod owner;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

#[cfg(feature = "pcap")]
pub use self::choice::{Choice, HostTap};
pub use self::error::{TapError, permission, program};
use crate::engine::frame::{ClockId, InterfaceId};
#[cfg(feature = "pcap")]
use crate::engine::{
    attempt::Owner,
    demand::{Activity, Control, Demand, Skipped},
    frame::Frame,
};

/// What a tap sees live.
#[cfg(feature = "pcap")]
#[derive(Clone, Debug)]
pub enum Seen<'a> {
    /// A frame.
    Frame(&'a Frame<'a>),
    /// Payload was left out.
    Activity(&'a Activity),
    /// Ordinary requests were left out.
    Skipped(&'a Skipped),
    /// So many more of them in all since the last time; fewer where one was shown after all.
    LeftOut(i64),
    /// A control frame in what was left out.
    Control(&'a Control<'a>),
    /// A process holds an end of a connection.
    Owner(Owner),
}

/// What a live tap hands to, and asks.
#[cfg(feature = "pcap")]
pub trait Watcher {
    /// Something was seen.
    fn seen(&mut self, seen: Seen<'_>);
    /// What is wanted of a connection from now on, if there is news.
    fn demand(&mut self) -> Option<Demand>;
}

/// Where frames of one [`InterfaceId`] were captured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InterfaceInfo {
    /// The interface's own name, where the tap knows it. Comes from outside: sinks escape it.
    pub name: Option<String>,
    /// The file as the user named it, or `-`.
    pub source: String,
    /// The clock that stamps its frames.
    pub clock: ClockId,
}

/// All interfaces of a run, by [`InterfaceId`]; grows as taps discover them. Clones share one table, also over threads.
#[derive(Clone, Default, Debug)]
pub struct SharedInterfaces(Arc<RwLock<Vec<InterfaceInfo>>>);

impl SharedInterfaces {
    /// The table as it stands. A tap that discovers an interface waits as long as this is held.
    pub fn borrow(&self) -> RwLockReadGuard<'_, Vec<InterfaceInfo>> {
        // A panic elsewhere leaves the table whole: it is only ever pushed to.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an interface to the table and gives it its id.
    pub fn register(&self, info: InterfaceInfo) -> InterfaceId {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let id = InterfaceId(u32::try_from(table.len()).unwrap_or(u32::MAX));
        table.push(info);
        id
    }
}
