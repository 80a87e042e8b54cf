//! Events made by hand, for the tests of what takes events in: what the engine would say of the captures named here.

mod more;

use std::{sync::Arc, time::Duration};

pub(crate) use self::more::{anomalies, rest, stats, tunnels};
use crate::engine::{
    alert::{Alert, AnsweredBy, Cause, Details, IdleTimer, Level, RuleId, Sent},
    event::{
        Attempt, AttemptId, Candidates, ClosedBy, Confidence, Endpoint, Event, Field, Hop, HttpVersion, Join,
        JoinMethod, Outcome, Process, Product, ProductName, Request, Response, Role, Silence, Traffic, Tunnel,
    },
    frame::{ClockId, InterfaceId},
    time::Timestamp,
};

/// 2026-11-20T21:58:46.082913Z.
const START: i64 = 1_795_211_926_082_913_000;

/// So many milliseconds after the start.
pub(crate) fn at(ms: f64) -> Timestamp {
    Timestamp::from_nanos(START) + Duration::from_secs_f64(ms / 1000.0)
}

pub(crate) fn ip(address: &str) -> Endpoint {
    Endpoint::Ip(address.parse().unwrap())
}

pub(crate) fn fields(lines: &[(&str, &str)]) -> Vec<Field> {
    lines.iter().map(|(name, value)| Field { name: (*name).into(), value: (*value).into() }).collect()
}

pub(crate) fn request(frame: u64, ms: f64, target: &str, version: HttpVersion, lines: &[(&str, &str)]) -> Request {
    Request {
        frame,
        at: at(ms),
        method: "GET".into(),
        target: target.into(),
        version,
        fields: fields(lines),
        complete: true,
    }
}

pub(crate) fn response(frame: u64, ms: f64, status: u16, reason: &str, lines: &[(&str, &str)]) -> Response {
    Response {
        frame,
        at: at(ms),
        status,
        version: HttpVersion::Http11,
        reason: reason.into(),
        fields: fields(lines),
        complete: true,
        body: None,
    }
}

pub(crate) fn hop(role: Role, client: &str, server: &str, request: Request, response: Option<Response>) -> Hop {
    Hop {
        role,
        client: ip(client),
        server: ip(server),
        interface: InterfaceId(0),
        clock: ClockId(0),
        proxy_header: None,
        request: Some(request),
        interim: None,
        response,
        silence: None,
        not_http: None,
        product: None,
        candidates: Candidates::default(),
        processes: [None, None],
    }
}

pub(crate) fn product(name: ProductName, version: &str) -> Product {
    Product { name, version: (!version.is_empty()).then(|| version.into()) }
}

pub(crate) fn attempt(id: u64, outcome: Outcome, ms: f64, hops: Vec<Hop>) -> Attempt {
    let join = (hops.len() > 1).then_some(Join { method: JoinMethod::WebSocketKey, confidence: Confidence::Certain });
    Attempt { id: AttemptId(id), upgrade: "websocket".to_owned(), outcome, decided_at: at(ms), join, hops }
}

