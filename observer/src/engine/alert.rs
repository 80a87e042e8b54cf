//! What a rule says when it fires: the rule's stable id, a level, one sentence, and facts that fit the rule.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    event::{Attempt, ClosedBy, Endpoint, HttpVersion, Product},
    knowledge::Doubt,
    time::Timestamp,
};

/// A judgement.
#[derive(Clone, Debug)]
pub struct Alert {
    /// The rule that fired.
    pub rule: RuleId,
    /// How bad it is.
    pub level: Level,
    /// When the frame that proves it was captured.
    pub at: Timestamp,
    /// One sentence a person can act on. Holds no secret; may hold bytes from the wire, so sinks still escape it.
    pub message: String,
    /// The attempt it is about (the first of them, for a rule about several).
    pub attempt: Arc<Attempt>,
    /// The product to mend, where the capture shows it: that of the proxy at fault.
    pub product: Option<Product>,
    /// The facts.
    pub details: Details,
}

/// How bad an alert is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Level {
    /// Worth knowing.
    Notice,
    /// Likely to hurt.
    Warning,
    /// Broken.
    Error,
}

impl Level {
    /// As printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// The rules, in the order in which an attempt's alerts are told: root causes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RuleId {
    /// A 101 reached the client that it cannot use.
    Broken101,
    /// The proxy forwards the request without the Upgrade or Connection field.
    UpgradeHeadersDropped,
    /// The proxy forwards an upgrade as HTTP/1.0.
    Http10Upstream,
    /// The proxy turns an ordinary request into an upgrade.
    UpgradeInjected,
    /// Sec-WebSocket-Accept does not fit the key.
    AcceptMismatch,
    /// Subprotocol, extensions or version differ between hops, or were not offered.
    NegotiationAltered,
    /// An attempt ended without 101 reaching the client.
    Missing101,
    /// The proxy closed an idle tunnel.
    IdleClose,
    /// The proxy closed tunnels in use at one age.
    LifetimeClose,
    /// The proxy closed several busy tunnels at one moment.
    MassClose,
    /// A tunnel ended with an error, or before it was used.
    ErrorClose,
    /// A tunnel ended without a Close frame, not idle.
    AbruptClose,
    /// After a failed attempt the client goes on by long polling.
    PollingFallback,
}

impl RuleId {
    /// Every rule.
    pub const ALL: [Self; 13] = [
        Self::Broken101,
        Self::UpgradeHeadersDropped,
        Self::Http10Upstream,
        Self::UpgradeInjected,
        Self::AcceptMismatch,
        Self::NegotiationAltered,
        Self::Missing101,
        Self::IdleClose,
        Self::LifetimeClose,
        Self::MassClose,
        Self::ErrorClose,
        Self::AbruptClose,
        Self::PollingFallback,
    ];

