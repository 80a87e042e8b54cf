//! The pure core: frames in, events out. No clock, file, socket, thread, async or environment.
//!
//! Dependencies run one way: time < host < packet < tcp < knowledge < http < handshake < clocks < attempt < rule.

pub mod alert;
pub mod anomaly;
pub mod attempt;
pub mod clocks;
pub mod demand;
pub mod event;
pub mod frame;
pub mod handshake;
pub mod host;
pub mod http;
pub mod knowledge;
mod memory;
pub mod packet;
pub mod product;
pub mod rule;
#[cfg(test)]
#[cfg_attr(not(feature = "app"), expect(dead_code, reason = "tests of the sinks and the screens use the rest"))]
pub(crate) mod sample;
pub mod tcp;
pub mod time;

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use hashbrown::HashMap;

use self::{
    alert::Alert,
    anomaly::{Anomaly, AnomalyKind},
    attempt::{Attempts, Case, Owner},
    clocks::Clocks,
    demand::{Activity, Control, Demand, Skipped},
    event::{Event, OpenTunnel, Stats},
    frame::Frame,
    host::Realm,
    http::Dialogue,
    packet::{Packets, Parsed, Segment},
    tcp::Stamp,
    time::Timestamp,
};

/// What the engine may be told. Every field has a default that suits a live tap.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bytes of state to hold at most.
    pub memory_limit: usize,
    /// The shortest silence that `idle-close` speaks of.
    pub idle_min: Duration,
    /// How long a client waits for an answer before that is the proxy's fault.
    pub answer_timeout: Duration,
    /// How long after its last evidence an attempt or a tunnel's end is judged: room for frames out of order and for
    /// clocks of different taps.
    pub settle: Duration,
    /// Whether the tap can leave payload out, and is to be told which.
    pub demanding: bool,
    /// How far the clocks of the frames may still be apart: two that are not in it, by anything.
    pub clocks: Clocks,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            memory_limit: 256 << 20,
            idle_min: Duration::from_millis(4500),
            answer_timeout: Duration::from_secs(30),
            settle: Duration::from_millis(25),
            demanding: false,
            clocks: Clocks::default(),
        }
    }
}

/// Frames that may come late, though capture time has gone on: a swap of two frames is harmless however far apart their
/// times are.
const LATE_FRAMES: usize = 64;

/// Of the limit, one part in so many is left to the holes between an allocator's blocks.
const HOLES: usize = 12;
/// Frames after which all tables are held against the limit together.
const BETWEEN_LIMITS: u64 = 8;

/// The observer of all connections.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    packets: Packets,
    connections: tcp::Table<Dialogue<Attempts>>,
    attempts: Attempts,
    events: VecDeque<Event>,
    stats: Stats,
    /// Capture time: the latest of any frame or timeout.
    now: Timestamp,
    /// Capture time as it was at each of the last frames.
    late: [Timestamp; LATE_FRAMES],
    /// Up to when timers have fired, and are to fire.
    fired: Timestamp,
    due: Timestamp,
    /// Whether the capture is over, and what is left is being judged.
    finishing: bool,
}

