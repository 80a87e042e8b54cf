//! What the kernel leaves out of which connections: demands on their way down, activity and control frames on their way
//! up.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use aya::maps::{HashMap as Map, MapData, MapError};
use hashbrown::HashMap;
use observer_ebpf::{Connection, Endpoint, Flow, Flows, Frame as Record, Talk, flag, talk, want};

use super::{Clock, Watcher};
use crate::{
    engine::{
        demand::{Activity, Control, Demand, Skipped, Wanted},
        tcp::Direction,
        time::Timestamp,
    },
    tap::Seen,
};

/// For [`Map::insert`]: whether there is one or not; only if there is none.
const ANY: u64 = 0;
const NEW: u64 = 1;

/// From so many connections on, those are let go of which nothing was left out for long: their ends may never come. All
/// of them would be shipped, should they live.
const FULL: usize = observer_ebpf::CONNECTIONS as usize / 4 * 3;
const OLD: Duration = Duration::from_secs(3600);

/// Every so many looks all connections are looked at, though nobody waits for it.
const SELDOM: u32 = 10;

/// FIN, SYN and RST in TCP's flags.
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;

/// The connections that the kernel keeps, or is to keep.
pub(super) struct Table {
    demands: Map<MapData, Connection, observer_ebpf::Demand>,
    flows: Map<MapData, Connection, Flows>,
    talks: Map<MapData, Connection, Talk>,
    kept: HashMap<Connection, Kept>,
    /// How many are kept at most: of the others all is shipped.
    most: usize,
    /// Those of which demands are not written yet.
    dirty: Vec<Connection>,
    /// Why the kernel does not take a demand, and whether that was told.
    trouble: Option<String>,
    is_told: bool,
    /// Whether some are not kept, of which the ends are not known here.
    is_partial: bool,
    /// Whether a connection ended since the last look: what is judged then rests on others too, that are still open.
    has_ended: bool,
    looks: u32,
}

/// A connection of which payload may be left out.
#[derive(Default)]
struct Kept {
    /// Its ends, once the engine has said which is which: client, server.
    ends: Option<(SocketAddr, SocketAddr)>,
    /// The client's flow.
    client: usize,
    flows: [Told; 2],
    /// Whether there is an entry in the kernel.
    is_there: bool,
    is_dirty: bool,
    /// Flows that ended.
    ended: u8,
}

/// What was told of a flow, both ways.
#[derive(Clone, Copy, Default)]
struct Told {
    wanted: observer_ebpf::Wanted,
    /// A guess of the kernel that was right: the demand is to say so as long as it stands.
    guess: Option<u32>,
    at: u64,
    frames: u64,
}

impl Table {
    pub(super) fn new(
        demands: Map<MapData, Connection, observer_ebpf::Demand>,
        flows: Map<MapData, Connection, Flows>,
        talks: Map<MapData, Connection, Talk>,
        memory: usize,
    ) -> Self {
        Self {
            // A table that grows is there twice, and the new one is half empty.
            most: memory / (3 * size_of::<(Connection, Kept)>()),
            demands,
            flows,
            talks,
            kept: HashMap::new(),
            dirty: Vec::new(),
            trouble: None,
            is_told: false,
            is_partial: false,
            has_ended: false,
            looks: 0,
        }
    }

    /// Why the kernel leaves nothing out, said once.
    pub(super) fn trouble(&mut self) -> Option<String> {
        let why = self.trouble.take()?;
        (!std::mem::replace(&mut self.is_told, true)).then_some(why)
    }

    /// What the engine wants of a connection from now on.
    pub(super) fn demand(&mut self, demand: &Demand) {
        let (connection, client) = Connection::between(endpoint(demand.client), endpoint(demand.server));
        let Some(kept) = self.keep(connection) else { return };
        (kept.ends, kept.client) = (Some((demand.client, demand.server)), client);
        kept.flows[client].wanted = wanted(demand.to_server);
        kept.flows[1 - client].wanted = wanted(demand.to_client);
        if !std::mem::replace(&mut kept.is_dirty, true) {
            self.dirty.push(connection);
        }
    }

