//! What happened, in one line each: as nginx's logs prove it, and as the observer told it.
//!
//! `soak.log` has a line for each request when it is over, tunnels at their end; `error.log` names the connections whose
//! upstream timed out. Who ended a tunnel follows: nginx's timer; nginx, when it closed its old worker; or else the client.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context, Result, bail};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// Facts and how often each is true.
pub(crate) type Facts = BTreeMap<String, i64>;

/// A conversation that is not cut lasts as long, in seconds.
const TALK: f64 = 3.0;
/// Ends that an old worker makes when it closes are as close together, in seconds.
const CLOSING: f64 = 1.0;

/// A worker was closed by a reload, and tunnels with it.
const MASS_CLOSE: &str = "alert mass-close";
/// One of those tunnels.
const CUT: &str = "alert tunnel cut with its worker";
/// A timer that fires so close to a reload, in seconds, may be told as part of it: on the wire both are the same.
const SAME_MOMENT: f64 = 0.02;
/// Two alerts are about one reload unless they are farther apart.
const APART: SignedDuration = SignedDuration::from_secs(5);

/// What nginx's logs prove.
pub(crate) struct Proved {
    pub(crate) facts: Facts,
    /// Idle closes in the moment of a reload. The packets do not show which of the two it was.
    in_reload: Vec<String>,
}

/// A line of `soak.log`.
struct Line<'a> {
    at: f64,
    worker: u32,
    connection: &'a str,
    client: &'a str,
    path: &'a str,
    status: u16,
    took: f64,
}

/// Reads nginx's logs. Workers that do not live any more were closed by a reload.
pub(crate) fn of_nginx(access: &str, errors: &str, living: &[u32]) -> Result<Proved> {
    let lines = access.lines().map(|line| parse(line).with_context(|| line.to_owned()));
    let lines = lines.collect::<Result<Vec<_>>>()?;
    let timed_out = timed_out(errors);
    let mut closed_at = BTreeMap::<u32, f64>::new();
    for line in lines.iter().filter(|line| line.status == 101 && !living.contains(&line.worker)) {
        let last = closed_at.entry(line.worker).or_default();
        *last = last.max(line.at);
    }
    let (mut facts, mut cut) = (Facts::new(), BTreeMap::<u32, Vec<f64>>::new());
    let mut idle = Vec::new();
    let mut add = |fact: String| *facts.entry(fact).or_default() += 1;
    for line in &lines {
        let Line { client, path, status, .. } = line;
        add(format!("attempt {client} {path} {status}"));
        for rule in rules(path)? {
            add(format!("alert {client} {path} {rule}"));
        }
        if *status != 101 {
            continue;
        }
        let by_worker = closed_at.get(&line.worker).is_some_and(|last| line.at > last - CLOSING);
        let by = if timed_out.contains(line.connection) {
            let fact = format!("alert {client} {path} idle-close");
            idle.push((line.at, fact.clone()));
            add(fact);
            "proxy"
        } else if by_worker && !(line.path == "/talk" && line.took >= TALK) {
            cut.entry(line.worker).or_default().push(line.at);
            "proxy"
        } else {
            "client"
        };
        add(format!("tunnel {client} {path} closed by {by}"));
    }
    for times in cut.values() {
        *facts.entry(MASS_CLOSE.to_owned()).or_default() += 1;
        *facts.entry(CUT.to_owned()).or_default() += i64::try_from(times.len())?;
    }
    idle.retain(|(at, _)| cut.values().flatten().any(|cut| (cut - at).abs() <= SAME_MOMENT));
    Ok(Proved { facts, in_reload: idle.into_iter().map(|(_, fact)| fact).collect() })
}

fn parse(line: &str) -> Option<Line<'_>> {
    let mut words = line.split(' ');
    let mut next = || words.next();
    Some(Line {
        at: next()?.parse().ok()?,
        worker: next()?.parse().ok()?,
        connection: next()?,
        client: next()?,
        path: next()?,
        status: next()?.parse().ok()?,
        took: next()?.parse().ok()?,
    })
}

/// The connections whose tunnels nginx closed for silence. Their numbers are those of `$connection`.
fn timed_out(errors: &str) -> HashSet<&str> {
    let tunnels = errors.lines().filter(|line| line.contains("timed out") && line.contains("upgraded connection"));
    tunnels.filter_map(|line| line.split_once(" *")?.1.split(' ').next()).collect()
}

/// What is wrong with each location by its configuration.
fn rules(path: &str) -> Result<&'static [&'static str]> {
    Ok(match path {
        "/tunnel" | "/talk" => &[],
        "/bare" => &["upgrade-headers-dropped", "missing-101 headers-dropped"],
        "/refused" => &["missing-101 upstream-refused"],
        "/silent" => &["missing-101 upstream-silent"],
        "/denied" => &["missing-101 not-forwarded"],
        _ => bail!("nginx was asked for {path}"),
    })
}

/// What the observer told.
pub(crate) fn of_observer(records: &[Value]) -> Facts {
    let mut facts = Facts::new();
    for fact in records.iter().filter_map(of_record) {
        *facts.entry(fact).or_default() += 1;
    }
    let by_reload = records.iter().filter_map(of_reload);
    facts.insert(CUT.to_owned(), by_reload.clone().map(|(_, tunnels)| tunnels).sum());
    let times: Vec<_> = by_reload.filter(|(_, tunnels)| *tunnels > 1).map(|(at, _)| at).collect();
    let first = usize::from(!times.is_empty());
    let reloads = first + times.windows(2).filter(|pair| pair[1].duration_since(pair[0]) > APART).count();
    facts.insert(MASS_CLOSE.to_owned(), i64::try_from(reloads).unwrap_or(i64::MAX));
    facts
}

