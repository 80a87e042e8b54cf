//! NDJSON: one object a line, closed by the schema, in the order of the events.

mod build;
mod clip;
mod clocks;
mod community;
mod details;
mod record;

use std::io::Write;

use self::{
    build::{Context, nanos, split_target, time},
    clip::{LINE, Limits},
    record::{Ecs, EventInfo, Fix, Log, Record, Repeated, Rule},
};
use super::{Emit, Ending, Options, Repeats, Sink, SinkError, redact::Redactor, text::count};
use crate::{
    advice,
    engine::{
        alert::{Alert, Level, RuleId},
        anomaly::Anomaly,
        event::{Attempt, Event, Fields, Outcome, Stats, Tunnel},
        time::Timestamp,
    },
};

/// The version of the Elastic Common Schema whose names are used.
const ECS: &str = "9.1.0";

/// Writes events as JSON.
pub(super) struct JsonSink {
    out: Box<dyn Write>,
    options: Options,
    sequence: u64,
    /// The time of the last event, for what has none of its own.
    last: Timestamp,
    /// Records that were dropped before they came here.
    dropped: u64,
}

impl JsonSink {
    pub(super) fn new(out: Box<dyn Write>, options: Options) -> Self {
        Self { out, options, sequence: 0, last: Timestamp::default(), dropped: 0 }
    }

    /// Writes the line that `record` makes, with as much in it as fits.
    fn write(&mut self, record: impl Fn(&Context<'_>) -> Record) -> Result<(), SinkError> {
        self.sequence += 1;
        let interfaces = self.options.interfaces.borrow();
        let mut line = Vec::new();
        for limits in Limits::ladder() {
            let context = Context {
                redactor: Redactor::new(self.options.show_secrets),
                limits: &limits,
                interfaces: &interfaces,
                sequence: self.sequence,
            };
            let mut record = record(&context);
            record.truncated = limits.truncated.get();
            line.clear();
            serde_json::to_writer(&mut line, &record).map_err(SinkError::Encode)?;
            line.push(b'\n');
            if line.len() < LINE {
                break;
            }
        }
        Ok(self.out.write_all(&line)?)
    }
}

impl Sink for JsonSink {
    fn event(&mut self, event: &Event) -> Result<(), SinkError> {
        self.last = at(event);
        if !self.options.emit.wants(event) {
            return Ok(());
        }
        let dropped = self.dropped;
        self.write(|context| match event {
            Event::Alert(alert) => of_alert(context, alert),
            Event::Attempt(attempt) => of_attempt(context, attempt),
            Event::Tunnel(tunnel) => of_tunnel(context, tunnel),
            Event::Anomaly(anomaly) => of_anomaly(context, anomaly),
            Event::Stats(stats) => of_stats(context, stats, dropped),
        })?;
        // Whoever waits for alerts gets them at once.
        if matches!(event, Event::Alert(_) | Event::Stats(_)) { self.flush() } else { Ok(()) }
    }

    fn repeats(&mut self, repeats: &Repeats) -> Result<(), SinkError> {
        self.write(|context| of_repeats(context, repeats))?;
        self.flush()
    }

    fn dropped(&mut self, records: u64) {
        self.dropped = records;
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        Ok(self.out.flush()?)
    }

