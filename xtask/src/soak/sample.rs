//! What a process holds, as the kernel sees it, and what it counts, as it tells a scraper.

use std::{fmt, fs, time::Duration};

use anyhow::{Context, Result};

use crate::{
    command::{check, describe},
    lab::net::Hosts,
    proc,
};

/// Heads the table of samples.
pub(crate) const TITLE: &str = "    time  resident   of it    engine  fds  cpu s     frames  attempts   alerts  tunnels  drops\n          \
          KiB  anonymous       KiB";

/// Samples below which nothing can be said: tables of recent traffic take two minutes to fill.
const FEWEST: usize = 36;

/// How much more may be resident in the last third of a run than in the second: an allocator's grain.
const GROWTH_KIB: u64 = 1024;

/// One look.
pub(crate) struct Sample {
    at: Duration,
    resident: u64,
    anonymous: u64,
    descriptors: usize,
    cpu: f64,
    page: String,
}

/// Looks at one process.
pub(crate) struct Gauge {
    pid: u32,
}

impl Gauge {
    pub(crate) fn new(pid: u32) -> Self {
        Self { pid }
    }

    /// The process now; its counters are at `metrics` on the proxy's host.
    pub(crate) fn look(&self, at: Duration, hosts: &Hosts, metrics: &str) -> Result<Sample> {
        let folder = format!("/proc/{}", self.pid);
        let status = fs::read_to_string(format!("{folder}/status")).context("the observer is gone")?;
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
        };
        let descriptors = fs::read_dir(format!("{folder}/fd"))?.count();
        let mut command = hosts.command(hosts.tap(), "curl");
        command.args(["-sS", "--max-time", "5", &format!("http://{metrics}/metrics")]);
        let out = command.output().with_context(|| describe(&command))?;
        check(out.status, &String::from_utf8_lossy(&out.stderr))?;
        Ok(Sample {
            at,
            resident: kib("VmRSS:"),
            anonymous: kib("RssAnon:"),
            descriptors,
            cpu: proc::cpu(self.pid)?,
            page: String::from_utf8_lossy(&out.stdout).into_owned(),
        })
    }
}

impl Sample {
    /// The sum of a counter over its labels.
    fn count(&self, name: &str) -> u64 {
        let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        let values = self.page.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        values.sum()
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, resident, anonymous, descriptors, cpu, .. } = self;
        let [frames, attempts, alerts, drops] =
            ["frames", "attempts", "alerts", "drops"].map(|name| self.count(&format!("observer_{name}_total")));
        let (open, engine) = (self.count("observer_tunnels_open"), self.count("observer_memory_bytes") / 1024);
        let at = at.as_secs();
        write!(
            out,
            "{at:>6} s {resident:>9} {anonymous:>9} {engine:>7} {descriptors:>4} {cpu:>6.1} {frames:>10} {attempts:>9} \
             {alerts:>8} {open:>8} {drops:>6}"
        )
    }
}

/// What grew, one line each: the last third of a run against the second.
pub(crate) fn not_flat(samples: &[Sample]) -> Vec<String> {
    let third = samples.len() / 3;
    if samples.len() < FEWEST {
        println!("too short to say whether memory is flat");
        return Vec::new();
    }
    let (second, last) = (&samples[third..2 * third], &samples[samples.len() - third..]);
    let most = |samples: &[Sample], of: fn(&Sample) -> u64| samples.iter().map(of).max().unwrap_or_default();
    let grown = |what: &str, of: fn(&Sample) -> u64, grain: u64| {
        let (before, after) = (most(second, of), most(last, of));
        (after > before + grain).then(|| format!("{what} grew from {before} to {after}"))
    };
    let memory = grown("resident memory (KiB)", |sample| sample.resident, GROWTH_KIB);
    memory.into_iter().chain(grown("open descriptors", |sample| sample.descriptors as u64, 0)).collect()
}
