//! Connections that were never accepted: why a proxy answers 502 by itself.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::super::{
    event::Silence,
    tcp::{ConnectionId, Link, Opening},
    time::Timestamp,
};

/// Half-open connections, and refusals, remembered.
const MAX_KEPT: usize = 4096;
/// A SYN is sent again after a second (RFC 6298 2.1).
const REPEATED_AFTER: Duration = Duration::from_millis(900);

/// Connections whose SYN was refused or not answered.
#[derive(Default, Debug)]
pub(super) struct Connects {
    half_open: HashMap<ConnectionId, HalfOpen, FixedState>,
    /// Those in the table, oldest first; some have been accepted since.
    order: VecDeque<ConnectionId>,
    refused: VecDeque<(Link, Timestamp)>,
}

/// A SYN without an answer.
#[derive(Clone, Copy, Debug)]
struct HalfOpen {
    link: Link,
    at: Timestamp,
    repeated: bool,
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
            Opening::Syn => self.syn(link, at),
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

    fn syn(&mut self, link: &Link, at: Timestamp) {
        if let Some(known) = self.half_open.get_mut(&link.id) {
            known.repeated |= known.at.distance(at) >= REPEATED_AFTER;
            known.at = known.at.min(at);
            return;
        }
        while self.order.len() >= MAX_KEPT {
            let oldest = self.order.pop_front();
            oldest.and_then(|oldest| self.half_open.remove(&oldest));
        }
        self.order.push_back(link.id);
        self.half_open.insert(link.id, HalfOpen { link: *link, at, repeated: false });
    }

    /// Bytes held, by estimate.
    pub(super) fn memory(&self) -> usize {
        self.order.len() * 160 + self.refused.len() * 96
    }

    /// Connections from a proxy's `hosts` to another endpoint that failed between two points in time: those that hung
    /// first, then those that were refused, which says more. One SYN without an answer yet proves nothing.
    pub(super) fn failed(
        &self,
        proxy: SocketAddr,
        hosts: &[IpAddr],
        (from, to): (Timestamp, Timestamp),
    ) -> Vec<Failed> {
        let fits = |link: &Link, at: Timestamp| {
            hosts.contains(&link.client.ip()) && link.server != proxy && from <= at && at <= to
        };
        let hung = |half: &&HalfOpen| half.repeated || to.since(half.at) >= REPEATED_AFTER;
        let hanging = self.half_open.values().filter(|half| fits(&half.link, half.at)).filter(hung);
        let hanging = hanging.map(|half| Failed { link: half.link, at: half.at, silence: Silence::Unreachable });
        let refused = self.refused.iter().filter(|(link, at)| fits(link, *at));
        let refused = refused.map(|&(link, at)| Failed { link, at, silence: Silence::Refused });
        let mut all: Vec<_> = hanging.chain(refused).collect();
        all.sort_by_key(|failed| {
            (failed.silence == Silence::Refused, failed.at, failed.link.client, failed.link.server)
        });
        all
    }
}