    fn finish(&mut self, ending: &Ending) -> Result<(), SinkError> {
        if self.options.emit.contains(Emit::ANOMALY) {
            let at = self.last;
            for warning in &ending.warnings {
                self.write(|context| of_warning(context, at, warning))?;
            }
        }
        self.flush()
    }
}

fn at(event: &Event) -> Timestamp {
    match event {
        Event::Alert(alert) => alert.at,
        Event::Attempt(attempt) => attempt.decided_at,
        Event::Tunnel(tunnel) => tunnel.ended_at,
        Event::Anomaly(anomaly) => anomaly.at,
        Event::Stats(stats) => stats.at,
    }
}

/// A line with nothing in it but what all have.
fn line(context: &Context<'_>, at: Timestamp, event: EventInfo, message: &str) -> Record {
    Record {
        timestamp: time(at),
        ecs: Ecs { version: ECS },
        event: EventInfo { module: "observer", sequence: context.sequence, ..event },
        log: None,
        message: context.sentence(message),
        rule: None,
        connection: None,
        observer: context.observer(None),
        attempt: None,
        details: None,
        repeated: None,
        fix: None,
        truncated: false,
    }
}

/// What sorts an event, by ECS.
fn sorted(
    kind: &'static str,
    dataset: &'static str,
    action: &'static str,
    category: &'static [&'static str],
    types: &'static [&'static str],
) -> EventInfo {
    EventInfo {
        kind,
        module: "",
        dataset,
        action,
        category,
        types,
        outcome: None,
        severity: None,
        sequence: 0,
        start: None,
        end: None,
        duration: None,
    }
}

fn of_alert(context: &Context<'_>, alert: &Alert) -> Record {
    let sorted = sorted("alert", "observer.alert", alert.rule.as_str(), &["network", "web"], &["protocol"]);
    let event = EventInfo { outcome: Some(alert_outcome(alert)), severity: Some(severity(alert.level)), ..sorted };
    Record {
        log: Some(Log { level: alert.level.as_str() }),
        rule: Some(Rule {
            id: alert.rule.as_str(),
            name: advice::name(alert.rule),
            reference: advice::reference(alert.rule),
        }),
        connection: Some(context.connection(&alert.attempt)),
        observer: context.observer(Some(alert.attempt.first().interface)),
        attempt: Some(context.attempt(&alert.attempt)),
        details: Some(details::of_alert(context, &alert.details)),
        fix: advice::fix(alert).map(|fix| Fix {
            product: fix.product,
            version: fix.version.map(|version| context.text(&version)),
            example: fix.example,
            text: context.sentence(&fix.text),
            snippet: fix.snippet,
            reload: fix.reload,
            check: fix.check,
        }),
        ..line(context, alert.at, event, &alert.message)
    }
}

/// The first of them, and how many came after it.
fn of_repeats(context: &Context<'_>, repeats: &Repeats) -> Record {
    let Repeats { first, count, last_at } = repeats;
    let span = last_at.since(first.at);
    let record = of_alert(context, first);
    let message = format!("{count} more within {:.1} s: {}", span.as_secs_f64(), first.message);
    Record {
        timestamp: time(*last_at),
        event: EventInfo {
            start: Some(time(first.at)),
            end: Some(time(*last_at)),
            duration: Some(nanos(span)),
            ..record.event
        },
        message: context.sentence(&message),
        repeated: Some(Repeated { count: *count }),
        ..record
    }
}

const fn severity(level: Level) -> u8 {
    match level {
        Level::Notice => 1,
        Level::Warning => 2,
        Level::Error => 3,
    }
}

fn alert_outcome(alert: &Alert) -> &'static str {
    match (alert.level, alert.rule) {
        (Level::Error, _) | (Level::Warning, RuleId::IdleClose | RuleId::MassClose) => "failure",
        (Level::Warning | Level::Notice, _) => attempt_outcome(&alert.attempt),
    }
}

/// Whoever offers h2c and gets an ordinary answer has what it asked for.
fn is_declined_offer(attempt: &Attempt) -> bool {
    let answered = attempt.first().response.as_ref().is_some_and(|response| response.status < 400);
    attempt.upgrade.eq_ignore_ascii_case("h2c") && attempt.outcome == Outcome::Refused && answered
}

fn attempt_outcome(attempt: &Attempt) -> &'static str {
    match attempt.outcome {
        Outcome::Refused if is_declined_offer(attempt) => "success",
        Outcome::Upgraded => "success",
        Outcome::Refused | Outcome::Failed => "failure",
        Outcome::Unknown => "unknown",
    }
}

