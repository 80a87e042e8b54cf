//! Attempts: collects the handshakes of all connections, joins those that belong together, decides each attempt when its
//! client has its answer, and follows its tunnel to the end. What is right or wrong about it is left to `rule`.

mod adopt;
mod connect;
mod decide;
mod evidence;
mod finish;
mod follow;
mod join;
mod keys;
mod listen;
mod loss;
mod mixup;
mod moment;
mod near;
mod opaque;
mod owner;
mod packed;
mod polling;
mod proxy;
mod recent;
mod report;
mod store;
mod tunnel;
mod tunnels;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use self::{
    connect::Connects, finish::Finishing, keys::DecidedKeys, mixup::Mixups, moment::Closing, near::Neighbours,
    opaque::Opaque, owner::Owners, polling::Polling, proxy::Proxies, recent::Recent, store::Store, tunnels::Tunnels,
};
pub use self::{
    mixup::Mixup,
    moment::MOMENT,
    near::{Checks, Near, Refused, Sighting},
    owner::Owner,
    polling::Fallback,
    tunnel::{Ended, Group, Lone},
};
use super::{
    Config,
    anomaly::Anomaly,
    clocks::Clocks,
    event::{Attempt, Hop, ProductName, Silence},
    host::Socket,
    http::{OrdinaryId, UpgradeId},
    knowledge::{Claim, Doubt, Hole, Holes},
    tcp::ConnectionId,
    time::Timestamp,
};

/// Idle times this close to each other are one timer's.
pub const SAME_IDLE: Duration = Duration::from_millis(500);

impl Claims {
    /// Why something of it cannot be told, the first reason.
    #[must_use]
    pub fn doubt(&self) -> Option<&Doubt> {
        [&self.hops, &self.all_seen, &self.whole].into_iter().find_map(Claim::doubt)
    }
}

/// Something for the rules to judge.
#[derive(Debug)]
pub enum Case {
    /// An attempt is decided.
    Decided(Box<Decided>),
    /// A tunnel ended, but not by its proxy.
    Ended(Box<Ended>),
    /// A proxy ended tunnels at one moment.
    Closed(Box<Group>),
    /// A client went over to polling.
    Fallback(Box<Fallback>),
    /// A client speaks another protocol than the server.
    Mixup(Box<Mixup>),
    /// Something odd.
    Anomaly(Anomaly),
}

/// A decided attempt with what is known beside it.
#[derive(Debug)]
pub struct Decided {
    /// The attempt.
    pub attempt: Arc<Attempt>,
    /// Whether a client asked for an upgrade, or may have; not a proxy all by itself.
    pub by_client: bool,
    /// What the last server that got the request is.
    pub last: Last,
    /// The product whose own error page the client got.
    pub own_page: Option<ProductName>,
    /// Whether the proxy denied it because of its own side request.
    pub denied: bool,
    /// What can be said for sure.
    pub claims: Claims,
    /// How long the client waited.
    pub waited: Duration,
    /// What other traffic of the same proxy showed, where no 101 reached the client.
    pub near: Near,
}

/// The last server that was seen to get the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Last {
    /// The origin, as far as was seen: nothing shows that it passes requests on.
    Origin,
    /// A proxy, or what may be one.
    Proxy {
        /// Whether the capture shows requests that it sent upstream, for this attempt or another.
        upstream_seen: bool,
        /// Its connection that failed meanwhile.
        failed: Option<(Silence, SocketAddr)>,
    },
}

/// What can be said of an attempt for sure, each with the reason where it cannot.
#[derive(Clone, Debug)]
pub struct Claims {
    /// The hops are its own, or all that they may be instead would say the same of the proxy.
    pub hops: Claim,
    /// Nothing else was sent on for it: no other hop was missed.
    pub all_seen: Claim,
    /// Nothing was missed of a connection that was seen and may be another hop of it.
    pub whole: Claim,
    /// No hop before its first was missed.
    pub first: Claim,
    /// The first hop's request is no side request of a proxy.
    pub main: Claim,
    /// No other request with the same key came through in its place: a later try of the same host, or one that was not sent
    /// aside.
    pub only: Claim,
}

