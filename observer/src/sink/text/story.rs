//! What is told of one attempt: headline, ladder or timeline, verdict, further alerts in short, and the fix.

use super::{
    ladder::ladder,
    line::{Line, Tint, chop, cut, width, wrap},
    words::{Words, clock, count, endpoint, exact, span},
};
use crate::{
    advice,
    engine::{
        alert::{Alert, Details, Fact, Level, TimerAt},
        anomaly::{Anomaly, AnomalyKind},
        event::{Attempt, Fields, Tunnel, is_bare},
        time::Timestamp,
    },
    sink::{escape::escape, reason},
};

/// Everything about one broken attempt.
pub(super) fn full(words: &Words<'_>, alerts: &[Alert], tunnel: Option<&Tunnel>) -> Vec<Line> {
    let Some(root) = alerts.first() else { return Vec::new() };
    let mut lines = headline(words, symbol(root.level), &root.attempt, &result(words, root));
    match &root.details {
        Details::IdleClose { .. } => lines.extend(timeline(words, root, tunnel)),
        Details::MassClose { tunnels, .. } => lines.extend(members(words, tunnels)),
        _ => lines.extend(ladder(words, &root.attempt)),
    }
    lines.push(Line::new());
    lines.extend(judgement(words, alerts));
    lines.extend(fix(words, alerts));
    lines
}

/// The root cause, and what follows from it in short.
pub(super) fn judgement(words: &Words<'_>, alerts: &[Alert]) -> Vec<Line> {
    let Some((root, others)) = alerts.split_first() else { return Vec::new() };
    let further = others.iter().flat_map(|alert| further(words, alert));
    verdict(words, root).into_iter().chain(further).collect()
}

/// One that is like an earlier one.
pub(super) fn again(words: &Words<'_>, alerts: &[Alert], like: &str) -> Line {
    let Some(root) = alerts.first() else { return Line::new() };
    let what = format!("{}: {}", words.request(&root.attempt), result(words, root));
    let right = format!("{}  as {like}", words.place(&root.attempt));
    let room = words.width.saturating_sub(width(&right) + 4);
    let mut line = symbol(root.level);
    line.push(Tint::Plain, cut(&what, room));
    line.pad(words.width.saturating_sub(width(&right)));
    line.then(Tint::Dim, right)
}

/// A count of many.
pub(super) fn round(words: &Words<'_>, alert: &Alert, like: &str, times: u64) -> Line {
    let what = format!("{} like {like} so far, {}", count(times, "attempt"), alert.rule);
    symbol(alert.level).then(Tint::Plain, cut(&what, words.width - 2))
}

/// A notice, in a line or two.
pub(super) fn notice(words: &Words<'_>, alert: &Alert) -> Vec<Line> {
    let what = words.request(&alert.attempt);
    let text = format!("{what}: {} ({})", words.text(&alert.message), words.place(&alert.attempt).replace("  ", ", "));
    let mut lines = Vec::new();
    for (index, text) in wrap(&text, words.width - 2).into_iter().enumerate() {
        let start = if index == 0 { symbol(alert.level) } else { Line::of(Tint::Plain, "  ") };
        lines.push(start.then(Tint::Plain, text));
    }
    lines
}

/// An anomaly, in a line or two.
pub(super) fn anomaly(words: &Words<'_>, anomaly: &Anomaly) -> Vec<Line> {
    let mut text = format!("frame {}", anomaly.frame);
    if let Some(interface) = words.interface(anomaly.interface) {
        text.push_str(&format!(" on {interface}"));
    }
    if let Some((client, server)) = &anomaly.connection {
        text.push_str(&format!(", {} to {}", endpoint(client), endpoint(server)));
    }
    text.push_str(&format!(": {}", escape(&anomaly.kind.to_string())));
    if let AnomalyKind::Tls { server_name: Some(name), .. } = &anomaly.kind {
        text.push_str(&format!(" ({})", escape(name)));
    }
    let start = |index| Line::of(Tint::Dim, if index == 0 { "~ " } else { "  " });
    let lines = wrap(&text, words.width - 2).into_iter().enumerate();
    lines.map(|(index, text)| start(index).then(Tint::Dim, text)).collect()
}