fn of_attempt(context: &Context<'_>, attempt: &Attempt) -> Record {
    let sorted =
        sorted("event", "observer.attempt", "upgrade-attempt", &["network", "web"], &["connection", "protocol"]);
    let event = EventInfo { outcome: Some(attempt_outcome(attempt)), ..sorted };
    let hops = count(attempt.path().count() as u64, "hop");
    let came_to = match attempt.outcome {
        Outcome::Refused if is_declined_offer(attempt) => "h2c declined, answered",
        Outcome::Unknown => "outcome unknown,",
        outcome => outcome.as_str(),
    };
    let message = format!("{}: {came_to} over {hops}", what(attempt));
    Record {
        connection: Some(context.connection(attempt)),
        observer: context.observer(Some(attempt.first().interface)),
        attempt: Some(context.attempt(attempt)),
        ..line(context, attempt.decided_at, event, &message)
    }
}

/// The request that the client made, in few words and without its query.
fn what(attempt: &Attempt) -> String {
    let Some(request) = &attempt.first().request else { return "attempt".to_owned() };
    let (path, authority) = split_target(&request.target);
    match request.field("Host").or(authority) {
        Some(host) => format!("{} {path} on {}", request.method, build::domain(host)),
        None => format!("{} {path}", request.method),
    }
}

fn of_tunnel(context: &Context<'_>, tunnel: &Tunnel) -> Record {
    let sorted = sorted("event", "observer.tunnel", "tunnel-ended", &["network"], &["connection", "end"]);
    let event = EventInfo {
        start: Some(time(tunnel.opened_at)),
        end: (!tunnel.still_open).then(|| time(tunnel.ended_at)),
        duration: Some(details::tunnel_nanos(tunnel)),
        ..sorted
    };
    let lived = tunnel.ended_at.since(tunnel.opened_at).as_secs_f64();
    let message = if tunnel.still_open {
        format!("{}: tunnel still open after {lived:.3} s", what(&tunnel.attempt))
    } else {
        let by = details::closed_by_name(tunnel.closed_by);
        format!("{}: tunnel ended after {lived:.3} s, closed by: {by}", what(&tunnel.attempt))
    };
    Record {
        connection: Some(context.connection(&tunnel.attempt)),
        observer: context.observer(Some(tunnel.attempt.first().interface)),
        attempt: Some(context.attempt_name(&tunnel.attempt)),
        details: Some(details::of_tunnel(context, tunnel)),
        ..line(context, tunnel.ended_at, event, &message)
    }
}

fn of_anomaly(context: &Context<'_>, anomaly: &Anomaly) -> Record {
    let action = details::anomaly_kind(&anomaly.kind);
    let event = sorted("event", "observer.anomaly", action, &["network"], &["info"]);
    Record {
        connection: anomaly.connection.as_ref().map(|(client, server)| context.ends(client, server)),
        observer: context.observer(Some(anomaly.interface)),
        details: Some(details::of_anomaly(context, anomaly)),
        ..line(context, anomaly.at, event, &anomaly.kind.to_string())
    }
}

fn of_warning(context: &Context<'_>, at: Timestamp, warning: &str) -> Record {
    let event = sorted("event", "observer.anomaly", "input", &["network"], &["info"]);
    Record {
        log: Some(Log { level: "warning" }),
        details: Some(details::of_warning(context.sentence(warning))),
        ..line(context, at, event, warning)
    }
}

fn of_stats(context: &Context<'_>, stats: &Stats, dropped: u64) -> Record {
    let event = sorted("metric", "observer.stats", "stats", &["network"], &["info"]);
    let attempts = stats.upgraded + stats.refused + stats.failed + stats.unknown;
    let counts = [
        (stats.frames, "frame"),
        (stats.connections, "connection"),
        (stats.requests, "request"),
        (attempts, "attempt"),
        (stats.tunnels, "tunnel"),
    ];
    let message = counts.map(|(number, thing)| count(number, thing)).join(", ");
    Record { details: Some(details::of_stats(context, stats, dropped)), ..line(context, stats.at, event, &message) }
}
