//! A tap that leaves payload out on demand, as the kernel program does: the specification of what it tells instead.

use std::{collections::HashMap, net::SocketAddr};

use observer::engine::{
    Config, Engine,
    demand::{Activity, Control, Demand, Wanted},
    tcp::Direction,
    time::Timestamp,
};

use crate::traffic::{
    observe::{Seen, config},
    random::Random,
    wire::{ACK, FIN, Owned, RST, SYN, Segment},
};

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
    told: bool,
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
            (self.left_out, self.header_then, self.at, self.told) = (Some(end), self.header, at, false);
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

/// The tap: marks by connection, client first.
#[derive(Default)]
struct Tap {
    flows: HashMap<(SocketAddr, SocketAddr), [Flow; 2]>,
    /// Demands that have not arrived yet, and after how many frames they do.
    on_the_way: Vec<(usize, Demand)>,
    left_out: usize,
}

impl Tap {
    fn frame(&mut self, engine: &mut Engine, frame: &Owned) {
        let Some(segment) = Segment::read(frame) else { return engine.handle_frame(&frame.frame()) };
        let ends = segment.flow();
        let (link, way) = if self.flows.contains_key(&ends) {
            (ends, Direction::ToServer)
        } else {
            ((ends.1, ends.0), Direction::ToClient)
        };
        let bare = !segment.has(SYN | FIN | RST) && segment.wire_payload == 0;
        if bare {
            return;
        }
        let Some(flows) = self.flows.get_mut(&link) else {
            return engine.handle_frame(&frame.frame());
        };
        if segment.has(SYN) && !segment.has(ACK) {
            self.flows.remove(&link);
            return engine.handle_frame(&frame.frame());
        }
        let mut found = Vec::new();
        let flow = &mut flows[usize::from(way == Direction::ToClient)];
        let ships = segment.wire_payload > 0 && flow.ships(&segment, frame.at, &mut found);
        for (next, bytes) in found {
            let (client, server) = link;
            engine.handle_control(&Control { client, server, way, at: frame.at, next, bytes: &bytes });
        }
        self.left_out += if ships { 0 } else { segment.payload.len() };
        if ships {
            self.tell(engine, link);
            engine.handle_frame(&frame.frame());
        } else if segment.has(FIN | RST) {
            self.tell(engine, link);
            engine.handle_frame(&Segment { payload: Vec::new(), ..segment }.write(frame).frame());
        }
    }

    /// Tells what was left out of a connection since the last time.
    fn tell(&mut self, engine: &mut Engine, link: (SocketAddr, SocketAddr)) {
        let Some(flows) = self.flows.get_mut(&link) else { return };
        for (flow, way) in flows.iter_mut().zip([Direction::ToServer, Direction::ToClient]) {
            if let Some(next) = flow.left_out.filter(|_| !std::mem::replace(&mut flow.told, true)) {
                let frames = std::mem::take(&mut flow.frames);
                let (client, server) = link;
                engine.handle_activity(&Activity {
                    client,
                    server,
                    way,
                    at: flow.at,
                    next,
                    frames,
                    next_header: flow.header_then,
                });
            }
        }
    }

    fn tell_all(&mut self, engine: &mut Engine) {
        for link in self.flows.keys().copied().collect::<Vec<_>>() {
            self.tell(engine, link);
        }
    }

    fn demands(&mut self, engine: &mut Engine, random: &mut Random) {
        while let Some(demand) = engine.poll_demand() {
            self.on_the_way.push((random.below(4), demand));
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

/// Runs the engine behind such a tap; also says how many bytes it was spared.
pub fn observe(frames: &[Owned], random: &mut Random) -> (Seen, usize) {
    let mut engine = Engine::new(Config { demanding: true, ..config() });
    let (mut tap, mut seen) = (Tap::default(), Seen::default());
    for frame in frames {
        tap.frame(&mut engine, frame);
        tap.demands(&mut engine, random);
        if random.chance(10) {
            tap.tell_all(&mut engine);
        }
        seen.take(&mut engine);
    }
    tap.tell_all(&mut engine);
    engine.finish();
    seen.take(&mut engine);
    (seen, tap.left_out)
}
