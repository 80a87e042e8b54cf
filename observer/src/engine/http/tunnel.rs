//! One hop of a tunnel after its 101: who sent how much and when, control frames, and how it ended.

use super::{
    super::tcp::{Direction, Passed, Stamp, Want},
    websocket::{Follower, Opcode, Wrong},
};
use crate::engine::{
    event::{Broken, Close, FirstBytes, Traffic, TunnelHop},
    memory::block,
    time::Timestamp,
};

/// What is known of one hop of a tunnel. 112 bytes: there may be a million of them.
#[derive(Clone, Debug)]
pub struct Tunnel {
    /// When the last payload byte in either direction was seen; the 101 itself before that.
    pub last_at: Timestamp,
    /// When the client's side last sent payload; `None` before that.
    pub last_from_client_at: Option<Timestamp>,
    /// When the last ping or pong was seen.
    pub last_heartbeat_at: Option<Timestamp>,
    /// Bytes after the handshake.
    pub bytes: Traffic,
    /// WebSocket frames.
    pub frames: Traffic,
    /// Pings in both directions.
    pub pings: u32,
    /// Pongs in both directions.
    pub pongs: u32,
    ends: Option<Box<Ends>>,
    followers: Option<[Follower; 2]>,
    /// Whether bytes are missing: counts are lower bounds.
    pub incomplete: bool,
}

/// How a hop ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ends {
    /// The first Close frame from the client's side.
    pub close_from_client: Option<Close>,
    /// The first Close frame from the server's side.
    pub close_from_server: Option<Close>,
    /// First FIN or RST of the client's side.
    pub client: Option<Timestamp>,
    /// First FIN or RST of the server's side.
    pub server: Option<Timestamp>,
    /// To the server and to the client: until when the last of what was sent may be something that was not read. What was
    /// read after that shows that it was no Close frame (RFC 6455 5.5.1) and no FIN.
    pub unread_until: [Option<Timestamp>; 2],
    /// When the last payload byte in either direction was seen before the first Close frame, where that is known.
    pub last_before_close_at: Option<Timestamp>,
    /// Bytes that are no frame where one should begin.
    pub broken: Option<Box<Broken>>,
    /// Whether what comes next that way belongs to them.
    is_breaking: bool,
}

impl Ends {
    const NONE: Self = Self {
        close_from_client: None,
        close_from_server: None,
        client: None,
        server: None,
        unread_until: [None; 2],
        last_before_close_at: None,
        broken: None,
        is_breaking: false,
    };

    /// Whether bytes of this way are no frames, though none are missing.
    fn is_broken(&self, way: Direction) -> bool {
        self.broken.as_ref().is_some_and(|broken| broken.from_client == (way == Direction::ToServer))
    }

    /// Whether the client's side ended it, and the server's side did not before.
    #[must_use]
    pub fn client_first(&self) -> bool {
        self.client.is_some_and(|at| self.server.is_none_or(|server| at <= server))
    }

    /// As [`Self::client_first`].
    #[must_use]
    pub fn server_first(&self) -> bool {
        self.server.is_some_and(|at| self.client.is_none_or(|client| at <= client))
    }
}

impl Tunnel {
    /// A tunnel that begins with a 101 at `at`; WebSocket frames are followed where it speaks WebSocket.
    pub(super) fn new(at: Timestamp, websocket: bool) -> Self {
        Self {
            last_at: at,
            last_from_client_at: None,
            last_heartbeat_at: None,
            bytes: Traffic::default(),
            frames: Traffic::default(),
            pings: 0,
            pongs: 0,
            ends: None,
            followers: websocket.then(Default::default),
            incomplete: false,
        }
    }

    /// Bytes that it refers to.
    #[must_use]
    pub(in crate::engine) fn memory(&self) -> usize {
        let broken = |ends: &Ends| {
            ends.broken.as_ref().map_or(0, |broken| block(size_of_val(&**broken)) + broken.first.memory())
        };
        let ends = self.ends.as_ref().map_or(0, |ends| block(size_of::<Ends>()) + broken(ends));
        ends + self.followers.iter().flatten().map(Follower::memory).sum::<usize>()
    }