    /// The stable id.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Broken101 => "broken-101",
            Self::UpgradeHeadersDropped => "upgrade-headers-dropped",
            Self::Http10Upstream => "http10-upstream",
            Self::UpgradeInjected => "upgrade-injected",
            Self::AcceptMismatch => "accept-mismatch",
            Self::NegotiationAltered => "negotiation-altered",
            Self::Missing101 => "missing-101",
            Self::IdleClose => "idle-close",
            Self::LifetimeClose => "lifetime-close",
            Self::MassClose => "mass-close",
            Self::ErrorClose => "error-close",
            Self::AbruptClose => "abrupt-close",
            Self::PollingFallback => "polling-fallback",
        }
    }

    /// The rule with this id.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.as_str() == id)
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The facts of an alert, by rule.
#[derive(Clone, PartialEq, Debug)]
pub enum Details {
    /// `broken-101`.
    Broken {
        /// Who sent it so, or left something out.
        by: Endpoint,
        /// What is wrong with it.
        fault: Fault,
    },
    /// `upgrade-headers-dropped`.
    HeadersDropped {
        /// `Upgrade`, `Connection`, or both.
        dropped: Vec<&'static str>,
        /// The proxy's endpoint: where it listens, or, when only its upstream side was seen, where it sent from.
        by: Endpoint,
        /// What was sent instead.
        sent: Sent,
    },
    /// `http10-upstream`.
    Http10 {
        /// The proxy's endpoint.
        by: Endpoint,
    },
    /// `upgrade-injected`.
    Injected {
        /// The proxy's endpoint.
        by: Endpoint,
        /// What was sent upstream.
        sent: Sent,
    },
    /// `accept-mismatch`.
    Accept {
        /// What the key calls for: base64(SHA-1(key + GUID)), RFC 6455 4.2.2.
        expected: String,
        /// What the client side received.
        received: Option<String>,
        /// Who sent the wrong value.
        by: Endpoint,
    },
    /// `negotiation-altered`.
    Negotiation {
        /// The field: Sec-WebSocket-Protocol, -Extensions or -Version.
        field: &'static str,
        /// The value before (offered, or on the hop nearer to its sender).
        before: Option<String>,
        /// The value after.
        after: Option<String>,
        /// Who changed it or chose it.
        by: Endpoint,
    },
    /// `missing-101`.
    Missing101 {
        /// The final status on each hop of the path, `None` where there was none.
        status: Vec<Option<u16>>,
        /// Who gave the final answer.
        answered_by: AnsweredBy,
        /// Why.
        cause: Cause,
        /// The endpoint at fault, where one can be named.
        by: Option<Endpoint>,
        /// Why the cause is unknown, where more is known about that than that nothing was seen.
        doubt: Option<Doubt>,
        /// What else was seen that tells the cause.
        facts: Vec<Fact>,
    },
    /// `idle-close`.
    IdleClose {
        /// Where the timer runs.
        at: TimerAt,
        /// From the last payload byte on any hop to the proxy's first FIN or RST.
        idle: Duration,
        /// The proxy's endpoint.
        by: Endpoint,
        /// Whether a WebSocket ping or pong was ever seen in the tunnel.
        heartbeat: bool,
        /// Known timers near that time.
        candidates: Vec<IdleTimer>,
        /// Whether other tunnels of that proxy ended at the same idle time, or a known timer fits.
        certain: bool,
    },
    /// `lifetime-close`.
    LifetimeClose {
        /// The proxy's endpoint.
        by: Endpoint,
        /// From the 101 to the end.
        age: Duration,
        /// How many tunnels ended at that age so far.
        tunnels: usize,
    },
    /// `mass-close`.
    MassClose {
        /// The proxy's endpoint.
        by: Endpoint,
        /// The attempts whose tunnels ended.
        tunnels: Vec<Arc<Attempt>>,
        /// From the first close to the last.
        within: Duration,
    },
    /// `error-close`.
    ErrorClose {
        /// What is wrong.
        fault: CloseFault,
        /// The code of the first Close frame (RFC 6455 7.4), where it had one.
        code: Option<u16>,
        /// Who closed.
        closed_by: ClosedBy,
        /// From the 101 to the end.
        age: Duration,
    },
    /// `abrupt-close`.
    AbruptClose {
        /// Who closed.
        closed_by: ClosedBy,
        /// Idle time at the end.
        idle: Duration,
    },
    /// `polling-fallback`.
    PollingFallback {
        /// The target of the first polling request, without its query.
        target: String,
        /// Requests counted so far.
        requests: u64,
        /// Its frame.
        frame: u64,
    },
}

/// Something seen beside the hops of an attempt that tells why it failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fact {
    /// The frame that shows it; 0 where it has none.
    pub frame: u64,
    /// When that was captured.
    pub at: Timestamp,
    /// What it is, without a full stop. Holds no query and no field value but such as name products; may hold bytes from
    /// the wire, so sinks still escape it.
    pub text: String,
}

/// Why a 101 cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It has not this field: Upgrade, or `upgrade` in Connection (RFC 9110 15.2.2).
    FieldMissing(&'static str),
    /// Another answer came inside the tunnel that it had opened.
    AnsweredTwice {
        /// Its status.
        status: u16,
        /// Its frame.
        frame: u64,
    },
    /// It names none of the subprotocols that the client offered, and the client left at once (RFC 6455 4.1).
    Unconfirmed {
        /// What was offered.
        offered: String,
    },
}

impl Fault {
    /// The stable name.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::FieldMissing(_) => "field-missing",
            Self::AnsweredTwice { .. } => "answered-twice",
            Self::Unconfirmed { .. } => "subprotocol-unconfirmed",
        }
    }
}

/// What is wrong with a tunnel's end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CloseFault {
    /// A Close frame with the code of an error.
    Code,
    /// It ended within a second, without Close 1000 or 1001 and before it was used.
    Early,
    /// It ended within a second, as another server refused its session.
    NotSticky,
}

impl CloseFault {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Early => "early",
            Self::NotSticky => "not-sticky",
        }
    }
}

/// The upgrade-related parts of a request as the proxy sent it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    /// The version of the request line.
    pub version: HttpVersion,
    /// The Upgrade field, all lines joined.
    pub upgrade: Option<String>,
    /// The Connection field, all lines joined.
    pub connection: Option<String>,
}

/// Who gave the client its final answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AnsweredBy {
    /// The proxy by itself.
    Proxy,
    /// The origin; the proxy relayed it.
    Origin,
    /// There was no answer.
    Nobody,
    /// Cannot be told from what was captured.
    Unknown,
}

impl AnsweredBy {
    /// As printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Origin => "origin",
            Self::Nobody => "nobody",
            Self::Unknown => "unknown",
        }
    }
}

