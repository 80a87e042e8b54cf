//! Everything about one attempt, broken or not, for a pane that scrolls: the report's own parts, and all fields.

use super::{
    ladder::{ladder, requests},
    line::{Line, Tint, cut, wrap},
    story::{fix, headline, judgement, members, moment, result, symbol, timeline, traffic},
    words::{Words, count, span},
};
use crate::engine::{
    alert::{Alert, Details},
    event::{Attempt, Close, ClosedBy, Confidence, Join, JoinMethod, Outcome, Tunnel},
};

/// What is known of an attempt: its alerts with the root cause first, and its tunnel once that has ended.
pub(crate) fn detail(words: &Words<'_>, attempt: &Attempt, alerts: &[Alert], tunnel: Option<&Tunnel>) -> Vec<Line> {
    let mut lines = match alerts.first() {
        Some(root) => headline(words, symbol(root.level), attempt, &result(words, root)),
        None => headline(words, outcome(attempt.outcome), attempt, &words.ending(attempt)),
    };
    lines.extend(judgement(words, alerts));
    lines.push(Line::new());
    lines.extend(ladder(words, attempt));
    lines.extend(life(words, alerts, tunnel));
    lines.extend(fix(words, alerts));
    lines.push(Line::new());
    lines.push(title("All fields, as sent"));
    lines.extend(requests(words, attempt));
    lines.push(Line::new());
    lines.push(joined(words, attempt));
    lines
}

fn title(text: &str) -> Line {
    Line::of(Tint::Strong, format!("  {text}"))
}

const fn outcome_symbol(outcome: Outcome) -> (Tint, &'static str) {
    match outcome {
        Outcome::Upgraded => (Tint::Good, "✓ "),
        Outcome::Refused | Outcome::Failed => (Tint::Plain, "✗ "),
        Outcome::Unknown => (Tint::Doubt, "? "),
    }
}

fn outcome(outcome: Outcome) -> Line {
    let (tint, text) = outcome_symbol(outcome);
    Line::of(tint, text)
}

/// The tunnel, from its 101 to its end.
fn life(words: &Words<'_>, alerts: &[Alert], tunnel: Option<&Tunnel>) -> Vec<Line> {
    let idle = alerts.iter().find(|alert| matches!(alert.details, Details::IdleClose { .. }));
    let mut lines = Vec::new();
    if let Some(alert) = idle {
        lines.extend(timeline(words, alert, tunnel));
    } else if let Some(tunnel) = tunnel {
        lines.extend(plain_life(words, tunnel));
    }
    for alert in alerts {
        if let Details::MassClose { tunnels, .. } = &alert.details {
            lines.extend(members(words, tunnels));
        }
    }
    if !lines.is_empty() {
        lines.splice(0..0, [Line::new(), title("Tunnel")]);
    }
    lines
}

fn plain_life(words: &Words<'_>, tunnel: &Tunnel) -> Vec<Line> {
    let last = tunnel.ended_at.before(tunnel.idle).max(tunnel.opened_at);
    let mut moments = vec![
        (tunnel.opened_at, "101, the tunnel opens".to_owned()),
        (last, format!("last payload{}", traffic(Some(tunnel)))),
        (tunnel.ended_at, end(tunnel)),
    ];
    moments.extend(tunnel.close.map(|close| (close.at, close_frame(close))));
    moments.sort_by_key(|(at, _)| *at);
    let mut lines: Vec<_> = moments.iter().map(|(at, text)| moment(words, *at, Tint::Plain, text)).collect();
    if tunnel.pings + tunnel.pongs > 0 {
        let beats = format!("  {}, {}", count(tunnel.pings, "ping"), count(tunnel.pongs, "pong"));
        lines.push(Line::of(Tint::Plain, beats));
    }
    lines
}

fn close_frame(close: Close) -> String {
    let side = if close.from_client { "client" } else { "server" };
    match close.code {
        Some(code) => format!("Close frame from the {side}, code {code}"),
        None => format!("Close frame from the {side}, without a code"),
    }
}

fn end(tunnel: &Tunnel) -> String {
    if tunnel.still_open {
        return format!("the capture ends; the tunnel was open and silent for {}", span(tunnel.idle));
    }
    let who = match tunnel.closed_by {
        ClosedBy::Client => "the client closes",
        ClosedBy::Proxy => "the proxy closes",
        ClosedBy::Origin => "the origin closes",
        ClosedBy::Unknown => "it closes, by whom was not seen",
    };
    let lived = span(tunnel.ended_at.since(tunnel.opened_at));
    format!("{who} after {lived}, silent for {}", span(tunnel.idle))
}

/// Why the hops are told as one.
fn joined(words: &Words<'_>, attempt: &Attempt) -> Line {
    let text = match attempt.join {
        Some(join) => format!("attempt {}, joined by {}", attempt.id, method(join)),
        None => format!("attempt {}, one hop seen", attempt.id),
    };
    Line::of(Tint::Dim, cut(&format!("  {text}"), words.width))
}

fn method(join: Join) -> String {
    let method = match join.method {
        JoinMethod::WebSocketKey => "Sec-WebSocket-Key",
        JoinMethod::RequestId => "request id",
        JoinMethod::Fingerprint => "target, origin and time",
        JoinMethod::Process => "process",
    };
    let confidence = match join.confidence {
        Confidence::Certain => "certain",
        Confidence::Probable => "probable",
        Confidence::Ambiguous => "ambiguous, others fit as well",
    };
    format!("{method} ({confidence})")
}

/// Lines of one tint that fit, for what else a pane has to say.
pub(crate) fn paragraph(tint: Tint, text: &str, columns: usize) -> Vec<Line> {
    wrap(text, columns).into_iter().map(|text| Line::of(tint, text)).collect()
}
