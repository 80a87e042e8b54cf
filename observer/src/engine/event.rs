//! What comes out of the engine. These types hold facts, not text: a sink decides how to print and what to redact.

mod before;
mod body;
mod first_bytes;
mod mixup;
mod tunnel_hop;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

pub use self::{
    before::{Interim, ProxyHeader},
    body::{Body, is_bare, telling_line},
    first_bytes::{FirstBytes, Protocol},
    mixup::{Mixup, Reply},
    tunnel_hop::{Broken, TunnelHop},
};
pub use super::product::{Candidates, Product, ProductName};
use super::{
    alert::{Alert, Level, RuleId},
    anomaly::Anomaly,
    clocks::Estimate,
    frame::{ClockId, InterfaceId},
    knowledge::Hole,
    time::Timestamp,
};

/// One thing the engine has to say.
#[derive(Clone, Debug)]
pub enum Event {
    /// An attempt's handshake is decided: once for each attempt, before its alerts.
    Attempt(Arc<Attempt>),
    /// A tunnel ended (or the capture did).
    Tunnel(Box<Tunnel>),
    /// A rule fired.
    Alert(Box<Alert>),
    /// Something was seen that is not as it should be; no judgement.
    Anomaly(Anomaly),
    /// Counters.
    Stats(Box<Stats>),
}

/// One end of a connection.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Endpoint {
    /// Address and port.
    Ip(SocketAddr),
    /// A unix socket.
    Path(Arc<str>),
}

impl Endpoint {
    /// Address and port, where it has them.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Path(_) => None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => write!(f, "{address}"),
            Self::Path(path) => write!(f, "unix:{path}"),
        }
    }
}

/// A process that holds one end of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its command's name.
    pub command: Arc<str>,
}

/// Names one attempt. Derived from the first hop's endpoints, sequence number and key, never from a clock, so that
/// two runs, and two hosts that see the same hop, agree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AttemptId(pub u64);

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One client's try to upgrade, end to end.
#[derive(Clone, PartialEq, Debug)]
pub struct Attempt {
    /// Its name.
    pub id: AttemptId,
    /// The protocol token asked for, as sent: `websocket`, `tcp`, `h2c`; `websocket` too where only Sec-WebSocket-Key is left
    /// of it.
    pub upgrade: String,
    /// How it ended.
    pub outcome: Outcome,
    /// When the outcome was proven.
    pub decided_at: Timestamp,
    /// Why the hops belong together; `None` when only one was seen.
    pub join: Option<Join>,
    /// The hops in order from the client to the origin; earlier tries and side requests stand after the hop whose
    /// server sent them. Never empty.
    pub hops: Vec<Hop>,
}

impl Attempt {
    /// The hops of the forwarded request itself, without earlier tries and side requests.
    pub fn path(&self) -> impl DoubleEndedIterator<Item = &Hop> {
        self.hops.iter().filter(|hop| !matches!(hop.role, Role::Retry | Role::Side))
    }

    /// The hop nearest to the client.
    #[must_use]
    pub fn first(&self) -> &Hop {
        &self.hops[0]
    }
}

/// How an attempt ended, seen from the client.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Outcome {
    /// 101 reached the client (or the nearest hop that was seen).
    Upgraded,
    /// A final response other than 101 came.
    Refused,
    /// No final response came, though the capture shows that the attempt ended.
    Failed,
    /// What decided it was not captured.
    Unknown,
}

impl Outcome {
    /// As printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Upgraded => "upgraded",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// Why handshakes belong to one attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Join {
    /// What tied the hops together.
    pub method: JoinMethod,
    /// How sure that is.
    pub confidence: Confidence,
}

/// What tied two hops together, strongest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum JoinMethod {
    /// The same Sec-WebSocket-Key.
    WebSocketKey,
    /// The same X-Request-ID or traceparent.
    RequestId,
    /// Target, Origin, User-Agent and forwarded-for fit, inside the time of the downstream handshake.
    Fingerprint,
    /// One process owns both sockets, and nothing else that it does meanwhile fits.
    Process,
}

/// How sure a join is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Confidence {
    /// No other reading fits.
    Certain,
    /// It fits, and nothing else seen does.
    Probable,
    /// Others fit as well.
    Ambiguous,
}

/// The place of a connection in an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// From the client to the first proxy.
    Downstream,
    /// Between two proxies of a chain.
    Middle,
    /// From the last proxy to the origin.
    Upstream,
    /// The only hop seen; what stands on either side is not known.
    Only,
    /// An earlier try of the proxy with another origin.
    Retry,
    /// A request of the proxy's own (auth subrequest, mirrored copy).
    Side,
}