/// Why no 101 reached the client.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cause {
    /// The proxy did not forward Upgrade or Connection.
    HeadersDropped,
    /// The proxy forwarded it as HTTP/1.0, and the origin wants 1.1.
    Http10,
    /// The proxy sent a field twice that may come once only.
    FieldDoubled,
    /// The proxy sent the request on without its query.
    QueryLost,
    /// The proxy spelled field names otherwise, and the origin accepts the usual spelling only.
    SpellingChanged,
    /// The server got a PROXY protocol header that it does not expect, or lacks one that it wants.
    ProxyLine,
    /// Plain HTTP was sent to a port that speaks TLS.
    TlsExpected,
    /// TLS was sent to a port that does not speak it.
    TlsUnexpected,
    /// The server's first bytes are no HTTP/1 answer, or the client's no request.
    NotHttp,
    /// The proxy speaks HTTP/2 to an origin that has no upgrades over it (RFC 8441).
    Http2Upstream,
    /// A request of the proxy's own, such as an auth subrequest, failed.
    SideRequestFailed,
    /// The session id was issued by another origin of the proxy.
    NotSticky,
    /// The proxy does not forward upgrades to this protocol.
    TokenNotAllowed,
    /// The proxy does not forward the upgrade of a request with a body.
    BodyNotAllowed,
    /// A head is larger than the buffer of a proxy or server.
    HeadTooLarge,
    /// The proxy took an interim response for the final one.
    InterimResponse,
    /// The proxy has taken all its origins out of use after failures.
    NoLiveUpstream,
    /// The proxy's health checks of its origin fail.
    ChecksFailing,
    /// Nothing answers at the address that the route's origin had before.
    StaleAddress,
    /// The proxy answered 502 or 504, and no connection of it was seen: a name that does not resolve, a unix socket, dead peers.
    NoTcpUpstream,
    /// The proxy answered by itself.
    NotForwarded,
    /// The origin refused the connection.
    UpstreamRefused,
    /// The origin did not answer the SYN, or nothing could be reached.
    UpstreamUnreachable,
    /// The origin took the request and said nothing.
    UpstreamSilent,
    /// The origin closed without an answer.
    UpstreamClosed,
    /// The origin got a good upgrade request and declined.
    OriginRejected,
    /// A redirect.
    Redirected,
    /// 401 or 407.
    AuthRequired,
    /// The server does not speak the client's WebSocket version.
    VersionUnsupported,
    /// A limit of rate or connections was reached.
    RateLimited,
    /// 101 came from upstream but did not reach the client.
    RelayLost,
    /// The client's own request is no valid handshake.
    ClientMalformed,
    /// Cannot be told from what was captured.
    Unknown,
}

impl Cause {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HeadersDropped => "headers-dropped",
            Self::Http10 => "http10",
            Self::FieldDoubled => "field-doubled",
            Self::QueryLost => "query-lost",
            Self::SpellingChanged => "spelling-changed",
            Self::ProxyLine => "proxy-line",
            Self::TlsExpected => "tls-expected",
            Self::TlsUnexpected => "tls-unexpected",
            Self::NotHttp => "not-http",
            Self::Http2Upstream => "http2-upstream",
            Self::SideRequestFailed => "side-request-failed",
            Self::NotSticky => "not-sticky",
            Self::TokenNotAllowed => "token-not-allowed",
            Self::BodyNotAllowed => "body-not-allowed",
            Self::HeadTooLarge => "head-too-large",
            Self::InterimResponse => "interim-response",
            Self::NoLiveUpstream => "no-live-upstream",
            Self::ChecksFailing => "checks-failing",
            Self::StaleAddress => "stale-address",
            Self::NoTcpUpstream => "no-tcp-upstream",
            Self::RateLimited => "rate-limited",
            Self::NotForwarded => "not-forwarded",
            Self::UpstreamRefused => "upstream-refused",
            Self::UpstreamUnreachable => "upstream-unreachable",
            Self::UpstreamSilent => "upstream-silent",
            Self::UpstreamClosed => "upstream-closed",
            Self::OriginRejected => "origin-rejected",
            Self::Redirected => "redirected",
            Self::AuthRequired => "auth-required",
            Self::VersionUnsupported => "version-unsupported",
            Self::RelayLost => "relay-lost",
            Self::ClientMalformed => "client-malformed",
            Self::Unknown => "unknown",
        }
    }
}

/// Where a timer runs that ended a silent tunnel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TimerAt {
    /// In the proxy.
    Proxy,
    /// In front of it: its client's side ended several tunnels after the same silence.
    InFront,
    /// On the server's side of the only hop that was seen: in the proxy or behind it.
    ServerSide,
}

impl TimerAt {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::InFront => "in-front",
            Self::ServerSide => "server-side",
        }
    }
}

/// A known default of some product that closes silent tunnels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IdleTimer {
    /// Who has it, such as `nginx`.
    pub product: &'static str,
    /// Its name there, such as `proxy_read_timeout`.
    pub name: &'static str,
    /// Its default.
    pub after: Duration,
}
