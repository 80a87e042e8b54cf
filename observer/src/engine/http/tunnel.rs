//! One hop of a tunnel after its 101: who sent how much and when, control frames, and how it ended.

use super::{
    super::tcp::{Direction, Passed, Stamp, Want},
    websocket::{Follower, Opcode},
};
use crate::engine::{
    event::{Close, Traffic},
    time::Timestamp,
};

/// What is known of one hop of a tunnel.
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
    pub pings: u64,
    /// Pongs in both directions.
    pub pongs: u64,
    /// The first Close frame from the client's side.
    pub close_from_client: Option<Close>,
    /// The first Close frame from the server's side.
    pub close_from_server: Option<Close>,
    /// First FIN or RST of the client's side.
    pub client_ended: Option<Timestamp>,
    /// First FIN or RST of the server's side.
    pub server_ended: Option<Timestamp>,
    /// Whether bytes are missing or frames could not be followed: a Close frame may have been missed.
    pub incomplete: bool,
    followers: Option<[Follower; 2]>,
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
            close_from_client: None,
            close_from_server: None,
            client_ended: None,
            server_ended: None,
            incomplete: false,
            followers: websocket.then(Default::default),
        }
    }

    /// Whether either side has ended it.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.client_ended.is_some() || self.server_ended.is_some()
    }

    /// The first Close frame in capture time.
    #[must_use]
    pub fn close(&self) -> Option<Close> {
        [self.close_from_client, self.close_from_server].into_iter().flatten().min_by_key(|close| close.at)
    }

    /// Takes payload; tells what is wrong with a frame.
    pub(super) fn bytes(&mut self, way: Direction, bytes: &[u8], stamp: Stamp) -> Option<&'static str> {
        self.spoken(way, stamp.at);
        *count(&mut self.bytes, way) += bytes.len() as u64;
        let mut follower = self.followers.as_mut().map(|followers| std::mem::take(&mut followers[index(way)]))?;
        let mut wrong = None;
        follower.follow(bytes, |frame| match frame {
            Ok(opcode) => self.frame(way, opcode, stamp.at),
            Err(what) => wrong = Some(what),
        });
        self.incomplete |= follower.is_lost();
        if let Some(followers) = &mut self.followers {
            followers[index(way)] = follower;
        }
        wrong
    }

    fn spoken(&mut self, way: Direction, at: Timestamp) {
        self.last_at = self.last_at.max(at);
        if way == Direction::ToServer {
            self.last_from_client_at = self.last_from_client_at.max(Some(at));
        }
    }

    fn frame(&mut self, way: Direction, opcode: Opcode, at: Timestamp) {
        *count(&mut self.frames, way) += 1;
        if matches!(opcode, Opcode::Ping | Opcode::Pong) {
            self.last_heartbeat_at = self.last_heartbeat_at.max(Some(at));
        }
        match opcode {
            Opcode::Data => {}
            Opcode::Ping => self.pings += 1,
            Opcode::Pong => self.pongs += 1,
            Opcode::Close(code) => {
                let from_client = way == Direction::ToServer;
                let first = if from_client { &mut self.close_from_client } else { &mut self.close_from_server };
                first.get_or_insert(Close { at, from_client, code });
            }
        }
    }

    /// What is needed of the bytes to come.
    pub(super) fn wants(&self, way: Direction) -> Want {
        match &self.followers {
            Some(followers) if !followers[index(way)].is_lost() => {
                followers[index(way)].to_header().map_or(Want::All, Want::Frames)
            }
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
            followers[index(way)].jump(passed.length, passed.to_header);
            self.incomplete |= followers[index(way)].is_lost();
        }
    }

    /// Takes a control frame out of payload that was only counted.
    pub(super) fn control(&mut self, way: Direction, bytes: &[u8], at: Timestamp) {
        let mut opcode = None;
        Follower::default().follow(bytes, |frame| opcode = opcode.or(frame.ok()));
        if let Some(opcode) = opcode {
            self.frame(way, opcode, at);
        }
    }

    /// Bytes are missing.
    pub(super) fn gap(&mut self, way: Direction, length: u64) {
        *count(&mut self.bytes, way) += length;
        self.incomplete = true;
        if let Some(followers) = &mut self.followers {
            followers[index(way)].skip(length);
        }
    }

    /// A side sent FIN or RST.
    pub(super) fn end(&mut self, way: Direction, at: Timestamp) {
        let ended = if way == Direction::ToServer { &mut self.client_ended } else { &mut self.server_ended };
        *ended = Some(ended.map_or(at, |before| before.min(at)));
    }
}

fn index(way: Direction) -> usize {
    usize::from(way == Direction::ToClient)
}

fn count(traffic: &mut Traffic, way: Direction) -> &mut u64 {
    match way {
        Direction::ToServer => &mut traffic.to_server,
        Direction::ToClient => &mut traffic.to_client,
    }
}
