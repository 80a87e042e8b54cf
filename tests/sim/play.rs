//! The actors: clients ask, proxies pass on what they got as they are made to, origins answer. Every doing that a rule
//! speaks of is noted in the truth.

use std::net::SocketAddr;

use observer::engine::{
    alert::{Cause, RuleId},
    event::ClosedBy,
};

use super::{
    message::{Framing, Request, Response, accept},
    net::{Client, Id, MICRO, Net, Server, Time},
    plan::{Attempt, OriginManner, ProxyManner, World},
    truth::{Due, Truth},
};
use crate::traffic::random::Random;

/// The world in motion.
pub struct Play {
    pub world: World,
    pub net: Net,
    pub truth: Truth,
    pub random: Random,
    /// Upstream connections that are free: their level and name.
    pub pool: Vec<(usize, Id)>,
    next_port: u16,
}

/// What the client of a hop gets for its request.
pub enum Reply {
    Answer(Response),
    /// The connection ended.
    Closed,
    /// Nothing yet.
    Silence,
}

impl Play {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new("world", seed);
        let world = World::new(&mut random);
        let net = Net::new(Random::new("net", seed));
        Self { world, net, truth: Truth::default(), random, pool: Vec::new(), next_port: 33000 }
    }

    pub fn listens(&self) -> Vec<SocketAddr> {
        self.world.proxies.iter().map(|proxy| proxy.listen).collect()
    }

    /// A moment of work.
    pub fn moment(&mut self) -> Time {
        Time::try_from(self.random.between(40, 3000)).expect("short") * MICRO
    }

    pub fn port(&mut self) -> u16 {
        self.next_port += 1;
        self.next_port
    }

    /// Sends a request on a connection of `level` (unless it is on its way already), lets the server there work on it, and
    /// brings back the answer.
    #[expect(clippy::too_many_arguments, reason = "who asks whom for what, on which connection, and when")]
    pub fn ask(
        &mut self,
        story: usize,
        plan: &Attempt,
        level: usize,
        id: Id,
        request: &Request,
        at: Time,
        sent: bool,
    ) -> (Reply, Time) {
        let at = if sent { at } else { self.net.say(id, Client, at, &request.bytes()) };
        self.truth.stories[story].hops.push((id, at));
        self.truth.stories[story].path.push(id);
        let at = at + self.moment();
        let (reply, at) = if level < self.world.proxies.len() {
            self.proxy(story, plan, level, id, request, at)
        } else {
            self.origin(story, plan, id, request, at)
        };
        let at = self.deliver(id, &reply, at);
        (reply, at)
    }

    /// A server's answer on its way.
    fn deliver(&mut self, id: Id, reply: &Reply, at: Time) -> Time {
        match reply {
            Reply::Answer(response) => {
                let sent = self.net.say(id, Server, at, &response.bytes());
                if response.framing == Framing::Close { self.net.close(id, Server, sent + 20 * MICRO) } else { sent }
            }
            Reply::Closed if self.random.chance(30) => self.net.reset(id, Server, at),
            Reply::Closed => self.net.close(id, Server, at),
            Reply::Silence => at,
        }
    }

    fn answer(&mut self, status: u16) -> Reply {
        let mut response = Response::new(status, b"<html>said by a proxy</html>");
        response.fields.set("Server", "proxy");
        if self.random.chance(20) {
            response.framing = [Framing::Chunked, Framing::Close][self.random.below(2)];
        }
        Reply::Answer(response)
    }

    fn proxy(
        &mut self,
        story: usize,
        plan: &Attempt,
        level: usize,
        from: Id,
        request: &Request,
        at: Time,
    ) -> (Reply, Time) {
        let listen = self.world.proxies[level].listen;
        let manner = match plan.proxies[level] {
            // No product that makes new keys sends requests of its own with the old.
            ProxyManner::Asks(_) | ProxyManner::Mirrors if self.world.proxies[level].rekeys => ProxyManner::Forwards,
            manner => manner,
        };
        let told = &mut self.truth.stories[story];
        match manner {
            ProxyManner::Answers(status) => {
                told.blame_alone(&[Cause::NotForwarded], listen, level);
                return (self.answer(status), at);
            }
            ProxyManner::Redirects => {
                told.blame_alone(&[Cause::NotForwarded, Cause::Redirected], listen, level);
                return (self.answer(302), at);
            }
            ProxyManner::Denies => {
                told.blame(&[Cause::AuthRequired], listen);
                return (self.answer(401), at);
            }
            ProxyManner::Asks(status) => {
                let at = self.aside(story, level, request, at, status, true);
                if status >= 400 {
                    self.truth.stories[story].blame_alone(&[Cause::AuthRequired], listen, level);
                    return (self.answer(status), at + 100 * MICRO);
                }
            }
            _ => {}
        }
        let up = self.passed_on(story, level, from, request, manner);
        let at = if let ProxyManner::Retries(refused) = manner {
            self.first_try(story, level, &up, at, refused)
        } else {
            at
        };
        let last = level + 1 == self.world.proxies.len();
        let server = if last { self.world.origins[0] } else { self.world.proxies[level + 1].listen };
        let client = SocketAddr::new(self.world.proxies[level].from, self.port());
        match manner {
            ProxyManner::Refused(status) => {
                let id = self.net.refused(client, server, level + 1, at);
                self.truth.failures.push(at);
                self.truth.stories[story].hops.push((id, at));
                self.truth.stories[story].blame_alone(&[Cause::UpstreamRefused], server, level);
                return (self.answer(status), at + 200 * MICRO);
            }
            ProxyManner::Unreachable(span) => {
                let id = self.net.unanswered((client, server), level + 1, at, at + span);
                self.truth.failures.push(at);
                self.truth.stories[story].hops.push((id, at));
                self.truth.stories[story].blame_alone(&[Cause::UpstreamUnreachable], server, level);
                let status = [502, 504][self.random.below(2)];
                return (self.answer(status), at + span);
            }
            _ => {}
        }
        let id = self.upstream(level + 1, client, server, at);
        let sent_at = at.max(self.net.connections[id].last) + 50 * MICRO;
        if manner == ProxyManner::Mirrors {
            self.aside(story, level, request, sent_at + 10 * MICRO, 200, false);
        }
        let (reply, at) = self.ask(story, plan, level + 1, id, &up, sent_at, false);
        let at = at + self.moment();
        match reply {
            Reply::Answer(response) => self.got(story, level, id, request, &up, response, manner, at),
            Reply::Closed if self.random.chance(30) => (Reply::Closed, at),
            Reply::Closed => (self.answer(502), at),
            Reply::Silence => match manner {
                ProxyManner::TimesOut(span) => {
                    let at = sent_at + span;
                    self.abandon(story, level + 1, at);
                    (if self.random.chance(20) { Reply::Closed } else { self.answer(504) }, at + 100 * MICRO)
                }
                _ => (Reply::Silence, at),
            },
        }
    }

    /// An answer from upstream: what of it goes down.
    #[expect(clippy::too_many_arguments, reason = "all that a proxy knows of one exchange")]
    fn got(
        &mut self,
        story: usize,
        level: usize,
        id: Id,
        down: &Request,
        up: &Request,
        mut response: Response,
        manner: ProxyManner,
        at: Time,
    ) -> (Reply, Time) {
        let listen = self.world.proxies[level].listen;
        if response.status != 101 {
            if self.net.connections[id].ended == [false; 2] {
                let reusable = self.world.proxies[level].keeps_connections
                    && !up.old
                    && up.fields.get("Connection") != Some("close");
                if reusable {
                    self.pool.push((level + 1, id));
                } else {
                    let first = [Client, Server][self.random.below(2)];
                    self.net.close(id, first, at);
                }
            }
            return (Reply::Answer(response), at + 30 * MICRO);
        }
        if let ProxyManner::LosesRelay(status) = manner {
            self.truth.stories[story].blame(&[Cause::RelayLost], listen);
            self.abandon(story, level + 1, at);
            let by_client = Due { closed_by: Some(ClosedBy::Client), ..Due::new(RuleId::AbruptClose, story, None) };
            self.truth.due.push(Due { must: false, of_part: true, ..by_client });
            return (status.map_or(Reply::Closed, |status| self.answer(status)), at + 50 * MICRO);
        }
        if let (Some(key), true) = (down.key(), down.key() != up.key()) {
            response.fields.set("Sec-WebSocket-Accept", accept(key));
        }
        match manner {
            ProxyManner::ChangesAccept => {
                response.fields.set("Sec-WebSocket-Accept", accept("another key"));
                self.truth.due.push(Due::new(RuleId::AcceptMismatch, story, Some(listen)));
            }
            ProxyManner::ChangesResponse(field) => {
                if response.fields.get(field).is_some() && self.random.chance(50) {
                    response.fields.remove(field);
                } else {
                    response.fields.set(field, "never-offered");
                }
                self.truth.due.push(Due::new(RuleId::NegotiationAltered, story, Some(listen)));
            }
            _ => {}
        }
        response.fields.set("Server", "proxy");
        (Reply::Answer(response), at)
    }

    /// Everybody from `level` on is left by the client of their connection.
    pub fn abandon(&mut self, story: usize, level: usize, at: Time) {
        let path: Vec<_> = self.truth.stories[story].path.iter().skip(level).copied().collect();
        let mut at = at;
        for id in path {
            // Every other origin neither answers nor closes, as a process that was stopped.
            let frozen = story % 2 == 1 && self.world.origins.contains(&self.net.connections[id].server);
            let close: fn(&mut Net, Id, _, Time) -> Time = if frozen { Net::leave } else { Net::close };
            at = close(&mut self.net, id, Client, at + 40 * MICRO);
        }
    }

    fn origin(&mut self, story: usize, plan: &Attempt, id: Id, request: &Request, at: Time) -> (Reply, Time) {
        let own = self.net.connections[id].server;
        let random = &mut self.random;
        let pick = |of: &[u16], random: &mut Random| of[random.below(of.len())];
        let no = |status: u16| Reply::Answer(Response::new(status, b"no"));
        let told = &mut self.truth.stories[story];
        if !told.asks {
            return (no(pick(&[200, 200, 404, 400], random)), at);
        }
        if !request.is_upgrade() {
            return (no(pick(&[400, 404, 426, 200, 500], random)), at);
        }
        if request.old && random.chance(60) {
            let by =
                self.truth.due.iter().rev().find(|due| due.rule == RuleId::Http10Upstream && due.stories == [story]);
            let by = *by.and_then(|due| due.by.first()).expect("a proxy that lowered it");
            told.blame(&[Cause::Http10], by);
            return (no(pick(&[400, 426, 505], random)), at);
        }
        // A proxy may have mended what its client did wrong.
        if !request.is_proper() {
            return (no(pick(&[400, 426], random)), at);
        }
        let mut accepted = Response::switching(plan.token, request.key());
        for field in ["Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"] {
            if let Some(offered) = request.fields.get(field) {
                accepted.fields.set(field, offered.split(',').next().unwrap_or_default());
            }
        }
        match plan.origin {
            OriginManner::Accepts => {}
            OriginManner::Rejects(status) => {
                told.blame(&[Cause::OriginRejected], own);
                return (no(status), at);
            }
            OriginManner::AsksWho => {
                told.blame(&[Cause::AuthRequired], own);
                return (no(401), at);
            }
            OriginManner::Redirects => {
                told.blame(&[Cause::Redirected], own);
                return (no(302), at);
            }
            OriginManner::OtherVersion => {
                told.blame(&[Cause::VersionUnsupported], own);
                let mut response = Response::new(426, b"");
                response.fields.set("Sec-WebSocket-Version", "8, 7");
                return (Reply::Answer(response), at);
            }
            OriginManner::Silent => {
                told.blame(&[Cause::UpstreamSilent], own);
                return (Reply::Silence, at);
            }
            OriginManner::Closes(reset) => {
                told.blame(&[Cause::UpstreamClosed], own);
                let at = if reset { self.net.reset(id, Server, at) } else { self.net.close(id, Server, at) };
                return (Reply::Closed, at);
            }
            OriginManner::WrongAccept | OriginManner::NoAccept => {
                if plan.origin == OriginManner::NoAccept {
                    accepted.fields.remove("Sec-WebSocket-Accept");
                } else {
                    accepted.fields.set("Sec-WebSocket-Accept", accept("another key"));
                }
                self.truth.due.push(Due::new(RuleId::AcceptMismatch, story, Some(own)));
            }
            OriginManner::Unoffered(field) => {
                accepted.fields.set(field, "never-offered");
                self.truth.due.push(Due::new(RuleId::NegotiationAltered, story, Some(own)));
            }
        }
        (Reply::Answer(accepted), at)
    }
}
