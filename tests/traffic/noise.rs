//! Connections that have no part in any attempt, between the hosts that have. A host that runs a proxy runs other things,
//! too; none of what is made here can hide anything of an attempt, and each kind says why.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use super::{
    message::{Request, Response, frame, new_key},
    net::{Client, Id, MICRO, MILLI, Net, Sent, Server, Side, Time},
    random::Random,
};

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Of a database, open since before the capture, and heard of at its very start: whatever was on it before, all attempts
    /// began later, and what follows is all there and no HTTP.
    Database,
    /// The same, but it was silent when the capture began. Nothing of it is missing since.
    Pooled,
    /// A binary protocol, with holes in the middle. Both sides' first bytes are there and are no HTTP, so nothing later is.
    Opaque,
    /// Kept alive by a proxy's host to an origin that attempts never reach; some since before the capture, and then heard of
    /// at its very start. All requests are there, and ask for other things; a hole in an answer hides no request.
    Http,
    /// TLS to another port of a proxy's host, from hosts that no proxy sends from: the clients' own requests are there in
    /// plaintext, so they are not in here, and neither is what a proxy sends on. It stays open: an end that falls together
    /// with a tunnel's might be that of the tunnel's client.
    Tls,
    /// Another upgrade, with a key and a target of its own, of which all is as it should be. Once it is a tunnel there are no
    /// more requests on it.
    Upgrade,
    /// An ordinary request, or CONNECT, that is answered 101. It asks for no upgrade, so it is no attempt however it ends.
    Switched,
}

impl Kind {
    pub const ALL: [Self; 7] =
        [Self::Database, Self::Pooled, Self::Opaque, Self::Http, Self::Tls, Self::Upgrade, Self::Switched];
}

/// Where, and when, there is something to disturb.
pub struct Places {
    /// Of one family each; none is empty.
    pub clients: Vec<IpAddr>,
    pub proxies: Vec<IpAddr>,
    pub origins: Vec<IpAddr>,
    /// Ports that attempts use.
    pub ports: BTreeSet<u16>,
    /// When something happens, in order.
    pub moments: Vec<Time>,
}

/// Connections of strangers.
pub struct Noise {
    pub net: Net,
    /// Of each connection.
    pub kinds: Vec<Kind>,
    places: Places,
    random: Random,
    next_client: u16,
    next_server: u16,
    /// Segments that no tap captured.
    lost: BTreeSet<usize>,
    /// Segments with payload whose loss hides nothing, with their connection.
    spare: Vec<(Id, usize)>,
}

impl Noise {
    /// Some connections of each kind, which appears with this chance.
    pub fn new(places: Places, chance: usize, mut random: Random) -> Self {
        let net = Net::new(Random::new("noise", random.next()));
        let mut noise = Self {
            net,
            kinds: Vec::new(),
            places,
            random,
            next_client: 50000,
            next_server: 8300,
            lost: BTreeSet::new(),
            spare: Vec::new(),
        };
        for kind in Kind::ALL {
            if noise.random.chance(chance) {
                (0..noise.random.between(1, 2)).for_each(|_| noise.connection(kind));
            }
        }
        noise
    }

    /// All that was captured of it. It ends with the rest: when a capture ends says something, too.
    pub fn captured(&self) -> impl Iterator<Item = &Sent> {
        let end = self.places.moments.last().copied().unwrap_or(Time::MAX);
        let captured = move |(place, sent): &(usize, &Sent)| !self.lost.contains(place) && sent.at <= end;
        self.net.sent.iter().enumerate().filter(captured).map(|(_, sent)| sent)
    }

    /// Loses one more segment of each kind that is there.
    pub fn lose_one_of_each(&mut self) {
        for kind in Kind::ALL {
            let own: Vec<_> =
                self.spare.iter().filter(|(id, _)| self.kinds[*id] == kind).map(|spare| spare.1).collect();
            self.lost.extend(own.get(self.random.below(own.len())));
        }
    }

