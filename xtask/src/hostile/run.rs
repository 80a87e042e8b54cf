//! One run of the observer on made-up frames: what it used, what it said, and whether that is fit to be shown.

use std::{
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::Path,
    process::{ChildStdin, Command, ExitStatus, Stdio},
    thread,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use wait4::Wait4;

use super::{Play, shown, wire::Wire};
use crate::command::{check, describe};

/// What one run came to.
pub(super) struct Outcome {
    /// Frames that were sent.
    pub(super) frames: u64,
    /// CPU time, in seconds.
    pub(super) seconds: f64,
    /// The most that was resident, in bytes.
    pub(super) resident: u64,
    /// The counters at its end, where they were told.
    pub(super) stats: Option<Value>,
}

impl Outcome {
    /// What was thrown out, by its own count.
    pub(super) fn evictions(&self) -> Option<u64> {
        self.stats.as_ref()?["details"]["evictions"].as_u64()
    }
}

/// `observer read -`, with its memory limited.
pub(super) fn observer(program: &Path, limit: u64, format: &str) -> Command {
    let mut command = Command::new(program);
    command.args(["read", "-", "--color", "never", "--emit", "alert,attempt,tunnel,anomaly,stats", "--format", format]);
    command.args(["--memory-limit", &format!("{}KiB", limit >> 10)]);
    command
}

/// Plays `count` units of a scenario into a command that reads all of them.
pub(super) fn run(command: Command, play: Play, count: u64) -> Result<Outcome> {
    let what = describe(&command);
    let (status, outcome) = feed(command, move |to| {
        let mut out = BufWriter::with_capacity(1 << 16, to);
        let mut wire = Wire::new(&mut out)?;
        play(&mut wire, count)?;
        let frames = wire.frames;
        out.flush()?;
        Ok(frames)
    })?;
    check(status, &what)?;
    Ok(outcome)
}

/// Runs a command on what `write` writes; it says how many frames these were.
pub(super) fn feed(
    mut command: Command,
    write: impl FnOnce(ChildStdin) -> io::Result<u64> + Send + 'static,
) -> Result<(ExitStatus, Outcome)> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| describe(&command))?;
    let stdin = child.stdin.take().context("a pipe was asked for")?;
    let stdout = child.stdout.take().context("a pipe was asked for")?;
    let player = thread::spawn(move || write(stdin));
    let stats = listen(BufReader::new(stdout));
    let used = child.wait4()?;
    let frames = player.join().ok().context("the player panicked")?.context("the observer stopped reading")?;
    let seconds = (used.rusage.utime + used.rusage.stime).as_secs_f64();
    Ok((used.status, Outcome { frames, seconds, resident: used.rusage.maxrss, stats: stats? }))
}

/// How far from the front of a line its dataset is, where it is that of the counters.
const STATS_WITHIN: usize = 200;

/// Reads all that is said. No line may hold what a terminal obeys.
fn listen(mut out: impl BufRead) -> Result<Option<Value>> {
    let (mut line, mut stats) = (Vec::new(), Vec::new());
    while out.read_until(b'\n', &mut line)? > 0 {
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if let Some(harm) = shown::raw(text) {
            bail!("{harm} was shown: {}", String::from_utf8_lossy(text).escape_debug());
        }
        if str::from_utf8(&text[..text.len().min(STATS_WITHIN)]).is_ok_and(|start| start.contains("\"observer.stats\""))
        {
            std::mem::swap(&mut line, &mut stats);
        }
        line.clear();
    }
    Ok(serde_json::from_slice(&stats).ok())
}
