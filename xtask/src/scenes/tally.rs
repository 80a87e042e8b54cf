//! What the scenes came to: disagreements are counted, and few of many are borne; false accusations never are.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde_json::Value;

use crate::golden::alert::Alert;

/// Of so many scenes one may disagree; one may in any case.
const ONE_IN: usize = 100;

/// Alerts of these levels accuse somebody.
const ACCUSING: [&str; 2] = ["warning", "error"];

/// One scene that was played.
#[derive(Default)]
pub(super) struct Played {
    /// What was seen.
    pub(super) said: Vec<String>,
    /// Where a tap disagrees with the truth or with `read`, a line each.
    pub(super) disagreements: Vec<String>,
    /// Alerts that the truth does not have, a line each.
    pub(super) accusations: Vec<String>,
    /// Those of them that `read` reports as well, where addresses alone do not show the truth.
    pub(super) known: Vec<String>,
}

impl Played {
    pub(super) fn is_right(&self) -> bool {
        self.disagreements.is_empty() && self.accusations.is_empty()
    }
}

/// Prints what became of a scene.
pub(super) fn print(name: &str, played: &Result<Played>) {
    match played {
        Ok(played) => {
            println!("{name:40} {}", played.said.join(", "));
            played.disagreements.iter().for_each(|line| println!("{name:40} DISAGREES: {line}"));
            played.accusations.iter().for_each(|line| println!("{name:40} FALSELY ACCUSES: {line}"));
            played.known.iter().for_each(|line| println!("{name:40} known limit: falsely accuses: {line}"));
        }
        Err(error) => println!("{name:40} FAILED: {error:#}"),
    }
}

/// The scenes by what became of them.
pub(super) struct Tally<'a> {
    played: usize,
    /// How many may disagree.
    borne: usize,
    disagree: Vec<&'a str>,
    accuse: Vec<&'a str>,
    failed: Vec<&'a str>,
}

impl<'a> Tally<'a> {
    /// Some may disagree of many that nobody named.
    pub(super) fn of(scenes: &'a [(String, Result<Played>)], are_many: bool) -> Self {
        let names = |is: fn(&Result<Played>) -> bool| {
            scenes.iter().filter(|(_, played)| is(played)).map(|(name, _)| name.as_str()).collect()
        };
        Self {
            played: scenes.len(),
            borne: if are_many { (scenes.len() / ONE_IN).max(1) } else { 0 },
            disagree: names(|played| played.as_ref().is_ok_and(|played| !played.disagreements.is_empty())),
            accuse: names(|played| played.as_ref().is_ok_and(|played| !played.accusations.is_empty())),
            failed: names(Result::is_err),
        }
    }

    /// Prints the counts. An error where too many disagree, one accuses falsely, or one could not be played.
    pub(super) fn finish(&self) -> Result<()> {
        let list = |names: &[&str]| if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
        let Self { played, borne, disagree, accuse, failed } = self;
        let counts = format!(
            "{played} scenes played once: {} disagree{}, of which {borne} may; {} accuse falsely{}; {} failed{}",
            disagree.len(),
            list(disagree),
            accuse.len(),
            list(accuse),
            failed.len(),
            list(failed)
        );
        println!("{counts}");
        if disagree.len() > *borne || !accuse.is_empty() || !failed.is_empty() { bail!("{counts}") } else { Ok(()) }
    }
}

