//! What happens in a world: clients with their connections, requests and tunnels; several of them at one time.

use std::net::SocketAddr;

use observer::engine::alert::{Cause, RuleId};

use super::{
    message::{Framing, Request, Response, new_key},
    net::{Client, Id, MILLI, SECOND, Server, Time},
    plan::{Attempt, ClientManner, OriginManner, ProxyManner, span},
    play::{Play, Reply},
    truth::{Due, Story},
};

impl Play {
    /// Everything that happens.
    pub fn run(&mut self) {
        for _ in 0..self.random.between(1, 6) {
            let start = span(&mut self.random, 0, 20);
            match self.random.below(100) {
                0..50 => self.session(start, true),
                50..65 => self.session(start, false),
                65..72 => self.fallback(start),
                72..80 => self.reload(start),
                80..85 => self.idle_together(start),
                85..90 if self.world.proxies.len() == 1 && !self.world.proxies[0].rekeys => self.equal_keys(start),
                // EXCLUDED: between proxies of one host the ordinary request is one of several that look alike.
                90..95 if self.tells_likeness() => self.injection(start),
                _ => self.offer(start),
            }
        }
        let end = self.net.sent.iter().map(|sent| sent.at).max().unwrap_or(0);
        let listens = self.listens();
        self.truth.settle(&listens, self.world.is_one_host(), end);
    }

    pub fn some_client(&mut self) -> SocketAddr {
        let number = self.random.below(90);
        SocketAddr::new(self.world.client(number), self.port())
    }

    pub fn connect(&mut self, client: SocketAddr, at: Time) -> Id {
        let proxy = self.world.proxies[0].listen;
        self.net.open(client, proxy, 0, at)
    }

    /// A path that others ask for, too, or one of its own.
    pub fn path(&mut self) -> String {
        if self.random.chance(30) {
            return "/app/ws".to_owned();
        }
        format!("/app/chat/{:x}?token=secret", self.random.next() >> 40)
    }

    pub fn begin(&mut self, title: &str, request: &Request, at: Time) -> usize {
        let path = request.target.split('?').next().unwrap_or_default();
        self.truth.stories.push(Story {
            title: format!("{title} {}", request.target),
            hops: Vec::new(),
            path: Vec::new(),
            tail: path.rsplit('/').next().unwrap_or_default().to_owned(),
            asked_at: at,
            ended_at: None,
            got: None,
            asks: true,
            websocket: true,
            gave_up_early: false,
            unclear: false,
            alike: false,
            root: None,
        });
        self.truth.stories.len() - 1
    }

    /// One client's connection: some ordinary requests, perhaps at once, then perhaps an attempt.
    fn session(&mut self, start: Time, with_attempt: bool) {
        let client = self.some_client();
        let id = self.connect(client, start);
        let before = [0, 0, 1, 3][self.random.below(4)] + usize::from(!with_attempt);
        let mut requests: Vec<_> = (0..before).map(|_| self.ordinary_request()).collect();
        let mut attempt = with_attempt.then(|| Attempt::new(self.world.proxies.len(), &mut self.random));
        if let Some(attempt) = &mut attempt {
            let request = self.attempt_request(attempt);
            requests.push(request);
        }
        let at_once = self.random.chance(25);
        let mut at = start + MILLI;
        if at_once {
            let all: Vec<_> = requests.iter().flat_map(Request::bytes).collect();
            at = self.net.say(id, Client, at, &all);
        }
        let asked_at = at;
        for (place, request) in requests.iter().enumerate() {
            if self.net.connections[id].ended != [false; 2] {
                return;
            }
            if !at_once {
                at += span(&mut self.random, 0, 3);
            }
            if place < before {
                at = self.ordinary(id, request, asked_at, at, at_once);
            } else if let Some(plan) = &attempt {
                let asked = if at_once { asked_at } else { at };
                self.attempt(id, plan, request, asked, at, at_once);
                return;
            }
        }
        if self.random.chance(60) {
            let who = if self.random.chance(50) { Client } else { Server };
            at += span(&mut self.random, 0, 70);
            self.net.close(id, who, at);
        }
    }

