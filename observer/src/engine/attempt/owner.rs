//! Which process holds which end of a connection, as far as a tap knows: shown with each hop, and a hint for joins.

use std::{collections::VecDeque, net::SocketAddr};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::super::{event::Process, tcp::Link};

/// Ends remembered: more than are open at one time with an attempt on them.
const MAX_KEPT: usize = 1 << 16;
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
#[derive(Default, Debug)]
pub(super) struct Owners {
    by_end: HashMap<(SocketAddr, SocketAddr), Process, FixedState>,
    order: VecDeque<(SocketAddr, SocketAddr)>,
    asked: VecDeque<(SocketAddr, SocketAddr)>,
}

impl Owners {
    pub(super) fn add(&mut self, owner: Owner) {
        let end = (owner.local, owner.peer);
        if self.by_end.insert(end, owner.process).is_none() {
            self.order.push_back(end);
        }
        while self.order.len() > MAX_KEPT {
            if let Some(oldest) = self.order.pop_front() {
                self.by_end.remove(&oldest);
            }
        }
    }

    /// A connection left the table: its ports may be used again.
    pub(super) fn forget(&mut self, link: &Link) {
        if !self.by_end.is_empty() {
            self.by_end.remove(&(link.client, link.server));
            self.by_end.remove(&(link.server, link.client));
        }
    }

    /// Asks who holds a connection's ends.
    pub(super) fn ask(&mut self, link: &Link) {
        if self.asked.len() == MAX_ASKED {
            self.asked.pop_front();
        }
        self.asked.push_back((link.client, link.server));
    }

    /// A connection, client first, whose owners a tap may look for.
    pub(super) fn poll(&mut self) -> Option<(SocketAddr, SocketAddr)> {
        self.asked.pop_front()
    }

    /// Who holds the client's and the server's end.
    pub(super) fn of(&self, link: &Link) -> [Option<Process>; 2] {
        if self.by_end.is_empty() {
            return [None, None];
        }
        [(link.client, link.server), (link.server, link.client)].map(|end| self.by_end.get(&end).cloned())
    }

    pub(super) fn memory(&self) -> usize {
        self.order.len() * (3 * size_of::<(SocketAddr, SocketAddr)>() + size_of::<Process>())
    }
}