    /// How it ends, as far as it does.
    #[must_use]
    pub fn ends(&self) -> &Ends {
        static NONE: Ends = Ends::NONE;
        self.ends.as_deref().unwrap_or(&NONE)
    }

    fn ends_mut(&mut self) -> &mut Ends {
        self.ends.get_or_insert_with(|| Box::new(Ends::NONE))
    }

    /// Whether either side has ended it.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.ends().client.is_some() || self.ends().server.is_some()
    }

    /// The first Close frame in capture time.
    #[must_use]
    pub fn close(&self) -> Option<Close> {
        let ends = self.ends();
        [ends.close_from_client, ends.close_from_server].into_iter().flatten().min_by_key(|close| close.at)
    }

    /// Takes payload; tells what is wrong with a frame.
    pub(super) fn bytes(&mut self, way: Direction, bytes: &[u8], stamp: Stamp) -> Option<&'static str> {
        let before = self.last_at;
        self.spoken(way, stamp.at);
        *count(&mut self.bytes, way) += bytes.len() as u64;
        let Some(followers) = &mut self.followers else {
            self.note_read(way, stamp.at);
            return None;
        };
        let mut follower = std::mem::take(&mut followers[way.index()]);
        let mut last_at = if follower.to_header() > Some(0) { stamp.at } else { before };
        let mut wrong = None;
        follower.follow(bytes, |frame| match frame {
            Ok(opcode) => {
                self.frame(way, opcode, stamp.at, Some(last_at));
                last_at = stamp.at;
            }
            Err(found) => wrong = Some(found),
        });
        // A frame that has only begun may be a Close frame, which is no activity.
        if follower.has_begun() && last_at == before {
            self.last_at = before;
        }
        if let Some(followers) = &mut self.followers {
            followers[way.index()] = follower;
        }
        self.note_read(way, stamp.at);
        match wrong {
            Some(wrong) => Some(self.break_off(way, wrong, stamp)),
            None => {
                self.go_on_breaking(way, bytes);
                None
            }
        }
    }

    /// Keeps what is no frame where one should begin; says what is wrong with it.
    fn break_off(&mut self, way: Direction, wrong: Wrong, stamp: Stamp) -> &'static str {
        let Wrong { what, bytes } = wrong;
        let ends = self.ends_mut();
        if ends.broken.is_none() {
            let first = FirstBytes::new(stamp.frame, stamp.at, &bytes);
            ends.is_breaking = first.bytes.len() < FirstBytes::KEPT;
            ends.broken = Some(Box::new(Broken { from_client: way == Direction::ToServer, first, what }));
        }
        what
    }

    /// Adds what comes next to it.
    fn go_on_breaking(&mut self, way: Direction, bytes: &[u8]) {
        let Some(ends) = self.ends.as_mut().filter(|ends| ends.is_breaking && ends.is_broken(way)) else { return };
        if let Some(broken) = &mut ends.broken {
            broken.first.extend(bytes);
            ends.is_breaking = broken.first.bytes.len() < FirstBytes::KEPT;
        }
    }

    /// Where bytes of this way are missing, what comes next is no part of them.
    fn stop_breaking(&mut self, way: Direction) {
        if let Some(ends) = self.ends.as_mut().filter(|ends| ends.is_broken(way)) {
            ends.is_breaking = false;
        }
    }

    /// What was sent this way was read up to now, as far as frames could be followed.
    fn note_read(&mut self, way: Direction, at: Timestamp) {
        let is_lost = self.followers.as_ref().is_some_and(|followers| followers[way.index()].is_lost());
        if is_lost {
            self.ends_mut().unread_until[way.index()] = Some(at);
        } else if let Some(ends) = &mut self.ends {
            ends.unread_until[way.index()] = None;
        }
    }

    fn spoken(&mut self, way: Direction, at: Timestamp) {
        self.last_at = self.last_at.max(at);
        if way == Direction::ToServer {
            self.last_from_client_at = self.last_from_client_at.max(Some(at));
        }
    }

    /// A frame began. `last_at` is when the last payload byte before it was seen, where that is known.
    fn frame(&mut self, way: Direction, opcode: Opcode, at: Timestamp, last_at: Option<Timestamp>) {
        *count(&mut self.frames, way) += 1;
        if matches!(opcode, Opcode::Ping | Opcode::Pong) {
            self.last_heartbeat_at = self.last_heartbeat_at.max(Some(at));
        }
        match opcode {
            Opcode::Data => {}
            Opcode::Ping => self.pings = self.pings.saturating_add(1),
            Opcode::Pong => self.pongs = self.pongs.saturating_add(1),
            Opcode::Close(code) => {
                let from_client = way == Direction::ToServer;
                let ends = self.ends_mut();
                if ends.close_from_client.is_none() && ends.close_from_server.is_none() {
                    ends.last_before_close_at = last_at;
                }
                let first = if from_client { &mut ends.close_from_client } else { &mut ends.close_from_server };
                first.get_or_insert(Close { at, from_client, code });
            }
        }
    }

    /// What is needed of the bytes to come.
    pub(super) fn wants(&self, way: Direction) -> Want {
        match &self.followers {
            Some(followers) if !followers[way.index()].is_lost() => {
                followers[way.index()].to_header().map_or(Want::All, Want::Frames)
            }
            // What is no frame is kept in part.
            Some(_) if self.ends().is_breaking && self.ends().is_broken(way) => Want::All,
            _ => Want::Nothing,
        }
    }

    /// Takes payload that was only counted.
    pub(super) fn passed(&mut self, way: Direction, passed: &Passed) {
        if passed.length > 0 {
            self.spoken(way, passed.at);
        }
        *count(&mut self.bytes, way) += passed.length;
        *count(&mut self.frames, way) += passed.frames;
        if let Some(followers) = &mut self.followers {
            followers[way.index()].jump(passed.length, passed.to_header);
            self.incomplete |= followers[way.index()].is_lost() && !self.ends().is_broken(way);
        }
        if passed.length > 0 {
            self.stop_breaking(way);
            self.note_read(way, passed.at);
        }
    }

    /// Takes a control frame out of payload that was only counted.
    pub(super) fn control(&mut self, way: Direction, bytes: &[u8], at: Timestamp) {
        // What came before it may not have been told yet.
        Follower::default().follow(bytes, |frame| match frame {
            Ok(opcode) => self.frame(way, opcode, at, None),
            Err(wrong) => drop(self.break_off(way, wrong, Stamp { at, ..Stamp::default() })),
        });
    }

    /// Bytes are missing that were sent by a time.
    pub(super) fn gap(&mut self, way: Direction, length: u64, by: Timestamp) {
        *count(&mut self.bytes, way) += length;
        self.incomplete = true;
        self.stop_breaking(way);
        self.ends_mut().unread_until[way.index()] = Some(by);
        if let Some(followers) = &mut self.followers {
            followers[way.index()].skip(length);
        }
    }

    /// All that users see of it.
    pub(in crate::engine) fn hop(&self) -> TunnelHop {
        let ends = self.ends();
        TunnelHop {
            bytes: self.bytes,
            frames: self.frames,
            last_at: self.last_at,
            last_before_close_at: ends.last_before_close_at,
            closes: [ends.close_from_client, ends.close_from_server],
            ended_at: [ends.client, ends.server],
            broken: ends.broken.as_deref().cloned(),
        }
    }

    /// A side sent FIN or RST.
    pub(super) fn end(&mut self, way: Direction, at: Timestamp) {
        let ends = self.ends_mut();
        let ended = if way == Direction::ToServer { &mut ends.client } else { &mut ends.server };
        *ended = Some(ended.map_or(at, |before| before.min(at)));
    }
}

fn count(traffic: &mut Traffic, way: Direction) -> &mut u64 {
    match way {
        Direction::ToServer => &mut traffic.to_server,
        Direction::ToClient => &mut traffic.to_client,
    }
}
