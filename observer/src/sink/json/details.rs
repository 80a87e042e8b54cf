//! The facts of a line, by rule or by kind of event: the object under `details`.

use std::time::Duration;

use serde::Serialize;

use super::{
    build::{Context, nanos, time},
    clocks::{self, Clock},
    record::Endpoint,
};
use crate::engine::{
    alert,
    anomaly::{Anomaly, AnomalyKind},
    event::{self, Stats, Tunnel},
    tcp::Direction,
};
use crate::sink::reason;

/// What a line tells beyond what every line does.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Details {
    Broken(Broken),
    HeadersDropped { dropped: Vec<&'static str>, by: Endpoint, sent: Sent },
    Http10 { by: Endpoint },
    Injected { by: Endpoint, sent: Sent },
    Accept { expected: String, received: Option<String>, by: Endpoint },
    Negotiation { field: &'static str, before: Option<String>, after: Option<String>, by: Endpoint },
    Missing101(Missing),
    IdleClose(IdleClose),
    LifetimeClose { by: Endpoint, age_seconds: f64, tunnels: usize },
    MassClose(MassClose),
    ErrorClose { fault: &'static str, code: Option<u16>, closed_by: &'static str, age_seconds: f64 },
    AbruptClose { closed_by: &'static str, idle_seconds: f64 },
    PollingFallback { target: String, requests: u64, frame: u64 },
    Tunnel(Box<TunnelDetails>),
    Anomaly(AnomalyDetails),
    Stats(Box<StatsDetails>),
}

/// A 101 that cannot be used.
#[derive(Serialize)]
pub(super) struct Broken {
    by: Endpoint,
    fault: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offered: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frame: Option<u64>,
}

#[derive(Serialize)]
pub(super) struct Sent {
    version: String,
    upgrade: Option<String>,
    connection: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Missing {
    status: Vec<Option<u16>>,
    answered_by: &'static str,
    cause: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<Endpoint>,
    /// Why the cause is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    facts: Vec<Fact>,
}

/// Something seen beside the hops that tells the cause.
#[derive(Serialize)]
struct Fact {
    #[serde(skip_serializing_if = "Option::is_none")]
    frame: Option<u64>,
    at: String,
    text: String,
}

#[derive(Serialize)]
pub(super) struct IdleClose {
    idle_seconds: f64,
    closed_by: &'static str,
    by: Endpoint,
    heartbeat: bool,
    certain: bool,
    candidates: Vec<Timer>,
}

#[derive(Serialize)]
struct Timer {
    product: &'static str,
    name: &'static str,
    seconds: f64,
}

#[derive(Serialize)]
pub(super) struct MassClose {
    by: Endpoint,
    count: usize,
    /// The ids of the attempts.
    tunnels: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tunnels_omitted: Option<usize>,
    within_seconds: f64,
}

#[derive(Serialize)]
pub(super) struct TunnelDetails {
    opened_at: String,
    ended_at: String,
    still_open: bool,
    duration_seconds: f64,
    bytes: Traffic,
    frames: Traffic,
    pings: u64,
    pongs: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    close: Option<Close>,
    closed_by: &'static str,
    idle_seconds: f64,
    incomplete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    broken: Option<NoFrame>,
    /// Why it is unknown who closed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<String>,
}

/// What is no WebSocket frame where one should begin.
#[derive(Serialize)]
struct NoFrame {
    from: &'static str,
    reason: &'static str,
    frame: u64,
    at: String,
    bytes: String,
    /// Where it is an HTTP response.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
}

#[derive(Serialize)]
struct Traffic {
    to_server: u64,
    to_client: u64,
}

#[derive(Serialize)]
struct Close {
    at: String,
    from: &'static str,
    code: Option<u16>,
}

#[derive(Serialize)]
pub(super) struct AnomalyDetails {
    kind: &'static str,
    /// Missing where it is not about one frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    frame: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_type: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alpn: Option<Vec<String>>,
}

#[derive(Serialize)]
pub(super) struct StatsDetails {
    #[serde(skip_serializing_if = "Option::is_none")]
    first_at: Option<String>,
    frames: u64,
    frames_skipped: u64,
    frames_cut: u64,
    connections: u64,
    tls_connections: u64,
    requests: u64,
    attempts: Attempts,
    tunnels: u64,
    tunnels_open: u64,
    connections_open: u64,
    alerts: Vec<AlertCount>,
    gaps: u64,
    gap_bytes: u64,
    drops: u64,
    anomalies: u64,
    evictions: u64,
    memory: u64,
    /// Where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    clocks: Vec<Clock>,
    /// Live only, once there are some.
    #[serde(skip_serializing_if = "is_zero")]
    records_dropped: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[derive(Serialize)]
struct Attempts {
    upgraded: u64,
    refused: u64,
    failed: u64,
    unknown: u64,
}

#[derive(Serialize)]
struct AlertCount {
    rule: &'static str,
    level: &'static str,
    count: u64,
}

/// The facts of an alert.
pub(super) fn of_alert(context: &Context<'_>, details: &alert::Details) -> Details {
    use alert::Details as From;
    let by = |endpoint| context.endpoint(endpoint);
    match details {
        From::Broken { by: at, fault } => Details::Broken(broken(context, by(at), fault)),
        From::HeadersDropped { dropped, by: at, sent } => {
            Details::HeadersDropped { dropped: dropped.clone(), by: by(at), sent: sent_as(context, sent) }
        }
        From::Http10 { by: at } => Details::Http10 { by: by(at) },
        From::Injected { by: at, sent } => Details::Injected { by: by(at), sent: sent_as(context, sent) },
        From::Accept { expected, received, by: at } => Details::Accept {
            expected: context.text(expected),
            received: received.as_deref().map(|value| context.text(value)),
            by: by(at),
        },
        From::Negotiation { field, before, after, by: at } => {
            let value = |value: &Option<String>| value.as_deref().map(|value| context.field(field, value));
            Details::Negotiation { field, before: value(before), after: value(after), by: by(at) }
        }
        From::Missing101 { status, answered_by, cause, by: at, doubt, facts } => Details::Missing101(Missing {
            status: status[..context.limits.keep(status.len(), context.limits.list).0].to_vec(),
            answered_by: answered_by.as_str(),
            cause: cause.as_str(),
            by: at.as_ref().map(by),
            missing: doubt.as_ref().map(reason::of_doubt),
            facts: facts.iter().map(|fact| fact_as(context, fact)).collect(),
        }),
        From::IdleClose { at: side, idle, by: at, heartbeat, candidates, certain } => Details::IdleClose(IdleClose {
            idle_seconds: seconds(*idle),
            closed_by: side.as_str(),
            by: by(at),
            heartbeat: *heartbeat,
            certain: *certain,
            candidates: candidates.iter().map(timer).collect(),
        }),
        From::LifetimeClose { by: at, age, tunnels } => {
            Details::LifetimeClose { by: by(at), age_seconds: seconds(*age), tunnels: *tunnels }
        }
        From::ErrorClose { fault, code, closed_by, age } => Details::ErrorClose {
            fault: fault.as_str(),
            code: *code,
            closed_by: closed_by_name(*closed_by),
            age_seconds: seconds(*age),
        },
        From::MassClose { by: at, tunnels, within } => {
            Details::MassClose(mass_close(context, by(at), tunnels, *within))
        }
        From::AbruptClose { closed_by, idle } => {
            Details::AbruptClose { closed_by: closed_by_name(*closed_by), idle_seconds: seconds(*idle) }
        }
        From::PollingFallback { target, requests, frame } => {
            Details::PollingFallback { target: context.target(target), requests: *requests, frame: *frame }
        }
    }
}

fn broken(context: &Context<'_>, by: Endpoint, fault: &alert::Fault) -> Broken {
    let told = Broken { by, fault: fault.as_str(), field: None, offered: None, status: None, frame: None };
    match fault {
        alert::Fault::FieldMissing(field) => Broken { field: Some(field), ..told },
        alert::Fault::AnsweredTwice { status, frame } => Broken { status: Some(*status), frame: Some(*frame), ..told },
        alert::Fault::Unconfirmed { offered } => {
            Broken { offered: Some(context.field("Sec-WebSocket-Protocol", offered)), ..told }
        }
    }
}

fn fact_as(context: &Context<'_>, fact: &alert::Fact) -> Fact {
    let frame = (fact.frame > 0).then_some(fact.frame);
    Fact { frame, at: time(fact.at), text: context.text(&fact.text) }
}

fn sent_as(context: &Context<'_>, sent: &alert::Sent) -> Sent {
    Sent {
        version: sent.version.to_string(),
        upgrade: sent.upgrade.as_deref().map(|value| context.text(value)),
        connection: sent.connection.as_deref().map(|value| context.text(value)),
    }
}

fn timer(timer: &alert::IdleTimer) -> Timer {
    Timer { product: timer.product, name: timer.name, seconds: seconds(timer.after) }
}

fn mass_close(
    context: &Context<'_>,
    by: Endpoint,
    tunnels: &[std::sync::Arc<event::Attempt>],
    within: Duration,
) -> MassClose {
    let (kept, tunnels_omitted) = context.limits.keep(tunnels.len(), context.limits.list);
    MassClose {
        by,
        count: tunnels.len(),
        tunnels: tunnels[..kept].iter().map(|attempt| attempt.id.to_string()).collect(),
        tunnels_omitted,
        within_seconds: seconds(within),
    }
}

/// Seconds with six decimals, as printed: more would be noise of the conversion.
#[expect(clippy::cast_precision_loss, reason = "2^53 µs are 285 years")]
fn seconds(span: Duration) -> f64 {
    span.as_micros() as f64 / 1e6
}

/// A tunnel's life.
pub(super) fn of_tunnel(context: &Context<'_>, tunnel: &Tunnel) -> Details {
    let traffic = |traffic: event::Traffic| Traffic { to_server: traffic.to_server, to_client: traffic.to_client };
    Details::Tunnel(Box::new(TunnelDetails {
        opened_at: time(tunnel.opened_at),
        ended_at: time(tunnel.ended_at),
        still_open: tunnel.still_open,
        duration_seconds: seconds(tunnel.ended_at.since(tunnel.opened_at)),
        bytes: traffic(tunnel.bytes),
        frames: traffic(tunnel.frames),
        pings: tunnel.pings,
        pongs: tunnel.pongs,
        close: tunnel.close.map(|close| Close {
            at: time(close.at),
            from: match (tunnel.closed_by, close.from_client) {
                (event::ClosedBy::Proxy, _) => "proxy",
                (event::ClosedBy::Unknown, _) if tunnel.incomplete || tunnel.broken().is_some() => "unknown",
                (_, true) => "client",
                (_, false) => "server",
            },
            code: close.code,
        }),
        closed_by: closed_by_name(tunnel.closed_by),
        idle_seconds: seconds(tunnel.idle),
        incomplete: tunnel.incomplete,
        broken: tunnel.broken().map(|broken| NoFrame {
            from: if broken.from_client { "client" } else { "server" },
            reason: broken.what,
            frame: broken.first.frame,
            at: time(broken.first.at),
            bytes: context.text(&broken.first.escaped()),
            status: broken.first.status(),
        }),
        missing: tunnel.missing.as_ref().map(reason::of_hole),
    }))
}

/// What is odd, and where.
pub(super) fn of_anomaly(context: &Context<'_>, anomaly: &Anomaly) -> Details {
    use AnomalyKind as Kind;
    let mut details = AnomalyDetails {
        kind: anomaly_kind(&anomaly.kind),
        frame: Some(anomaly.frame).filter(|frame| *frame > 0),
        source: context.source(anomaly.interface),
        what: None,
        link_type: None,
        direction: None,
        bytes: None,
        server_name: None,
        alpn: None,
    };
    match &anomaly.kind {
        Kind::UnknownLinkType(number) => details.link_type = Some(*number),
        Kind::Malformed(what) | Kind::NotHttp(what) | Kind::WebSocketFrame(what) | Kind::Evicted(what) => {
            details.what = Some((*what).to_owned());
        }
        Kind::Gap { way, bytes } => {
            details.bytes = Some(*bytes);
            details.direction = Some(match way {
                Direction::ToServer => "to_server",
                Direction::ToClient => "to_client",
            });
        }
        Kind::Tls { server_name, alpn } => {
            let kept = context.limits.keep(alpn.len(), context.limits.list).0;
            details.server_name = server_name.as_deref().map(|name| context.text(name));
            details.alpn = Some(alpn[..kept].iter().map(|name| context.text(name)).collect());
        }
        Kind::FragmentsDropped | Kind::ConflictingOverlap | Kind::Http2 | Kind::HeadTooLarge => {}
    }
    Details::Anomaly(details)
}

/// What the input itself lacks: a file that is cut.
pub(super) fn of_warning(warning: String) -> Details {
    Details::Anomaly(AnomalyDetails {
        kind: "input",
        frame: None,
        source: None,
        what: Some(warning),
        link_type: None,
        direction: None,
        bytes: None,
        server_name: None,
        alpn: None,
    })
}

/// The stable name of a kind of oddity.
pub(super) const fn anomaly_kind(kind: &AnomalyKind) -> &'static str {
    match kind {
        AnomalyKind::UnknownLinkType(_) => "unknown-link-type",
        AnomalyKind::Malformed(_) => "malformed",
        AnomalyKind::FragmentsDropped => "fragments-dropped",
        AnomalyKind::ConflictingOverlap => "conflicting-overlap",
        AnomalyKind::Gap { .. } => "gap",
        AnomalyKind::Tls { .. } => "tls",
        AnomalyKind::Http2 => "http2",
        AnomalyKind::NotHttp(_) => "not-http",
        AnomalyKind::HeadTooLarge => "head-too-large",
        AnomalyKind::WebSocketFrame(_) => "websocket-frame",
        AnomalyKind::Evicted(_) => "evicted",
    }
}

/// All counters.
pub(super) fn of_stats(context: &Context<'_>, stats: &Stats, records_dropped: u64) -> Details {
    let count = |(rule, level, count): &(alert::RuleId, alert::Level, u64)| AlertCount {
        rule: rule.as_str(),
        level: level.as_str(),
        count: *count,
    };
    Details::Stats(Box::new(StatsDetails {
        first_at: stats.first_at.map(time),
        frames: stats.frames,
        frames_skipped: stats.frames_skipped,
        frames_cut: stats.frames_cut,
        connections: stats.connections,
        tls_connections: stats.tls_connections,
        requests: stats.requests,
        attempts: Attempts {
            upgraded: stats.upgraded,
            refused: stats.refused,
            failed: stats.failed,
            unknown: stats.unknown,
        },
        tunnels: stats.tunnels,
        tunnels_open: stats.tunnels_open,
        connections_open: stats.connections_open,
        alerts: stats.alerts.iter().map(count).collect(),
        gaps: stats.gaps,
        gap_bytes: stats.gap_bytes,
        drops: stats.drops,
        anomalies: stats.anomalies,
        evictions: stats.evictions,
        memory: stats.memory,
        clocks: clocks::of(context, &stats.clocks),
        records_dropped,
    }))
}

/// Who ended a tunnel, as printed.
pub(super) const fn closed_by_name(closed_by: event::ClosedBy) -> &'static str {
    match closed_by {
        event::ClosedBy::Client => "client",
        event::ClosedBy::Proxy => "proxy",
        event::ClosedBy::Origin => "origin",
        event::ClosedBy::Unknown => "unknown",
    }
}

/// How long a tunnel lived, as ECS counts.
pub(super) fn tunnel_nanos(tunnel: &Tunnel) -> u64 {
    nanos(tunnel.ended_at.since(tunnel.opened_at))
}
