//! Who there is and how each behaves: chosen from a seed before anything happens.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::net::{MILLI, SECOND, Time};
use crate::traffic::random::Random;

/// The hosts of one seed.
#[derive(Debug)]
pub struct World {
    pub v6: bool,
    /// All on one host, told apart by ports alone.
    pub loopback: bool,
    pub proxies: Vec<Proxy>,
    pub origins: [SocketAddr; 2],
    /// Answers auth subrequests, takes mirrored copies.
    pub aside: SocketAddr,
}

/// A proxy's place and what it always does.
#[derive(Debug)]
pub struct Proxy {
    pub listen: SocketAddr,
    /// Where it sends from.
    pub from: IpAddr,
    /// Adds X-Forwarded-For.
    pub names_client: bool,
    pub lowers_names: bool,
    /// Makes new keys, as after HTTP/2. It names the client then, or adds a request id.
    pub rekeys: bool,
    pub adds_id: bool,
    /// Takes a prefix off the path.
    pub strips_prefix: bool,
    pub renames_host: bool,
    pub keeps_connections: bool,
    /// Ends the client's side of a tunnel a second after the other, as Envoy does.
    pub ends_late: bool,
}

impl World {
    pub fn new(random: &mut Random) -> Self {
        let (v6, loopback) = (random.chance(20), random.chance(20));
        let mut world = Self {
            v6,
            loopback,
            proxies: Vec::new(),
            origins: [0, 0].map(|_| host(v6, loopback, 0, 0)),
            aside: host(v6, loopback, 0, 0),
        };
        let together = random.chance(15);
        let length = [1, 1, 1, 1, 2, 2, 3][random.below(7)];
        for at in 0..length {
            let place = if together { 1 } else { u8::try_from(at + 1).expect("a short chain") };
            let listen = host(v6, loopback, place, 80 + u16::from(at > 0) * 8000 + u16::try_from(at).expect("short"));
            // EXCLUDED: behind another proxy all requests come from one client, and nothing ties a new key to an old one.
            let rekeys = !loopback && length == 1 && random.chance(15);
            world.proxies.push(Proxy {
                listen,
                from: listen.ip(),
                names_client: rekeys || random.chance(50),
                lowers_names: random.chance(15),
                rekeys,
                adds_id: random.chance(20),
                strips_prefix: random.chance(15),
                renames_host: random.chance(30),
                keeps_connections: random.chance(60),
                ends_late: random.chance(8),
            });
        }
        world.origins = [host(v6, loopback, 21, 3000), host(v6, loopback, 22, 3001)];
        world.aside = host(v6, loopback, 23, 9000);
        world
    }

    /// Whether addresses tell no hop from another.
    pub fn is_one_host(&self) -> bool {
        self.loopback || self.proxies.iter().skip(1).any(|proxy| proxy.from == self.proxies[0].from)
    }

    /// What makes it special, in words.
    pub fn traits(&self) -> String {
        let any = |has: fn(&Proxy) -> bool| self.proxies.iter().any(has);
        let marks = [
            (self.loopback, " loopback"),
            (self.is_one_host() && !self.loopback, " together"),
            (any(|proxy| proxy.rekeys), " rekeys"),
            (any(|proxy| proxy.strips_prefix), " strips"),
        ];
        let marks: String = marks.iter().filter(|(has, _)| *has).map(|(_, mark)| *mark).collect();
        format!("chain {}{marks}", self.proxies.len())
    }

    /// The address of a client.
    pub fn client(&self, number: usize) -> IpAddr {
        host(self.v6, self.loopback, 100 + u8::try_from(number % 100).expect("below 100"), 0).ip()
    }
}

fn host(v6: bool, loopback: bool, place: u8, port: u16) -> SocketAddr {
    let ip: IpAddr = match (v6, loopback) {
        (false, true) => Ipv4Addr::LOCALHOST.into(),
        (true, true) => Ipv6Addr::LOCALHOST.into(),
        (false, false) => Ipv4Addr::new(10, 0, 0, place).into(),
        (true, false) => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, u16::from(place)).into(),
    };
    SocketAddr::new(ip, port)
}

/// What a client does in one attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientManner {
    Good,
    NoKey,
    BadKey,
    NoVersion,
    NoHost,
    /// Gives up waiting.
    GivesUp(Time),
}

