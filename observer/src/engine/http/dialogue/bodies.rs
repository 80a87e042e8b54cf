//! Between heads: bodies, tunnels and what is not HTTP, followed or left out on demand.

use super::{Dialogue, State};
use crate::engine::{
    anomaly::AnomalyKind,
    demand::Skipped,
    http::{Listener, chunked::Step},
    tcp::{Direction, Link, Passed, Stamp, Want},
};

/// Bytes of a body that a tap is asked to leave out.
const LARGE: u64 = 64 << 10;

impl<L: Listener> Dialogue<L> {
    /// Bytes outside heads.
    pub(super) fn follow(&mut self, to: &mut L, link: &Link, way: Direction, bytes: &[u8], stamp: Stamp) -> usize {
        let length = bytes.len();
        match self.state(way) {
            State::Body(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(length);
                *left -= taken as u64;
                let done = *left == 0;
                self.show(to, way, &bytes[..taken]);
                if done {
                    self.body_done(way);
                }
                taken
            }
            State::Chunked(chunks) => {
                let mut chunks = *chunks;
                let is_shown = way == Direction::ToClient && self.is_showing();
                let mut shown = Vec::new();
                let step = chunks.follow(bytes, |data| {
                    if is_shown {
                        shown.extend_from_slice(data);
                    }
                });
                *self.state(way) = State::Chunked(chunks);
                let taken = if let Step::Ended(end) = step { end } else { length };
                self.show(to, way, &shown);
                match step {
                    Step::More => {}
                    Step::Ended(_) => self.body_done(way),
                    Step::Bad => {
                        to.anomaly(link, AnomalyKind::NotHttp("chunked body"), stamp);
                        self.lose(to, link, way, stamp);
                    }
                }
                taken
            }
            State::UntilClose => {
                self.show(to, way, bytes);
                length
            }
            State::Tunnel => {
                self.spoke(to, way);
                if let Some(wrong) = self.tunnel.as_mut().and_then(|tunnel| tunnel.1.bytes(way, bytes, stamp)) {
                    to.anomaly(link, AnomalyKind::WebSocketFrame(wrong), stamp);
                }
                length
            }
            State::Early(early) => {
                early.take(bytes);
                length
            }
            State::Opaque => {
                match way {
                    _ if self.unusual.is_none() => {}
                    Direction::ToServer => {
                        self.tls_connection().into_iter().for_each(|tls| tls.heard(stamp.at));
                        self.follow_tried(bytes);
                    }
                    Direction::ToClient => {
                        self.follow_foreign(to, bytes, stamp);
                        self.answer_tried(to, link, bytes, stamp);
                    }
                }
                length
            }
            _ => length,
        }
    }

    fn show(&mut self, to: &mut L, way: Direction, bytes: &[u8]) {
        let showing = self.unusual.as_mut().and_then(|unusual| unusual.showing.as_mut());
        let Some((ticket, left)) = showing.filter(|_| way == Direction::ToClient) else { return };
        let shown = bytes.len().min(usize::from(*left));
        if shown == 0 {
            return;
        }
        to.body(*ticket, &bytes[..shown]);
        *left -= u16::try_from(shown).unwrap_or(*left);
        if *left == 0 {
            self.show_no_more();
        }
    }

    fn is_showing(&self) -> bool {
        self.unusual.as_ref().is_some_and(|unusual| unusual.showing.is_some())
    }

    pub(super) fn show_no_more(&mut self) {
        if let Some(unusual) = &mut self.unusual {
            unusual.showing = None;
        }
    }

    /// A message's body is complete.
    pub(super) fn body_done(&mut self, way: Direction) {
        match way {
            Direction::ToServer => {
                let waits = self.outstanding.last().is_some_and(|last| last.kind.waits());
                self.client = if waits { State::Waiting } else { State::Start };
            }
            Direction::ToClient => {
                self.server = State::Start;
                self.show_no_more();
            }
        }
    }

    /// What is needed of the bytes to come.
    pub(super) fn wanted(&self, way: Direction) -> Want {
        let state = if way == Direction::ToServer { &self.client } else { &self.server };
        match state {
            State::Tunnel => self.tunnel.as_deref().map_or(Want::All, |(_, tunnel)| tunnel.wants(way)),
            State::Opaque if self.is_trying() || way == Direction::ToClient && self.wants_foreign() => Want::All,
            State::Opaque => Want::Nothing,
            _ if self.is_showing() => Want::All,
            State::Body(left) if *left >= LARGE => Want::After(*left),
            State::UntilClose => Want::Nothing,
            _ => Want::All,
        }
    }

    fn spoke(&self, to: &mut L, way: Direction) {
        if let (Direction::ToServer, Some((Some(ticket), tunnel))) = (way, self.tunnel.as_deref())
            && tunnel.last_from_client_at.is_none()
        {
            to.spoke(*ticket);
        }
    }

    /// Goes on behind ordinary requests and their answers that a tap left out.
    pub(super) fn skip(&mut self, to: &mut L, link: &Link, lengths: [u64; 2], skipped: &Skipped) {
        let ways = [Direction::ToServer, Direction::ToClient];
        if matches!(self.server, State::Tunnel | State::Opaque) {
            for (way, length) in ways.into_iter().zip(lengths) {
                self.pass(to, link, way, &Passed { length, at: skipped.at, frames: 0, to_header: None });
            }
            return;
        }
        (self.begun, self.server_begun) = (true, true);
        let is_between = self.outstanding.is_empty()
            && [&self.client, &self.server].into_iter().all(|state| matches!(state, State::Start | State::Lost));
        if is_between && skipped.is_clean {
            (self.client, self.server) = (State::Start, State::Start);
            self.show_no_more();
        } else {
            ways.into_iter().for_each(|way| self.lose(to, link, way, Stamp { at: skipped.at, ..Stamp::default() }));
            self.unusual().skipped = Some(skipped.to_client);
        }
    }

    /// Goes on behind bytes that a tap left out on demand.
    pub(super) fn pass(&mut self, to: &mut L, link: &Link, way: Direction, passed: &Passed) {
        match self.state(way) {
            State::Tunnel => {
                if passed.length > 0 {
                    self.spoke(to, way);
                }
                if let Some(tunnel) = &mut self.tunnel {
                    tunnel.1.passed(way, passed);
                }
            }
            State::Opaque => {
                if passed.length > 0 {
                    self.drop_tried();
                }
                if let Some(tls) = self.tls_connection().filter(|_| way == Direction::ToServer) {
                    tls.heard(passed.at);
                }
            }
            State::Body(left) if passed.length <= *left => {
                *left -= passed.length;
                if *left == 0 {
                    self.body_done(way);
                }
            }
            State::UntilClose => {}
            State::Early(early) => early.cut(),
            _ if passed.length == 0 => {}
            _ => self.lose(to, link, way, Stamp { at: passed.at, ..Stamp::default() }),
        }
    }
}