/// What went wrong with the input.
pub(super) fn warning(text: &str, columns: usize) -> Vec<Line> {
    let start = |index| Line::of(Tint::Doubt, if index == 0 { "! " } else { "  " });
    let lines = wrap(&escape(text), columns - 2).into_iter().enumerate();
    lines.map(|(index, text)| start(index).then(Tint::Plain, text)).collect()
}

pub(super) fn symbol(level: Level) -> Line {
    match level {
        Level::Error => Line::of(Tint::Bad, "✗ "),
        Level::Warning => Line::of(Tint::Doubt, "! "),
        Level::Notice => Line::of(Tint::Dim, "· "),
    }
}

/// What came of it, in few words.
pub(super) fn result(words: &Words<'_>, alert: &Alert) -> String {
    match &alert.details {
        Details::IdleClose { idle, .. } => format!("cut after {} of silence", span(*idle)),
        Details::MassClose { tunnels, within, .. } => {
            format!("{} cut within {}", count(tunnels.len() as u64, "tunnel"), span(*within))
        }
        _ => words.ending(&alert.attempt),
    }
}

/// The request, what came of it, when and where; over more lines where the path is long.
pub(super) fn headline(words: &Words<'_>, symbol: Line, attempt: &Attempt, result: &str) -> Vec<Line> {
    let what = words.request(attempt);
    let place = words.place(attempt);
    let needed = 2 + width(&what) + 2 + width(result) + 3 + width(&place);
    if needed <= words.width {
        let mut line = symbol.then(Tint::Strong, what).then(Tint::Plain, format!("  {result}"));
        line.pad(words.width - width(&place));
        return vec![line.then(Tint::Dim, place)];
    }
    const MOST: usize = 3;
    let mut texts = chop(&what, words.width - 4);
    if texts.len() > MOST {
        texts.truncate(MOST);
        texts[MOST - 1] = format!("{}…", cut(&texts[MOST - 1], words.width - 6));
    }
    let mut starts = std::iter::once(symbol);
    let mut lines = Vec::new();
    for text in texts {
        let start = starts.next().unwrap_or_else(|| Line::of(Tint::Plain, "    "));
        lines.push(start.then(Tint::Strong, text));
    }
    let mut line = Line::of(Tint::Plain, format!("  {result}"));
    line.pad(words.width.saturating_sub(width(&place)));
    lines.push(line.then(Tint::Dim, place));
    lines
}

/// A tunnel's life and its end.
pub(super) fn timeline(words: &Words<'_>, alert: &Alert, tunnel: Option<&Tunnel>) -> Vec<Line> {
    let Details::IdleClose { at: side, idle, by, heartbeat, candidates, certain } = &alert.details else {
        return Vec::new();
    };
    let hops: Vec<_> = alert.attempt.path().collect();
    let lanes = words.lanes(&hops);
    let closer = match side {
        TimerAt::Proxy => {
            hops.iter().position(|hop| hop.server == *by).map_or("the proxy".to_owned(), |at| lanes[at + 1].0.clone())
        }
        TimerAt::InFront => "the client's side".to_owned(),
        TimerAt::ServerSide => "the server's side".to_owned(),
    };
    let ended = tunnel.map_or(alert.at, |tunnel| tunnel.ended_at);
    let opened = tunnel
        .map(|tunnel| tunnel.opened_at)
        .or_else(|| alert.attempt.first().response.as_ref().map(|response| response.at));
    let mut lines = route(words, &lanes);
    lines.extend(opened.map(|at| moment(words, at, Tint::Plain, "101, the tunnel opens")));
    lines.push(moment(words, ended.before(*idle), Tint::Plain, &format!("last payload{}", traffic(tunnel))));
    let beats = if *heartbeat { "pings or pongs before" } else { "no ping or pong ever" };
    lines.push(
        Line::of(Tint::Dim, "       ┊        ")
            .then(Tint::Strong, format!("{} of silence", span(*idle)))
            .then(Tint::Plain, format!(": {beats}")),
    );
    lines.push(moment(words, ended, Tint::Bad, &format!("{closer} closes first, without a Close frame")));
    lines.extend(timers(words, candidates, *certain || *side == TimerAt::InFront));
    lines
}

/// What happened at a time.
pub(super) fn moment(words: &Words<'_>, at: Timestamp, tint: Tint, text: &str) -> Line {
    let text = cut(text, words.width.saturating_sub(16));
    Line::of(Tint::Dim, format!("  {}  ", exact(at))).then(tint, text)
}

