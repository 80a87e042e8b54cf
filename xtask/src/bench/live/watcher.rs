//! Who watches the proxy while it works: nobody, the observer by one of its taps, or what people would use instead.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    lab::{
        process::{Process, wait_for},
        scene::Stage,
    },
    proc,
    watch::{Tap, Told, Watch},
};

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Watcher {
    Nobody,
    Observer(Tap),
    Tcpdump,
    Tshark,
}

impl Watcher {
    /// As a person would name it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nothing",
            Self::Observer(Tap::Ebpf) => "observer --tap ebpf",
            Self::Observer(Tap::Pcap) => "observer --tap pcap",
            Self::Tcpdump => "tcpdump -w /dev/null",
            Self::Tshark => "tshark -Y http.upgrade",
        }
    }

    /// Starts it on the loopback of the stage, and returns when it watches.
    pub(super) fn start(self, stage: &Stage, observer: &std::path::Path) -> Result<Watching> {
        let command = |program| stage.hosts.command(stage.hosts.tap(), program);
        match self {
            Self::Nobody => Ok(Watching::Nobody),
            Self::Observer(tap) => {
                let command = stage.hosts.command(stage.hosts.tap(), observer);
                Watch::start(command, tap, &["-i", "lo"], stage.folder()).map(Watching::Observer)
            }
            Self::Tcpdump => {
                let mut command = command("tcpdump");
                command.args(["-n", "-Z", "root", "-i", "lo", "-w", "/dev/null", "tcp"]);
                Watching::start(command, stage, "listening on")
            }
            Self::Tshark => {
                let mut command = command("tshark");
                // What it captures lies in a temporary file.
                command.args(["-n", "-i", "lo", "-Y", "http.upgrade"]).env("TMPDIR", stage.folder());
                Watching::start(command, stage, "Capturing on")
            }
        }
    }
}

/// One at work.
pub(super) enum Watching {
    Nobody,
    Observer(Watch),
    Other { process: Process, log: PathBuf },
}

/// What it leaves.
#[derive(Default)]
pub(super) struct Left {
    /// Frames that never reached it, by its own count.
    pub(super) drops: u64,
    /// What an observer told.
    pub(super) told: Vec<Told>,
}

impl Left {
    /// A counter of the observer's last line.
    pub(super) fn count(&self, name: &str) -> u64 {
        let last = self.told.last().map(|told| &told.record["details"][name]);
        last.and_then(Value::as_u64).unwrap_or_default()
    }
}

impl Watching {
    fn start(mut command: std::process::Command, stage: &Stage, ready: &str) -> Result<Self> {
        let log = stage.folder().join("watcher.log");
        let mut process = Process::start(&mut command, &log)?;
        let said = || fs::read_to_string(&log);
        if !wait_for(200, || Ok(process.has_ended()? || said()?.contains(ready)))? {
            bail!("it does not start: {}", said()?.trim());
        }
        Ok(Self::Other { process, log })
    }

    /// Seconds of CPU so far, of all its processes.
    pub(super) fn cpu(&self) -> Result<f64> {
        match self {
            Self::Nobody => Ok(0.0),
            Self::Observer(watch) => proc::cpu_of_all(watch.id()),
            Self::Other { process, .. } => proc::cpu_of_all(process.id()),
        }
    }

    /// Ends it.
    pub(super) fn stop(self) -> Result<Left> {
        match self {
            Self::Nobody => Ok(Left::default()),
            Self::Observer(watch) => {
                let told = watch.stop()?;
                let left = Left { drops: 0, told };
                Ok(Left { drops: left.count("drops"), ..left })
            }
            Self::Other { mut process, log } => {
                process.stop();
                let said = fs::read_to_string(&log)?;
                Ok(Left { drops: dropped(&said)?, told: Vec::new() })
            }
        }
    }
}

/// tcpdump says "12 packets dropped by kernel", tshark "12 packets dropped from lo", or nothing when there were none.
fn dropped(said: &str) -> Result<u64> {
    let Some(line) = said.lines().find(|line| line.contains("dropped by kernel") || line.contains("dropped from"))
    else {
        return Ok(0);
    };
    let number = line.split_whitespace().next().and_then(|word| word.parse().ok());
    number.with_context(|| format!("how many were dropped? {line}"))
}
