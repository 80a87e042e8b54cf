//! Tunnels: what passes through, and how they end.

use std::net::SocketAddr;

use observer::engine::{alert::RuleId, event::ClosedBy};

use super::{
    message::frame,
    net::{Client, Id, MICRO, MILLI, SECOND, Server, Side, Time},
    plan::{Ending, Tunnel},
    play::Play,
    truth::{Due, ProxyEnd},
};

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// The shortest silence that idle-close speaks of. No tunnel here is silent for about as long.
const IDLE_MIN: Time = 4500 * MILLI;

/// When a tunnel ends, and with which others.
#[derive(Clone, Copy)]
pub struct End {
    pub at: Time,
    pub together: usize,
}

impl Play {
    /// Plays a tunnel from its 101 to its end.
    pub fn tunnel(&mut self, story: usize, plan: &Tunnel, opened: Time, end: Option<End>) {
        let path = self.truth.stories[story].path.clone();
        let last = match end {
            Some(end) => self.messages_until(&path, plan, opened, end.at - plan.silence),
            None => self.messages(&path, plan, opened),
        };
        let at = end.map_or(last + plan.silence, |end| end.at);
        let together = end.map_or(story + 1000, |end| end.together);
        self.end(story, &path, plan, at, together);
    }

    fn messages(&mut self, path: &[Id], plan: &Tunnel, opened: Time) -> Time {
        let mut at = opened;
        for _ in 0..plan.messages {
            let gap = if plan.heartbeat { self.random.between(900, 1100) } else { self.random.between(0, 1500) };
            at = self.message(path, plan, at + Time::try_from(gap).expect("short") * MILLI);
        }
        at
    }

    /// Messages at any time, the last of them at `until`.
    fn messages_until(&mut self, path: &[Id], plan: &Tunnel, opened: Time, until: Time) -> Time {
        let span = usize::try_from((until - opened).max(2) / MICRO).expect("short");
        let mut times: Vec<_> = (0..plan.messages)
            .map(|_| opened + Time::try_from(self.random.below(span)).expect("short") * MICRO)
            .collect();
        times.sort_unstable();
        times.push(until);
        times.into_iter().fold(opened, |last, at| self.message(path, plan, at.max(last + MICRO)))
    }

    fn message(&mut self, path: &[Id], plan: &Tunnel, at: Time) -> Time {
        let from = if self.random.chance(50) { Client } else { Server };
        if plan.heartbeat {
            let at = self.relay(path, from, at, PING, b"?");
            return self.relay(path, if from == Client { Server } else { Client }, at + 200 * MICRO, PONG, b"?");
        }
        let length = [3, 20, 125, 126, 400, 2000, 5000][self.random.below(7)];
        self.relay(path, from, at, TEXT, &vec![b'x'; length])
    }

    /// One frame from end to end; returns when it was there.
    fn relay(&mut self, path: &[Id], from: Side, at: Time, opcode: u8, payload: &[u8]) -> Time {
        let mask = (from == Client).then_some([7, 1, 9, 3]);
        let bytes = frame(opcode, payload, mask);
        self.pass(path, from, at, |play, id, at| play.net.say(id, from, at, &bytes))
    }

    /// Something that passes from connection to connection.
    fn pass(
        &mut self,
        path: &[Id],
        from: Side,
        mut at: Time,
        mut act: impl FnMut(&mut Self, Id, Time) -> Time,
    ) -> Time {
        let mut path = path.to_vec();
        if from == Server {
            path.reverse();
        }
        for id in path {
            let pause = Time::try_from(self.random.between(20, 400)).expect("short") * MICRO;
            at = act(self, id, at) + pause;
        }
        at
    }

    /// One side's end passes through; then the other's comes back.
    fn farewell(&mut self, path: &[Id], from: Side, at: Time, reset: bool) {
        let back = if from == Client { Server } else { Client };
        let mut first = true;
        let at = self.pass(path, from, at, |play, id, at| {
            let resets = reset && std::mem::take(&mut first);
            if resets { play.net.reset(id, from, at) } else { play.net.fin(id, from, at) }
        });
        self.pass(path, back, at, |play, id, at| play.net.fin(id, back, at));
    }