    fn connection(&mut self, kind: Kind) {
        match kind {
            Kind::Database => self.database(true),
            Kind::Pooled => self.database(false),
            Kind::Opaque => self.opaque(),
            Kind::Http => self.http(),
            Kind::Tls => self.tls(),
            Kind::Upgrade => self.upgrade(),
            Kind::Switched => self.switched(),
        }
        self.kinds.resize(self.net.connections.len(), kind);
    }

    fn database(&mut self, is_heard_first: bool) {
        let (client, server, level) = self.onward(5432);
        let start = self.places.moments[0];
        let id = self.net.found(client, server, level, start);
        if is_heard_first {
            self.net.say(id, Client, start, &query(b'Q', b"begin\0"));
        }
        for at in self.moments(1, 8) {
            self.spared(id, Client, at, &query(b'Q', b"select 1\0"));
            if self.random.chance(80) {
                let rows = vec![0xa5; self.random.between(4, 3000)];
                self.spared(id, Server, at + MILLI, &[query(b'D', &rows), query(b'Z', b"I")].concat());
            }
        }
    }

    fn opaque(&mut self) {
        let (client, server, level) = if self.random.chance(70) { self.onward(5672) } else { self.inward(5672) };
        let times = self.moments(4, 16);
        let id = self.net.open(client, server, level, times[0]);
        let at = self.net.say(id, Client, times[0] + MILLI, b"\x01\0\x09\x01binary");
        self.net.say(id, Server, at + MILLI, b"\x01\0\x04\x02yes\xff");
        for at in times {
            let side = self.some_side();
            let bytes = vec![0xc3; self.random.between(9, 3000)];
            self.spared(id, side, at + 3 * MILLI, &bytes);
        }
        // The last one stays: what is missing is in the middle.
        let end = self.spare.len() - 1;
        let from = self.spare.iter().position(|(own, _)| *own == id).unwrap_or(end);
        let holes: Vec<_> = (0..self.random.between(1, 3)).map(|_| from + self.random.below(end - from)).collect();
        self.lost.extend(holes.into_iter().map(|place| self.spare[place].1));
    }

    fn http(&mut self) {
        let (client, server, level) = self.onward(8086);
        let times = self.moments(2, 10);
        let start = self.places.moments[0];
        let (id, first) = if self.random.chance(70) {
            (self.net.open(client, server, level, times[0]), None)
        } else {
            (self.net.found(client, server, level, start), Some(start))
        };
        for at in first.into_iter().chain(times) {
            let mut request = Request::get(&format!("/stock/{:x}", self.random.next() >> 40));
            request.fields.set("Host", "stock.test");
            let at = self.net.say(id, Client, at, &request.bytes());
            let status = [200, 200, 404][self.random.below(3)];
            let body = vec![b's'; self.random.below(3000)];
            let after = Time::try_from(self.random.between(1, 30)).expect("short") * MILLI;
            self.spared(id, Server, at + after, &Response::new(status, &body).bytes());
        }
    }

    fn tls(&mut self) {
        let (mut client, server, level) = self.inward(8443);
        if self.places.proxies.contains(&client.ip()) {
            client.set_ip(beyond(client.ip(), 2));
        }
        let times = self.moments(2, 10);
        let id = self.net.open(client, server, level, times[0]);
        let at = self.net.say(id, Client, times[0] + MILLI, &client_hello("shop.test", &mut self.random));
        self.net.say(id, Server, at + MILLI, &record(22, &[2; 90]));
        for at in times {
            let side = self.some_side();
            let length = self.random.between(20, 2000);
            self.spared(id, side, at + 3 * MILLI, &record(23, &vec![0x5a; length]));
        }
    }

