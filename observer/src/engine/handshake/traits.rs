//! What two requests are compared by, worked out once: a join looks at many pairs.

use std::{hash::BuildHasher, net::IpAddr};

use foldhash::fast::FixedState;

use super::field::{self, UpgradeRequest};
use crate::engine::event::{Fields, Request};

/// Hashes of the parts of a request that proxies keep, or change in known ways. `None` where there is no such field.
#[derive(Clone, Debug)]
pub struct Traits {
    /// The request target.
    pub target: u64,
    /// Its last segment.
    pub tail: u64,
    /// Sec-WebSocket-Key.
    pub key: Option<u64>,
    /// Host.
    pub host: Option<u64>,
    /// User-Agent.
    pub agent: Option<u64>,
    /// Origin.
    pub origin: Option<u64>,
    /// Whether it has Upgrade and `Connection: upgrade`.
    pub upgrade: bool,
    /// Whether it is about WebSocket.
    pub websocket: bool,
    /// Whether a proxy has added fields to it.
    pub forwarded: bool,
    /// The addresses in X-Forwarded-For or X-Real-IP.
    pub forwarded_for: Option<Box<[IpAddr]>>,
}

impl Traits {
    /// Those of a request.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        let field = |name: &str| request.field(name).map(hash);
        let forwarded_for = request.joined("x-forwarded-for").or_else(|| request.joined("x-real-ip"));
        Self {
            target: hash(&request.target),
            tail: hash(field::tail(&request.target)),
            key: request.key().map(hash),
            host: field("host"),
            agent: field("user-agent"),
            origin: field("origin"),
            upgrade: request.is_upgrade(),
            websocket: request.is_websocket(),
            forwarded: request.is_forwarded(),
            forwarded_for: forwarded_for.map(|line| line.split(',').filter_map(|ip| ip.trim().parse().ok()).collect()),
        }
    }

    /// Whether its forwarded-for names a client; `None` where it names nobody.
    #[must_use]
    pub fn names_client(&self, client: IpAddr) -> Option<bool> {
        Some(self.forwarded_for.as_ref()?.contains(&client))
    }
}

fn hash(text: &str) -> u64 {
    FixedState::default().hash_one(text)
}
