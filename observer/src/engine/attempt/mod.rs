//! Attempts: collects the handshakes of all connections, joins those that belong together, decides each attempt when its
//! client has its answer, and follows its tunnel to the end. What is right or wrong about it is left to `rule`.

mod adopt;
mod connect;
mod join;
mod listen;
mod loss;
mod opaque;
mod polling;
mod proxy;
mod recent;
mod report;
mod store;
mod tunnel;
mod unread;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use self::{
    connect::{Connects, Failed},
    join::Tree,
    loss::Losses,
    opaque::Opaque,
    polling::Polling,
    proxy::Proxies,
    recent::Recent,
    report::Placed,
    store::{HandshakeId, Name, Store},
    tunnel::{LATEST_END, MOMENT, OpenHop, OpenTunnel},
    unread::Unread,
};
pub use self::{
    polling::Fallback,
    tunnel::{Ended, Group},
};
use super::{
    Config,
    anomaly::Anomaly,
    event::{self, Attempt, ClosedBy, JoinMethod, Outcome, ProductName, Role, Silence},
    handshake::{Handshake, field::UpgradeRequest, product},
    http::{self, Ticket},
    tcp::Link,
    time::Timestamp,
};

/// Idle times this close to each other are one timer's.
pub const SAME_IDLE: Duration = Duration::from_millis(500);
/// How far apart the requests are that a proxy sends for one attempt: side requests, and tries with several origins.
const SIBLINGS: Duration = Duration::from_secs(1);
/// Hops remembered by their keys.
const MAX_LATELY: usize = 256;
/// Tunnels of one group, and the time it spans, at most.
const MAX_GROUP: usize = 4096;
const MAX_GROUP_SPAN: Duration = Duration::from_millis(500);

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
    /// Whether the capture shows requests that the first proxy sent upstream, for this attempt or another.
    pub upstream_seen: bool,
    /// The product whose own error page the client got.
    pub own_page: Option<ProductName>,
    /// Whether the proxy denied it because of its own side request.
    pub denied: bool,
    /// Whether the only hop may be a side request of a proxy.
    pub maybe_side: bool,
    /// Whether the same host sent another request with the same key elsewhere: a later try, which may have come through.
    pub superseded: bool,
    /// Whether an ambiguous join leaves no doubt about what the proxy does.
    pub uniform: bool,
    /// Whether bytes are missing that may be another hop of it.
    pub unread: bool,
    /// How long the client waited.
    pub waited: Duration,
    /// Connections of the proxy that failed meanwhile.
    pub unreachable: Option<(Silence, SocketAddr)>,
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
    /// Attempts and tunnels thrown out.
    pub evictions: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Timer {
    /// A handshake is over: decide its attempt.
    Decide(HandshakeId),
    /// A client has waited too long.
    Answer(HandshakeId),
    /// A tunnel's end can be judged.
    Tunnel(HandshakeId),
    /// A moment of closing tunnels is over.
    Group(SocketAddr),
}

/// All attempts.
#[derive(Debug)]
pub struct Attempts {
    settle: Duration,
    answer_timeout: Duration,
    idle_min: Duration,
    next_id: HandshakeId,
    store: Store,
    recent: Recent,
    connects: Connects,
    proxies: Proxies,
    polling: Polling,
    opaque: Opaque,
    losses: Losses,
    unread: Unread,
    /// Keys of hops decided lately.
    lately: VecDeque<(Name, Timestamp, Link)>,
    timers: BinaryHeap<Reverse<(Timestamp, Timer)>>,
    /// Open tunnels by the id of their first hop's handshake, oldest first.
    tunnels: BTreeMap<HandshakeId, OpenTunnel>,
    /// The tunnel and place in it of each hop's handshake.
    hops: HashMap<HandshakeId, (HandshakeId, usize), FixedState>,
    closings: HashMap<SocketAddr, Group, FixedState>,
    cases: VecDeque<Case>,
    counts: Counts,
}

impl Attempts {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            settle: config.settle,
            answer_timeout: config.answer_timeout,
            idle_min: config.idle_min,
            next_id: 0,
            store: Store::default(),
            recent: Recent::new((config.memory_limit / 64).min(4 << 20)),
            connects: Connects::default(),
            proxies: Proxies::default(),
            polling: Polling::default(),
            opaque: Opaque::default(),
            losses: Losses::default(),
            unread: Unread::default(),
            lately: VecDeque::new(),
            timers: BinaryHeap::new(),
            tunnels: BTreeMap::new(),
            hops: HashMap::default(),
            closings: HashMap::default(),
            cases: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// The next case.
    pub fn poll(&mut self) -> Option<Case> {
        self.cases.pop_front()
    }