    fn upgrade(&mut self) {
        let port = self.server_port();
        let (client, server, level) = match self.random.below(3) {
            0 => self.inward(port),
            1 => self.onward(port),
            _ => self.elsewhere(port),
        };
        let times = self.moments(2, 8);
        let id = self.net.open(client, server, level, times[0]);
        let mut request = Request::websocket(&format!("/feed/{port}"), &new_key(&mut self.random));
        request.fields.set("Host", "feed.test");
        self.switches(id, &request, times[0] + MILLI);
        for at in &times {
            let side = self.some_side();
            let length = self.random.between(1, 900);
            self.spared(id, side, *at + 4 * MILLI, &frame(2, &vec![9; length], mask(side)));
        }
        if self.random.chance(75) {
            let (first, other) = self.some_sides();
            let at = self.later(id);
            let at = self.net.say(id, first, at, &frame(8, &[3, 0xe8], mask(first)));
            let at = self.net.say(id, other, at + MILLI, &frame(8, &[3, 0xe8], mask(other)));
            let first = self.some_side();
            self.net.close(id, first, at + MILLI);
        }
    }

    fn switched(&mut self) {
        let port = self.server_port();
        let is_elsewhere = self.random.chance(50);
        for at in self.moments(1, 2) {
            let (client, server, level) = if is_elsewhere { self.elsewhere(port) } else { self.inward(port) };
            let id = self.net.open(client, server, level, at);
            let mut request = Request::get("/index.html");
            if self.random.chance(50) {
                (request.method, request.target) = ("CONNECT", "db.test:1".to_owned());
            }
            self.switches(id, &request, at + MILLI);
            let at = self.later(id);
            self.spared(id, Client, at, b"\x02\x05binary");
            if self.random.chance(75) {
                self.ends(id);
            }
        }
    }

    fn switches(&mut self, id: Id, request: &Request, at: Time) {
        let at = self.net.say(id, Client, at, &request.bytes());
        let response = Response::switching("websocket", request.key());
        self.net.say(id, Server, at + MILLI, &response.bytes());
    }

    /// Bytes whose loss hides nothing.
    fn spared(&mut self, id: Id, side: Side, at: Time, bytes: &[u8]) {
        let from = self.net.sent.len();
        self.net.say(id, side, at, bytes);
        let full = (from..self.net.sent.len()).filter(|place| self.net.sent[*place].segment.wire_payload > 0);
        self.spare.extend(full.map(|place| (id, place)));
    }

    /// Perhaps an end, by either side.
    fn ends(&mut self, id: Id) {
        let (first, at) = (self.some_side(), self.later(id));
        if self.random.chance(20) {
            self.net.reset(id, first, at);
        } else {
            self.net.close(id, first, at);
        }
    }

    fn some_side(&mut self) -> Side {
        self.some_sides().0
    }

    fn some_sides(&mut self) -> (Side, Side) {
        if self.random.chance(50) { (Client, Server) } else { (Server, Client) }
    }

    /// Moments in order, some of them when attempts are busy, the others at any time.
    fn moments(&mut self, least: usize, most: usize) -> Vec<Time> {
        let all = &self.places.moments;
        let (first, last) = (all[0], all[all.len() - 1]);
        let span = usize::try_from((last - first) / MICRO).expect("times are in order");
        let mut times: Vec<_> = (0..self.random.between(least, most))
            .map(|_| match self.random.chance(60) {
                true => all[self.random.below(all.len())],
                false => first + Time::try_from(self.random.below(span)).expect("short") * MICRO,
            })
            .collect();
        times.sort_unstable();
        times
    }

    /// A moment after all that a connection said, as long as there is one.
    fn later(&mut self, id: Id) -> Time {
        let last = self.net.connections[id].last;
        let at = self.moments(1, 1)[0];
        if at > last { at } else { last + MILLI }
    }

    fn client_port(&mut self) -> u16 {
        self.next_client = free(self.next_client, &self.places.ports);
        self.next_client
    }

    fn server_port(&mut self) -> u16 {
        self.next_server = free(self.next_server, &self.places.ports);
        self.next_server
    }