/// What a proxy does in one attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProxyManner {
    Forwards,
    Drops(Drops),
    /// HTTP/1.0 upstream, perhaps without fields.
    Lowers(Option<Drops>),
    Answers(u16),
    Redirects,
    Denies,
    /// Its connection is refused, then it answers.
    Refused(u16),
    /// Its SYNs get no answer for so long.
    Unreachable(Time),
    /// Gives up on a silent server.
    TimesOut(Time),
    /// Gets a 101 and answers otherwise, or closes.
    LosesRelay(Option<u16>),
    ChangesAccept,
    ChangesRequest(&'static str),
    ChangesResponse(&'static str),
    /// An auth subrequest before: the status that it gets.
    Asks(u16),
    Mirrors,
    /// The first origin is refused or answers 502.
    Retries(bool),
    /// Its fields are hard-coded: every request becomes an upgrade.
    Injects,
    /// Takes an offer away, as it may.
    Declines,
}

/// What is taken off a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Drops {
    pub upgrade: bool,
    pub connection: bool,
    /// Sec-WebSocket-* as well.
    pub names: bool,
    /// What stands in Connection instead.
    pub instead: Option<&'static str>,
}

/// What an origin does in one attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OriginManner {
    Accepts,
    Rejects(u16),
    AsksWho,
    Redirects,
    OtherVersion,
    Silent,
    Closes(bool),
    WrongAccept,
    NoAccept,
    /// Chooses what was not offered in this field.
    Unoffered(&'static str),
}

/// How a tunnel ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    Open,
    /// Close frames; whether the client's comes first.
    Clean(bool),
    /// Without: whether the client ends, and with RST.
    ByPeer(bool, bool),
    /// A proxy ends it; whether it sends RST upstream.
    ByProxy(usize, bool),
    /// A proxy sends Close frames both ways.
    ClosedByProxy(usize),
}

/// A tunnel's life.
#[derive(Clone, Copy, Debug)]
pub struct Tunnel {
    pub messages: usize,
    pub heartbeat: bool,
    /// From its last payload to its end.
    pub silence: Time,
    pub ending: Ending,
}

/// One attempt of one client.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub client: ClientManner,
    pub proxies: Vec<ProxyManner>,
    pub origin: OriginManner,
    pub tunnel: Tunnel,
    /// Offers subprotocols and extensions.
    pub offers: bool,
    /// What it asks for.
    pub token: &'static str,
}

const PROTOCOL: &str = "Sec-WebSocket-Protocol";
const EXTENSIONS: &str = "Sec-WebSocket-Extensions";
const VERSION: &str = "Sec-WebSocket-Version";

impl Attempt {
    /// An attempt that nobody disturbs.
    pub fn good(chain: usize, random: &mut Random) -> Self {
        Self {
            client: ClientManner::Good,
            proxies: vec![ProxyManner::Forwards; chain],
            origin: OriginManner::Accepts,
            tunnel: Tunnel::new(chain, random),
            offers: random.chance(30),
            token: "websocket",
        }
    }

    /// An attempt with at most one cause of trouble before its tunnel.
    pub fn new(chain: usize, random: &mut Random) -> Self {
        let mut attempt = Self::good(chain, random);
        let at = random.below(chain);
        match random.below(100) {
            0..30 => {}
            30..65 => attempt.proxies[at] = ProxyManner::faulty(random),
            65..75 => attempt.proxies[at] = ProxyManner::harmless(random),
            75..93 => attempt.origin = OriginManner::faulty(random),
            _ => attempt.client = ClientManner::faulty(random),
        }
        if let ProxyManner::ChangesRequest(field) | ProxyManner::ChangesResponse(field) = attempt.proxies[at] {
            attempt.offers |= field != VERSION;
        }
        if matches!(attempt.proxies[at], ProxyManner::TimesOut(_)) {
            attempt.origin = OriginManner::Silent;
        }
        if attempt.origin == OriginManner::Silent
            && attempt.proxies.iter().all(|manner| *manner == ProxyManner::Forwards)
        {
            attempt.client = ClientManner::GivesUp(span(random, 1, 28));
        }
        attempt
    }
}

/// Some time between two numbers of seconds.
pub fn span(random: &mut Random, from: usize, to: usize) -> Time {
    let milli = random.between(from * 1000, to * 1000);
    i64::try_from(milli).expect("a short time") * MILLI
}