/// What passed before the silence.
pub(super) fn traffic(tunnel: Option<&Tunnel>) -> String {
    let Some(tunnel) = tunnel else { return String::new() };
    let least = if tunnel.incomplete { ", at least" } else { "" };
    if tunnel.frames.to_server + tunnel.frames.to_client > 0 {
        let client = count(tunnel.frames.to_server, "frame");
        return format!("; in all {client} from client, {} from server{least}", tunnel.frames.to_client);
    }
    let client = count(tunnel.bytes.to_server, "byte");
    format!("; in all {client} from client, {} from server{least}", tunnel.bytes.to_client)
}

/// The known timers near it.
fn timers(words: &Words<'_>, candidates: &[crate::engine::alert::IdleTimer], certain: bool) -> Vec<Line> {
    let named: Vec<_> = candidates
        .iter()
        .map(|timer| format!("{} {} ({} s)", timer.product, timer.name, timer.after.as_secs()))
        .collect();
    let mut text = match named.len() {
        0 => "No known default is near that time: a timer that somebody set.".to_owned(),
        1 => format!("A timer near it: {}.", named[0]),
        _ => format!("Timers near it: {}.", named.join(", ")),
    };
    if !certain {
        text.push_str(" Inferred from one tunnel.");
    }
    wrap(&text, words.width - 2).into_iter().map(|text| Line::of(Tint::Plain, format!("  {text}"))).collect()
}

/// The way from client to origin, in a line where it fits.
fn route(words: &Words<'_>, lanes: &[(String, String)]) -> Vec<Line> {
    let ends: Vec<_> = lanes.iter().map(|(name, end)| format!("{name} {end}")).collect();
    let one = ends.join(" → ");
    if width(&one) + 2 <= words.width {
        return vec![Line::of(Tint::Plain, format!("  {one}"))];
    }
    let arrow = |index| if index == 0 { "  " } else { "  → " };
    let line = |(index, text): (usize, &String)| {
        Line::of(Tint::Plain, format!("{}{}", arrow(index), cut(text, words.width - 4)))
    };
    ends.iter().enumerate().map(line).collect()
}

/// The tunnels of a mass close, the first few of them.
pub(super) fn members(words: &Words<'_>, tunnels: &[std::sync::Arc<Attempt>]) -> Vec<Line> {
    const MOST: usize = 5;
    let line = |attempt: &std::sync::Arc<Attempt>| {
        let client = endpoint(&attempt.first().client);
        let text = format!("  {client}  {}  ({})", words.request(attempt), words.first_frame(attempt));
        Line::of(Tint::Plain, cut(&text, words.width))
    };
    let mut lines: Vec<_> = tunnels.iter().take(MOST).map(line).collect();
    if tunnels.len() > MOST {
        lines.push(Line::of(Tint::Plain, format!("  and {} more", tunnels.len() - MOST)));
    }
    lines
}

/// The root cause in one sentence, and the values that it is about.
fn verdict(words: &Words<'_>, alert: &Alert) -> Vec<Line> {
    let text = sentence(&words.text(&alert.message));
    let tint = if alert.level == Level::Error { Tint::Bad } else { Tint::Doubt };
    let mut lines: Vec<_> =
        wrap(&text, words.width - 2).into_iter().map(|text| Line::of(Tint::Plain, "  ").then(tint, text)).collect();
    lines.extend(unknown(words, alert));
    lines.extend(facts(words, alert));
    for (name, value) in values(words, alert) {
        let room = words.width.saturating_sub(width(&name) + 6);
        lines.push(Line::of(Tint::Dim, format!("    {name}  ")).then(Tint::Plain, cut(&value, room)));
    }
    lines
}

/// Why the cause is unknown.
fn unknown(words: &Words<'_>, alert: &Alert) -> Vec<Line> {
    let Details::Missing101 { doubt: Some(doubt), .. } = &alert.details else { return Vec::new() };
    let text = format!("unknown: {}", sentence(&reason::of_doubt(doubt)));
    wrap(&text, words.width - 2).into_iter().map(|text| Line::of(Tint::Doubt, format!("  {text}"))).collect()
}

