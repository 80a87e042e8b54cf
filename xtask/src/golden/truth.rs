//! What is known about a capture from the proxy's configuration and logs, whatever `observer` says about it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

/// `[truth]` of `case.toml`; `captures/README.md` explains it.
#[derive(Deserialize)]
pub(crate) struct Truth {
    attempts: usize,
    upgraded: usize,
    #[serde(default)]
    unknown: usize,
    alerts: Vec<Alert>,
    notices: Option<String>,
}

#[derive(Deserialize)]
struct Alert {
    rule: String,
    count: usize,
    cause: Option<String>,
}

/// Alerts by rule and, where it is known, cause.
type Counts<'a> = BTreeMap<(&'a str, Option<&'a str>), usize>;

impl Truth {
    /// What is wrong with `events`, one line each.
    pub(crate) fn contradictions(&self, events: &[Value]) -> Vec<String> {
        let mut lines = self.attempts(events);
        lines.extend(self.alerts(events));
        lines
    }

    /// Where the capture does not show an outcome, the attempt may pass for upgraded or not.
    fn attempts(&self, events: &[Value]) -> Vec<String> {
        let attempts: Vec<_> = events.iter().filter(|event| is_of(event, "observer.attempt")).collect();
        let upgraded = attempts.iter().filter(|event| text(event, "/attempt/outcome") == Some("upgraded")).count();
        let possible = self.upgraded.saturating_sub(self.unknown)..=self.upgraded;
        let line = |what, count, truth| format!("{what}: {count} instead of {truth}");
        let all = (attempts.len() != self.attempts).then(|| line("attempts", attempts.len(), self.attempts));
        let good = (!possible.contains(&upgraded)).then(|| line("attempts upgraded", upgraded, self.upgraded));
        all.into_iter().chain(good).collect()
    }

    fn alerts(&self, events: &[Value]) -> Vec<String> {
        let mut expected = Counts::new();
        for alert in &self.alerts {
            *expected.entry((&alert.rule, alert.cause.as_deref())).or_default() += alert.count;
        }
        let mut seen = Counts::new();
        for event in events.iter().filter(|event| is_of(event, "observer.alert")) {
            let rule = text(event, "/rule/id").unwrap_or("without a rule");
            let listed = self.alerts.iter().find(|alert| alert.rule == rule);
            if listed.is_none() && self.notices.is_some() && text(event, "/log/level") == Some("notice") {
                continue;
            }
            let cause = text(event, "/details/cause").filter(|_| listed.is_none_or(|alert| alert.cause.is_some()));
            *seen.entry((rule, cause)).or_default() += 1;
        }
        let keys: BTreeSet<_> = expected.keys().chain(seen.keys()).collect();
        keys.into_iter().filter_map(|key| mismatch(key, seen.get(key), expected.get(key))).collect()
    }
}

fn mismatch((rule, cause): &(&str, Option<&str>), seen: Option<&usize>, expected: Option<&usize>) -> Option<String> {
    let cause = cause.map(|cause| format!(" ({cause})")).unwrap_or_default();
    let count = |number: Option<&usize>| number.copied().unwrap_or_default();
    (seen != expected).then(|| format!("alert {rule}{cause}: {} instead of {}", count(seen), count(expected)))
}

fn is_of(event: &Value, dataset: &str) -> bool {
    text(event, "/event/dataset") == Some(dataset)
}

fn text<'a>(event: &'a Value, pointer: &str) -> Option<&'a str> {
    event.pointer(pointer)?.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn truth(text: &str) -> Truth {
        toml::from_str(text).unwrap()
    }

    fn attempt(outcome: &str) -> Value {
        json!({"event": {"dataset": "observer.attempt"}, "attempt": {"outcome": outcome}})
    }

    fn alert(rule: &str, level: &str, cause: Option<&str>) -> Value {
        json!({"event": {"dataset": "observer.alert"}, "rule": {"id": rule}, "log": {"level": level},
               "details": {"cause": cause}})
    }

    #[test]
    fn attempts_are_counted() {
        let events = [attempt("upgraded"), attempt("refused"), attempt("unknown")];
        assert!(truth("attempts = 3\nupgraded = 1\nalerts = []").contradictions(&events).is_empty());
        let lines = truth("attempts = 2\nupgraded = 0\nalerts = []").contradictions(&events);
        assert_eq!(lines, ["attempts: 3 instead of 2", "attempts upgraded: 1 instead of 0"]);
    }

    #[test]
    fn an_unknown_outcome_is_not_held_against_the_truth() {
        let known = truth("attempts = 1\nupgraded = 1\nunknown = 1\nalerts = []");
        for outcome in ["unknown", "upgraded"] {
            assert!(known.contradictions(&[attempt(outcome)]).is_empty(), "{outcome}");
        }
        assert!(!known.contradictions(&[]).is_empty());
    }

    #[test]
    fn alerts_are_exact_by_rule_and_by_cause_where_one_is_given() {
        let text = "attempts = 0\nupgraded = 0\nalerts = [{ rule = 'missing-101', count = 1, cause = 'http10' }]";
        let right = alert("missing-101", "error", Some("http10"));
        assert!(truth(text).contradictions(std::slice::from_ref(&right)).is_empty());
        let lines = truth(text).contradictions(&[alert("missing-101", "error", Some("unknown"))]);
        assert_eq!(
            lines,
            ["alert missing-101 (http10): 0 instead of 1", "alert missing-101 (unknown): 1 instead of 0"]
        );
        let lines = truth(text).contradictions(&[right, alert("abrupt-close", "notice", None)]);
        assert_eq!(lines, ["alert abrupt-close: 1 instead of 0"]);
    }

    #[test]
    fn notices_may_be_free() {
        let text = "attempts = 0\nupgraded = 0\nalerts = []\nnotices = 'any'";
        assert!(truth(text).contradictions(&[alert("abrupt-close", "notice", None)]).is_empty());
        assert_eq!(truth(text).contradictions(&[alert("mass-close", "warning", None)]).len(), 1);
    }
}
