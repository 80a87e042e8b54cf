//! What two observers of the same traffic must agree about: who tried what, what became of it at each hop, and who is
//! accused of what.

use serde_json::{Map, Value, json};

use crate::golden::difference;

/// The kinds of records that are about the traffic.
const ABOUT_TRAFFIC: [&str; 3] = ["observer.attempt", "observer.alert", "observer.tunnel"];

/// What they agree about. Not how the record was made: its number, its host and interface, its time of day.
const SHARED: [&str; 9] = ["log", "rule", "source", "destination", "network", "http", "url", "attempt", "details"];

/// Where a tap shows through: it numbers frames and stamps them where it sits, and may know whose sockets they are. And
/// where it shows that `read` waits longer: what became of a hop whose answer nobody waited for.
const OF_THE_TAP: [&str; 16] = [
    "age_seconds",
    "frame",
    "interface",
    "at",
    "opened_at",
    "ended_at",
    "duration_seconds",
    "idle_seconds",
    "within_seconds",
    "process",
    "product",
    "product_candidates",
    "fix",
    "join",
    "candidates",
    "silence",
];

/// The facts of an output, a line each, in an order of their own.
pub(crate) fn facts(records: &[Value]) -> Vec<String> {
    let about_traffic =
        |record: &&Value| record["event"]["dataset"].as_str().is_some_and(|dataset| ABOUT_TRAFFIC.contains(&dataset));
    let mut facts: Vec<_> = records.iter().filter(about_traffic).map(fact).collect();
    facts.sort();
    facts
}

fn fact(record: &Value) -> String {
    let shared = |name: &&str| Some(((*name).to_owned(), plain(record.get(*name)?)));
    let mut fact: Map<_, _> = SHARED.iter().filter_map(shared).collect();
    fact.insert("event".to_owned(), json!({"dataset": record["event"]["dataset"]}));
    Value::Object(fact).to_string()
}

/// A value without what shows the tap.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let aside = map.get("role").is_some_and(|role| role == "side");
            let kept = map.iter().filter(|(name, _)| !OF_THE_TAP.contains(&name.as_str()));
            let kept = kept.filter(|(name, _)| !(aside && *name == "response"));
            Value::Object(kept.map(|(name, value)| (name.clone(), plain(value))).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(plain).collect()),
        other => other.clone(),
    }
}

/// Where two outputs disagree, one line each.
pub(crate) fn between(read: &[Value], live: &[Value]) -> Vec<String> {
    let (read, live) = (facts(read), facts(live));
    if read == live { Vec::new() } else { difference::between(&read.join("\n"), &live.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(frame: u64, by: &str) -> Value {
        json!({"event": {"dataset": "observer.alert", "sequence": frame}, "rule": {"id": "missing-101"},
               "attempt": {"hops": [{"request": {"frame": frame}}]}, "details": {"by": by}})
    }

    #[test]
    fn what_differs_is_told_from_what_a_tap_numbers() {
        assert!(between(&[alert(1, "a"), alert(2, "b")], &[alert(7, "b"), alert(9, "a")]).is_empty());
        assert_eq!(between(&[alert(1, "a")], &[alert(1, "b")]).len(), 1);
        assert_eq!(between(&[alert(1, "a")], &[alert(1, "a"), alert(2, "a")]).len(), 1);
    }
}
