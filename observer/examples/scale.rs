//! How much an engine holds, and for how long it works on a frame, with so many open connections: `scale KIND COUNT`.
//! The frames are made here, as no host has a million clients; what they would take to capture is not measured.

use std::{
    fs,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use etherparse::PacketBuilder;
use observer::engine::{
    Config, Engine,
    frame::{ClockId, Frame, InterfaceId, LinkType},
    time::Timestamp,
};
use sha1::{Digest, Sha1};

/// Connections or tunnels whose frames are made at once, before the clock runs.
const BATCH: u32 = 1000;
/// Between frames: as many as half a million a second.
const APART: Duration = Duration::from_micros(2);
/// Requests that fill what the engine remembers of all of them, whatever their connections: its ring twice over.
const FILLING: u32 = 140_000;
/// Those that are open before: more than are under way at a time.
const BEFORE: u32 = 2000;
const LIMIT: usize = 16 << 30;

const PROXY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

fn main() {
    let mut args = std::env::args().skip(1);
    let kind = args.next().expect("the first argument is `connections`, `tunnels` or `browsers`");
    let count: u32 = args.next().and_then(|count| count.parse().ok()).expect("the second argument is a number");
    let is_tunnel = match &*kind {
        "tunnels" | "browsers" => true,
        "connections" => false,
        other => panic!("{other} is neither `connections` nor `tunnels` nor `browsers`"),
    };
    let browsers = kind == "browsers";
    let mut wire = Wire::new();
    for number in 0..FILLING {
        let peer = Peer::ordinary(u32::MAX);
        if number == 0 {
            peer.open(&mut wire);
        } else {
            peer.again(number, &mut wire);
        }
        wire.deliver_if(number % BATCH == BATCH - 1);
    }
    let open = |number: u32, wire: &mut Wire| {
        if is_tunnel {
            Tunnel::new(number, browsers).open(wire);
        } else {
            Peer::ordinary(number).open(wire);
        }
    };
    for number in 0..BEFORE {
        open(count + number, &mut wire);
        wire.deliver_if(number % BATCH == BATCH - 1);
    }
    let before = resident("VmRSS:");
    wire.restart();
    for number in 0..count {
        open(number, &mut wire);
        wire.deliver_if(number % BATCH == BATCH - 1 || number + 1 == count);
    }
    let (opening, held) = (wire.restart(), resident("VmRSS:") - before);
    // In another order than that in which they were opened: a stride that meets every one of them once.
    let stride = (count / 2 + 1..).find(|stride| coprime(*stride, count)).unwrap_or(1);
    let mut number = 0;
    for turn in 0..count {
        number = u32::try_from((u64::from(number) + u64::from(stride)) % u64::from(count)).unwrap_or(0);
        if is_tunnel {
            Tunnel::new(number, browsers).talk(&mut wire);
        } else {
            Peer::ordinary(number).again(1, &mut wire);
        }
        wire.deliver_if(turn % BATCH == BATCH - 1 || turn + 1 == count);
    }
    let talking = wire.restart();
    let stats = wire.engine.stats();
    let open = if is_tunnel { stats.tunnels_open } else { stats.connections_open - 1 };
    let all = (count + BEFORE).into();
    assert_eq!((open, stats.evictions, stats.gaps), (all, 0, 0), "the engine has to know them all");
    println!(
        "{}",
        serde_json::json!({
            "kind": kind, "count": count, "bytes": held, "estimate": stats.memory, "peak": resident("VmHWM:"),
            "opening_ns": opening, "talking_ns": talking,
        })
    );
}

fn coprime(mut a: u32, mut b: u32) -> bool {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a == 1
}

/// Bytes that the kernel says this process has in memory, or had at most.
fn resident(which: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("the kernel tells of its processes");
    let line = status.lines().find_map(|line| line.strip_prefix(which)).expect("memory is among it");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("it is a number") * 1024
}

/// Frames on their way to an engine.
struct Wire {
    engine: Engine,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    frames: u64,
    at: Timestamp,
    busy: Duration,
    since: u64,
}

impl Wire {
    fn new() -> Self {
        let engine = Engine::new(Config { memory_limit: LIMIT, ..Config::default() });
        let at = Timestamp::from_nanos(0);
        Self { engine, bytes: Vec::new(), ends: Vec::new(), frames: 0, at, busy: Duration::ZERO, since: 0 }
    }

    /// Gives the engine what was made, and takes the time.
    #[expect(clippy::disallowed_methods, reason = "the time it takes is what is asked for")]
    fn deliver_if(&mut self, full: bool) {
        if !full {
            return;
        }
        let start = Instant::now();
        let mut from = 0;
        for end in self.ends.drain(..) {
            let bytes = &self.bytes[from..end];
            from = end;
            self.frames += 1;
            self.at = self.at + APART;
            self.engine.handle_frame(&Frame {
                at: self.at,
                number: self.frames,
                interface: InterfaceId(0),
                clock: ClockId(0),
                link: LinkType::Ethernet,
                wire_length: u32::try_from(bytes.len()).expect("frames are short"),
                bytes,
            });
            while self.engine.poll_event().is_some() {}
        }
        self.busy += start.elapsed();
        self.bytes.clear();
    }

    /// Nanoseconds for a frame since the last call.
    #[expect(clippy::cast_precision_loss, reason = "both are far below the 52 bits that are exact")]
    fn restart(&mut self) -> f64 {
        let frames = self.frames - std::mem::replace(&mut self.since, self.frames);
        std::mem::take(&mut self.busy).as_nanos() as f64 / frames.max(1) as f64
    }
}

/// Both ends of a connection; the client's end first.
struct Peer {
    ips: [Ipv4Addr; 2],
    ports: [u16; 2],
    next: [u32; 2],
}

impl Peer {
    fn new(number: u32, ips: [Ipv4Addr; 2], ports: [u16; 2]) -> Self {
        let first = number.wrapping_mul(2_654_435_761);
        Self { ips, ports, next: [first, first ^ 0x5555_5555] }
    }

    /// From a client of its own to the proxy.
    fn ordinary(number: u32) -> Self {
        let client = Ipv4Addr::from(0x0a00_0000 + (number >> 4));
        Self::new(number, [client, PROXY], [40_000 + u16::try_from(number & 15).unwrap_or(0), 80])
    }

    fn open(mut self, wire: &mut Wire) {
        self.connect(wire);
        self.again(0, wire);
    }

    fn connect(&mut self, wire: &mut Wire) {
        for (side, flags) in [(0, &[Flag::Syn][..]), (1, &[Flag::Syn, Flag::Ack]), (0, &[Flag::Ack])] {
            self.send(side, flags, b"", wire);
        }
    }

    /// Another request and its answer; those before took as many bytes each.
    fn again(mut self, turn: u32, wire: &mut Wire) {
        let request = b"GET /page HTTP/1.1\r\nHost: pages.test\r\nUser-Agent: scale\r\nAccept: */*\r\n\r\n";
        let response = b"HTTP/1.1 200 OK\r\nServer: scale\r\nContent-Length: 5\r\n\r\nhello";
        for (side, message) in [(0, &request[..]), (1, &response[..])] {
            let length = u32::try_from(message.len()).unwrap_or(0);
            self.next[side] = self.next[side].wrapping_add(length.wrapping_mul(turn));
        }
        if turn > 0 {
            self.next = self.next.map(|next| next.wrapping_add(1));
        }
        self.send(0, &[Flag::Ack], request, wire);
        self.send(1, &[Flag::Ack], response, wire);
    }

    fn send(&mut self, side: usize, flags: &[Flag], payload: &[u8], wire: &mut Wire) {
        let (from, to) = (side, 1 - side);
        let packet = PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4(self.ips[from].octets(), self.ips[to].octets(), 64)
            .tcp(self.ports[from], self.ports[to], self.next[from], 65_535);
        let packet = if flags.contains(&Flag::Syn) { packet.syn() } else { packet };
        let packet = if flags.contains(&Flag::Ack) { packet.ack(self.next[to]) } else { packet };
        packet.write(&mut wire.bytes, payload).expect("the frame fits");
        wire.ends.push(wire.bytes.len());
        let length = u32::try_from(payload.len()).unwrap_or(0) + u32::from(flags.contains(&Flag::Syn));
        self.next[from] = self.next[from].wrapping_add(length);
    }
}

#[derive(PartialEq, Eq)]
enum Flag {
    Syn,
    Ack,
}

/// Both hops of a tunnel, its key, and what else its request has.
struct Tunnel {
    hops: [Peer; 2],
    key: String,
    more: String,
}

/// What a browser adds, beside its cookies.
const BROWSER: &str = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0\r\n\
    Accept: */*\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
    Origin: https://chat.test\r\nSec-WebSocket-Extensions: permessage-deflate\r\nSec-Fetch-Dest: empty\r\n\
    Sec-Fetch-Mode: websocket\r\nSec-Fetch-Site: same-origin\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n";

/// Of a text message in a masked frame, of which the engine reads the header.
const MESSAGE: [u8; 16] = [0x81, 0x8a, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

impl Tunnel {
    fn new(number: u32, browser: bool) -> Self {
        let origin = Ipv4Addr::from(0xc633_0000 + (number >> 15));
        let port = 20_000 + u16::try_from(number & 0x7fff).unwrap_or(0);
        let upstream = Peer::new(!number, [PROXY, origin], [port, 3000]);
        let key = BASE64_STANDARD.encode(u128::from(number).to_be_bytes());
        let digest = Sha1::digest(&key);
        let more = browser.then(|| format!("{BROWSER}Cookie: session={}\r\n", BASE64_STANDARD.encode(digest)));
        Self { hops: [Peer::ordinary(number), upstream], key, more: more.unwrap_or_default() }
    }

    fn request(&self) -> String {
        format!(
            "GET /chat HTTP/1.1\r\nHost: chat.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\n{}\r\n",
            self.key, self.more
        )
    }

    fn response(&self) -> String {
        let accept = BASE64_STANDARD.encode(Sha1::digest(format!("{}{GUID}", self.key)));
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )
    }

    fn open(mut self, wire: &mut Wire) {
        let (request, response) = (self.request(), self.response());
        for hop in &mut self.hops {
            hop.connect(wire);
            hop.send(0, &[Flag::Ack], request.as_bytes(), wire);
        }
        for hop in self.hops.iter_mut().rev() {
            hop.send(1, &[Flag::Ack], response.as_bytes(), wire);
        }
    }

    /// A message from the client, on both hops.
    fn talk(mut self, wire: &mut Wire) {
        let said = [self.request(), self.response()].map(|head| u32::try_from(head.len()).unwrap_or(0));
        for hop in &mut self.hops {
            for (next, said) in hop.next.iter_mut().zip(said) {
                *next = next.wrapping_add(1 + said);
            }
            hop.send(0, &[Flag::Ack], &MESSAGE, wire);
        }
    }
}
