//! Hostile traffic on a wire: on its way to a real proxy, before `observer live` by each tap at once. Afterwards a real
//! attempt that breaks has to be told as ever.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{ALLOWANCE, BUFFERS, LIMIT, SCENARIOS, Scenario, mib, run as player};
use crate::{
    command::quietly,
    lab::{
        Lab,
        case::{Case, Network},
        process::{PATIENCE, wait_for},
        scene::Stage,
    },
    proc, setup,
    watch::{Tap, Watch},
    workspace,
};

/// What CI plays: a flood of each kind.
const CHOICE: [&str; 11] = [
    "syn-flood",
    "half-open-upgrades",
    "open-tunnels",
    "out-of-order",
    "overlaps",
    "backwards",
    "endless-heads",
    "large-heads",
    "equal-keys-at-once",
    "huge-frames",
    "fragments",
];
/// A run for CI has so much less of everything, and of memory.
const CI_PART: u64 = 32;
const CI_LIMIT: u64 = LIMIT / 4;
/// What the client tries after each flood: nginx drops its fields.
const TRUTH: &str = "nginx-bare";
const RULE: &str = "upgrade-headers-dropped";
/// Where it tries from. Floods come from elsewhere.
const CLIENT: &str = "10.0.0.";
/// Room of the kernel's ring.
const BUFFER: &str = "8MiB";
/// Longer than any frame.
const MTU: &str = "65535";

/// What one observer came to.
struct Outcome {
    /// The most that was resident, of it and of those that it started.
    resident: u64,
    seconds: f64,
    /// Its last counters.
    counts: Value,
    /// Alerts that were told.
    told: u64,
    /// Of what it complained.
    complaints: String,
}

/// What CI plays.
pub(super) fn check() -> Result<()> {
    if !setup::can_watch("hostile traffic on a wire")? {
        return Ok(());
    }
    run(None, false)
}

/// Plays the scenarios whose names hold `filter`; of all if `full`, else of the choice.
pub(super) fn run(filter: Option<&str>, full: bool) -> Result<()> {
    let lab = Lab::locate()?;
    lab.prepare()?;
    let case = lab.cases(&[TRUTH.to_owned()])?.pop().context("there is no such case")?;
    let stage = Stage::set("hostile", &case, Network::Three, &lab)?;
    for (host, interface) in [("client", "eth0"), ("proxy", "front")] {
        quietly(stage.hosts.command(host, "ip").args(["link", "set", interface, "mtu", MTU]))?;
    }
    let (part, limit) = if full { (1, LIMIT) } else { (CI_PART, CI_LIMIT) };
    let trial = Trial { lab: &lab, case: &case, stage: &stage, observer: &workspace::observer()?, limit };
    let own = trial.play(|_, _| Ok(()), 0)?.1.map(|outcome| outcome.resident + BUFFERS);
    println!("limit {} MiB; without traffic {:.0} and {:.0} MiB are resident", limit >> 20, mib(own[0]), mib(own[1]));
    println!("{:>20}  tap        sent       seen      drops   cpu s  resident MiB  evictions   unread", "scenario");
    let wanted = |scenario: &&Scenario| match filter {
        Some(filter) => scenario.name.contains(filter),
        None => full || CHOICE.contains(&scenario.name),
    };
    let mut complaints = Vec::new();
    for scenario in SCENARIOS.iter().filter(wanted) {
        let (sent, outcomes) = trial.play(scenario.play, scenario.count / part).context(scenario.name)?;
        for ((tap, outcome), own) in TAPS.iter().zip(&outcomes).zip(own) {
            let most = own + limit * ALLOWANCE / 100;
            complaints.extend(outcome.judge(scenario, *tap, sent, most));
        }
    }
    if complaints.is_empty() { Ok(()) } else { bail!("{} complaints:\n{}", complaints.len(), complaints.join("\n")) }
}

/// What an observer may say in a flood: what waits for its reader has a part of its memory and no more, if it counts
/// what has no room; and so have the connections that the kernel is told of.
const DROPPED: &str = " records were dropped: ";
const COSTLY: &str = "payload that is not needed is copied all the same: ";

const TAPS: [Tap; 2] = [Tap::Ebpf, Tap::Pcap];

struct Trial<'a> {
    lab: &'a Lab,
    case: &'a Case,
    stage: &'a Stage,
    observer: &'a Path,
    limit: u64,
}