/// One connection's part in an attempt.
#[derive(Clone, PartialEq, Debug)]
pub struct Hop {
    /// Its place.
    pub role: Role,
    /// Who opened the connection.
    pub client: Endpoint,
    /// Who accepted it.
    pub server: Endpoint,
    /// Where its first frame was captured.
    pub interface: InterfaceId,
    /// The clock of its times.
    pub clock: ClockId,
    /// The PROXY protocol header in front of its first request.
    pub proxy_header: Option<ProxyHeader>,
    /// The request; always there but for a hop whose connection was refused.
    pub request: Option<Request>,
    /// What came before the final response.
    pub interim: Option<Interim>,
    /// The final response, where one was seen.
    pub response: Option<Response>,
    /// Why there is no response.
    pub silence: Option<Silence>,
    /// What the server sent first, where that is no status line.
    pub not_http: Option<FirstBytes>,
    /// The product that answers at `server`, where the capture shows it.
    pub product: Option<Product>,
    /// Those that it may be, where only habits show it.
    pub candidates: Candidates,
    /// The processes that hold the client's and the server's end, where the tap knows them.
    pub processes: [Option<Process>; 2],
}

/// Why a hop has no final response.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Silence {
    /// Still waiting when the attempt was decided.
    Waiting,
    /// The connection was refused (RST to the SYN).
    Refused,
    /// The SYN was never answered.
    Unreachable,
    /// The server's side closed first.
    ClosedByServer,
    /// The client's side gave up first.
    ClosedByClient,
    /// Bytes are missing from the capture.
    NotCaptured,
    /// The first bytes that the server sent are no HTTP/1.
    NotHttp,
}

/// An HTTP version as written on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum HttpVersion {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

impl fmt::Display for HttpVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
        })
    }
}

/// One field line, as sent. Values are decoded as UTF-8, other bytes replaced by U+FFFD.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Field {
    /// The name, in the sender's case.
    pub name: Box<str>,
    /// The value, without surrounding white space. Not redacted.
    pub value: Box<str>,
}

/// A request head.
#[derive(Clone, PartialEq, Debug)]
pub struct Request {
    /// The frame that holds its first byte.
    pub frame: u64,
    /// When that frame was captured.
    pub at: Timestamp,
    /// GET, POST, ...
    pub method: Box<str>,
    /// The request target as sent, query included. Not redacted.
    pub target: Box<str>,
    /// The version of the request line.
    pub version: HttpVersion,
    /// Field lines in order of arrival.
    pub fields: Vec<Field>,
    /// False when the capture holds only the beginning of the head: an absent field proves nothing.
    pub complete: bool,
}

/// A final response head.
#[derive(Clone, PartialEq, Debug)]
pub struct Response {
    /// The frame that holds its first byte.
    pub frame: u64,
    /// When that frame was captured.
    pub at: Timestamp,
    /// The status code.
    pub status: u16,
    /// The version of the status line.
    pub version: HttpVersion,
    /// The reason phrase as sent; may be empty.
    pub reason: Box<str>,
    /// Field lines in order of arrival.
    pub fields: Vec<Field>,
    /// False when the capture holds only the beginning of the head.
    pub complete: bool,
    /// What is kept of the body, where the response declined an upgrade.
    pub body: Option<Body>,
}

impl Response {
    /// The line of its body that tells why, where one was kept.
    #[must_use]
    pub fn telling_line(&self) -> Option<&str> {
        self.body.as_ref()?.telling_line()
    }
}

/// The field lines of a head, looked up by name.
pub trait Fields {
    /// The lines in order.
    fn lines(&self) -> &[Field];

    /// The value of the first line with this name, in any case.
    fn field(&self, name: &str) -> Option<&str> {
        self.lines().iter().find(|line| line.name.eq_ignore_ascii_case(name)).map(|line| &*line.value)
    }

    /// The values of all lines with this name joined by a comma, as RFC 9110 5.3 allows; `None` where there is none.
    fn joined(&self, name: &str) -> Option<String> {
        let mut values =
            self.lines().iter().filter(|line| line.name.eq_ignore_ascii_case(name)).map(|line| &*line.value);
        let mut all = values.next()?.to_owned();
        for value in values {
            all.push_str(", ");
            all.push_str(value);
        }
        Some(all)
    }

    /// The members of a list field over all its lines (RFC 9110 5.6.1), trimmed, empty ones skipped.
    fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.lines()
            .iter()
            .filter(move |line| line.name.eq_ignore_ascii_case(name))
            .flat_map(|line| line.value.split(','))
            .map(str::trim)
            .filter(|member| !member.is_empty())
    }

    /// Whether a list field has this member, in any case.
    fn has_member(&self, name: &str, member: &str) -> bool {
        self.list(name).any(|other| other.eq_ignore_ascii_case(member))
    }
}

impl Fields for Request {
    fn lines(&self) -> &[Field] {
        &self.fields
    }
}

impl Fields for Response {
    fn lines(&self) -> &[Field] {
        &self.fields
    }
}