/// What was seen beside the hops that tells the cause.
fn facts(words: &Words<'_>, alert: &Alert) -> Vec<Line> {
    let Details::Missing101 { facts, .. } = &alert.details else { return Vec::new() };
    let line = |fact: &Fact| {
        let place = if fact.frame > 0 { format!("frame {}", fact.frame) } else { clock(fact.at) };
        let text = format!("seen: {} ({place})", words.text(&fact.text));
        wrap(&text, words.width - 4).into_iter().map(|text| Line::of(Tint::Plain, format!("    {text}")))
    };
    facts.iter().flat_map(line).collect()
}

/// The values that a ladder does not show.
fn values(words: &Words<'_>, alert: &Alert) -> Vec<(String, String)> {
    match &alert.details {
        Details::Negotiation { field, before, after, .. } => {
            let value = |value: &Option<String>| match value {
                Some(value) => words.redactor.field(field, value),
                None => "absent".to_owned(),
            };
            vec![(format!("{field} before"), value(before)), (format!("{field} after "), value(after))]
        }
        Details::Accept { expected, received, .. } => {
            let received = received.as_deref().map_or("absent".to_owned(), |value| words.text(value));
            vec![("expected".to_owned(), words.text(expected)), ("received".to_owned(), received)]
        }
        Details::Missing101 { .. } => location(words, alert).into_iter().chain(said(words, alert)).collect(),
        _ => Vec::new(),
    }
}

/// What the answer says of why: its reason phrase, where that is more than the status says, and the telling line of its body.
fn said(words: &Words<'_>, alert: &Alert) -> Vec<(String, String)> {
    let mut answers = alert.attempt.path().rev().filter_map(|hop| hop.response.as_ref());
    let Some(response) = answers.find(|response| response.status != 101) else { return Vec::new() };
    let line = |text: &str| words.text(text);
    let reason = Some(&*response.reason).filter(|reason| !is_bare(reason)).map(|text| ("reason", line(text)));
    let body = response.telling_line().filter(|text| !is_bare(text)).map(|text| ("answer says", line(text)));
    reason.into_iter().chain(body).map(|(name, text)| (name.to_owned(), text)).collect()
}

/// Where a redirect leads.
fn location(words: &Words<'_>, alert: &Alert) -> Option<(String, String)> {
    let response = alert.attempt.first().response.as_ref()?;
    let location = response.field("Location")?;
    Some(("Location".to_owned(), words.redactor.field("Location", location)))
}

fn further(words: &Words<'_>, alert: &Alert) -> Vec<Line> {
    let text = format!("also {}: {}", alert.rule, sentence(&words.text(&alert.message)));
    let lines = wrap(&text, words.width - 4).into_iter().enumerate();
    lines
        .map(|(index, text)| Line::of(Tint::Dim, format!("{}{text}", if index == 0 { "  " } else { "    " })))
        .collect()
}

/// With a full stop, and a capital unless it begins with a name.
fn sentence(text: &str) -> String {
    if text.ends_with(['.', '!', '?', '…']) { text.to_owned() } else { format!("{text}.") }
}

/// The fix of the first alert that has one.
pub(super) fn fix(words: &Words<'_>, alerts: &[Alert]) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(fix) = alerts.iter().find_map(advice::fix) {
        lines.push(Line::new());
        let name = match &fix.version {
            Some(version) => format!("{} {}", fix.product, words.text(version)),
            None => fix.product.to_owned(),
        };
        let kind = if fix.example { "Example" } else { "Fix" };
        let text = format!("{kind} for {}: {}", cut(&name, 40), words.text(&fix.text));
        lines.extend(wrap(&text, words.width - 2).into_iter().map(|text| Line::of(Tint::Plain, format!("  {text}"))));
        let comment = |line: &str| line.trim_start().starts_with('#');
        lines.extend(
            fix.snippet
                .lines()
                .map(|line| Line::of(if comment(line) { Tint::Dim } else { Tint::Code }, format!("      {line}"))),
        );
        let reload = wrap(&format!("Reload: {}", fix.reload), words.width - 2);
        lines.extend(reload.into_iter().map(|text| Line::of(Tint::Plain, format!("  {text}"))));
        lines.push(Line::of(Tint::Plain, "  Check:"));
        lines.extend(fix.check.lines().map(|line| Line::of(Tint::Code, format!("      {line}"))));
    }
    if let Some(root) = alerts.first() {
        lines.push(Line::of(Tint::Dim, format!("  More: observer explain {}", root.rule)));
    }
    lines
}
