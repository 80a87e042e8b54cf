//! The last words: what was seen, what could not be, and, only where it is true, that nothing is wrong.

use super::{
    line::{Line, Tint, wrap},
    words::{count, date, grouped},
};
use crate::engine::{
    alert::{Alert, Level},
    clocks::Estimate,
    event::{Attempt, Role, Stats, Tunnel},
};

/// What was counted on the way; the engine's own counters come with the last Stats.
#[derive(Default)]
pub(super) struct Tally {
    stats: Option<Stats>,
    errors: u64,
    warnings: u64,
    notices: u64,
    one_hop: u64,
    incomplete: u64,
}

impl Tally {
    pub(super) const fn alert(&mut self, alert: &Alert) {
        match alert.level {
            Level::Error => self.errors += 1,
            Level::Warning => self.warnings += 1,
            Level::Notice => self.notices += 1,
        }
    }

    pub(super) fn attempt(&mut self, attempt: &Attempt) {
        self.one_hop += u64::from(attempt.first().role == Role::Only);
    }

    pub(super) fn tunnel(&mut self, tunnel: &Tunnel) {
        self.incomplete += u64::from(tunnel.incomplete);
    }

    pub(super) fn stats(&mut self, stats: &Stats) {
        self.stats = Some(stats.clone());
    }

    /// What is known of the clocks of several captures.
    pub(super) fn clocks(&self) -> &[Estimate] {
        self.stats.as_ref().map_or(&[], |stats| &stats.clocks)
    }

    /// The summary, with what is known of clocks and whether that is anything.
    pub(super) fn lines(&self, clocks: &[(bool, String)], columns: usize) -> Vec<Line> {
        let Some(stats) = &self.stats else { return Vec::new() };
        let mut lines = Vec::new();
        let mut tell = |tint, start: &str, text: &str| {
            for (index, text) in wrap(text, columns - start.len()).into_iter().enumerate() {
                let start = if index == 0 { start.to_owned() } else { " ".repeat(start.len()) };
                lines.push(Line::of(tint, start).then(tint, text));
            }
        };
        tell(Tint::Strong, "", &seen(stats));
        if let Some(text) = self.judged(stats) {
            tell(Tint::Plain, "", &text);
        }
        for (known, text) in clocks {
            tell(if *known { Tint::Plain } else { Tint::Doubt }, "  ", text);
        }
        for text in self.unseen(stats) {
            tell(Tint::Doubt, "  ", &text);
        }
        let (tint, text) = self.verdict(stats);
        tell(tint, "", &text);
        lines
    }

    /// Alerts by level and rule.
    fn judged(&self, stats: &Stats) -> Option<String> {
        let mut levels = Vec::new();
        for (number, name) in [(self.errors, "error"), (self.warnings, "warning"), (self.notices, "notice")] {
            if number > 0 {
                levels.push(count(number, name));
            }
        }
        let rules: Vec<_> = stats
            .alerts
            .iter()
            .filter(|(_, _, number)| *number > 0)
            .map(
                |(rule, _, number)| {
                    if *number == 1 { rule.to_string() } else { format!("{rule} ×{}", grouped(*number)) }
                },
            )
            .collect();
        match (levels.is_empty(), rules.is_empty()) {
            (true, _) => None,
            (false, true) => Some(levels.join(", ") + "."),
            (false, false) => Some(format!("{}: {}.", levels.join(", "), rules.join(", "))),
        }
    }

    /// What stood in the way of seeing all.
    fn unseen(&self, stats: &Stats) -> Vec<String> {
        let mut texts = Vec::new();
        let mut tell = |number: u64, text: String| {
            if number > 0 {
                texts.push(text);
            }
        };
        tell(
            self.one_hop,
            format!(
                "{} seen on one hop only: capture both sides of the proxy to see what it changed.",
                count(self.one_hop, "attempt")
            ),
        );
        tell(
            stats.tls_connections,
            format!(
                "{} could not be read: capture the side of the proxy that speaks plain HTTP as well.",
                count(stats.tls_connections, "TLS connection")
            ),
        );
        tell(
            stats.gaps,
            format!(
                "{} with {} acknowledged but not captured.",
                count(stats.gaps, "gap"),
                count(stats.gap_bytes, "byte")
            ),
        );
        tell(
            stats.frames_cut,
            format!("{} cut by the snapshot length: capture with -s 0.", count(stats.frames_cut, "frame")),
        );
        tell(stats.drops, format!("{} dropped by the capturing system.", count(stats.drops, "frame")));
        tell(
            stats.evictions,
            format!(
                "{} of state thrown out: raise --memory-limit.",
                count(stats.evictions, "entry").replace("entrys", "entries")
            ),
        );
        tell(self.incomplete, format!("{} with bytes missing.", count(self.incomplete, "tunnel")));
        tell(
            stats.anomalies,
            format!(
                "{}: --emit anomaly shows them.",
                count(stats.anomalies, "anomaly").replace("anomalys", "anomalies")
            ),
        );
        texts
    }

