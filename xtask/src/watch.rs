//! An `observer live` that is attached to a host of the lab, and what it tells, with the moment at which it did.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{ChildStdout, Command},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    lab::process::{PATIENCE, Process, wait_for},
    proc,
};

/// How the observer captures.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Tap {
    /// libpcap.
    Pcap,
    /// The program in the kernel.
    Ebpf,
}

impl Tap {
    /// As the observer spells it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pcap => "pcap",
            Self::Ebpf => "ebpf",
        }
    }
}

/// One record.
#[derive(Clone)]
pub(crate) struct Told {
    /// When it came.
    pub(crate) at: i64,
    /// For how long the observer's threads, and the one that listens, had wanted a CPU and got none by then.
    pub(crate) starved: i64,
    pub(crate) record: Value,
}

impl Told {
    pub(crate) fn is(&self, dataset: &str) -> bool {
        self.record["event"]["dataset"] == dataset
    }

    pub(crate) fn is_alert(&self) -> bool {
        self.is("observer.alert")
    }

    /// Nanoseconds from the frame that proves it until it came.
    pub(crate) fn delay(&self) -> Option<i64> {
        let proof: Timestamp = self.record["@timestamp"].as_str()?.parse().ok()?;
        self.at.checked_sub(i64::try_from(proof.as_nanosecond()).ok()?)
    }
}

/// A running observer.
pub(crate) struct Watch {
    process: Process,
    told: Arc<Mutex<Vec<Told>>>,
    reader: JoinHandle<Result<()>>,
    complaints: PathBuf,
}

impl Watch {
    /// Starts `command`, an observer in some namespace, and returns when it watches.
    pub(crate) fn start(mut command: Command, tap: Tap, more: &[&str], folder: &Path) -> Result<Self> {
        let complaints = folder.join(format!("observer-{}.log", tap.name()));
        command.args(["live", "--format", "json", "--tap", tap.name()]).args(more);
        let (mut process, stdout) = Process::piped(&mut command, &complaints)?;
        let pid = process.id();
        if !wait_for(PATIENCE, || Ok(process.has_ended()? || watches(pid)))? || process.has_ended()? {
            bail!("the observer does not start: {}", fs::read_to_string(&complaints)?);
        }
        let told = Arc::default();
        let reader = thread::spawn({
            let told = Arc::clone(&told);
            move || listen(stdout, pid, &told)
        });
        Ok(Self { process, told, reader, complaints })
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it told so far.
    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends it, and returns all that it told. It must not have complained.
    pub(crate) fn stop(self) -> Result<Vec<Told>> {
        let (told, complaints) = self.end()?;
        if !complaints.is_empty() {
            bail!("the observer complains: {}", complaints.trim());
        }
        Ok(told)
    }

    /// Ends it, and returns all that it told, and of what it complained.
    pub(crate) fn end(mut self) -> Result<(Vec<Told>, String)> {
        self.process.stop();
        self.reader.join().ok().context("the reader of the observer's output panicked")??;
        let complaints = fs::read_to_string(&self.complaints)?;
        Ok((std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner)), complaints))
    }
}

fn listen(stdout: ChildStdout, pid: u32, told: &Mutex<Vec<Told>>) -> Result<()> {
    for line in BufReader::new(stdout).lines() {
        let (line, at, starved) = (line?, now(), starved(pid));
        let record = serde_json::from_str(&line).with_context(|| line.clone())?;
        told.lock().unwrap_or_else(PoisonError::into_inner).push(Told { at, starved, record });
    }
    Ok(())
}

/// Whether the observer watches: before it listens for signals, it has opened its tap and raised its fence.
fn watches(pid: u32) -> bool {
    proc::threads(pid).iter().any(|name| name == "signals")
}

/// Nanoseconds; as far as they can be had, since the observer may be gone.
fn starved(pid: u32) -> i64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let files = tasks.map(|task| task.path().join("schedstat")).chain([PathBuf::from("/proc/thread-self/schedstat")]);
    let waited = |file: PathBuf| fs::read_to_string(file).ok()?.split(' ').nth(1)?.parse::<i64>().ok();
    files.filter_map(waited).sum()
}

/// The clock by which frames are stamped.
#[expect(clippy::disallowed_methods, reason = "a delay is from capture time, which is the wall clock's")]
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
