//! A row of `alerts` in `case.toml`: what so many alerts of one rule must say, and whether those of an output do.

use std::{collections::BTreeMap, fmt};

use anyhow::{Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::{of, text};

/// Every rule, and what its alerts say beside their level: a row must say that too.
pub(crate) const RULES: [(&str, &[&str]); 13] = [
    ("broken-101", &["by", "fault"]),
    ("upgrade-headers-dropped", &["by"]),
    ("http10-upstream", &["by"]),
    ("upgrade-injected", &["by"]),
    ("accept-mismatch", &["by"]),
    ("negotiation-altered", &["by"]),
    ("missing-101", &["cause", "answered_by", "by"]),
    ("idle-close", &["by", "certain"]),
    ("lifetime-close", &["by"]),
    ("mass-close", &["by"]),
    ("error-close", &["closed_by", "fault"]),
    ("abrupt-close", &["closed_by"]),
    ("polling-fallback", &[]),
];

const LEVELS: [&str; 3] = ["notice", "warning", "error"];

/// `by` where no endpoint can be named.
const NOBODY: &str = "none";

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Alert {
    pub(crate) rule: String,
    pub(crate) count: usize,
    level: String,
    pub(crate) cause: Option<String>,
    answered_by: Option<String>,
    by: Option<String>,
    closed_by: Option<String>,
    certain: Option<bool>,
    fault: Option<String>,
}

impl Alert {
    /// Refuses a row that leaves something open, unless it is about notices and these are `free`.
    pub(crate) fn check(&self, free: bool) -> Result<()> {
        let Self { rule, count, level, by, certain, .. } = self;
        let Some((_, needed)) = RULES.iter().find(|(name, _)| name == rule) else { bail!("no rule is called {rule}") };
        ensure!(*count > 0, "{rule}: a count of 0 says nothing");
        ensure!(LEVELS.contains(&level.as_str()), "{rule}: no level is called {level}");
        for (name, value) in self.facts().into_iter().filter(|(name, _)| *name != "level") {
            match (needed.contains(&name), value.is_some()) {
                (true, false) if !(free && level == "notice") => bail!("{rule}: `{name}` is missing"),
                (false, true) => bail!("{rule}: its alerts have no `{name}`"),
                _ => {}
            }
        }
        let is_error = level == "error";
        ensure!(certain.is_none_or(|certain| certain == is_error), "{rule}: an error is certain, and nothing else is");
        if let Some(by) = by.as_deref().filter(|by| *by != NOBODY) {
            let port = by.rsplit_once(':').map(|(_, port)| port);
            ensure!(port.is_some_and(|it| it == "*" || it.parse::<u16>().is_ok()), "{rule}: {by} is no endpoint");
        }
        Ok(())
    }

    /// What it says, under the names of `case.toml`.
    fn facts(&self) -> [(&'static str, Option<String>); 7] {
        let Self { rule: _, count: _, level, cause, answered_by, by, closed_by, certain, fault } = self;
        [
            ("level", Some(level.clone())),
            ("cause", cause.clone()),
            ("answered_by", answered_by.clone()),
            ("by", by.clone()),
            ("closed_by", closed_by.clone()),
            ("fault", fault.clone()),
            ("certain", certain.map(|certain| certain.to_string())),
        ]
    }

    /// What `event` says otherwise. Where addresses are `moved`, only ports and roles are the same.
    fn differences(&self, event: &Value, moved: bool) -> Vec<String> {
        let said = self.facts().into_iter().filter_map(|(name, truth)| Some((name, truth?)));
        let differs = |name, truth: &str| match name {
            "by" => !is_named(truth, event, moved),
            _ => fact(event, name) != truth,
        };
        let wrong = said.filter(|(name, truth)| differs(name, truth));
        wrong.map(|(name, truth)| format!("{name} is {} instead of {truth}", fact(event, name))).collect()
    }
}

/// As a line of `case.toml`.
impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{ rule = {:?}, count = {}", self.rule, self.count)?;
        for (name, value) in self.facts() {
            match value {
                Some(value) if name == "certain" => write!(f, ", {name} = {value}")?,
                Some(value) => write!(f, ", {name} = {value:?}")?,
                None => {}
            }
        }
        f.write_str(" }")
    }
}

/// Where `events` contradict the rows, one line each. A rule that no row is about may have notices where these are `free`.
pub(crate) fn contradictions(rows: &[Alert], free: bool, events: &[Value], moved: bool) -> Vec<String> {
    let mut left: Vec<_> = rows.iter().map(|row| row.count).collect();
    let mut wrong = Vec::new();
    for event in of(events, "observer.alert") {
        let of_its_rule = |row: &Alert| Some(row.rule.as_str()) == text(event, "/rule/id");
        if free && text(event, "/log/level") == Some("notice") && !rows.iter().any(of_its_rule) {
            continue;
        }
        let fits =
            |(row, left): (&Alert, &usize)| *left > 0 && of_its_rule(row) && row.differences(event, moved).is_empty();
        match rows.iter().zip(&left).position(fits) {
            Some(place) => left[place] -= 1,
            None => wrong.push(event),
        }
    }
    let mut lines = BTreeMap::<String, usize>::new();
    for event in wrong {
        *lines.entry(explain(rows, &mut left, event, moved)).or_default() += 1;
    }
    for (row, left) in rows.iter().zip(left).filter(|(_, left)| *left > 0) {
        *lines.entry(format!("missing: {row}")).or_default() += left;
    }
    let times = |count| if count > 1 { format!(" ({count} times)") } else { String::new() };
    lines.into_iter().map(|(line, count)| line + &times(count)).collect()
}

/// What is wrong about an alert that no row fits: it takes the place of the one that fits best of those still missing.
fn explain(rows: &[Alert], left: &mut [usize], event: &Value, moved: bool) -> String {
    let rule = text(event, "/rule/id").unwrap_or("without a rule");
    let open = (0..rows.len()).filter(|place| left[*place] > 0 && rows[*place].rule == rule);
    let nearest = open.map(|place| (rows[place].differences(event, moved), place)).min_by_key(|(list, _)| list.len());
    if let Some((differences, place)) = nearest {
        left[place] -= 1;
        return format!("alert {rule}: {}", differences.join(", "));
    }
    let names = ["level", "cause", "by", "certain"].into_iter();
    let said: Vec<_> = names.filter(|name| fact(event, name) != NOBODY).map(|name| fact(event, name)).collect();
    format!("one alert too many: {rule} ({})", said.join(", "))
}

/// What an alert says, in the words of `case.toml`.
fn fact(event: &Value, name: &str) -> String {
    let value = match name {
        "level" => event.pointer("/log/level"),
        _ => event.get("details").and_then(|details| details.get(name)),
    };
    match value {
        None | Some(Value::Null) => NOBODY.to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(end @ Value::Object(_)) => endpoint(end),
        Some(other) => other.to_string(),
    }
}

fn endpoint(end: &Value) -> String {
    match (text(end, "/ip"), end.get("port")) {
        (Some(ip), Some(port)) if ip.contains(':') => format!("[{ip}]:{port}"),
        (Some(ip), Some(port)) => format!("{ip}:{port}"),
        _ => end.to_string(),
    }
}

/// Whether an alert names the endpoint `truth`. A port of `*` is that which the attempt's first hop was opened from.
fn is_named(truth: &str, event: &Value, moved: bool) -> bool {
    let named = fact(event, "by");
    let (Some((host, port)), Some((named_host, named_port))) = (truth.rsplit_once(':'), named.rsplit_once(':')) else {
        return named == truth;
    };
    let is_port =
        if port == "*" { event.get("source").is_some_and(|it| endpoint(it) == named) } else { port == named_port };
    is_port && (moved || host == named_host)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MISSING: &str = "rule = 'missing-101'\ncount = 1\nlevel = 'error'\ncause = 'http10'\nanswered_by = 'origin'\n\
                           by = '10.0.0.1:80'";
    const IDLE: &str = "rule = 'idle-close'\ncount = 2\nlevel = 'error'\nby = '[::1]:80'\ncertain = true";

    fn row(text: &str) -> Alert {
        toml::from_str(text).unwrap()
    }

    fn alert(rule: &str, level: &str, details: &Value) -> Value {
        json!({"event": {"dataset": "observer.alert"}, "rule": {"id": rule}, "log": {"level": level},
               "source": {"ip": "10.0.0.2", "port": 40000}, "details": details})
    }

    fn missing(by: &Value) -> Value {
        alert("missing-101", "error", &json!({"cause": "http10", "answered_by": "origin", "by": by}))
    }

    #[track_caller]
    fn check(rows: &[&str], events: &[Value], lines: &[&str]) {
        let rows: Vec<_> = rows.iter().map(|text| row(text)).collect();
        assert_eq!(contradictions(&rows, false, events, false), lines);
    }

    #[test]
    fn each_fact_can_be_wrong() {
        let right = missing(&json!({"ip": "10.0.0.1", "port": 80}));
        check(&[MISSING], std::slice::from_ref(&right), &[]);
        let wrong = [
            ("/log/level", json!("warning"), "level is warning instead of error"),
            ("/details/cause", json!("unknown"), "cause is unknown instead of http10"),
            ("/details/answered_by", json!("proxy"), "answered_by is proxy instead of origin"),
            ("/details/by", json!(null), "by is none instead of 10.0.0.1:80"),
            ("/details/by/port", json!(8080), "by is 10.0.0.1:8080 instead of 10.0.0.1:80"),
            ("/details/by/ip", json!("10.0.0.2"), "by is 10.0.0.2:80 instead of 10.0.0.1:80"),
        ];
        for (pointer, value, line) in wrong {
            let mut event = right.clone();
            *event.pointer_mut(pointer).unwrap() = value;
            check(&[MISSING], &[event], &[&format!("alert missing-101: {line}")]);
        }
        let idle =
            |certain| alert("idle-close", "error", &json!({"by": {"ip": "::1", "port": 80}, "certain": certain}));
        check(&[IDLE], &[idle(true), idle(true)], &[]);
        check(&[IDLE], &[idle(true), idle(false)], &["alert idle-close: certain is false instead of true"]);
        let abrupt = "rule = 'abrupt-close'\ncount = 1\nlevel = 'notice'\nclosed_by = 'origin'";
        let event = alert("abrupt-close", "notice", &json!({"closed_by": "client"}));
        check(&[abrupt], &[event], &["alert abrupt-close: closed_by is client instead of origin"]);
    }

    #[test]
    fn what_is_missing_and_what_is_too_many_is_told() {
        let right = missing(&json!({"ip": "10.0.0.1", "port": 80}));
        let row = row(MISSING).to_string();
        check(&[MISSING], &[], &[&format!("missing: {row}")]);
        let many = "one alert too many: missing-101 (error, http10, 10.0.0.1:80)";
        check(&[MISSING], &[right.clone(), right.clone()], &[many]);
        check(&[MISSING], &[right.clone(), right.clone(), right], &[&format!("{many} (2 times)")]);
    }

    #[test]
    fn the_nearest_row_is_held_against_a_wrong_alert() {
        let first = "rule = 'idle-close'\ncount = 1\nlevel = 'warning'\nby = '[::1]:80'\ncertain = false";
        let event = alert("idle-close", "error", &json!({"by": {"ip": "::1", "port": 81}, "certain": true}));
        let once = IDLE.replace('2', "1");
        let lines = contradictions(&[row(first), row(&once)], false, &[event], false);
        assert_eq!(lines[0], "alert idle-close: by is [::1]:81 instead of [::1]:80");
        assert_eq!(lines[1], format!("missing: {}", row(first)));
    }

    #[test]
    fn a_chosen_port_is_that_of_the_first_hop() {
        let client = MISSING.replace("10.0.0.1:80", "10.0.0.2:*");
        check(&[&client], &[missing(&json!({"ip": "10.0.0.2", "port": 40000}))], &[]);
        check(
            &[&client],
            &[missing(&json!({"ip": "10.0.0.2", "port": 40001}))],
            &["alert missing-101: by is 10.0.0.2:40001 instead of 10.0.0.2:*"],
        );
    }

    #[test]
    fn where_addresses_are_moved_ports_still_count() {
        let told = |port| contradictions(&[row(MISSING)], false, &[missing(&json!({"ip": "::9", "port": port}))], true);
        assert!(told(80).is_empty());
        assert_eq!(told(3000), ["alert missing-101: by is [::9]:3000 instead of 10.0.0.1:80"]);
        let nobody = row(&MISSING.replace("10.0.0.1:80", NOBODY));
        assert!(contradictions(&[nobody], false, &[missing(&json!(null))], true).is_empty());
    }

    #[test]
    fn notices_may_be_free_but_not_what_is_worse() {
        let event = |level| [alert("abrupt-close", level, &json!({"closed_by": "client"}))];
        assert!(contradictions(&[], true, &event("notice"), false).is_empty());
        assert_eq!(contradictions(&[], false, &event("notice"), false), ["one alert too many: abrupt-close (notice)"]);
        assert_eq!(contradictions(&[], true, &event("warning"), false).len(), 1);
    }

    #[test]
    fn a_row_that_leaves_something_open_is_refused() {
        let why = |text: &str, free| row(text).check(free).map_err(|error| error.to_string());
        assert_eq!(why(MISSING, false), Ok(()));
        for name in ["cause", "answered_by", "by"] {
            let lines: Vec<_> = MISSING.lines().filter(|line| !line.starts_with(&format!("{name} "))).collect();
            assert_eq!(why(&lines.join("\n"), true), Err(format!("missing-101: `{name}` is missing")));
        }
        assert!(why(&IDLE.replace("certain = true", ""), true).is_err());
        assert!(toml::from_str::<Alert>(&IDLE.replace("level = 'error'", "")).is_err());
        let notice = "rule = 'abrupt-close'\ncount = 1\nlevel = 'notice'";
        assert_eq!(why(notice, true), Ok(()));
        assert_eq!(why(notice, false), Err("abrupt-close: `closed_by` is missing".to_owned()));
    }

    #[test]
    fn a_row_that_no_alert_could_fit_is_refused() {
        let wrong = [
            (MISSING.replace("missing-101", "missing-102"), "no rule is called missing-102"),
            (format!("{MISSING}\ncertain = true"), "missing-101: its alerts have no `certain`"),
            (MISSING.replace("'error'", "'fatal'"), "missing-101: no level is called fatal"),
            (MISSING.replace(":80", ""), "missing-101: 10.0.0.1 is no endpoint"),
            (IDLE.replace("true", "false"), "idle-close: an error is certain, and nothing else is"),
            (MISSING.replace("count = 1", "count = 0"), "missing-101: a count of 0 says nothing"),
        ];
        for (text, why) in wrong {
            assert_eq!(row(&text).check(false).unwrap_err().to_string(), why);
        }
    }

    #[test]
    fn a_row_is_written_as_it_is_read() {
        let text = row(IDLE).to_string();
        assert_eq!(text, r#"{ rule = "idle-close", count = 2, level = "error", by = "[::1]:80", certain = true }"#);
        let read: BTreeMap<String, Alert> = toml::from_str(&format!("row = {text}")).unwrap();
        assert_eq!(read["row"].to_string(), text);
    }
}