/// When tunnels were closed whatever their traffic, and how many. A worker that stops for a while between two of them
/// makes it look like two reloads, or leaves one tunnel alone.
fn of_reload(record: &Value) -> Option<(Timestamp, i64)> {
    let at = record["@timestamp"].as_str()?.parse().ok()?;
    match (record["rule"]["id"].as_str()?, record["details"]["closed_by"].as_str()) {
        ("mass-close", _) => Some((at, record["details"]["count"].as_i64()?)),
        ("abrupt-close", Some("proxy")) => Some((at, 1)),
        _ => None,
    }
}

fn of_record(record: &Value) -> Option<String> {
    let text = |pointer| record.pointer(pointer).and_then(Value::as_str).unwrap_or("?");
    let client = format!("{}:{} {}", text("/source/ip"), record["source"]["port"], text("/url/path"));
    match text("/event/dataset") {
        "observer.attempt" => Some(format!("attempt {client} {}", record["http"]["response"]["status_code"])),
        "observer.tunnel" => Some(format!("tunnel {client} closed by {}", text("/details/closed_by"))),
        "observer.alert" if of_reload(record).is_none() => {
            let cause = record.pointer("/details/cause").and_then(Value::as_str);
            Some(format!("alert {client} {} {}", text("/rule/id"), cause.unwrap_or_default()).trim_end().to_owned())
        }
        _ => None,
    }
}

/// Facts by kind and number.
pub(crate) fn summary(facts: &Facts) -> Vec<String> {
    let mut kinds = BTreeMap::<String, i64>::new();
    for (fact, count) in facts {
        let kind = fact.split(' ').filter(|word| !word.contains(':')).collect::<Vec<_>>().join(" ");
        *kinds.entry(kind).or_default() += count;
    }
    kinds.into_iter().map(|(kind, count)| format!("{count:>7} {kind}")).collect()
}

/// What only one side says, one line each.
pub(crate) fn between(mut proved: Proved, told: &Facts) -> Vec<String> {
    let count = |facts: &Facts, fact: &str| facts.get(fact).copied().unwrap_or_default();
    for fact in proved.in_reload {
        if count(told, &fact) < count(&proved.facts, &fact) && count(told, CUT) > count(&proved.facts, CUT) {
            *proved.facts.entry(fact).or_default() -= 1;
            *proved.facts.entry(CUT.to_owned()).or_default() += 1;
        }
    }
    let proved = proved.facts;
    let missing = proved.iter().map(|(fact, number)| (fact, number - count(told, fact), "missing"));
    let invented = told.iter().map(|(fact, number)| (fact, number - count(&proved, fact), "invented"));
    let differs = missing.chain(invented).filter(|(_, number, _)| *number > 0);
    differs.map(|(fact, number, what)| format!("{what} ({number}): {fact}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCESS: &str = "\
10.0 7 1 127.0.0.1:1 /bare 426 0.001
20.0 7 2 127.0.0.1:2 /tunnel 101 15.002
30.0 7 3 127.0.0.1:3 /tunnel 101 9.0
30.1 7 4 127.0.0.1:4 /talk 101 1.2
30.2 7 5 127.0.0.1:5 /talk 101 3.001
40.0 8 6 127.0.0.1:6 /tunnel 101 9.0
";
    const ERRORS: &str = "2026/11/21 03:00:00 [info] 7#7: *2 upstream timed out (110: Connection timed out) while proxying \
                          upgraded connection, client: 127.0.0.1";

    #[test]
    fn logs_prove_who_ended_a_tunnel() {
        let Proved { facts, in_reload } = of_nginx(ACCESS, ERRORS, &[8]).unwrap();
        assert!(in_reload.is_empty());
        let expected = [
            "alert 127.0.0.1:1 /bare missing-101 headers-dropped",
            "alert 127.0.0.1:1 /bare upgrade-headers-dropped",
            "alert 127.0.0.1:2 /tunnel idle-close",
            "alert mass-close",
            "alert tunnel cut with its worker",
            "tunnel 127.0.0.1:2 /tunnel closed by proxy",
            "tunnel 127.0.0.1:3 /tunnel closed by proxy",
            "tunnel 127.0.0.1:4 /talk closed by proxy",
            "tunnel 127.0.0.1:5 /talk closed by client",
            "tunnel 127.0.0.1:6 /tunnel closed by client",
        ];
        let told: Vec<_> = facts.keys().filter(|fact| !fact.starts_with("attempt")).collect();
        assert_eq!(told, expected);
        assert_eq!(facts[CUT], 2);
    }

    #[test]
    fn a_timer_in_the_moment_of_a_reload_may_be_told_as_either() {
        let told = |idle: i64, cut: i64| {
            let proved = of_nginx(&ACCESS.replace("20.0 7 2", "29.99 7 2"), ERRORS, &[8]).unwrap();
            let mut told = proved.facts.clone();
            told.insert("alert 127.0.0.1:2 /tunnel idle-close".to_owned(), idle);
            told.insert(CUT.to_owned(), cut);
            between(proved, &told)
        };
        assert!(told(1, 2).is_empty());
        assert!(told(0, 3).is_empty());
        assert_eq!(told(0, 2), ["missing (1): alert 127.0.0.1:2 /tunnel idle-close"]);
        assert_eq!(told(1, 3), ["invented (1): alert tunnel cut with its worker"]);
    }

    #[test]
    fn what_is_missing_and_what_is_invented_is_told() {
        let facts = |list: &[&str]| list.iter().map(|fact| ((*fact).to_owned(), 1)).collect::<Facts>();
        let proved = Proved { facts: facts(&["a", "b"]), in_reload: Vec::new() };
        assert_eq!(between(proved, &facts(&["b", "c"])), ["missing (1): a", "invented (1): c"]);
    }
}