/// What a browser asks with.
pub(crate) const BROWSER: [(&str, &str); 11] = [
    ("Host", "chat.test"),
    ("Connection", "Upgrade"),
    ("Pragma", "no-cache"),
    ("Cache-Control", "no-cache"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"),
    ("Upgrade", "websocket"),
    ("Origin", "http://chat.test"),
    ("Sec-WebSocket-Version", "13"),
    ("Accept-Encoding", "gzip, deflate"),
    ("Sec-WebSocket-Key", "x3JJHMbDL1EzLkh9GBhXDw=="),
    ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
];

/// What nginx makes of it when it is told nothing.
const BARE: [(&str, &str); 10] = [
    ("Host", "127.0.0.1:3000"),
    ("Connection", "close"),
    ("Pragma", "no-cache"),
    ("Cache-Control", "no-cache"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"),
    ("Origin", "http://chat.test"),
    ("Sec-WebSocket-Version", "13"),
    ("Accept-Encoding", "gzip, deflate"),
    ("Sec-WebSocket-Key", "x3JJHMbDL1EzLkh9GBhXDw=="),
    ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
];

const REQUIRED: [(&str, &str); 3] = [("Server", "nginx/1.22.1"), ("Content-Length", "16"), ("Connection", "close")];

/// nginx 1.22.1 with a bare `proxy_pass`; the origin answers 426.
pub(crate) fn bare(id: u64, frame: u64, target: &str, client: &str) -> Attempt {
    let ms = f64::from(u32::try_from(frame).unwrap()) * 10.0;
    let front = request(frame, ms, target, HttpVersion::Http11, &BROWSER);
    let back = request(frame + 2, ms + 1.24, target, HttpVersion::Http10, &BARE);
    let mut down = hop(
        Role::Downstream,
        client,
        "10.0.0.1:80",
        front,
        Some(response(frame + 7, ms + 24.1, 426, "Upgrade Required", &REQUIRED)),
    );
    down.product = Some(product(ProductName::Nginx, "1.22.1"));
    let up = hop(
        Role::Upstream,
        "127.0.0.1:41822",
        "127.0.0.1:3000",
        back,
        Some(response(frame + 5, ms + 23.3, 426, "Upgrade Required", &[])),
    );
    attempt(id, Outcome::Refused, ms + 24.1, vec![down, up])
}

/// The proxy and the origin are processes of this host; the origin's name is no honest one.
pub(crate) fn own(attempt: &mut Attempt) {
    let process = |pid, command: &str| Some(Process { pid, command: command.into() });
    attempt.hops[0].processes = [None, process(812, "nginx")];
    attempt.hops[1].processes = [process(812, "nginx"), process(900, "node\u{1b}")];
}

pub(crate) fn alert(attempt: &Arc<Attempt>, rule: RuleId, level: Level, message: &str, details: Details) -> Event {
    Event::Alert(Box::new(Alert {
        rule,
        level,
        at: attempt.decided_at,
        message: message.to_owned(),
        attempt: Arc::clone(attempt),
        product: attempt.first().product.clone(),
        details,
    }))
}

pub(crate) fn sent() -> Sent {
    Sent { version: HttpVersion::Http10, upgrade: None, connection: Some("close".to_owned()) }
}

/// The three alerts of a bare `proxy_pass`.
pub(crate) fn bare_alerts(attempt: &Arc<Attempt>) -> Vec<Event> {
    let by = attempt.first().server.clone();
    vec![
        alert(
            attempt,
            RuleId::UpgradeHeadersDropped,
            Level::Error,
            "nginx at 10.0.0.1:80 is not configured to forward the upgrade: the origin saw a request without Upgrade \
             and with Connection: close",
            Details::HeadersDropped { dropped: vec!["Upgrade", "Connection"], by: by.clone(), sent: sent() },
        ),
        alert(
            attempt,
            RuleId::Http10Upstream,
            Level::Error,
            "nginx at 10.0.0.1:80 forwards the upgrade as HTTP/1.0",
            Details::Http10 { by: by.clone() },
        ),
        alert(
            attempt,
            RuleId::Missing101,
            Level::Error,
            "the client got 426 instead of 101",
            Details::Missing101 {
                status: vec![Some(426), Some(426)],
                answered_by: AnsweredBy::Origin,
                cause: Cause::HeadersDropped,
                by: Some(by),
                doubt: None,
                facts: Vec::new(),
            },
        ),
    ]
}

/// nginx cannot reach its origin.
pub(crate) fn bad_gateway() -> Vec<Event> {
    let mut attempt = bare(2, 40, "/live", "10.0.0.7:53020");
    let down = &mut attempt.hops[0];
    down.response = Some(response(45, 401.1, 502, "Bad Gateway", &[("Server", "nginx/1.22.1")]));
    let up = &mut attempt.hops[1];
    (up.request, up.response, up.silence) = (None, None, Some(Silence::Refused));
    let attempt = Arc::new(attempt);
    let details = Details::Missing101 {
        status: vec![Some(502), None],
        answered_by: AnsweredBy::Proxy,
        cause: Cause::UpstreamRefused,
        by: Some(ip("127.0.0.1:3000")),
        doubt: None,
        facts: Vec::new(),
    };
    let message = "nothing listens at 127.0.0.1:3000, where nginx connects: the client got 502";
    let alert = alert(&attempt, RuleId::Missing101, Level::Error, message, details);
    vec![Event::Attempt(attempt), alert]
}

/// Caddy in front of Apache: the second proxy drops the fields.
pub(crate) fn chain() -> Vec<Event> {
    let front = bare(3, 60, "/app/socket?token=s3cr3t", "192.168.178.20:60211");
    let mut middle = front.hops[0].clone();
    middle.role = Role::Middle;
    (middle.client, middle.server) = (ip("10.1.0.2:38822"), ip("10.1.0.3:8080"));
    middle.product = Some(product(ProductName::Apache, "2.4.71"));
    let request = middle.request.as_mut().unwrap();
    request.frame = 61;
    request.fields.extend(fields(&[("X-Forwarded-For", "192.168.178.20"), ("X-Forwarded-Proto", "http")]));
    middle.response.as_mut().unwrap().frame = 66;
    let mut attempt = front;
    attempt.hops[0].product = Some(product(ProductName::Caddy, ""));
    attempt.hops[1].request.as_mut().unwrap().version = HttpVersion::Http11;
    attempt.hops.insert(1, middle);
    let mut side = attempt.hops[2].clone();
    side.role = Role::Side;
    side.server = ip("10.1.0.9:9000");
    side.request.as_mut().unwrap().target = "/auth?token=s3cr3t".into();
    side.response.as_mut().unwrap().status = 204;
    let mut retry = attempt.hops[2].clone();
    retry.role = Role::Retry;
    (retry.request, retry.response, retry.silence) = (None, None, Some(Silence::Refused));
    retry.server = ip("127.0.0.1:3001");
    attempt.hops.extend([side, retry]);
    let attempt = Arc::new(attempt);
    let Event::Alert(mut alert) = bare_alerts(&attempt).remove(0) else { unreachable!() };
    alert.product = Some(product(ProductName::Apache, "2.4.71"));
    alert.message = "Apache at 10.1.0.3:8080 is not configured to forward the upgrade".to_owned();
    if let Details::HeadersDropped { by, .. } = &mut alert.details {
        *by = ip("10.1.0.3:8080");
    }
    vec![Event::Attempt(attempt), Event::Alert(alert)]
}

/// IPv6 with addresses as long as they get, and a path that is longer than a line.
pub(crate) fn long() -> Vec<Event> {
    let path = "/api/v2/organisations/4711/projects/日本語プロジェクト/streams/telemetry/websocket/subscribe?x=1";
    let mut attempt = bare(4, 80, path, "[2001:db8:1111:2222:3333:4444:5555:6666]:60211");
    attempt.hops[0].server = ip("[2001:db8:1111:2222:3333:4444:5555:1]:443");
    let attempt = Arc::new(attempt);
    let mut events = vec![Event::Attempt(Arc::clone(&attempt))];
    events.extend(bare_alerts(&attempt).into_iter().take(1));
    events
}

/// An attempt that got its 101.
pub(crate) fn upgraded(id: u64) -> Attempt {
    let mut attempt = bare(id, 100, "/ws", "10.0.0.7:53044");
    attempt.outcome = Outcome::Upgraded;
    for hop in &mut attempt.hops {
        let request = hop.request.as_mut().unwrap();
        request.version = HttpVersion::Http11;
        request.fields = fields(&BROWSER);
        let response = hop.response.as_mut().unwrap();
        response.status = 101;
        response.reason = "Switching Protocols".into();
        response.fields = fields(&[("Server", "nginx/1.22.1"), ("Upgrade", "websocket"), ("Connection", "upgrade")]);
    }
    attempt
}

pub(crate) fn tunnel(attempt: &Arc<Attempt>) -> Tunnel {
    Tunnel {
        attempt: Arc::clone(attempt),
        opened_at: at(1024.1),
        ended_at: at(73_101.0),
        still_open: false,
        bytes: Traffic { to_server: 1204, to_client: 88_213 },
        frames: Traffic { to_server: 12, to_client: 140 },
        pings: 0,
        pongs: 0,
        close: None,
        closed_by: ClosedBy::Proxy,
        idle: Duration::from_millis(60_060),
        incomplete: false,
        hops: Vec::new(),
        missing: None,
    }
}

/// A tunnel that nginx ended after a minute of silence.
pub(crate) fn idle() -> Vec<Event> {
    let attempt = Arc::new(upgraded(5));
    let tunnel = tunnel(&attempt);
    let details = Details::IdleClose {
        at: crate::engine::alert::TimerAt::Proxy,
        idle: tunnel.idle,
        by: ip("10.0.0.1:80"),
        heartbeat: false,
        candidates: vec![
            IdleTimer { product: "nginx", name: "proxy_read_timeout", after: Duration::from_secs(60) },
            IdleTimer { product: "AWS ALB", name: "idle_timeout", after: Duration::from_secs(60) },
        ],
        certain: true,
    };
    let message = "nginx at 10.0.0.1:80 closed the tunnel after 60.1 s without a byte in either direction";
    let Event::Alert(mut alert) = alert(&attempt, RuleId::IdleClose, Level::Error, message, details) else {
        unreachable!()
    };
    alert.at = tunnel.ended_at;
    vec![Event::Attempt(attempt), Event::Tunnel(Box::new(tunnel)), Event::Alert(alert)]
}

/// Everything.
pub(crate) fn all() -> Vec<Event> {
    let attempt = Arc::new(bare(1, 4, "/ws", "10.0.0.7:53012"));
    let mut events = vec![Event::Attempt(Arc::clone(&attempt))];
    events.extend(bare_alerts(&attempt));
    for more in [bad_gateway(), chain(), long(), idle(), rest(), anomalies(), tunnels()] {
        events.extend(more);
    }
    events.push(Event::Stats(Box::new(stats())));
    events
}