    fn ordinary_request(&mut self) -> Request {
        let target = ["/", "/index.html", "/app/ws", "/api/items?page=2"][self.random.below(4)];
        let mut request = Request::get(target);
        match self.random.below(8) {
            0 => request.fields.set("Connection", "keep-alive"),
            1 => request.fields.set("Connection", "Upgrade"),
            2 => {
                request.method = "POST";
                request.body = vec![b'p'; self.random.between(1, 4000)];
                request.fields.set("Content-Length", request.body.len().to_string());
            }
            3 => request.method = "HEAD",
            _ => {}
        }
        request
    }

    /// An ordinary request, as far as the server that answers it.
    fn ordinary(&mut self, id: Id, request: &Request, asked_at: Time, at: Time, sent: bool) -> Time {
        let tail =
            request.target.split('?').next().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned();
        let asked = if sent { at } else { self.net.say(id, Client, at, &request.bytes()) };
        let mut up = request.clone();
        up.fields.remove("Connection");
        let (level, mut path, mut now) = (self.world.proxies.len(), vec![id], asked);
        for at in 0..level {
            let client = SocketAddr::new(self.world.proxies[at].from, self.port());
            let server = if at + 1 == level { self.world.origins[0] } else { self.world.proxies[at + 1].listen };
            now += self.moment();
            let hop = self.net.open(client, server, at + 1, now);
            now = self.net.say(hop, Client, now, &up.bytes());
            path.push(hop);
        }
        let mut response =
            Response::new([200, 200, 404, 500][self.random.below(4)], &vec![b'r'; self.random.below(3000)]);
        match self.random.below(6) {
            _ if request.method == "HEAD" => response.framing = Framing::None,
            0 => response.framing = Framing::Chunked,
            1 => {
                response.status = 304;
                response.framing = Framing::None;
            }
            _ => {}
        }
        for (place, hop) in path.into_iter().enumerate().rev() {
            now += self.moment();
            if self.random.chance(10) {
                now = self.net.say(hop, Server, now, b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            now = self.net.say(hop, Server, now, &response.bytes());
            if place > 0 {
                self.net.close(hop, Client, now);
            }
        }
        self.truth.ordinary.push((tail, if sent { asked_at } else { asked }, now));
        now
    }

    /// Whether a request without a key can be followed by its likeness alone.
    fn tells_likeness(&self) -> bool {
        self.world.proxies.len() == 1 || !self.world.is_one_host()
    }

    pub fn attempt_request(&mut self, plan: &mut Attempt) -> Request {
        let target = self.path();
        let simple = |manner: &ProxyManner| {
            matches!(manner, ProxyManner::Forwards | ProxyManner::Drops(_) | ProxyManner::Answers(_))
        };
        if plan.proxies.iter().all(simple)
            && plan.origin == OriginManner::Accepts
            && plan.client == ClientManner::Good
            && self.tells_likeness()
            && self.random.chance(12)
        {
            plan.token = "tcp";
            let mut request = Request::upgrade(&target, plan.token);
            request.method = "POST";
            request.fields.set("Content-Length", "0");
            return request;
        }
        let mut request = Request::websocket(&target, &new_key(&mut self.random));
        if plan.offers {
            request.fields.set("Sec-WebSocket-Protocol", "chat.v2, chat.v1");
            request.fields.set("Sec-WebSocket-Extensions", "permessage-deflate");
        }
        if self.random.chance(20) {
            request.fields.set("X-Request-ID", format!("{:016x}", self.random.next()));
        }
        if self.random.chance(40) {
            request.fields.set("Origin", "https://chat.test");
            request.fields.set("User-Agent", format!("browser/{}", self.random.below(5)));
        }
        if self.random.chance(10) {
            request.fields.set("Cookie", "c".repeat(self.random.between(1000, 6000)));
        }
        match plan.client {
            ClientManner::NoKey => request.fields.remove("Sec-WebSocket-Key"),
            ClientManner::BadKey => request.fields.set("Sec-WebSocket-Key", format!("{:x}", self.random.next())),
            ClientManner::NoVersion => request.fields.remove("Sec-WebSocket-Version"),
            ClientManner::NoHost => request.fields.remove("Host"),
            ClientManner::Good | ClientManner::GivesUp(_) => {}
        }
        request
    }

    /// One attempt from the request to the tunnel's end. Returns its story and when its client had the answer.
    pub fn attempt(
        &mut self,
        id: Id,
        plan: &Attempt,
        request: &Request,
        asked_at: Time,
        at: Time,
        sent: bool,
    ) -> (usize, Time) {
        let (story, opened) = self.handshake(id, plan, request, asked_at, at, sent);
        if self.truth.stories[story].got == Some(101) {
            self.tunnel(story, &plan.tunnel, opened, None);
        }
        (story, opened)
    }

    pub fn handshake(
        &mut self,
        id: Id,
        plan: &Attempt,
        request: &Request,
        asked_at: Time,
        at: Time,
        sent: bool,
    ) -> (usize, Time) {
        let title = format!("{:?} {:?} {:?} {:?}", plan.client, plan.proxies, plan.origin, plan.tunnel);
        let story = self.begin(&title, request, asked_at.min(at));
        let client = self.net.connections[id].client;
        self.truth.stories[story].websocket = plan.token == "websocket";
        if request.key().is_none() {
            self.truth.stories[story].alike = true;
        }
        if !matches!(plan.client, ClientManner::Good | ClientManner::GivesUp(_)) {
            self.truth.stories[story].blame(&[Cause::ClientMalformed], client);
        }
        let (reply, mut now) = self.ask(story, plan, 0, id, request, at, sent);
        let told = &mut self.truth.stories[story];
        told.ended_at = Some(now);
        match reply {
            Reply::Answer(response) => told.got = Some(response.status),
            Reply::Closed => {}
            Reply::Silence => match plan.client {
                ClientManner::GivesUp(span) => {
                    now = at + span;
                    told.ended_at = Some(now);
                    told.gave_up_early = span < 30 * SECOND;
                    self.abandon(story, 0, now);
                }
                _ => told.ended_at = None,
            },
        }
        (story, now)
    }

    /// A client that goes on by long polling.
    fn fallback(&mut self, start: Time) {
        let client = self.some_client();
        let mut plan = Attempt::new(self.world.proxies.len(), &mut self.random);
        let session = format!("{:x}", self.random.next() >> 32);
        let target = format!("/socket.io/?EIO=4&transport=websocket&sid={session}");
        plan.client = ClientManner::Good;
        if plan.origin == OriginManner::Silent {
            plan.origin = OriginManner::Rejects(400);
        }
        let request = Request::websocket(&target, &new_key(&mut self.random));
        let id = self.connect(client, start);
        let (story, mut at) = self.attempt(id, &plan, &request, start, start + MILLI, false);
        // A proxy that times out on an origin that answers has nothing to do.
        let polls = self.random.below(4);
        let own = self.random.chance(75);
        let polled = if own { session } else { "another".to_owned() };
        let client = SocketAddr::new(client.ip(), self.port());
        let id = self.connect(client, at + MILLI);
        for _ in 0..polls {
            at += span(&mut self.random, 0, 3) + 5 * MILLI;
            let poll = Request::get(&format!("/socket.io/?EIO=4&transport=polling&sid={polled}"));
            at = self.ordinary(id, &poll, at, at, false);
        }
        let failed = self.truth.stories[story].got != Some(101);
        if failed && own && polls >= 2 {
            self.truth.due.push(Due::new(RuleId::PollingFallback, story, None));
        }
    }
}
