//! Events of the kinds that seldom come: the other rules, anomalies, counters, ends of tunnels.

use std::{sync::Arc, time::Duration};

use super::{alert, at, ip, sent, tunnel, upgraded};
use crate::engine::{
    alert::{Details, Level, RuleId},
    anomaly::{Anomaly, AnomalyKind},
    event::{Close, ClosedBy, Endpoint, Event, Stats, Tunnel},
    frame::InterfaceId,
};

/// One alert of each rule that the others do not make.
pub(crate) fn rest() -> Vec<Event> {
    let attempt = Arc::new(upgraded(6));
    let by = ip("10.0.0.1:80");
    let make = |rule, level, message: &str, details| alert(&attempt, rule, level, message, details);
    vec![
        make(
            RuleId::UpgradeInjected,
            Level::Warning,
            "nginx at 10.0.0.1:80 turns an ordinary request into an upgrade",
            Details::Injected { by: by.clone(), sent: sent() },
        ),
        make(
            RuleId::AcceptMismatch,
            Level::Error,
            "the accept value is not that of the key",
            Details::Accept {
                expected: "HSmrc0sMlYUkAGmm5OPpG2HaGWk=".to_owned(),
                received: None,
                by: Endpoint::Path("/run/app.sock".into()),
            },
        ),
        make(
            RuleId::NegotiationAltered,
            Level::Warning,
            "the subprotocol was removed on the way",
            Details::Negotiation {
                field: "Sec-WebSocket-Protocol",
                before: Some("mqtt, bearer.s3cr3t".to_owned()),
                after: None,
                by: by.clone(),
            },
        ),
        make(
            RuleId::MassClose,
            Level::Warning,
            "nginx at 10.0.0.1:80 closed 2 busy tunnels within 3 ms",
            Details::MassClose {
                by,
                tunnels: vec![Arc::clone(&attempt), Arc::clone(&attempt)],
                within: Duration::from_millis(3),
            },
        ),
        make(
            RuleId::AbruptClose,
            Level::Notice,
            "the client closed without a Close frame",
            Details::AbruptClose { closed_by: ClosedBy::Client, idle: Duration::from_millis(120) },
        ),
        make(
            RuleId::PollingFallback,
            Level::Notice,
            "the client goes on by long polling",
            Details::PollingFallback { target: "/socket.io/".to_owned(), requests: 3, frame: 180 },
        ),
    ]
}

/// One of every kind of anomaly.
pub(crate) fn anomalies() -> Vec<Event> {
    let kinds = vec![
        AnomalyKind::UnknownLinkType(147),
        AnomalyKind::Malformed("TCP header"),
        AnomalyKind::FragmentsDropped,
        AnomalyKind::ConflictingOverlap,
        AnomalyKind::Gap { way: crate::engine::tcp::Direction::ToClient, bytes: 1448 },
        AnomalyKind::Tls { server_name: Some("chat.test".into()), alpn: vec!["h2".into(), "http/1.1".into()] },
        AnomalyKind::Http2,
        AnomalyKind::NotHttp("no request line"),
        AnomalyKind::HeadTooLarge,
        AnomalyKind::WebSocketFrame("unmasked frame from the client"),
        AnomalyKind::Evicted("connection"),
    ];
    let event = |(index, kind)| {
        Event::Anomaly(Anomaly {
            at: at(5.0),
            frame: 7,
            interface: InterfaceId(0),
            kind,
            connection: (index % 2 == 0).then(|| (ip("10.0.0.7:53012"), ip("10.0.0.1:80"))),
        })
    };
    kinds.into_iter().enumerate().map(event).collect()
}

/// Counters that fit one broken and one good attempt.
pub(crate) fn stats() -> Stats {
    Stats {
        first_at: Some(at(0.0)),
        at: at(80_000.0),
        frames: 230,
        connections: 12,
        requests: 14,
        upgraded: 1,
        refused: 1,
        tunnels: 1,
        alerts: vec![
            (RuleId::UpgradeHeadersDropped, Level::Error, 1),
            (RuleId::Http10Upstream, Level::Error, 1),
            (RuleId::Missing101, Level::Error, 1),
        ],
        memory: 4096,
        ..Stats::default()
    }
}

/// A tunnel that both peers closed well, and one that outlived the capture.
pub(crate) fn tunnels() -> Vec<Event> {
    let attempt = Arc::new(upgraded(7));
    let closed = Tunnel {
        close: Some(Close { at: at(3000.0), from_client: true, code: Some(1000) }),
        closed_by: ClosedBy::Client,
        ..tunnel(&attempt)
    };
    let open = Tunnel { still_open: true, closed_by: ClosedBy::Unknown, ..tunnel(&attempt) };
    vec![Event::Tunnel(Box::new(closed)), Event::Tunnel(Box::new(open))]
}
