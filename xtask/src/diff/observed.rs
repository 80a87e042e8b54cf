//! What the observer says about a capture, and what it took to say it.

use std::{
    collections::BTreeSet,
    io::{Read, Seek},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::Value;
use wait4::Wait4;

use super::sight::{Connection, Head, Sight, plain};
use crate::golden;

/// The most that any capture of ordinary size may take.
const MOST_MEMORY: u64 = 100_000_000;

/// When to give up, in seconds: then it hangs. How long it took is shown, and decides nothing.
const PATIENCE: &str = "120";

/// One run.
pub(super) struct Run {
    pub(super) sight: Sight,
    pub(super) time: Duration,
    /// Bytes resident at most.
    pub(super) memory: u64,
    /// What it did that it must not do on any file, one line each.
    pub(super) faults: Vec<String>,
}

/// Runs the observer.
#[expect(clippy::disallowed_methods, reason = "the time it takes is what is asked for")]
pub(super) fn read(binary: &Path, file: &Path) -> Result<Run> {
    let mut problems = tempfile::tempfile()?;
    let mut command = Command::new("timeout");
    command.arg(PATIENCE).arg(binary).args(["read", "--format", "json", "--emit", "attempt,alert", "--show-secrets"]);
    command.arg(file).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(problems.try_clone()?);
    let start = Instant::now();
    let mut child = command.spawn().context("timeout")?;
    let mut output = String::new();
    if let Some(stdout) = &mut child.stdout {
        stdout.read_to_string(&mut output)?;
    }
    let used = child.wait4()?;
    let time = start.elapsed();
    let mut said = String::new();
    problems.rewind()?;
    problems.read_to_string(&mut said)?;
    let memory = used.rusage.maxrss;
    let faults = [
        (!matches!(used.status.code(), Some(0 | 3)), format!("{}: {}", used.status, said.trim())),
        (said.contains("panicked"), said.trim().to_owned()),
        (memory > MOST_MEMORY, format!("took {} MB of memory", memory / 1_000_000)),
    ];
    let faults = faults.into_iter().filter(|(is_fault, _)| *is_fault).map(|(_, line)| line).collect();
    Ok(Run { sight: sight(&golden::events(&output)?), time, memory, faults })
}

/// The hops of all attempts. One that alerts tell again is counted once.
fn sight(events: &[Value]) -> Sight {
    let mut sight = Sight::default();
    let mut known = BTreeSet::new();
    for event in events {
        sight.attempts += usize::from(event["event"]["dataset"] == "observer.attempt");
        for hop in event["attempt"]["hops"].as_array().into_iter().flatten() {
            let Some((connection, request)) = connection(hop).zip(hop.get("request")) else { continue };
            let frame = request["frame"].as_u64().unwrap_or_default();
            if known.insert((connection.clone(), frame)) {
                note(&mut sight, connection, frame, hop);
            }
        }
    }
    sight
}

fn note(sight: &mut Sight, connection: Connection, frame: u64, hop: &Value) {
    let request = &hop["request"];
    let text = |name: &str| request[name].as_str().unwrap_or_default().to_owned();
    let fields = request["fields"].as_array().into_iter().flatten();
    let mut names = fields.filter_map(|field| field["name"].as_str());
    if request.get("upgrade").is_some() || names.any(|name| name.eq_ignore_ascii_case("Sec-WebSocket-Key")) {
        let head = Head::Request { method: text("method"), target: text("target"), upgrade: plain(&text("upgrade")) };
        sight.note(connection.clone(), head, frame);
    }
    if hop["response"]["status"] == 101 {
        sight.note(connection, Head::Switch, hop["response"]["frame"].as_u64().unwrap_or_default());
    }
}

fn connection(hop: &Value) -> Option<Connection> {
    let end = |name: &str| {
        let (ip, port) = (hop[name]["ip"].as_str()?, hop[name]["port"].as_u64()?);
        Some(if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") })
    };
    Some(Connection { client: end("client")?, server: end("server")? })
}