    /// The last sentence. It never says that all is well of what was not seen.
    fn verdict(&self, stats: &Stats) -> (Tint, String) {
        let attempts = attempts(stats);
        if self.errors + self.warnings > 0 {
            let mut text = "What is broken is told above".to_owned();
            if stats.unknown > 0 {
                text.push_str(&format!("; of {}, the outcome was not captured", count(stats.unknown, "attempt")));
            }
            return (Tint::Bad, text + ".");
        }
        if attempts == 0 {
            return (Tint::Doubt, no_attempt(stats));
        }
        if stats.unknown == attempts {
            let text = "Nothing could be judged: what decided the attempts was not captured.";
            return (Tint::Doubt, text.to_owned());
        }
        let got = upgraded(stats);
        if self.notices > 0 {
            let rest = if stats.unknown > 0 {
                not_upgraded(&Stats { refused: 0, failed: 0, ..stats.clone() })
            } else {
                String::new()
            };
            return (
                Tint::Plain,
                format!("No error was found: {got}{rest}. The notices tell what may be worth a look."),
            );
        }
        if stats.upgraded == attempts && self.saw_all(stats) {
            return (Tint::Good, format!("Nothing is wrong: {got}, and the proxy cut no tunnel that was seen to end."));
        }
        (Tint::Plain, format!("No fault was found in what could be read: {got}{}.", not_upgraded(stats)))
    }

    fn saw_all(&self, stats: &Stats) -> bool {
        self.one_hop
            + self.incomplete
            + stats.tls_connections
            + stats.gaps
            + stats.frames_cut
            + stats.drops
            + stats.evictions
            == 0
    }
}

const fn attempts(stats: &Stats) -> u64 {
    stats.upgraded + stats.refused + stats.failed + stats.unknown
}

/// How many got what they asked for.
fn upgraded(stats: &Stats) -> String {
    match (attempts(stats), stats.upgraded) {
        (1, 1) => "the one upgrade attempt got its 101".to_owned(),
        (all, good) if all == good => format!("all {} upgrade attempts got their 101", grouped(all)),
        (all, good) => format!("{} of {} upgrade attempts got 101", grouped(good), grouped(all)),
    }
}

/// What became of the rest, where no alert was raised.
fn not_upgraded(stats: &Stats) -> String {
    let mut text = String::new();
    let declined = stats.refused + stats.failed;
    if declined > 0 {
        let others = if declined == 1 { "other".to_owned() } else { format!("other {}", grouped(declined)) };
        text.push_str(&format!(", and no rule takes the {others} for a fault (an offer such as h2c may be declined)"));
    }
    if stats.unknown > 0 {
        text.push_str(&format!("; the outcome of {} was not captured", grouped(stats.unknown)));
    }
    text
}

/// What was seen, in numbers.
fn seen(stats: &Stats) -> String {
    let mut outcomes = Vec::new();
    let counts = [
        (stats.upgraded, "upgraded"),
        (stats.refused, "refused"),
        (stats.failed, "failed"),
        (stats.unknown, "unknown"),
    ];
    for (number, name) in counts {
        if number > 0 {
            outcomes.push(format!("{} {name}", grouped(number)));
        }
    }
    let mut text = stats.first_at.map_or(String::new(), |at| format!("{}: ", date(at)));
    text.push_str(&format!(
        "{}, {}, {}, {}",
        count(stats.frames, "frame"),
        count(stats.connections, "connection"),
        count(stats.requests, "request"),
        count(attempts(stats), "upgrade attempt"),
    ));
    if !outcomes.is_empty() {
        text.push_str(&format!(" ({})", outcomes.join(", ")));
    }
    text.push_str(&format!(", {}", count(stats.tunnels, "tunnel")));
    if stats.tunnels_open > 0 {
        text.push_str(&format!(" ({} still open)", grouped(stats.tunnels_open)));
    }
    text + "."
}

/// Why there is nothing to judge.
fn no_attempt(stats: &Stats) -> String {
    if stats.frames == 0 {
        return "Nothing to judge: no frame was captured.".to_owned();
    }
    if stats.connections == 0 {
        return "Nothing to judge: no TCP connection was seen.".to_owned();
    }
    if stats.requests == 0 && stats.tls_connections > 0 {
        return "Nothing could be judged: there is TLS, but no plain HTTP/1.".to_owned();
    }
    if stats.requests == 0 {
        return "Nothing could be judged: no HTTP/1 request was seen.".to_owned();
    }
    let hidden = if stats.tls_connections > 0 { " outside TLS" } else { "" };
    format!("Nothing to judge: no request asked for an upgrade{hidden}.")
}