fn status(random: &mut Random, of: &[u16]) -> u16 {
    of[random.below(of.len())]
}

impl ClientManner {
    fn faulty(random: &mut Random) -> Self {
        match random.below(6) {
            0 => Self::NoKey,
            1 => Self::BadKey,
            2 => Self::NoVersion,
            3 => Self::NoHost,
            _ => Self::GivesUp(if random.chance(50) { span(random, 1, 28) } else { span(random, 32, 70) }),
        }
    }
}

impl Drops {
    fn new(random: &mut Random) -> Self {
        let (upgrade, connection) = [(true, true), (true, true), (true, false), (false, true)][random.below(4)];
        let instead = connection.then(|| [None, Some("close"), Some("keep-alive")][random.below(3)]).flatten();
        let names = upgrade && connection && random.chance(12);
        Self { upgrade, connection, names, instead }
    }
}

impl ProxyManner {
    /// Whether it makes requests of its own.
    pub fn asks_aside(self) -> bool {
        matches!(self, Self::Asks(_) | Self::Mirrors | Self::Retries(_))
    }

    fn faulty(random: &mut Random) -> Self {
        match random.below(22) {
            0..5 => Self::Drops(Drops::new(random)),
            5 => Self::Lowers(None),
            6 => Self::Lowers(Some(Drops::new(random))),
            7 | 8 => Self::Answers(status(random, &[400, 403, 404, 404, 426, 500, 503, 200])),
            9 => Self::Redirects,
            10 => Self::Denies,
            11 | 12 => Self::Refused(status(random, &[502, 503])),
            13 => Self::Unreachable(span(random, 2, 12)),
            14 => Self::TimesOut(if random.chance(50) { span(random, 2, 28) } else { span(random, 32, 65) }),
            15 => Self::LosesRelay(random.chance(70).then(|| status(random, &[502, 500, 400, 503]))),
            16 => Self::ChangesAccept,
            17 | 18 => Self::ChangesRequest([PROTOCOL, EXTENSIONS, VERSION][random.below(3)]),
            19 => Self::ChangesResponse([PROTOCOL, EXTENSIONS][random.below(2)]),
            20 => Self::Asks(status(random, &[401, 403])),
            _ => Self::Drops(Drops { upgrade: true, connection: true, names: false, instead: Some("close") }),
        }
    }

    fn harmless(random: &mut Random) -> Self {
        match random.below(4) {
            0 => Self::Asks(status(random, &[200, 204])),
            1 => Self::Mirrors,
            _ => Self::Retries(random.chance(50)),
        }
    }
}

impl OriginManner {
    fn faulty(random: &mut Random) -> Self {
        match random.below(12) {
            0..4 => Self::Rejects(status(random, &[400, 403, 404, 426, 500, 503, 200])),
            4 => Self::AsksWho,
            5 => Self::Redirects,
            6 => Self::OtherVersion,
            7 => Self::Silent,
            8 => Self::Closes(random.chance(50)),
            9 => Self::WrongAccept,
            10 => Self::NoAccept,
            _ => Self::Unoffered([PROTOCOL, EXTENSIONS][random.below(2)]),
        }
    }
}

impl Tunnel {
    fn new(chain: usize, random: &mut Random) -> Self {
        let proxy = random.below(chain);
        let timers = [5, 10, 30, 45, 50, 55, 60, 60, 60, 75, 100, 180];
        let timer = timers[random.below(timers.len())] * SECOND;
        let young = random.between(0, 3500);
        let young = i64::try_from(young).expect("a short time") * MILLI;
        let idle = if random.chance(70) {
            timer + i64::try_from(random.below(250)).expect("short") * MILLI
        } else {
            span(random, 5, 90)
        };
        let (silence, ending) = match random.below(100) {
            0..15 => (young, Ending::Open),
            15..40 => (if random.chance(70) { young } else { idle }, Ending::Clean(random.chance(50))),
            40..65 => {
                (if random.chance(60) { young } else { idle }, Ending::ByPeer(random.chance(50), random.chance(30)))
            }
            65..75 => (young, Ending::ByProxy(proxy, random.chance(30))),
            75..95 => (idle, Ending::ByProxy(proxy, random.chance(30))),
            _ => (young, Ending::ClosedByProxy(proxy)),
        };
        Self { messages: random.below(10), heartbeat: random.chance(30), silence, ending }
    }
}