    /// Writes the demands since the last time down into the kernel.
    pub(super) fn write(&mut self) {
        for connection in std::mem::take(&mut self.dirty) {
            let Some(kept) = self.kept.get_mut(&connection) else { continue };
            kept.is_dirty = false;
            if !kept.is_there {
                match self.flows.insert(connection, Flows::default(), NEW) {
                    Ok(()) => {}
                    // The kernel has begun by itself.
                    Err(MapError::SyscallError(error))
                        if error.io_error.kind() == std::io::ErrorKind::AlreadyExists => {}
                    Err(error) => {
                        self.trouble = Some(error.to_string());
                        self.is_partial = true;
                        self.kept.remove(&connection);
                        continue;
                    }
                }
            }
            kept.is_there = true;
            let flows = kept.flows.map(|flow| match flow.guess {
                Some(mark) if flow.wanted.kind == want::FRAMES => observer_ebpf::Wanted { mark, ..flow.wanted },
                _ => flow.wanted,
            });
            if let Err(error) = self.demands.insert(connection, observer_ebpf::Demand { flows }, ANY) {
                self.trouble = Some(error.to_string());
            }
        }
    }

    /// A frame is about to be handed out.
    pub(super) fn before(&mut self, record: &Record) {
        if record.is_kept == 0 {
            return;
        }
        let Some(kept) = self.keep(record.connection) else { return };
        kept.is_there = true;
        let flow = &mut kept.flows[record.flow as usize & 1];
        let guess = (record.is_guess != 0).then_some(record.base);
        if guess.is_some() && guess != flow.guess {
            // It was right if the engine, which has read all before, awaits a header just there.
            let is_right = flow.wanted.kind == want::FRAMES && guess == Some(flow.wanted.mark);
            flow.guess = guess.filter(|_| is_right);
            if is_right && !std::mem::replace(&mut kept.is_dirty, true) {
                self.dirty.push(record.connection);
            }
        }
    }

    /// A frame with these flags of TCP was handed out: what has ended, or begins anew, is kept no longer.
    pub(super) fn after(&mut self, record: &Record, flags: u8) {
        if flags & (FIN | SYN | RST) == 0 {
            return;
        }
        let Some(kept) = self.kept.get_mut(&record.connection) else {
            if record.is_kept != 0 {
                self.forget(&record.connection);
            }
            return;
        };
        self.has_ended = true;
        if flags & FIN != 0 {
            kept.ended |= 1 << (record.flow & 1);
        }
        if flags & (SYN | RST) != 0 || kept.ended == 0b11 {
            self.drop(&record.connection);
        }
    }

    fn drop(&mut self, connection: &Connection) {
        if self.kept.remove(connection).is_some() {
            self.forget(connection);
        }
    }

    /// Has the kernel forget a connection.
    fn forget(&mut self, connection: &Connection) {
        let _ = self.demands.remove(connection);
        let _ = self.flows.remove(connection);
    }

    /// What is known of a connection, if it is or there is room.
    fn keep(&mut self, connection: Connection) -> Option<&mut Kept> {
        if self.kept.len() >= self.most && !self.kept.contains_key(&connection) {
            self.is_partial = true;
            return None;
        }
        Some(self.kept.entry(connection).or_default())
    }

    /// Hands out what was left out of a connection, as the kernel told it.
    pub(super) fn activity(&mut self, activity: &observer_ebpf::Activity, clock: &Clock, to: &mut impl Watcher) {
        if let Some(kept) = self.kept.get_mut(&activity.connection) {
            kept.tell(&activity.flows, clock, to);
        }
    }

    /// Hands out a control frame.
    pub(super) fn control(&mut self, control: &observer_ebpf::Control, clock: &Clock, to: &mut impl Watcher) {
        let Some(kept) = self.kept.get(&control.connection) else { return };
        let (Some((client, server)), Some(bytes)) = (kept.ends, control.bytes.get(..control.kept as usize)) else {
            return;
        };
        let way = kept.way(control.flow as usize & 1);
        to.seen(Seen::Control(&Control {
            client,
            server,
            way,
            at: clock.of_uptime(control.start.at),
            next: control.next,
            bytes,
        }));
    }

