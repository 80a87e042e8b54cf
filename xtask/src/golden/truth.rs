//! What is known about a capture from the proxy's configuration and logs, whatever `observer` says about it.

use std::fmt;

use anyhow::{Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::{
    alert::{self, Alert},
    of, text,
};

/// Who may have ended a tunnel.
const CLOSERS: [&str; 4] = ["client", "proxy", "origin", "unknown"];

/// `[truth]` of `case.toml`; `captures/README.md` explains it.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Truth {
    pub(crate) attempts: usize,
    pub(crate) upgraded: usize,
    /// Of the attempts, those whose outcome the capture does not show.
    #[serde(default)]
    pub(crate) unknown: usize,
    pub(crate) alerts: Vec<Alert>,
    pub(crate) tunnels: Vec<Tunnels>,
    /// `any` where notices are a matter of taste.
    pub(crate) notices: Option<String>,
    pub(crate) note: String,
}

/// So many tunnels were ended by one side.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tunnels {
    pub(crate) closed_by: String,
    pub(crate) count: usize,
}

/// As a line of `case.toml`.
impl fmt::Display for Tunnels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{ closed_by = {:?}, count = {} }}", self.closed_by, self.count)
    }
}

impl Truth {
    /// Refuses a truth that leaves something open.
    pub(crate) fn check(&self) -> Result<()> {
        self.alerts.iter().try_for_each(|row| row.check(self.are_notices_free()))?;
        for Tunnels { closed_by, .. } in &self.tunnels {
            ensure!(CLOSERS.contains(&closed_by.as_str()), "nobody is called {closed_by}");
        }
        ensure!(self.upgraded.max(self.unknown) <= self.attempts, "there are only {} attempts", self.attempts);
        let tunnels: usize = self.tunnels.iter().map(|row| row.count).sum();
        ensure!(tunnels == self.upgraded, "the ends of {tunnels} tunnels are told, but {} upgraded", self.upgraded);
        ensure!(!self.note.trim().is_empty(), "the note must say what proves it");
        Ok(())
    }

    /// What is wrong with `events`, one line each. Where addresses are `moved`, endpoints are known by their ports.
    pub(crate) fn contradictions(&self, events: &[Value], moved: bool) -> Vec<String> {
        let mut lines = self.attempts(events);
        lines.extend(alert::contradictions(&self.alerts, self.are_notices_free(), events, moved));
        lines.extend(self.tunnels(events));
        lines
    }

    const fn are_notices_free(&self) -> bool {
        self.notices.is_some()
    }

    /// Where the capture does not show an outcome, the attempt may pass for upgraded or not.
    fn attempts(&self, events: &[Value]) -> Vec<String> {
        let attempts: Vec<_> = of(events, "observer.attempt").collect();
        let upgraded = attempts.iter().filter(|event| text(event, "/attempt/outcome") == Some("upgraded")).count();
        let possible = self.upgraded.saturating_sub(self.unknown)..=self.upgraded;
        let line = |what, count, truth| format!("{what}: {count} instead of {truth}");
        let all = (attempts.len() != self.attempts).then(|| line("attempts", attempts.len(), self.attempts));
        let good = (!possible.contains(&upgraded)).then(|| line("attempts upgraded", upgraded, self.upgraded));
        all.into_iter().chain(good).collect()
    }

    /// The tunnel of an attempt whose outcome the capture does not show may be missing.
    fn tunnels(&self, events: &[Value]) -> Vec<String> {
        let tunnels: Vec<_> = of(events, "observer.tunnel").map(closer).collect();
        let names = CLOSERS.into_iter().chain(["nobody yet"]);
        let counts = names.map(|name| {
            let truth: usize = self.tunnels.iter().filter(|row| row.closed_by == name).map(|row| row.count).sum();
            (name, tunnels.iter().filter(|closer| **closer == name).count(), truth)
        });
        let counts: Vec<_> = counts.collect();
        let missing: usize = counts.iter().map(|(_, count, truth)| truth.saturating_sub(*count)).sum();
        let is_wrong = |(_, count, truth): &(_, usize, usize)| count > truth || count < truth && missing > self.unknown;
        let wrong = counts.into_iter().filter(is_wrong);
        wrong.map(|(name, count, truth)| format!("tunnels closed by {name}: {count} instead of {truth}")).collect()
    }
}