    /// The counters.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Tunnels open now, oldest first. `states` are their hops' by ticket.
    #[must_use]
    pub fn tunnels(&self, states: &HashMap<Ticket, &http::Tunnel>) -> Vec<event::OpenTunnel> {
        let state = |hop: &OpenHop| states.get(&adopt::of_handshake(hop.id)).copied();
        self.tunnels
            .values()
            .filter(|tunnel| tunnel.first_end().is_none())
            .filter_map(|tunnel| {
                let nearest = tunnel.hops.iter().find_map(state)?;
                let hops = || tunnel.hops.iter().filter_map(state);
                let proxies = tunnel.attempt.path().filter_map(|hop| hop.server.address());
                Some(event::OpenTunnel {
                    attempt: Arc::clone(&tunnel.attempt),
                    opened_at: tunnel.opened_at,
                    last_at: hops().map(|hop| hop.last_at).max()?,
                    last_heartbeat_at: hops().filter_map(|hop| hop.last_heartbeat_at).max(),
                    bytes: nearest.bytes,
                    frames: nearest.frames,
                    idle_timer: proxies.filter_map(|proxy| self.proxies.get(proxy)?.idle_timer()).min(),
                })
            })
            .collect()
    }

    /// Tunnels open now.
    #[must_use]
    pub fn open_tunnels(&self) -> usize {
        self.tunnels.len()
    }

    /// Bytes of state, by estimate.
    #[must_use]
    pub fn memory(&self) -> usize {
        let tables = self.timers.len() * 40 + self.hops.len() * 40 + self.tunnels.len() * OPEN_TUNNEL;
        let rings = self.recent.memory() + self.polling.memory() + self.opaque.memory() + self.unread.memory();
        self.store.memory() + tables + rings + self.connects.memory() + self.proxies.memory()
    }

