//! A tap that leaves payload out on demand, as the kernel program does: the specification of what it tells instead.

use std::{collections::BTreeMap, net::SocketAddr};

use observer::engine::{
    Config, Engine,
    demand::{Activity, Control, Demand, Wanted},
    tcp::Direction,
    time::Timestamp,
};

use crate::{
    ordinary::{Before, Fate, Talks},
    traffic::{
        observe::{Seen, config},
        random::Random,
        wire::{ACK, FIN, Owned, RST, SYN, Segment},
    },
};

/// What befalls such a tap.
#[derive(Clone, Copy, Default)]
pub struct Luck {
    /// Demands arrive before so many more frames.
    pub late: usize,
    /// Demands for which there is no room, in percent.
    pub refused: usize,
    /// Connections of ordinary requests for which there is room.
    pub talks: usize,
    /// Frames at which the ring fills up, in percent.
    pub full: usize,
}

/// What it came to.
#[derive(Default)]
pub struct Saved {
    /// Bytes of payload that were left out on demand.
    pub bytes: usize,
    /// Requests that were left out as ordinary, and more of them that are not counted, as others stand before them in
    /// their segments.
    pub requests: u64,
    pub pipelined: u64,
    /// Records that were lost.
    pub lost: u64,
}

/// What the tap keeps of one direction with a demand.
#[derive(Clone, Copy, Default)]
struct Flow {
    wanted: Wanted,
    /// The next frame header, where frames are followed.
    header: Option<u32>,
    /// The end of what was seen, and of what of it was left out.
    seen: Option<u32>,
    left_out: Option<u32>,
    /// The frame header after that.
    header_then: Option<u32>,
    at: Timestamp,
    frames: u64,
    /// How often something was left out, and as of which time that is not to be told with the next frame, or was told.
    count: u64,
    shipped: u64,
    told: (u64, u64),
}

/// A control frame that was found.
type Found = (u32, Vec<u8>);

fn is_before(one: u32, other: u32) -> bool {
    one.wrapping_sub(other).cast_signed() < 0
}

impl Flow {
    fn mark(&mut self, wanted: Wanted) {
        if let (Wanted::Frames(new), Some(header)) = (wanted, self.header)
            && is_before(new, header)
        {
            return;
        }
        self.wanted = wanted;
        self.header = if let Wanted::Frames(header) = wanted { Some(header) } else { None };
    }

    /// Whether this payload has to be handed on; else it is counted.
    fn ships(&mut self, segment: &Segment, at: Timestamp, found: &mut Vec<Found>) -> bool {
        let start = segment.sequence.wrapping_add(u32::from(segment.has(SYN)));
        let end = start.wrapping_add(u32::try_from(segment.wire_payload).unwrap());
        let again = self.seen.is_some_and(|seen| !is_before(seen, end));
        if again {
            return self.left_out.is_none_or(|left_out| is_before(left_out, end));
        }
        let in_order = self.seen.is_none_or(|seen| seen == start);
        self.seen = Some(end);
        let ships = match (self.wanted, self.header) {
            _ if !in_order => true,
            (Wanted::All, _) | (Wanted::Frames(_), None) => true,
            (Wanted::From(from), _) => is_before(from, end),
            (Wanted::Nothing, _) => false,
            (Wanted::Frames(_), Some(header)) => is_before(header, end) && !self.follow(header, segment, start, found),
        };
        if ships {
            self.header = None;
        } else {
            (self.left_out, self.header_then, self.at) = (Some(end), self.header, at);
            self.count += 1;
        }
        ships
    }

    /// Follows the frames whose headers lie in a segment; `false` where they cannot be followed.
    fn follow(&mut self, header: u32, segment: &Segment, start: u32, found: &mut Vec<Found>) -> bool {
        if is_before(header, start) {
            return false;
        }
        let mut offset = header.wrapping_sub(start) as usize;
        let (mut frames, mut controls) = (0, Vec::new());
        while offset < segment.wire_payload {
            let Some(&[first, second, ..]) = segment.payload.get(offset..) else { return false };
            let mask = if second & 0x80 != 0 { 4 } else { 0 };
            let (header, length) = match (second & 0x7f, segment.payload.get(offset + 2..offset + 4)) {
                (126, Some(&[a, b])) => (4, usize::from(u16::from_be_bytes([a, b]))),
                (126 | 127, _) => return false,
                (short, _) => (2, usize::from(short)),
            };
            let end = offset + header + mask + length;
            // A control frame is not fragmented: it is none, and what it is has to be seen.
            if first & 0x88 == 8 {
                return false;
            }
            if first & 8 == 0 {
                frames += 1;
            } else {
                let Some(bytes) = segment.payload.get(offset..end) else { return false };
                let next = start.wrapping_add(u32::try_from(end).unwrap());
                controls.push((next, bytes.to_vec()));
            }
            offset = end;
        }
        self.header = Some(start.wrapping_add(u32::try_from(offset).unwrap()));
        self.frames += frames;
        found.extend(controls);
        true
    }
}

/// Where records go: it has no room for some, and says how many these were before the next.
struct Ring<'a> {
    engine: &'a mut Engine,
    at: Timestamp,
    /// Records that are lost from now on.
    losing: usize,
    lost: u64,
}

impl Ring<'_> {
    fn put(&mut self, record: impl FnOnce(&mut Engine)) {
        if self.losing == 0 {
            return record(self.engine);
        }
        self.losing -= 1;
        self.lost += 1;
        self.engine.handle_loss(1, self.at, self.at);
    }

    fn frame(&mut self, frame: &Owned) {
        self.put(|engine| engine.handle_frame(&frame.frame()));
    }
}

