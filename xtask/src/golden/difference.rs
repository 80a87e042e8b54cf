//! The difference between two outputs in lines that a person reads at a glance: which event, which value.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// More than this tells nothing more.
const MOST_LINES: usize = 8;

/// How `actual` differs from `expected`; nothing when they are equal byte for byte, but for the bytes of memory held: these
/// tell of the program's own types, not of the traffic.
pub(crate) fn between(expected: &str, actual: &str) -> Vec<String> {
    let (expected, actual) = (&without_memory(expected), &without_memory(actual));
    if expected == actual {
        return Vec::new();
    }
    let (old, new): (Vec<_>, Vec<_>) = (parse(expected), parse(actual));
    let mut lines = counts(&old, &new);
    if lines.is_empty() {
        for (number, (old, new)) in (1..).zip(old.iter().zip(&new)) {
            values(&format!("line {number} ({})", label(new)), old, new, &mut lines);
        }
    }
    if lines.is_empty() {
        lines.push("the same events, written differently".to_owned());
    }
    if lines.len() > MOST_LINES {
        let rest = lines.len() - MOST_LINES;
        lines.truncate(MOST_LINES);
        lines.push(format!("and {rest} more differences"));
    }
    lines
}

/// A line that is no JSON differs as a whole.
fn parse(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| line.into())).collect()
}

/// Kinds of events of which there are more or fewer; an event in another place counts as both.
fn counts(old: &[Value], new: &[Value]) -> Vec<String> {
    let tally = |events: &[Value]| {
        events.iter().map(label).fold(BTreeMap::<_, usize>::new(), |mut tally, label| {
            *tally.entry(label).or_default() += 1;
            tally
        })
    };
    let (before, after) = (tally(old), tally(new));
    let labels: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let count = |tally: &BTreeMap<_, usize>, label| tally.get(label).copied().unwrap_or_default();
    let mut lines: Vec<_> = labels
        .into_iter()
        .map(|label| (label, count(&before, label), count(&after, label)))
        .filter(|(_, before, after)| before != after)
        .map(|(label, before, after)| format!("{label}: {after} instead of {before}"))
        .collect();
    if lines.is_empty()
        && let Some((place, (old, new))) =
            (1..).zip(old.iter().zip(new)).find(|(_, (old, new))| label(old) != label(new))
    {
        lines.push(format!("line {place}: {} instead of {}", label(new), label(old)));
    }
    lines
}

/// What an event is, in two or three words.
fn label(event: &Value) -> String {
    let word = |pointer| event.pointer(pointer).and_then(Value::as_str);
    let dataset = word("/event/dataset").map_or("no event", |name| name.trim_start_matches("observer."));
    let kind = word("/rule/id").or(word("/attempt/outcome")).unwrap_or_default();
    format!("{dataset} {kind}").trim_end().to_owned()
}

/// Adds the values that differ, by their paths.
fn values(path: &str, old: &Value, new: &Value, lines: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
            for key in keys {
                let get = |map: &serde_json::Map<_, _>| map.get(key).cloned().unwrap_or(Value::Null);
                values(&format!("{path} {key}"), &get(old), &get(new), lines);
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                values(&format!("{path} {index}"), old, new, lines);
            }
        }
        _ if old == new => {}
        _ => lines.push(format!("{path}: {} instead of {}", short(new), short(old))),
    }
}

fn short(value: &Value) -> String {
    const MOST: usize = 80;
    let text = value.to_string();
    if text.chars().count() <= MOST { text } else { text.chars().take(MOST).chain(['…']).collect() }
}

fn without_memory(lines: &str) -> String {
    let mut parts = lines.split("\"memory\":");
    let first = parts.next().unwrap_or_default().to_owned();
    parts
        .fold(first, |text, part| text + "\"memory\":0" + part.trim_start_matches(|glyph: char| glyph.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expected: &str, actual: &str, lines: &[&str]) {
        assert_eq!(between(expected, actual), lines);
    }

    #[test]
    fn what_differs_is_named() {
        let old = r#"{"event":{"dataset":"observer.alert"},"rule":{"id":"idle-close"},"hops":[{"port":80}]}"#;
        check(old, old, &[]);
        check(
            old,
            &old.replace("80", "8080").replace(",\"hops", ",\"x\":1,\"hops"),
            &[
                "line 1 (alert idle-close) hops 0 port: 8080 instead of 80",
                "line 1 (alert idle-close) x: 1 instead of null",
            ],
        );
        check(old, "", &["alert idle-close: 0 instead of 1"]);
        check(old, &format!("{old}\n"), &["the same events, written differently"]);
    }

    #[test]
    fn a_change_of_order_is_named() {
        let [one, two] = ["tunnel", "attempt"].map(|name| format!(r#"{{"event":{{"dataset":"observer.{name}"}}}}"#));
        check(&format!("{one}\n{two}"), &format!("{two}\n{one}"), &["line 1: attempt instead of tunnel"]);
    }
}