impl Engine {
    /// An engine that has seen nothing.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            packets: Packets::new(config.memory_limit / 16),
            connections: tcp::Table::new(config.settle, config.memory_limit, config.demanding),
            attempts: Attempts::new(&config),
            events: VecDeque::new(),
            stats: Stats::default(),
            now: Timestamp::MIN,
            late: [Timestamp::MIN; LATE_FRAMES],
            fired: Timestamp::MIN,
            due: Timestamp::MIN,
            finishing: false,
            config,
        }
    }

    /// Takes one frame. Frames may come out of order, twice, cut, or never.
    pub fn handle_frame(&mut self, frame: &Frame<'_>) {
        self.catch_up();
        match self.packets.parse(frame) {
            Parsed::Segment(segment) => {
                let stamp = stamp(frame, &segment, self.config.clocks.realm(frame.clock));
                self.connections.segment(&segment, stamp, &mut self.attempts);
            }
            Parsed::Skipped => self.stats.frames_skipped += 1,
            Parsed::Anomaly(kind) => self.skipped(frame, kind),
            // It may have been anybody's FIN.
            Parsed::Cut(kind) => {
                self.attempts.lose(frame.at, frame.at);
                self.skipped(frame, kind);
            }
        }
        self.count_frame(frame.at);
    }

    /// Takes a frame by its first bytes, if none of the others is needed; where they are, this is false, and changes
    /// nothing. All of the frame has to be captured.
    pub fn pass_frame(&mut self, head: &Frame<'_>) -> bool {
        self.catch_up();
        let Some(segment) = Packets::peek(head) else { return false };
        let stamp = stamp(head, &segment, self.config.clocks.realm(head.clock));
        let passes = self.connections.pass(&segment, stamp, &mut self.attempts);
        if passes {
            self.count_frame(head.at);
        }
        passes
    }

    /// Capture time has come to that of a frame.
    #[inline]
    fn count_frame(&mut self, at: Timestamp) {
        self.stats.frames += 1;
        let first = self.stats.first_at.get_or_insert(at);
        *first = (*first).min(at);
        self.now = self.now.max(at);
        let slot = usize::try_from(self.stats.frames).unwrap_or(0) % LATE_FRAMES;
        let settled = std::mem::replace(&mut self.late[slot], self.now);
        self.due = self.due.max(settled);
        self.judge();
    }

    /// Capture time has come to `now`, though no frame says so.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.catch_up();
        self.now = self.now.max(now);
        self.due = self.due.max(now);
    }

    /// Between `since` and `at`, so many frames were lost. What would be judged from something absent in that time is
    /// unknown.
    pub fn handle_loss(&mut self, count: u64, since: Timestamp, at: Timestamp) {
        self.stats.drops += count;
        self.attempts.lose(since, at);
    }

    /// A tap knows who holds an end of a connection, whether its frames were seen already or not.
    pub fn handle_owner(&mut self, owner: Owner) {
        self.attempts.own(owner);
    }

    /// What is needed of a connection's payload from now on, where [`Config::demanding`].
    pub fn poll_demand(&mut self) -> Option<Demand> {
        self.connections.poll_demand()
    }

    /// Payload went by that was left out on demand.
    pub fn handle_activity(&mut self, activity: &Activity) {
        self.connections.activity(activity, &mut self.attempts);
        self.judge();
    }

    /// Ordinary requests went by that the tap left out by itself.
    pub fn handle_skipped(&mut self, skipped: &Skipped) {
        self.connections.skipped(skipped, &mut self.attempts);
        self.judge();
    }

    /// So many more requests were left out by the tap itself since the last call; fewer where one was shown after all.
    pub fn handle_left_out(&mut self, requests: i64) {
        self.attempts.count_requests(requests);
    }

    /// A control frame went by in payload that was left out on demand.
    pub fn handle_control(&mut self, control: &Control<'_>) {
        self.connections.control(control);
    }

    /// A connection, client first, whose owners are worth finding out: an upgrade request has just been read there.
    pub fn poll_owner(&mut self) -> Option<(SocketAddr, SocketAddr)> {
        self.attempts.poll_owner()
    }

    /// When [`Self::handle_timeout`] should be called next, at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        [self.connections.next_timer(), self.attempts.next_timer()].into_iter().flatten().min()
    }

    /// The capture is over: judges all that is open by what is known, and counts.
    pub fn finish(&mut self) {
        self.due = self.now;
        self.catch_up();
        self.finishing = true;
    }

    /// The next event, in the order in which they were decided. What is due is done here, step by step, so that it need
    /// not wait in memory however much falls due at once; at the latest, the next frame does it.
    pub fn poll_event(&mut self) -> Option<Event> {
        while self.events.is_empty() && self.step() {}
        self.events.pop_front()
    }

    /// The counters as they stand.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (tcp, attempts) = (self.connections.counts(), self.attempts.counts());
        Stats {
            at: self.now.max(self.stats.first_at.unwrap_or_default()),
            frames_cut: tcp.cut,
            connections: tcp.connections,
            tls_connections: attempts.tls,
            requests: attempts.requests,
            upgraded: attempts.upgraded,
            refused: attempts.refused,
            failed: attempts.failed,
            unknown: attempts.unknown,
            tunnels: attempts.tunnels,
            tunnels_open: self.attempts.open_tunnels() as u64,
            connections_open: tcp.open,
            gaps: tcp.gaps,
            gap_bytes: tcp.gap_bytes,
            anomalies: self.stats.anomalies + attempts.anomalies,
            evictions: tcp.evictions + attempts.evictions,
            memory: self.memory() as u64,
            clocks: self.config.clocks.estimates().to_vec(),
            ..self.stats.clone()
        }
    }

    /// Tunnels that are open now, oldest first.
    #[must_use]
    pub fn tunnels(&self) -> Vec<OpenTunnel> {
        let states: HashMap<_, _> = self.connections.readers().filter_map(Dialogue::tunnel).collect();
        self.attempts.tunnels(&states)
    }

    fn memory(&self) -> usize {
        self.packets.memory() + self.connections.memory() + self.attempts.memory()
    }

    /// Does all that is due.
    fn catch_up(&mut self) {
        while self.step() {}
        if self.stats.frames.is_multiple_of(BETWEEN_LIMITS) {
            self.limit_memory();
        }
    }

    /// Does one thing that is due. Timers of connections fire first, as attempts wait for what they give up.
    fn step(&mut self) -> bool {
        let more = if self.due > self.fired {
            let more = self.connections.advance(self.due, &mut self.attempts) || self.attempts.advance(self.due);
            if !more {
                self.fired = self.due;
            }
            more || self.finishing
        } else {
            self.finishing && self.finish_one()
        };
        if more {
            self.judge();
        }
        more
    }

    /// Ends one thing that is left, the counters last.
    fn finish_one(&mut self) -> bool {
        if self.connections.finish(self.now, &mut self.attempts) || self.attempts.finish(self.now) {
            return true;
        }
        self.finishing = false;
        self.stats.anomalies += self.packets.expire(Timestamp::MAX);
        let stats = self.stats();
        self.events.push_back(Event::Stats(Box::new(stats)));
        true
    }

    /// Keeps all tables together under the limit: connections give way to attempts, up to three quarters of it.
    fn limit_memory(&mut self) {
        let limit = self.config.memory_limit - self.config.memory_limit / HOLES;
        while self.attempts.memory() > limit / 4 * 3 && self.attempts.evict(self.now) {}
        let rest = limit.saturating_sub(self.attempts.memory() + self.packets.memory());
        self.connections.limit_memory(rest);
    }

    /// Turns what was decided into events.
    fn judge(&mut self) {
        while let Some(case) = self.attempts.poll() {
            let alerts = rule::judge(&case, &self.config);
            match case {
                // An ordinary request that a proxy turned into an upgrade is nobody's attempt.
                Case::Decided(decided) if !decided.by_client => {}
                Case::Decided(decided) => self.events.push_back(Event::Attempt(decided.attempt)),
                Case::Ended(ended) => self.events.push_back(Event::Tunnel(Box::new(ended.tunnel))),
                Case::Closed(group) => {
                    let tunnels = group.members.into_iter().map(|member| Event::Tunnel(Box::new(member.tunnel)));
                    self.events.extend(tunnels);
                }
                Case::Fallback(_) | Case::Mixup(_) => {}
                Case::Anomaly(anomaly) => self.events.push_back(Event::Anomaly(anomaly)),
            }
            for alert in alerts {
                self.count(&alert);
                self.events.push_back(Event::Alert(Box::new(alert)));
            }
        }
    }

    fn count(&mut self, alert: &Alert) {
        let (rule, level) = (alert.rule, alert.level);
        match self.stats.alerts.iter_mut().find(|(known, at, _)| (*known, *at) == (rule, level)) {
            Some((_, _, count)) => *count += 1,
            None => {
                self.stats.alerts.push((rule, level, 1));
                self.stats.alerts.sort_unstable();
            }
        }
    }

    fn skipped(&mut self, frame: &Frame<'_>, kind: AnomalyKind) {
        self.stats.frames_skipped += 1;
        let Frame { at, number, interface, .. } = *frame;
        let anomaly = Anomaly { at, frame: number, interface, kind, connection: None };
        self.stats.anomalies += 1;
        self.events.push_back(Event::Anomaly(anomaly));
    }
}

#[inline]
fn stamp(frame: &Frame<'_>, segment: &Segment<'_>, realm: Realm) -> Stamp {
    Stamp {
        at: frame.at,
        frame: frame.number,
        interface: frame.interface,
        clock: frame.clock,
        realm,
        sequence: segment.sequence,
        acknowledgment: segment.acknowledgment,
    }
}