    /// From a proxy's host to that of an origin, or another one; the level is where a tap behind the proxy sees it.
    fn onward(&mut self, port: u16) -> (SocketAddr, SocketAddr, usize) {
        let level = self.random.below(self.places.proxies.len());
        let from = self.places.proxies[level];
        let origins = like(&self.places.origins, from);
        let to = if self.random.chance(60) { pick(&origins, &mut self.random) } else { None };
        let to = to.unwrap_or(beyond(from, 1));
        (SocketAddr::new(from, self.client_port()), SocketAddr::new(to, unused(port, &self.places.ports)), level + 1)
    }

    /// From a client's host to that of the first proxy.
    fn inward(&mut self, port: u16) -> (SocketAddr, SocketAddr, usize) {
        let to = self.places.proxies[0];
        let clients = like(&self.places.clients, to);
        let from = pick(&clients, &mut self.random).unwrap_or(beyond(to, 2));
        (SocketAddr::new(from, self.client_port()), SocketAddr::new(to, unused(port, &self.places.ports)), 0)
    }

    /// Between hosts without any part.
    fn elsewhere(&mut self, port: u16) -> (SocketAddr, SocketAddr, usize) {
        let [from, to] = [2, 1].map(|host| beyond(self.places.proxies[0], host));
        (SocketAddr::new(from, self.client_port()), SocketAddr::new(to, port), 0)
    }
}

fn pick(hosts: &[IpAddr], random: &mut Random) -> Option<IpAddr> {
    hosts.get(random.below(hosts.len())).copied()
}

/// Hosts of one's own family.
fn like(hosts: &[IpAddr], one: IpAddr) -> Vec<IpAddr> {
    hosts.iter().filter(|host| host.is_ipv4() == one.is_ipv4()).copied().collect()
}

/// A host that has no part in anything (RFC 5737, RFC 3849).
fn beyond(like: IpAddr, host: u8) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::new(198, 51, 100, host).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(host)).into(),
    }
}

/// The next port that nobody uses.
fn free(after: u16, taken: &BTreeSet<u16>) -> u16 {
    unused(after + 1, taken)
}

fn unused(from: u16, taken: &BTreeSet<u16>) -> u16 {
    (from..).find(|port| !taken.contains(port)).expect("few ports are taken")
}

/// A client masks its frames (RFC 6455 5.1).
fn mask(side: Side) -> Option<[u8; 4]> {
    (side == Client).then_some([4, 7, 1, 2])
}

/// A message of PostgreSQL's protocol: its type, its length, its body.
fn query(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("a short message").to_be_bytes();
    [&[kind], &length[..], body].concat()
}

/// A TLS record (RFC 8446 5.1).
fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("a short record").to_be_bytes();
    [&[kind, 3, 3], &length[..], body].concat()
}

/// A ClientHello with a server's name and ALPN (RFC 8446 4.1.2, RFC 6066 3, RFC 7301 3.1).
fn client_hello(name: &str, random: &mut Random) -> Vec<u8> {
    let with_length = |body: &[u8]| [&u16::try_from(body.len()).expect("short").to_be_bytes()[..], body].concat();
    let extension = |kind: u16, body: &[u8]| [&kind.to_be_bytes()[..], &with_length(body)].concat();
    let names = with_length(&[&[0][..], &with_length(name.as_bytes())].concat());
    let versions = extension(43, &[2, 3, 4]);
    let alpn = extension(16, &with_length(b"\x02h2\x08http/1.1"));
    let extensions = with_length(&[extension(0, &names), versions, alpn].concat());
    let nonce: Vec<_> = (0..8).flat_map(|_| random.next().to_be_bytes()).collect();
    let body = [&[3, 3][..], &nonce[..32], &[32], &nonce[32..], &[0, 2, 0x13, 1, 1, 0], &extensions].concat();
    let length = u32::try_from(body.len()).expect("short").to_be_bytes();
    record(22, &[&[1], &length[1..], &body].concat())
}