/// A tunnel's life, from 101 to its end.
#[derive(Clone, PartialEq, Debug)]
pub struct Tunnel {
    /// The attempt that opened it.
    pub attempt: Arc<Attempt>,
    /// When the 101 nearest to the client was seen.
    pub opened_at: Timestamp,
    /// When its first FIN or RST was seen; the end of the capture for a tunnel that was still open.
    pub ended_at: Timestamp,
    /// Whether the capture ended before it did.
    pub still_open: bool,
    /// Bytes after the handshake on the hop nearest to the client.
    pub bytes: Traffic,
    /// WebSocket frames on that hop; zero for other protocols.
    pub frames: Traffic,
    /// Ping frames in both directions.
    pub pings: u64,
    /// Pong frames in both directions.
    pub pongs: u64,
    /// The first Close frame in capture time.
    pub close: Option<Close>,
    /// Who ended it.
    pub closed_by: ClosedBy,
    /// From the last payload byte in either direction on any hop to the end.
    pub idle: Duration,
    /// Whether bytes are missing, so that counts are lower bounds.
    pub incomplete: bool,
    /// Each hop of it, in the order of [`Attempt::path`]; `None` where its end was not told.
    pub hops: Vec<Option<TunnelHop>>,
    /// What may hide who ended it, where that is unknown for it.
    pub missing: Option<Hole>,
}

impl Tunnel {
    /// What was no WebSocket frame where one should begin, on the hop nearest to the client that had such; counts are lower
    /// bounds from there on.
    #[must_use]
    pub fn broken(&self) -> Option<&Broken> {
        self.hops.iter().flatten().find_map(|hop| hop.broken.as_ref())
    }
}

/// A tunnel that is open now.
#[derive(Clone, PartialEq, Debug)]
pub struct OpenTunnel {
    /// The attempt that opened it, without its field lines but for Host.
    pub attempt: Arc<Attempt>,
    /// When the 101 nearest to the client was seen.
    pub opened_at: Timestamp,
    /// When the last payload byte in either direction on any hop was seen.
    pub last_at: Timestamp,
    /// When the last ping or pong was seen.
    pub last_heartbeat_at: Option<Timestamp>,
    /// Bytes after the handshake on the hop nearest to the client.
    pub bytes: Traffic,
    /// WebSocket frames on that hop.
    pub frames: Traffic,
    /// The silence after which its proxy closed a tunnel before, where it did.
    pub idle_timer: Option<Duration>,
}

/// A count for each direction.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Traffic {
    /// From the client to the server.
    pub to_server: u64,
    /// From the server to the client.
    pub to_client: u64,
}

/// A WebSocket Close frame (RFC 6455 5.5.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Close {
    /// When it was seen.
    pub at: Timestamp,
    /// Whether it came from the client's side.
    pub from_client: bool,
    /// The status code (RFC 6455 7.4); `None` when the frame has no body.
    pub code: Option<u16>,
}

/// Who ended a tunnel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ClosedBy {
    /// The client sent the first FIN, RST or Close frame.
    Client,
    /// The proxy did, though neither peer had.
    Proxy,
    /// The origin did.
    Origin,
    /// It cannot be told from what was captured.
    Unknown,
}

/// Counters since the start.
#[derive(Clone, Default, Debug)]
pub struct Stats {
    /// Capture time of the first frame.
    pub first_at: Option<Timestamp>,
    /// Capture time of the last frame, or of the last timeout.
    pub at: Timestamp,
    /// Frames handed to the engine.
    pub frames: u64,
    /// Frames that hold no TCP, or nothing that can be read; by design not an error.
    pub frames_skipped: u64,
    /// Frames cut by the snapshot length in their TCP payload.
    pub frames_cut: u64,
    /// TCP connections seen.
    pub connections: u64,
    /// TLS connections among them: opaque.
    pub tls_connections: u64,
    /// HTTP/1 requests.
    pub requests: u64,
    /// Attempts decided, by outcome.
    pub upgraded: u64,
    /// See `upgraded`.
    pub refused: u64,
    /// See `upgraded`.
    pub failed: u64,
    /// See `upgraded`.
    pub unknown: u64,
    /// Tunnels opened.
    pub tunnels: u64,
    /// Tunnels open now.
    pub tunnels_open: u64,
    /// Connections in the table now.
    pub connections_open: u64,
    /// Alerts by rule.
    pub alerts: Vec<(RuleId, Level, u64)>,
    /// Places where bytes were acknowledged but not captured.
    pub gaps: u64,
    /// Bytes in those places.
    pub gap_bytes: u64,
    /// Frames that the kernel or the tap dropped.
    pub drops: u64,
    /// Anomalies seen.
    pub anomalies: u64,
    /// Entries thrown out to stay under the memory limit.
    pub evictions: u64,
    /// Bytes of state held now, by the engine's own count.
    pub memory: u64,
    /// What is known of the clocks that frames were stamped by, where these were compared.
    pub clocks: Vec<Estimate>,
}
