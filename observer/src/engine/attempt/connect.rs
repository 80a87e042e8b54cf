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
    frame::InterfaceId,
    tcp::{ConnectionId, Link, Opening, Stamp},
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
    refused: VecDeque<(Link, Timestamp, InterfaceId)>,
}

/// A SYN without an answer.
#[derive(Clone, Copy, Debug)]
struct HalfOpen {
    link: Link,
    at: Timestamp,
    interface: InterfaceId,
    repeated: bool,
}

/// A connection that came to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Failed {
    pub(super) link: Link,
    pub(super) at: Timestamp,
    pub(super) silence: Silence,
    pub(super) interface: InterfaceId,
}

impl Connects {
    pub(super) fn opened(&mut self, link: &Link, opening: Opening, stamp: Stamp) {
        match opening {
            Opening::Syn => self.syn(link, stamp),
            Opening::Accepted | Opening::Middle => {
                self.half_open.remove(&link.id);
            }
            Opening::Refused => {
                self.half_open.remove(&link.id);
                if self.refused.len() == MAX_KEPT {
                    self.refused.pop_front();
                }
                self.refused.push_back((*link, stamp.at, stamp.interface));
            }
        }
    }

    fn syn(&mut self, link: &Link, stamp: Stamp) {
        let Stamp { at, interface, .. } = stamp;
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
        self.half_open.insert(link.id, HalfOpen { link: *link, at, interface, repeated: false });
    }

    /// Bytes held, by estimate.
    pub(super) fn memory(&self) -> usize {
        self.order.len() * 2 * (size_of::<HalfOpen>() + 32)
            + self.refused.len() * 2 * size_of::<(Link, Timestamp, InterfaceId)>()
    }

    /// Connections from a proxy's `hosts` to another endpoint that failed between two points in time, the likeliest last.
    /// One SYN without an answer yet proves nothing. The clock of another tap than `own` may be apart by `skew`: what
    /// failed only by that comes before all others.
    pub(super) fn failed(
        &self,
        proxy: SocketAddr,
        hosts: &[IpAddr],
        (from, to): (Timestamp, Timestamp),
        (own, skew): (InterfaceId, Duration),
    ) -> Vec<Failed> {
        let fits = |failed: &Failed| {
            let skew = if failed.interface == own { Duration::ZERO } else { skew };
            let during = from.before(skew) <= failed.at && failed.at <= to + skew;
            during && hosts.contains(&failed.link.client.ip()) && failed.link.server != proxy
        };
        let hung = |half: &&HalfOpen| half.repeated || to.since(half.at) >= REPEATED_AFTER;
        let hanging = self.half_open.values().filter(hung).map(|half| {
            let HalfOpen { link, at, interface, repeated } = *half;
            (if repeated { 2 } else { 0 }, Failed { link, at, silence: Silence::Unreachable, interface })
        });
        // A refusal is answered at once: one long before the end may be another's.
        let refused = self.refused.iter().map(|&(link, at, interface)| {
            let rank = if to.since(at) < REPEATED_AFTER { 3 } else { 1 };
            (rank, Failed { link, at, silence: Silence::Refused, interface })
        });
        let mut all: Vec<_> = hanging.chain(refused).filter(|(_, failed)| fits(failed)).collect();
        all.sort_by_key(|(rank, failed)| {
            let during = from <= failed.at && failed.at <= to;
            (during, *rank, failed.at, failed.link.client, failed.link.server)
        });
        all.into_iter().map(|(_, failed)| failed).collect()
    }
}