impl Trial<'_> {
    /// Plays one flood, then the truth. Says how many frames were sent, and what each observer came to.
    fn play(&self, play: super::Play, count: u64) -> Result<(u64, [Outcome; 2])> {
        let watches = TAPS.map(|tap| self.watch(tap));
        let [ebpf, pcap] = watches;
        let watches = [ebpf?, pcap?];
        let mut replay = self.stage.hosts.command("client", self.lab.python());
        replay.arg(self.lab.script("replay.py")).arg("eth0");
        let sent = player::run(replay, play, count)?.frames;
        self.tell(&watches)?;
        let [ebpf, pcap] = watches.map(Outcome::of);
        Ok((sent, [ebpf?, pcap?]))
    }

    fn watch(&self, tap: Tap) -> Result<Watch> {
        let limit = format!("{}KiB", self.limit >> 10);
        let more = ["--emit", "alert,stats", "--memory-limit", &limit, "--buffer", BUFFER, "-i", "front", "-i", "back"];
        Watch::start(self.stage.hosts.command("proxy", self.observer), tap, &more, self.stage.folder())
    }

    /// The client tries once what was in the rings is read, which would push out what it tries. Every observer has to tell
    /// what became of it.
    fn tell(&self, watches: &[Watch]) -> Result<()> {
        let is_told = |watch: &Watch| {
            let of_client = |record: &Value| record["source"]["ip"].as_str().is_some_and(|ip| ip.starts_with(CLIENT));
            watch.told().iter().any(|told| told.record["rule"]["id"] == RULE && of_client(&told.record))
        };
        self.stage.hosts.wait_for_rest()?;
        self.stage.act(self.case, self.lab)?;
        if wait_for(PATIENCE, || Ok(watches.iter().all(is_told)))? {
            return Ok(());
        }
        let silent = TAPS.iter().zip(watches).filter(|(_, watch)| !is_told(watch)).map(|(tap, _)| tap.name());
        bail!("a real attempt is not told by {}", silent.collect::<Vec<_>>().join(" and "))
    }
}

impl Outcome {
    /// Ends an observer.
    fn of(watch: Watch) -> Result<Self> {
        let (resident, seconds) = (resident(watch.id())?, proc::cpu_of_all(watch.id())?);
        let (mut told, complaints) = watch.end()?;
        let last = told.pop().filter(|told| told.is("observer.stats"));
        let counts = last.context("it told no counters at its end")?.record["details"].take();
        let told = told.iter().filter(|told| told.is_alert()).count() as u64;
        Ok(Self { resident, seconds, counts, told, complaints })
    }

    fn count(&self, name: &str) -> u64 {
        self.counts[name].as_u64().unwrap_or_default()
    }

    /// What is wrong with it.
    fn judge(&self, scenario: &Scenario, tap: Tap, sent: u64, most: u64) -> Vec<String> {
        let name = scenario.name;
        let [frames, drops, evictions, unread] =
            ["frames", "drops", "evictions", "records_dropped"].map(|name| self.count(name));
        let (tap, resident) = (tap.name(), mib(self.resident));
        println!(
            "{name:>20}  {tap} {sent:>10} {frames:>10} {drops:>10} {:>7.2} {resident:>13.1} {evictions:>10} {unread:>8}",
            self.seconds
        );
        let mut complaints = Vec::new();
        let of = |alert: &Value| alert["count"].as_u64().unwrap_or_default();
        let alerts: u64 = self.counts["alerts"].as_array().into_iter().flatten().map(of).sum();
        if self.told + unread < alerts {
            complaints.push(format!("{name}: of {alerts} alerts {} were told, {unread} dropped ({tap})", self.told));
        }
        let may_say = |line: &str| line.contains(COSTLY) || unread > 0 && line.contains(DROPPED);
        if !self.complaints.lines().all(may_say) {
            complaints.push(format!("{name}: the observer complains ({tap}): {}", self.complaints.trim()));
        }
        if self.resident > most {
            complaints.push(format!("{name}: {resident:.1} MiB were resident ({tap}), more than {:.1}", mib(most)));
        }
        if tap == Tap::Pcap.name() && scenario.is_tcp && frames + drops < sent {
            complaints.push(format!("{name}: of {sent} frames {frames} were seen and {drops} counted as lost ({tap})"));
        }
        complaints
    }
}

/// The most that was resident of a process and of those that it started.
fn resident(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).context(path)?;
    let most =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<u64>().ok());
    let of_children = proc::children(pid)?.into_iter().map(resident).sum::<Result<u64>>()?;
    Ok((most.unwrap_or_default() << 10) + of_children)
}
