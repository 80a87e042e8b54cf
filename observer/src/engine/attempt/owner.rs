//! Which process holds which end of a connection, as far as a tap knows: shown with each hop, and a hint for joins.

use std::net::SocketAddr;

use foldhash::fast::FixedState;
use lru::LruCache;

use super::super::{event::Process, knowledge::Recently, memory::block, tcp::Link, time::Timestamp};

/// Of a connection: its own address, and the other one.
type End = (SocketAddr, SocketAddr);

/// Ends remembered: more than are open at one time with an attempt on them.
const MAX_KEPT: usize = 1 << 16;
/// What each costs: itself with two links, and its place in the index, which is at least half full.
const ENTRY: usize = block(size_of::<(End, Process, [usize; 2])>()) + 32;
/// Connections that nobody has asked about yet.
const MAX_ASKED: usize = 1024;

/// Which process holds one end of a connection: told by a tap, before or after its first frames.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Owner {
    /// The end that it holds.
    pub local: SocketAddr,
    /// The other end.
    pub peer: SocketAddr,
    /// The process.
    pub process: Process,
}

/// The ends whose processes are known.
#[derive(Debug)]
pub(super) struct Owners {
    /// Only in the order in which they were told: looking does not change it.
    by_end: LruCache<End, Process, FixedState>,
    asked: Recently<End>,
}

impl Owners {
    pub(super) fn new() -> Self {
        Self { by_end: LruCache::unbounded_with_hasher(FixedState::default()), asked: Recently::new(MAX_ASKED) }
    }

    pub(super) fn add(&mut self, owner: Owner) {
        self.by_end.put((owner.local, owner.peer), owner.process);
        if self.by_end.len() > MAX_KEPT {
            self.by_end.pop_lru();
        }
    }

    /// A connection left the table: its ports may be used again.
    pub(super) fn forget(&mut self, link: &Link) {
        if !self.by_end.is_empty() {
            self.by_end.pop(&(link.client, link.server));
            self.by_end.pop(&(link.server, link.client));
        }
    }

    /// Asks who holds a connection's ends. False where that of another had to be forgotten, so that nobody will know.
    pub(super) fn ask(&mut self, link: &Link, at: Timestamp) -> bool {
        self.asked.push(at, (link.client, link.server)).is_none()
    }

    /// A connection, client first, whose owners a tap may look for.
    pub(super) fn poll(&mut self) -> Option<End> {
        self.asked.take()
    }

    /// Who holds the client's and the server's end.
    pub(super) fn of(&self, link: &Link) -> [Option<Process>; 2] {
        if self.by_end.is_empty() {
            return [None, None];
        }
        [(link.client, link.server), (link.server, link.client)].map(|end| self.by_end.peek(&end).cloned())
    }

    pub(super) fn memory(&self) -> usize {
        self.by_end.len() * ENTRY
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{host::Realm, tcp::ConnectionId};

    #[test]
    fn a_connection_that_left_costs_nothing() {
        let mut owners = Owners::new();
        let address = |port: usize| SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap()));
        let process = Process { pid: 7, command: "nginx".into() };
        for port in 1..MAX_KEPT {
            let (local, peer) = (address(port), address(0));
            owners.add(Owner { local, peer, process: process.clone() });
            let link = Link::new(ConnectionId::default(), local, peer, Realm::default());
            assert_eq!(owners.of(&link), [Some(process.clone()), None]);
            owners.forget(&link);
        }
        assert_eq!(owners.memory(), 0);
    }

    #[test]
    fn the_oldest_goes_first() {
        let mut owners = Owners::new();
        let process = Process { pid: 7, command: "nginx".into() };
        let end = |number: u32| (SocketAddr::from((number.to_be_bytes(), 80)), SocketAddr::from(([127, 0, 0, 1], 80)));
        for number in 0..=u32::try_from(MAX_KEPT).unwrap() {
            let (local, peer) = end(number);
            owners.add(Owner { local, peer, process: process.clone() });
        }
        let known = |number| owners.by_end.contains(&end(number));
        assert!(!known(0) && known(1));
    }
}