    /// Looks at all connections and hands out what was left out since the last time. As the kernel tells what it left out
    /// of a connection before its end, nobody waits for that as long as none ends; but who watches them, and where not
    /// each of them is known here.
    pub(super) fn look(&mut self, is_awaited: bool, clock: &Clock, to: &mut impl Watcher) {
        self.looks = self.looks.wrapping_add(1);
        let has_ended = std::mem::take(&mut self.has_ended);
        if !(is_awaited || has_ended || self.is_partial || self.looks.is_multiple_of(SELDOM)) {
            return;
        }
        for (connection, kept) in &mut self.kept {
            if kept.ends.is_some()
                && let Ok(flows) = self.flows.get(connection, 0)
            {
                kept.tell(&flows, clock, to);
            }
        }
        if self.kept.len() > FULL.min(self.most / 4 * 3) {
            let old = clock.now().before(OLD);
            let is_old = |kept: &Kept| kept.flows.iter().all(|flow| clock.of_uptime(flow.at) < old);
            let old: Vec<_> = self.kept.iter().filter(|(_, kept)| is_old(kept)).map(|(key, _)| *key).collect();
            old.iter().for_each(|connection| self.drop(connection));
        }
    }

    /// Lets go of all talks, where there was no room for more: some may never end. Those that go on are seen anew.
    pub(super) fn sweep(&mut self, clock: &Clock, to: &mut impl Watcher) {
        // One at a time: with what they hold, all of them are large.
        let connections: Vec<_> = self.talks.keys().filter_map(Result::ok).collect();
        for connection in &connections {
            let Some(talk) = self.talks.get(connection, 0).ok().filter(|talk| talk.flags & talk::UPGRADING == 0) else {
                continue;
            };
            if talk.flags & talk::QUIET != 0 {
                let ends = (connection, talk.client, talk.ends);
                to.seen(Seen::Skipped(&skipped(ends, false, clock.now())));
            }
            let _ = self.talks.remove(connection);
        }
    }
}

impl Kept {
    const fn way(&self, flow: usize) -> Direction {
        if flow == self.client { Direction::ToServer } else { Direction::ToClient }
    }

    fn tell(&mut self, flows: &Flows, clock: &Clock, to: &mut impl Watcher) {
        let Some((client, server)) = self.ends else { return };
        for (at, flow) in flows.flows.iter().enumerate() {
            let way = self.way(at);
            let told = &mut self.flows[at];
            // A look may have been later than a record that is read only now.
            if flow.flags & flag::LEFT == 0 || flow.at <= told.at {
                continue;
            }
            let frames = flow.frames.saturating_sub(told.frames);
            (told.at, told.frames) = (flow.at, flow.frames);
            let next_header = (flow.flags & flag::HEADER_THEN != 0).then_some(flow.header_then);
            let Flow { left: next, at, .. } = *flow;
            let at = clock.of_uptime(at);
            to.seen(Seen::Activity(&Activity { client, server, way, at, next, frames, next_header }));
        }
    }
}

/// Ordinary requests that were left out of a connection: which flow is the client's, and how far both are.
pub(super) fn skipped(
    (connection, client, reached): (&Connection, u32, [u32; 2]),
    is_clean: bool,
    at: Timestamp,
) -> Skipped {
    let (ends, client) = ([address(connection.low), address(connection.high)], client as usize & 1);
    let (to_server, to_client) = (reached[client], reached[1 - client]);
    Skipped { client: ends[client], server: ends[1 - client], to_server, to_client, is_clean, at }
}

const fn wanted(wanted: Wanted) -> observer_ebpf::Wanted {
    let (kind, mark) = match wanted {
        Wanted::All => (want::ALL, 0),
        Wanted::From(mark) => (want::FROM, mark),
        Wanted::Frames(mark) => (want::FRAMES, mark),
        Wanted::Nothing => (want::NOTHING, 0),
    };
    observer_ebpf::Wanted { kind, mark }
}

fn endpoint(address: SocketAddr) -> Endpoint {
    let bytes = match address.ip() {
        IpAddr::V4(four) => four.to_ipv6_mapped(),
        IpAddr::V6(six) => six,
    };
    let words = bytes.octets();
    let word = |at: usize| u32::from_ne_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]]);
    Endpoint { address: [word(0), word(4), word(8), word(12)], port: u32::from(address.port()) }
}

/// The address of an end.
pub(super) fn address(end: Endpoint) -> SocketAddr {
    let mut octets = [0; 16];
    for (at, word) in end.address.iter().enumerate() {
        octets[at * 4..at * 4 + 4].copy_from_slice(&word.to_ne_bytes());
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is a port")]
    SocketAddr::new(IpAddr::V6(Ipv6Addr::from(octets)).to_canonical(), end.port as u16)
}
