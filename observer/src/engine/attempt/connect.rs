//! Connections that were never accepted: why a proxy answers 502 by itself.

use std::{collections::VecDeque, net::SocketAddr};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::super::{
    event::Silence,
    tcp::{ConnectionId, Link, Opening},
    time::Timestamp,
};

/// Half-open connections, and refusals, remembered.
const MAX_KEPT: usize = 4096;

/// Connections whose SYN was refused or not answered.
#[derive(Default, Debug)]
pub(super) struct Connects {
    half_open: HashMap<ConnectionId, (Link, Timestamp), FixedState>,
    refused: VecDeque<(Link, Timestamp)>,
}

/// A connection that came to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Failed {
    pub(super) link: Link,
    pub(super) at: Timestamp,
    pub(super) silence: Silence,
}

impl Connects {
    pub(super) fn opened(&mut self, link: &Link, opening: Opening, at: Timestamp) {
        match opening {
            Opening::Syn if self.half_open.len() < MAX_KEPT => {
                self.half_open.entry(link.id).or_insert((*link, at));
            }
            Opening::Syn => {}
            Opening::Accepted | Opening::Middle => {
                self.half_open.remove(&link.id);
            }
            Opening::Refused => {
                self.half_open.remove(&link.id);
                if self.refused.len() == MAX_KEPT {
                    self.refused.pop_front();
                }
                self.refused.push_back((*link, at));
            }
        }
    }

    /// Bytes held, by estimate.
    pub(super) fn memory(&self) -> usize {
        self.half_open.len() * 128 + self.refused.len() * 96
    }

    /// Connections from the host of `proxy` to another endpoint that failed, or hung, between two points in time.
    pub(super) fn failed(&self, proxy: SocketAddr, from: Timestamp, to: Timestamp) -> Vec<Failed> {
        let fits = |link: &Link, at: Timestamp| {
            link.client.ip() == proxy.ip() && link.server != proxy && from <= at && at <= to
        };
        let refused = self.refused.iter().filter(|(link, at)| fits(link, *at));
        let refused = refused.map(|&(link, at)| Failed { link, at, silence: Silence::Refused });
        let hanging = self.half_open.values().filter(|(link, at)| fits(link, *at));
        let hanging = hanging.map(|&(link, at)| Failed { link, at, silence: Silence::Unreachable });
        let mut all: Vec<_> = refused.chain(hanging).collect();
        all.sort_by_key(|failed| (failed.at, failed.link.client, failed.link.server));
        all
    }
}