    /// When [`Self::advance`] has something to do next.
    #[must_use]
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// Capture time has come to `now`.
    pub fn advance(&mut self, now: Timestamp) {
        while self.timers.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            let Some(Reverse((at, timer))) = self.timers.pop() else { return };
            match timer {
                Timer::Decide(id) => self.decide_ended(id, at),
                Timer::Answer(id) => self.answer_overdue(id, at),
                Timer::Tunnel(id) => self.tunnel_due(id, at),
                Timer::Group(by) => self.group_due(by, at),
            }
        }
    }

    /// The capture is over.
    pub fn finish(&mut self, now: Timestamp) {
        // A client that still waits has not waited too long only because the capture ends.
        self.timers.retain(|Reverse((_, timer))| !matches!(timer, Timer::Answer(_)));
        self.advance(Timestamp::MAX);
        for id in self.store.ids() {
            if self.store.get(id).is_some() && !join::has_parent(&self.store, id, self.settle) {
                self.decide(id, now, false);
            }
        }
        // Whatever only had parents that were decided without them.
        for id in self.store.ids() {
            self.decide(id, now, false);
        }
        for id in self.tunnels.keys().copied().collect::<Vec<_>>() {
            self.end_tunnel(id, now);
        }
        self.advance(Timestamp::MAX);
    }

    /// Throws out the oldest attempt that is not decided, or else the oldest tunnel.
    pub fn evict(&mut self, now: Timestamp) -> bool {
        if let Some(id) = self.store.oldest() {
            self.counts.evictions += 1;
            self.store.update(id, |handshake| {
                handshake.silence.get_or_insert(Silence::NotCaptured);
            });
            self.decide(id, now, false);
            return true;
        }
        let Some(&id) = self.tunnels.keys().next() else { return false };
        self.counts.evictions += 1;
        self.end_tunnel(id, now);
        true
    }

    /// Frames were lost between two times.
    pub fn lose(&mut self, since: Timestamp, at: Timestamp) {
        self.losses.add(since, at);
    }

    /// Whether frames were lost then, so that what was not seen may have happened.
    fn lossy(&self, from: Timestamp, to: Timestamp) -> bool {
        self.losses.touch(from.before(self.settle), to + self.settle)
    }

    fn at(&mut self, at: Timestamp, timer: Timer) {
        self.timers.push(Reverse((at, timer)));
    }

    /// A handshake is over. If it is a hop of an attempt whose client still waits, that one decides.
    fn decide_ended(&mut self, id: HandshakeId, at: Timestamp) {
        if self.store.get(id).is_some() && !join::has_parent(&self.store, id, self.settle) {
            self.decide(id, at, false);
        }
    }

    fn answer_overdue(&mut self, id: HandshakeId, at: Timestamp) {
        let waits = self.store.get(id).is_some_and(|handshake| handshake.ended_at.is_none());
        if waits && !join::has_parent(&self.store, id, self.settle) {
            self.decide(id, at, true);
        }
    }

    /// Decides the attempt that begins with a handshake.
    fn decide(&mut self, root: HandshakeId, now: Timestamp, timed_out: bool) {
        let Some(client) = self.store.get(root) else { return };
        let window = (client.request.at, client.ended_at.unwrap_or(now));
        let mut tree = join::tree(&self.store, root, self.settle);
        let ids: Vec<_> = tree.nodes.iter().map(|node| node.id).collect();
        let parents = tree.nodes.iter().map(|node| node.parent);
        let mut handshakes: Vec<_> = ids.iter().filter_map(|id| self.store.remove(*id)).zip(parents).collect();
        if self.lossy(window.0, window.1) {
            handshakes.iter_mut().for_each(|(handshake, _)| loss::doubt_silence(handshake));
        }
        if handshakes.is_empty() {
            return;
        }
        let handshakes = self.adopt(handshakes, &mut tree, now);
        let (placed, denied) = report::place(handshakes);
        self.learn(&placed);
        let decided = self.judge_ready(&placed, &tree, denied, window, (now, timed_out));
        if decided.by_client {
            self.count(decided.attempt.outcome);
        }
        self.open_tunnel(&decided.attempt, &placed, &ids);
        let (attempt, link) = (Arc::clone(&decided.attempt), placed[0].handshake.link);
        self.cases.push_back(Case::Decided(Box::new(decided)));
        let broken = matches!(attempt.outcome, Outcome::Refused | Outcome::Failed);
        if broken
            && placed[0].handshake.request.is_websocket()
            && let Some(fallback) = self.polling.failed(&attempt, link.client, link.server)
        {
            self.cases.push_back(Case::Fallback(Box::new(fallback)));
        }
        self.wake_others(&placed, window, now);
    }

    /// What the rules need to know about an attempt.
    fn judge_ready(
        &mut self,
        placed: &[Placed],
        tree: &Tree,
        denied: bool,
        window: (Timestamp, Timestamp),
        (now, timed_out): (Timestamp, bool),
    ) -> Decided {
        let client = &placed[0].handshake;
        let (from, to) = (window.0.before(self.settle), window.1 + self.settle);
        let lost = self.losses.touch(from, to);
        let unread = lost || self.is_unread(placed, (from, to));
        let answered = placed.iter().any(|placed| placed.role == Role::Upstream && placed.handshake.response.is_some());
        let failed = if answered || client.is_upgraded() {
            Vec::new()
        } else {
            let mut failed = self.connects.failed(client.link.server, &self.proxies.hosts(client.link.server), window);
            failed.retain(|failed| !placed.iter().any(|placed| placed.handshake.link.id == failed.link.id));
            failed.retain(|failed| failed.silence == Silence::Refused || !unread);
            failed.truncate(8);
            failed
        };
        let unreachable = failed.last().map(|failed: &Failed| (failed.silence, failed.link.server));
        let seen = unreachable.is_some() || (!unread && self.is_upstream_seen(client.link.server));
        let upstream_seen = placed.len() > 1 || seen;
        let decided_at = client.ended_at.unwrap_or(now);
        let attempt = report::attempt(placed, &failed, tree.join, decided_at, timed_out, &self.proxies);
        let alone = placed.len() == 1;
        let siblings = alone && self.has_sibling(client);
        let maybe_side = alone && (siblings || report::names_original(client) || matches!(client.status(), Some(401 | 403 | 204)))
            // An allowed one, where the request that it was made for was not read.
            || alone && unread && client.status().is_none_or(|status| status < 400);
        // Two requests of one proxy look like before and after where what it got was not read, or no answer came yet.
        let open = client.ended_at.is_none() && !timed_out && !alone;
        let doubtful = open || unread && !report::is_relayed(placed);
        Decided {
            attempt: Arc::new(attempt),
            by_client: client.request.has_upgrade() || client.request.key().is_some(),
            upstream_seen,
            own_page: product::of_error_page(&client.body).filter(|_| !lost),
            denied,
            maybe_side,
            superseded: siblings,
            uniform: tree.uniform && !doubtful,
            unread: unread || report::has_unread_side(placed),
            waited: window.1.since(window.0),
            unreachable,
        }
    }

    /// Whether bytes of a connection are missing that may be a hop of an attempt: before its first or behind another.
    fn is_unread(&self, placed: &[Placed], (from, to): (Timestamp, Timestamp)) -> bool {
        let client = &placed[0].handshake.link;
        self.unread.is_missing(from, to, |link| {
            let own = placed.iter().any(|placed| placed.handshake.link.id == link.id);
            let behind = |placed: &Placed| self.proxies.hosts(placed.handshake.link.server).contains(&link.client.ip());
            !own && (link.server.ip() == client.client.ip() || placed.iter().any(behind))
        })
    }

    /// Whether the host that sent a lone request sent another one with its key to another server.
    fn has_sibling(&self, lone: &Handshake) -> bool {
        let Some((_, name)) = store::names(lone).into_iter().find(|(method, _)| *method == JoinMethod::WebSocketKey)
        else {
            return false;
        };
        let (from, to) = (lone.request.at.before(SIBLINGS), lone.ended_at.unwrap_or(lone.request.at) + SIBLINGS);
        let waiting = self.store.named(name, from, to, 16).map(|(_, other)| &other.link);
        let decided =
            self.lately.iter().filter(|(key, at, _)| *key == name && (from..=to).contains(at)).map(|(.., link)| link);
        let mut others = waiting.chain(decided);
        others.any(|other| other.client.ip() == lone.link.client.ip() && other.server != lone.link.server)
    }

    /// Remembers what the hops tell of their proxies.
    fn learn(&mut self, placed: &[Placed]) {
        for hop in placed {
            let key = store::names(&hop.handshake).into_iter().find(|(method, _)| *method == JoinMethod::WebSocketKey);
            if let Some((_, name)) = key {
                if self.lately.len() == MAX_LATELY {
                    self.lately.pop_front();
                }
                self.lately.push_back((name, hop.handshake.request.at, hop.handshake.link));
            }
        }
        for (at, hop) in placed.iter().enumerate() {
            let on_path = |child: &&Placed| child.parent == Some(at) && !matches!(child.role, Role::Side | Role::Retry);
            let up = placed.iter().find(on_path).or_else(|| placed.iter().find(|child| child.parent == Some(at)));
            if up.is_some() || hop.role == Role::Only {
                self.proxies.learn(&hop.handshake, up.map(|up| &up.handshake));
            }
        }
    }

    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Upgraded => self.counts.upgraded += 1,
            Outcome::Refused => self.counts.refused += 1,
            Outcome::Failed => self.counts.failed += 1,
            Outcome::Unknown => self.counts.unknown += 1,
        }
    }

    /// Handshakes that had waited for this attempt, and were not taken by it, decide for themselves.
    fn wake_others(&mut self, placed: &[Placed], (from, to): (Timestamp, Timestamp), now: Timestamp) {
        let (client, skew) = (&placed[0].handshake, self.settle);
        let mut waiting = Vec::new();
        for (method, name) in store::names(client) {
            let others = self.store.named(name, from.before(skew), to + skew, join::SEARCHED);
            let waited =
                others.filter(|(_, other)| other.ended_at.is_some() && join::may_be_next(method, client, other, skew));
            waiting.extend(waited.map(|(id, _)| id));
        }
        for id in waiting {
            self.at(now, Timer::Decide(id));
        }
    }

    fn open_tunnel(&mut self, attempt: &Arc<Attempt>, placed: &[Placed], ids: &[HandshakeId]) {
        if attempt.outcome != Outcome::Upgraded {
            return;
        }
        let Some(opened_at) = placed[0].handshake.response.as_ref().map(|response| response.at) else { return };
        self.counts.tunnels += 1;
        let on_path = placed.iter().zip(ids).filter(|(placed, _)| !matches!(placed.role, Role::Side | Role::Retry));
        let hops: Vec<_> = on_path
            .map(|(placed, id)| OpenHop { id: *id, state: placed.handshake.tunnel.clone(), gone: None })
            .collect();
        let key = ids[0];
        for (at, hop) in hops.iter().enumerate() {
            self.hops.insert(hop.id, (key, at));
        }
        let tunnel = OpenTunnel { attempt: Arc::clone(attempt), opened_at, hops };
        if let Some(end) = tunnel.first_end() {
            self.at(end + self.settle, Timer::Tunnel(key));
        }
        self.tunnels.insert(key, tunnel);
    }

    fn tunnel_due(&mut self, key: HandshakeId, at: Timestamp) {
        let Some(tunnel) = self.tunnels.get(&key) else { return };
        let Some(end) = tunnel.first_end() else { return };
        let latest = end + LATEST_END.max(self.settle);
        // The client's side may be TLS, and end a little later.
        let waits = tunnel.client_unseen() && self.counts.tls > 0;
        if tunnel.is_settled() && (!waits || self.tls_closer(tunnel, end).is_some()) || at >= latest {
            self.end_tunnel(key, at);
        } else {
            self.at(latest, Timer::Tunnel(key));
        }
    }

    fn end_tunnel(&mut self, key: HandshakeId, now: Timestamp) {
        let Some(tunnel) = self.tunnels.remove(&key) else { return };
        for hop in &tunnel.hops {
            self.hops.remove(&hop.id);
        }
        let mut ended = tunnel.end(now);
        let silent_since = ended.tunnel.ended_at.before(ended.tunnel.idle);
        if self.lossy(silent_since, ended.tunnel.ended_at) {
            ended.doubt();
        }
        if tunnel.client_unseen()
            && ended.tunnel.closed_by == ClosedBy::Unknown
            && !ended.tunnel.still_open
            && let Some(by) = self.tls_closer(&tunnel, ended.tunnel.ended_at)
        {
            ended.tunnel.closed_by = ClosedBy::Proxy;
            ended.by = Some(by);
        }
        match ended.by {
            Some(by) if ended.tunnel.closed_by == ClosedBy::Proxy => self.join_group(by, ended),
            _ => self.cases.push_back(Case::Ended(Box::new(ended))),
        }
    }

    /// Where the proxy listens that ended a tunnel by itself, though its client's side is TLS.
    fn tls_closer(&self, tunnel: &OpenTunnel, end: Timestamp) -> Option<SocketAddr> {
        let asked = tunnel.attempt.first().request.as_ref()?.at;
        let last = tunnel.hops.first()?.state.as_ref()?.last_from_client_at.unwrap_or(asked);
        self.opaque.closed_by_proxy(asked, last, end)
    }

    fn join_group(&mut self, by: SocketAddr, ended: Ended) {
        let end = ended.tunnel.ended_at;
        let apart = self.closings.get(&by).is_some_and(|group| {
            let (first, last) = (group.members.first(), group.members.last());
            first.is_some_and(|first| end.distance(first.tunnel.ended_at) > MAX_GROUP_SPAN)
                || last.is_some_and(|last| end.distance(last.tunnel.ended_at) > MOMENT)
                || group.members.len() >= MAX_GROUP
        });
        if apart {
            self.flush_group(by);
        }
        self.closings.entry(by).or_insert_with(|| Group { by, members: Vec::new() }).members.push(ended);
        self.at(end + self.settle + MOMENT, Timer::Group(by));
    }

    fn group_due(&mut self, by: SocketAddr, at: Timestamp) {
        let last = self.closings.get(&by).and_then(|group| group.members.last());
        if last.is_some_and(|last| last.tunnel.ended_at + self.settle + MOMENT <= at) {
            self.flush_group(by);
        }
    }

    fn flush_group(&mut self, by: SocketAddr) {
        let Some(mut group) = self.closings.remove(&by) else { return };
        group.members.sort_by_key(|member| (member.tunnel.ended_at, member.tunnel.attempt.id));
        let proxy = self.proxies.entry(by);
        for member in &mut group.members {
            member.repeated = proxy.closed_at(member.tunnel.idle, SAME_IDLE);
        }
        // Tunnels that end together after different silences were not ended by a timer.
        if let Some(first) = group.members.first()
            && group.members.iter().all(|member| member.tunnel.idle.abs_diff(first.tunnel.idle) <= SAME_IDLE)
            && !first.had_close
            && first.tunnel.idle >= self.idle_min
            && !first.repeated
        {
            proxy.remember(first.tunnel.idle);
        }
        self.cases.push_back(Case::Closed(Box::new(group)));
    }

    /// Whether the capture shows what a proxy sends upstream: seen before, or found now among ordinary requests.
    fn is_upstream_seen(&mut self, proxy: SocketAddr) -> bool {
        if self.proxies.get(proxy).is_some_and(|proxy| proxy.upstream_seen) {
            return true;
        }
        let seen = self.recent.shows_upstream_of(proxy, &self.proxies.hosts(proxy));
        if seen {
            self.proxies.entry(proxy).upstream_seen = true;
        }
        seen
    }
}

/// Bytes that an open tunnel costs beside its hops' connections, by estimate.
const OPEN_TUNNEL: usize = 2048;