    fn end(&mut self, story: usize, path: &[Id], plan: &Tunnel, at: Time, together: usize) {
        let websocket = self.truth.stories[story].websocket;
        let abrupt = |closed_by| Due { closed_by: Some(closed_by), ..Due::new(RuleId::AbruptClose, story, None) };
        match plan.ending {
            Ending::Open => {}
            Ending::Clean(by_client) if websocket => {
                let (from, back) = if by_client { (Client, Server) } else { (Server, Client) };
                let at = self.relay(path, from, at, CLOSE, &[3, 0xe8]);
                let at = self.relay(path, back, at, CLOSE, &[3, 0xe8]);
                let first = if self.random.chance(50) { Client } else { Server };
                self.farewell(path, first, at, false);
            }
            Ending::Clean(by_client) => {
                self.farewell(path, if by_client { Client } else { Server }, at, false);
                if by_client {
                    self.looks_idle(story);
                }
            }
            Ending::ByPeer(by_client, reset) => {
                let (from, who) = if by_client { (Client, ClosedBy::Client) } else { (Server, ClosedBy::Origin) };
                self.farewell(path, from, at, reset);
                if websocket && plan.silence < IDLE_MIN {
                    self.truth.due.push(abrupt(who));
                } else if by_client {
                    self.looks_idle(story);
                }
            }
            Ending::ByProxy(proxy, reset) => {
                self.cut(path, proxy, at, reset);
                self.truth.ends.push(ProxyEnd { proxy, at, story, together });
                if websocket && plan.silence < IDLE_MIN {
                    let of_part = |who| Due { must: false, of_part: true, ..abrupt(who) };
                    self.truth.due.extend([ClosedBy::Proxy, ClosedBy::Client].map(of_part));
                }
                let by = self.world.proxies[proxy].listen;
                if plan.silence >= IDLE_MIN {
                    self.truth.due.push(Due::new(RuleId::IdleClose, story, Some(by)));
                } else if websocket && together >= 1000 {
                    self.truth.due.push(abrupt(ClosedBy::Proxy));
                }
            }
            Ending::ClosedByProxy(proxy) => {
                let code = &[3, 0xe9];
                let (down, up) = path.split_at(proxy + 1);
                self.relay(down, Server, at, CLOSE, code);
                self.relay(up, Client, at + 50 * MICRO, CLOSE, code);
                let done = self.relay(down, Client, at + MILLI, CLOSE, code);
                let done = self.relay(up, Server, done, CLOSE, code);
                self.cut(path, proxy, done, false);
                self.truth.ends.push(ProxyEnd { proxy, at, story, together });
            }
        }
    }

    /// Seen from behind, a client that ends a silent tunnel is the proxy's timer.
    fn looks_idle(&mut self, story: usize) {
        let listeners = self.world.proxies.iter().map(|proxy| proxy.listen);
        let due = Due::new(RuleId::IdleClose, story, listeners);
        self.truth.due.push(Due { must: false, of_part: true, ..due });
    }

    /// A proxy ends both of its connections; those beyond follow.
    fn cut(&mut self, path: &[Id], proxy: usize, at: Time, reset: bool) {
        let (down, up) = path.split_at(proxy + 1);
        let (down_at, up_at) = match self.world.proxies[proxy].ends_late {
            true => (at + SECOND, at),
            false if self.random.chance(50) => (at + 60 * MICRO, at),
            false => (at, at + 60 * MICRO),
        };
        self.farewell(up, Client, up_at, reset);
        self.farewell(down, Server, down_at, false);
    }

    /// What a reload is: one alert for all.
    pub fn mass_close(&mut self, stories: Vec<usize>, by: SocketAddr) {
        self.truth.due.push(Due { stories, ..Due::new(RuleId::MassClose, 0, Some(by)) });
    }
}
