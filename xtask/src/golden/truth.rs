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

    /// Where the capture does not show an outcome, it need not show the attempt either.
    fn attempts(&self, events: &[Value]) -> Vec<String> {
        let attempts: Vec<_> =
            events.iter().filter(|event| is_of(event, "observer.attempt") && !is_h2c_offer(event)).collect();
        let upgraded = attempts.iter().filter(|event| text(event, "/attempt/outcome") == Some("upgraded")).count();
        let unknown = self.unknown;
        [("attempts", attempts.len(), self.attempts), ("attempts upgraded", upgraded, self.upgraded)]
            .into_iter()
            .filter(|(_, count, truth)| *count > *truth || count + unknown < *truth)
            .map(|(what, count, truth)| format!("{what}: {count} instead of {truth}"))
            .collect()
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

/// Refusing h2c is legal, so an offer of it is no attempt in the sense of the truth.
fn is_h2c_offer(event: &Value) -> bool {
    text(event, "/attempt/upgrade").is_some_and(|token| token.eq_ignore_ascii_case("h2c"))
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

    fn attempt(upgrade: &str, outcome: &str) -> Value {
        json!({"event": {"dataset": "observer.attempt"}, "attempt": {"upgrade": upgrade, "outcome": outcome}})
    }

    fn alert(rule: &str, level: &str, cause: Option<&str>) -> Value {
        json!({"event": {"dataset": "observer.alert"}, "rule": {"id": rule}, "log": {"level": level},
               "details": {"cause": cause}})
    }

    #[test]
    fn attempts_are_counted_but_for_offers_of_h2c() {
        let events = [attempt("websocket", "upgraded"), attempt("h2c", "refused"), attempt("tcp", "unknown")];
        assert!(truth("attempts = 2\nupgraded = 1\nalerts = []").contradictions(&events).is_empty());
        let lines = truth("attempts = 3\nupgraded = 0\nalerts = []").contradictions(&events);
        assert_eq!(lines, ["attempts: 2 instead of 3", "attempts upgraded: 1 instead of 0"]);
    }

    #[test]
    fn an_unknown_outcome_may_be_missing() {
        let known = truth("attempts = 1\nupgraded = 1\nunknown = 1\nalerts = []");
        for events in [vec![], vec![attempt("websocket", "unknown")], vec![attempt("websocket", "upgraded")]] {
            assert!(known.contradictions(&events).is_empty(), "{events:?}");
        }
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