/// The accusations that the truth does not have: too many of a rule, or another cause than the one that is known. A cause
/// that is told as unknown accuses nobody.
pub(super) fn accusations(truth: &[Alert], records: &[Value]) -> Vec<String> {
    let text = |record: &Value, pointer| record.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let is_one = |record: &&Value| {
        text(record, "/event/dataset") == "observer.alert" && ACCUSING.contains(&text(record, "/log/level").as_str())
    };
    let (mut rules, mut causes) = (BTreeMap::<_, usize>::new(), BTreeMap::<_, usize>::new());
    for record in records.iter().filter(is_one) {
        let (rule, cause) = (text(record, "/rule/id"), text(record, "/details/cause"));
        *rules.entry(rule.clone()).or_default() += 1;
        let is_known = truth.iter().any(|alert| alert.rule == rule && alert.cause.is_some());
        if is_known && cause != "unknown" {
            *causes.entry((rule, cause)).or_default() += 1;
        }
    }
    let known = |rule: &str, cause: Option<&str>| {
        let is_meant = |alert: &&Alert| alert.rule == rule && (cause.is_none() || alert.cause.as_deref() == cause);
        truth.iter().filter(is_meant).map(|alert| alert.count).sum::<usize>()
    };
    let line = |what: String, count: usize, truth: usize| {
        (count > truth).then(|| format!("{what}: {count} instead of {truth}"))
    };
    let of_rules = rules.iter().filter_map(|(rule, count)| line(rule.clone(), *count, known(rule, None)));
    let of_causes = causes
        .iter()
        .filter_map(|((rule, cause), count)| line(format!("{rule} ({cause})"), *count, known(rule, Some(cause))));
    of_rules.chain(of_causes).collect()
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use serde_json::json;

    use super::*;

    fn right() -> Result<Played> {
        Ok(Played::default())
    }

    fn disagrees() -> Result<Played> {
        Ok(Played { disagreements: vec!["attempts: 1 instead of 2".to_owned()], ..Played::default() })
    }

    fn accuses() -> Result<Played> {
        Ok(Played { accusations: vec!["idle-close: 1 instead of 0".to_owned()], ..Played::default() })
    }

    fn passes(right_ones: usize, others: Vec<Result<Played>>, are_many: bool) -> bool {
        let all = (0..right_ones).map(|_| right()).chain(others);
        let all: Vec<_> = all.map(|played| ("scene".to_owned(), played)).collect();
        Tally::of(&all, are_many).finish().is_ok()
    }

    #[test]
    fn one_of_a_hundred_may_disagree() {
        assert!(passes(3, vec![], true));
        assert!(passes(3, vec![disagrees()], true));
        assert!(!passes(97, vec![disagrees(), disagrees()], true));
        assert!(!passes(197, vec![disagrees(), disagrees()], true));
        assert!(passes(198, vec![disagrees(), disagrees()], true));
        assert!(!passes(0, vec![disagrees()], false), "one that was named");
    }

    #[test]
    fn false_accusations_and_scenes_that_fail_are_never_borne() {
        assert!(!passes(500, vec![accuses()], true));
        assert!(!passes(500, vec![Err(anyhow!("nothing listens"))], true));
    }

    #[test]
    fn what_the_truth_does_not_have_is_an_accusation() {
        let truth = |rule: &str, cause: Option<&str>| -> Alert {
            let row = json!({ "rule": rule, "count": 1, "level": "error", "cause": cause });
            serde_json::from_value(row).unwrap()
        };
        let alert = |level: &str, rule: &str, cause: Option<&str>| {
            json!({"event": {"dataset": "observer.alert"}, "log": {"level": level}, "rule": {"id": rule},
                   "details": {"cause": cause}})
        };
        let known = [truth("missing-101", Some("http10")), truth("idle-close", None)];
        let right = [alert("error", "missing-101", Some("http10")), alert("warning", "idle-close", None)];
        assert!(accusations(&known, &right).is_empty());
        assert!(accusations(&known, &[alert("error", "missing-101", Some("unknown"))]).is_empty());
        assert!(accusations(&[], &[alert("notice", "abrupt-close", None)]).is_empty());
        let wrong = accusations(&known, &[alert("error", "missing-101", Some("headers-dropped"))]);
        assert_eq!(wrong, ["missing-101 (headers-dropped): 1 instead of 0"]);
        let wrong = accusations(&[], &[alert("error", "missing-101", Some("unknown"))]);
        assert_eq!(wrong, ["missing-101: 1 instead of 0"]);
        let twice = [right[1].clone(), right[1].clone()];
        assert_eq!(accusations(&known, &twice), ["idle-close: 2 instead of 1"]);
    }
}