/// The tap: marks by connection, client first.
struct Tap {
    luck: Luck,
    random: Random,
    flows: BTreeMap<(SocketAddr, SocketAddr), [Flow; 2]>,
    talks: Talks,
    /// Demands that have not arrived yet, and after how many frames they do.
    on_the_way: Vec<(usize, Demand)>,
    losing: usize,
    counted: u64,
    saved: Saved,
}

impl Tap {
    fn frame(&mut self, engine: &mut Engine, frame: &Owned) {
        if self.random.chance(self.luck.full) {
            self.losing = self.random.between(1, 12);
        }
        let mut ring = Ring { engine, at: frame.at, losing: self.losing, lost: 0 };
        self.ship(&mut ring, frame);
        self.losing = ring.losing;
        self.saved.lost += ring.lost;
    }

    fn ship(&mut self, ring: &mut Ring<'_>, frame: &Owned) {
        let Some(segment) = Segment::read(frame) else { return ring.frame(frame) };
        let ends = segment.flow();
        let (link, way) = if self.flows.contains_key(&ends) {
            (ends, Direction::ToServer)
        } else {
            ((ends.1, ends.0), Direction::ToClient)
        };
        let is_event = segment.has(SYN | FIN | RST);
        if !is_event && segment.wire_payload == 0 {
            return;
        }
        if segment.has(SYN) && !segment.has(ACK) {
            self.flows.remove(&link);
        }
        let is_wanted = self.flows.contains_key(&link);
        let fate = self.talks.fate(&segment, frame, is_wanted);
        for before in self.talks.before.drain(..) {
            match before {
                Before::Skipped(skipped) => ring.put(|engine| engine.handle_skipped(&skipped)),
                Before::Frame(frame) => ring.frame(&frame),
            }
        }
        let headers = || Segment { payload: Vec::new(), ..segment.clone() }.write(frame);
        match fate {
            Fate::LeaveOut => return,
            Fate::ShipHeaders => return ring.frame(&headers()),
            Fate::Ship => {}
        }
        let Some(flows) = self.flows.get_mut(&link) else {
            if segment.payload.starts_with(b"HTTP/1.1 101") {
                self.talks.forget(&segment);
            }
            return ring.frame(frame);
        };
        self.talks.forget(&segment);
        let mut found = Vec::new();
        let flow = &mut flows[usize::from(way == Direction::ToClient)];
        let ships = segment.wire_payload > 0 && flow.ships(&segment, frame.at, &mut found);
        for (next, bytes) in found {
            let (client, server) = link;
            let control = Control { client, server, way, at: frame.at, next, bytes: &bytes };
            ring.put(|engine| engine.handle_control(&control));
        }
        self.saved.bytes += if ships { 0 } else { segment.payload.len() };
        if !ships && !is_event {
            return;
        }
        if flows.iter().any(|flow| flow.shipped < flow.count) {
            flows.iter_mut().for_each(|flow| flow.shipped = flow.count);
            ring.put(|engine| tell(link, flows, engine));
        }
        ring.frame(&if ships { frame.clone() } else { headers() });
    }

    /// Looks at all that was left out.
    fn look(&mut self, engine: &mut Engine) {
        for (link, flows) in &mut self.flows {
            tell(*link, flows, engine);
        }
        // Fewer where one was handed on after all.
        let more = self.talks.left_out.cast_signed() - self.counted.cast_signed();
        self.counted = self.talks.left_out;
        engine.handle_left_out(more);
    }

    fn demands(&mut self, engine: &mut Engine) {
        while let Some(demand) = engine.poll_demand() {
            if !self.random.chance(self.luck.refused) {
                self.on_the_way.push((self.random.below(self.luck.late), demand));
            }
        }
        for (frames, demand) in std::mem::take(&mut self.on_the_way) {
            if frames > 0 {
                self.on_the_way.push((frames - 1, demand));
                continue;
            }
            let flows = self.flows.entry((demand.client, demand.server)).or_default();
            flows[0].mark(demand.to_server);
            flows[1].mark(demand.to_client);
        }
    }
}

/// Tells what was left out of a connection since that was told last.
fn tell(link: (SocketAddr, SocketAddr), flows: &mut [Flow; 2], engine: &mut Engine) {
    for (flow, way) in flows.iter_mut().zip([Direction::ToServer, Direction::ToClient]) {
        let Some(next) = flow.left_out.filter(|_| flow.told.0 < flow.count) else { continue };
        let ((client, server), frames) = (link, flow.frames - flow.told.1);
        flow.told = (flow.count, flow.frames);
        let (at, next_header) = (flow.at, flow.header_then);
        engine.handle_activity(&Activity { client, server, way, at, next, frames, next_header });
    }
}

/// Runs the engine behind such a tap; also says what it was spared.
pub fn observe(frames: &[Owned], luck: Luck, mut random: Random) -> (Seen, Saved) {
    let mut engine = Engine::new(Config { demanding: true, ..config() });
    let mut seen = Seen::default();
    let mut tap = Tap {
        luck,
        random: random.clone(),
        flows: BTreeMap::new(),
        talks: Talks::new(luck.talks),
        on_the_way: Vec::new(),
        losing: 0,
        counted: 0,
        saved: Saved::default(),
    };
    for frame in frames {
        tap.frame(&mut engine, frame);
        tap.demands(&mut engine);
        if random.chance(10) {
            tap.look(&mut engine);
        }
        seen.take(&mut engine);
    }
    tap.look(&mut engine);
    engine.finish();
    seen.take(&mut engine);
    (tap.saved.requests, tap.saved.pipelined) = (tap.talks.left_out, tap.talks.pipelined);
    (seen, tap.saved)
}