/// Counters.
#[derive(Clone, Copy, Default, Debug)]
pub struct Counts {
    /// HTTP requests.
    pub requests: u64,
    /// TLS connections.
    pub tls: u64,
    /// Attempts that were upgraded.
    pub upgraded: u64,
    /// Attempts that were refused.
    pub refused: u64,
    /// Attempts that got no answer.
    pub failed: u64,
    /// Attempts whose end was not seen.
    pub unknown: u64,
    /// Tunnels opened.
    pub tunnels: u64,
    /// Anomalies.
    pub anomalies: u64,
    /// Attempts and tunnels thrown out, and what would have shown that a client fell back to polling.
    pub evictions: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Timer {
    /// A handshake is over: decide its attempt.
    Decide(UpgradeId),
    /// An ordinary request was declined that a proxy may have changed.
    Declined(OrdinaryId),
    /// What a connection that mixes protocols up was for is known.
    Mixup(ConnectionId),
    /// A client has waited too long.
    Answer(UpgradeId),
    /// A client had waited too long at that time.
    Overdue(UpgradeId, Timestamp),
    /// A tunnel's end can be judged.
    Tunnel(UpgradeId),
    /// A moment of closing tunnels is over.
    Closing(Socket),
}

/// All attempts.
#[derive(Debug)]
pub struct Attempts {
    settle: Duration,
    answer_timeout: Duration,
    idle_min: Duration,
    clocks: Clocks,
    next_id: UpgradeId,
    store: Store,
    recent: Recent,
    connects: Connects,
    proxies: Proxies,
    polling: Polling,
    opaque: Opaque,
    neighbours: Neighbours,
    mixups: Mixups,
    holes: Holes,
    owners: Owners,
    /// Keys of hops decided lately; of those decided alone, all names.
    decided: DecidedKeys,
    timers: BinaryHeap<Reverse<(Timestamp, Timer)>>,
    /// How many timers there must be to look for those of what is gone.
    sweep_at: usize,
    tunnels: Tunnels,
    closings: HashMap<Socket, Closing, FixedState>,
    cases: VecDeque<Case>,
    /// Bytes that groups of closing tunnels cost.
    closing_memory: usize,
    counts: Counts,
    finishing: Finishing,
}

impl Attempts {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            settle: config.settle,
            answer_timeout: config.answer_timeout,
            idle_min: config.idle_min,
            clocks: config.clocks.clone(),
            next_id: UpgradeId::default(),
            store: Store::default(),
            recent: Recent::new((config.memory_limit / 64).min(4 << 20)),
            connects: Connects::new(config.answer_timeout),
            proxies: Proxies::default(),
            polling: Polling::new(config.memory_limit / 32),
            opaque: Opaque::default(),
            neighbours: Neighbours::new(config.memory_limit / 64),
            mixups: Mixups::default(),
            holes: Holes::default(),
            owners: Owners::new(),
            decided: DecidedKeys::new(config.memory_limit / 64),
            timers: BinaryHeap::new(),
            sweep_at: FEW_TIMERS,
            tunnels: Tunnels::default(),
            closings: HashMap::default(),
            cases: VecDeque::new(),
            closing_memory: 0,
            counts: Counts::default(),
            finishing: Finishing::default(),
        }
    }

    /// The next case.
    pub fn poll(&mut self) -> Option<Case> {
        self.cases.pop_front()
    }

    /// The counters.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts { evictions: self.counts.evictions + self.polling.forgotten(), ..self.counts }
    }

    /// Counts requests that a tap left out.
    pub fn count_requests(&mut self, more: i64) {
        self.counts.requests = self.counts.requests.saturating_add_signed(more);
    }

    /// Tunnels open now.
    #[must_use]
    pub fn open_tunnels(&self) -> usize {
        self.tunnels.len()
    }

    /// Bytes of state, by estimate.
    #[must_use]
    pub fn memory(&self) -> usize {
        let tables = self.timers.len() * TIMER + self.tunnels.memory() + self.closing_memory;
        let rings = self.recent.memory() + self.polling.memory() + self.opaque.memory() + self.holes.memory();
        let rings =
            rings + self.owners.memory() + self.decided.memory() + self.neighbours.memory() + self.mixups.memory();
        self.store.memory() + tables + rings + self.connects.memory() + self.proxies.memory()
    }

    /// When [`Self::advance`] has something to do next.
    #[must_use]
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// Capture time has come to `now`: fires the first timer that is due. False when there is none.
    pub fn advance(&mut self, now: Timestamp) -> bool {
        if self.timers.peek().is_none_or(|Reverse((at, _))| *at > now) {
            return false;
        }
        let Some(Reverse((at, timer))) = self.timers.pop() else { return false };
        self.connects.judged_until(at);
        match timer {
            Timer::Decide(id) => self.decide_ended(id, at),
            Timer::Declined(id) => self.decide_declined(id, at),
            Timer::Mixup(_) => self.mixup_due(),
            Timer::Answer(id) => self.answer_overdue(id, at, now),
            Timer::Overdue(id, since) => self.overdue(id, since),
            Timer::Tunnel(id) => self.tunnel_due(id, at),
            Timer::Closing(by) => self.closing_due(by, at),
        }
        true
    }

    /// Throws out the oldest attempt that is not decided, or else the oldest tunnel, or else judges ends too early.
    pub fn evict(&mut self, now: Timestamp) -> bool {
        if let Some(id) = self.store.oldest() {
            self.counts.evictions += 1;
            self.store.update(id, |handshake| {
                handshake.silence.get_or_insert(Silence::NotCaptured);
            });
            self.decide(id, now, false);
            return true;
        }
        if let Some(id) = self.tunnels.oldest() {
            self.counts.evictions += 1;
            self.end_tunnel(id, now);
            return true;
        }
        let Some(&by) = self.closings.keys().next() else { return false };
        self.flush_closing(by);
        true
    }

    /// Frames were lost between two times: they may have been anybody's.
    pub fn lose(&mut self, since: Timestamp, at: Timestamp) {
        self.holes.add(Hole::anywhere((since.min(at), since.max(at))));
    }

    /// A tap has found who holds an end of a connection.
    pub fn own(&mut self, owner: Owner) {
        self.store.own(&owner);
        self.owners.add(owner);
    }

    /// A connection, client first, with an upgrade request: who holds its ends is worth finding out.
    pub fn poll_owner(&mut self) -> Option<(SocketAddr, SocketAddr)> {
        self.owners.poll()
    }

    /// The client's and the server's end of a hop; `None` where they are no addresses.
    fn sockets(&self, hop: &Hop) -> Option<[Socket; 2]> {
        let realm = self.clocks.realm(hop.clock);
        Some([Socket::of(hop.client.address()?, realm), Socket::of(hop.server.address()?, realm)])
    }

    fn at(&mut self, at: Timestamp, timer: Timer) {
        self.timers.push(Reverse((at, timer)));
        if self.timers.len() > self.sweep_at {
            let (timers, store, tunnels, recent) = (&mut self.timers, &self.store, &self.tunnels, &self.recent);
            timers.retain(|Reverse((_, timer))| match timer {
                Timer::Decide(id) | Timer::Answer(id) | Timer::Overdue(id, _) => store.get(*id).is_some(),
                Timer::Declined(id) => recent.get(*id).is_some(),
                Timer::Tunnel(id) => tunnels.ending(*id).is_some(),
                Timer::Closing(_) | Timer::Mixup(_) => true,
            });
            timers.shrink_to_fit();
            self.sweep_at = FEW_TIMERS + 2 * timers.len();
        }
    }
}

/// Timers of which it does not matter what they are for.
const FEW_TIMERS: usize = 4096;
/// Bytes that one costs in a table that is half full after it grew.
const TIMER: usize = 2 * size_of::<(Timestamp, Timer)>();