/// Who ended a tunnel, by its record.
fn closer(event: &Value) -> &str {
    match event.pointer("/details/still_open") {
        Some(Value::Bool(true)) => "nobody yet",
        _ => text(event, "/details/closed_by").unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn truth(attempts: usize, upgraded: usize, more: &str) -> Truth {
        let text = format!("attempts = {attempts}\nupgraded = {upgraded}\nalerts = []\nnote = 'logs'\n{more}");
        toml::from_str(&text).unwrap()
    }

    fn attempt(outcome: &str) -> Value {
        json!({"event": {"dataset": "observer.attempt"}, "attempt": {"outcome": outcome}})
    }

    fn tunnel(closed_by: &str) -> Value {
        json!({"event": {"dataset": "observer.tunnel"}, "details": {"closed_by": closed_by, "still_open": false}})
    }

    #[test]
    fn attempts_are_counted() {
        let events = [attempt("upgraded"), attempt("refused"), attempt("unknown")];
        let lines = |attempts, upgraded| truth(attempts, upgraded, "tunnels = []").contradictions(&events, false);
        assert!(lines(3, 1).is_empty());
        assert_eq!(lines(2, 0), ["attempts: 3 instead of 2", "attempts upgraded: 1 instead of 0"]);
    }

    #[test]
    fn an_unknown_outcome_is_not_held_against_the_truth() {
        let known = truth(1, 1, "unknown = 1\ntunnels = [{ closed_by = 'client', count = 1 }]");
        assert!(known.contradictions(&[attempt("unknown")], false).is_empty());
        assert!(known.contradictions(&[attempt("upgraded"), tunnel("client")], false).is_empty());
        assert!(!known.contradictions(&[], false).is_empty());
        let lines = known.contradictions(&[attempt("upgraded"), tunnel("proxy")], false);
        assert_eq!(lines, ["tunnels closed by proxy: 1 instead of 0"]);
    }

    #[test]
    fn tunnels_are_exact_by_who_ended_them() {
        let known = truth(0, 0, "tunnels = [{ closed_by = 'client', count = 2 }, { closed_by = 'proxy', count = 1 }]");
        let lines = |ends: [&str; 3]| known.contradictions(&ends.map(tunnel), false);
        assert!(lines(["client", "proxy", "client"]).is_empty());
        assert_eq!(
            lines(["client", "proxy", "unknown"]),
            ["tunnels closed by client: 1 instead of 2", "tunnels closed by unknown: 1 instead of 0"]
        );
        assert_eq!(known.contradictions(&[tunnel("client"), tunnel("client")], false).len(), 1);
        let mut open = tunnel("unknown");
        open["details"]["still_open"] = json!(true);
        let lines = known.contradictions(&[tunnel("client"), open, tunnel("proxy")], false);
        assert_eq!(lines, ["tunnels closed by client: 1 instead of 2", "tunnels closed by nobody yet: 1 instead of 0"]);
    }

    #[test]
    fn a_truth_that_leaves_something_open_is_refused() {
        let tunnels = "tunnels = [{ closed_by = 'client', count = 2 }]";
        let why = |truth: Truth| truth.check().map_err(|error| error.to_string());
        assert_eq!(why(truth(2, 2, tunnels)), Ok(()));
        assert_eq!(why(truth(2, 1, tunnels)), Err("the ends of 2 tunnels are told, but 1 upgraded".to_owned()));
        assert!(why(truth(2, 2, &tunnels.replace("client", "nobody yet"))).is_err());
        assert!(why(Truth { note: "\n".to_owned(), ..truth(2, 2, tunnels) }).is_err());
        assert!(toml::from_str::<Truth>("attempts = 0\nupgraded = 0\nalerts = []\nnote = 'logs'").is_err());
    }

    #[test]
    fn only_notices_are_ever_free() {
        let row = |level| format!("alerts = [{{ rule = 'abrupt-close', count = 1, level = '{level}' }}]");
        let text =
            |level, more| format!("attempts = 0\nupgraded = 0\ntunnels = []\nnote = 'logs'\n{}\n{more}", row(level));
        let check = |level, more| toml::from_str::<Truth>(&text(level, more)).unwrap().check().is_ok();
        assert!(check("notice", "notices = 'any'"));
        assert!(!check("notice", ""));
        assert!(!check("warning", "notices = 'any'"));
    }
}
