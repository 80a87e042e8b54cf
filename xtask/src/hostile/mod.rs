//! `cargo xtask hostile`: traffic made to fill, slow down, crash or fool the observer. What is resident stays within the
//! limit, the work grows with the traffic and no faster, what was thrown out is counted, and nothing harmful is shown.
//!
//! Traffic is the same in every run: each number in it follows from the place of its connection or segment.

mod floods;
mod heads;
mod lies;
mod live;
mod packets;
mod run;
mod shown;
mod wire;

use std::{io, path::Path};

use anyhow::{Result, bail};

use self::{
    run::{Outcome, observer},
    wire::Wire,
};
use crate::workspace;

/// Plays so many units of a scenario.
type Play = fn(&mut Wire<'_>, u64) -> io::Result<()>;

/// One kind of hostile traffic.
struct Scenario {
    name: &'static str,
    play: Play,
    /// Units of it in a full run.
    count: u64,
    /// Whether its state cannot fit under the limit then.
    overflows: bool,
    /// Whether it is about what people are shown.
    is_shown: bool,
    /// Whether it is TCP for all that the kernel's filter can see.
    is_tcp: bool,
}

const fn scenario(name: &'static str, play: Play, count: u64, overflows: bool) -> Scenario {
    Scenario { name, play, count, overflows, is_shown: false, is_tcp: true }
}

const SCENARIOS: [Scenario; 26] = [
    scenario("syn-flood", floods::syns, 1_000_000, true),
    scenario("half-open-upgrades", floods::half_open_upgrades, 1_000_000, true),
    scenario("open-tunnels", floods::open_tunnels, 100_000, true),
    scenario("fat-tunnels", floods::fat_tunnels, 20_000, true),
    scenario("mass-close", floods::mass_close, 20_000, false),
    scenario("out-of-order", floods::out_of_order, 2_000_000, true),
    scenario("overlaps", floods::overlaps, 500_000, false),
    scenario("backwards", floods::backwards, 500_000, false),
    scenario("reused-ports", floods::reused_ports, 200_000, false),
    scenario("pipelined", floods::pipelined, 500_000, false),
    scenario("endless-heads", heads::endless, 5_000, true),
    scenario("trickling-heads", heads::trickle, 600_000, false),
    scenario("large-heads", heads::large, 10_000, true),
    scenario("lengths", heads::lengths, 100_000, false),
    scenario("connection-lines", heads::connection_lines, 5_000, false),
    scenario("odd-keys", heads::odd_keys, 100_000, false),
    scenario("equal-keys", heads::equal_keys, 100_000, false),
    scenario("equal-keys-at-once", heads::equal_keys_at_once, 100_000, true),
    scenario("huge-frames", heads::huge_frames, 50_000, false),
    scenario("fat-polls", heads::fat_polls, 10_000, false),
    scenario("fat-refusals", heads::fat_refusals, 20_000, false),
    scenario("informational", heads::informational, 500_000, false),
    Scenario { is_tcp: false, ..scenario("vlans", packets::vlans, 500_000, false) },
    scenario("fragments", packets::fragments, 500_000, false),
    Scenario { is_shown: true, ..scenario("poisons", shown::poisons, 84 * 100, false) },
    scenario("shreds", packets::shreds, 500_000, false),
];

/// The memory limit of a full run.
const LIMIT: u64 = 64 << 20;
/// A run for CI has so much less of everything.
const CI_PART: u64 = 4;
/// Resident memory may be so much of the limit, in percent.
const ALLOWANCE: u64 = 125;
/// What traffic takes whatever the limit is: it weighs in a small run only.
const BUFFERS: u64 = 2 << 20;
/// Traffic whose work is compared has so many times less of everything.
const STEP: u64 = 4;
/// Work that is not linear if it is more: what one step adds, and what clocks and caches do. Times are told apart by this
/// many measurements, so that a busy machine alone decides nothing.
const MOST_WORK: f64 = 2.5 * STEP as f64;
const MEASUREMENTS: usize = 3;
/// Runs shorter than this say nothing about growth.
const LEAST_SECONDS: f64 = 0.5;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only scenarios whose names hold this.
    filter: Option<String>,
    /// Play all of it, and see how work grows: this takes a quarter of an hour.
    #[arg(long)]
    full: bool,
    /// Play it on a wire, before a real proxy that is watched live by each tap (root).
    #[arg(long)]
    live: bool,
}

/// What CI plays.
pub(crate) fn check() -> Result<()> {
    run(&Args { filter: None, full: false, live: false })?;
    live::check()
}

/// Plays it.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.live {
        return live::run(args.filter.as_deref(), args.full);
    }
    let program = workspace::observer()?;
    let part = if args.full { 1 } else { CI_PART };
    let nothing = run::run(observer(&program, LIMIT, "json"), |_, _| Ok(()), 0)?.resident;
    let trial =
        Trial { program: &program, part, limit: LIMIT / part, own: if args.full { 0 } else { nothing + BUFFERS } };
    println!("limit {} MiB; without traffic {} MiB are resident", trial.limit >> 20, nothing >> 20);
    println!("{:>20}  format     frames   cpu s  resident MiB  evictions", "scenario");
    let wanted = |name: &str| args.filter.as_ref().is_none_or(|filter| name.contains(filter));
    let mut complaints = Vec::new();
    for scenario in SCENARIOS.iter().filter(|scenario| wanted(scenario.name)) {
        complaints.extend(trial.play(scenario)?);
    }
    if wanted("lies") {
        complaints.extend(lies::play(&trial)?);
    }
    if complaints.is_empty() { Ok(()) } else { bail!("{} complaints:\n{}", complaints.len(), complaints.join("\n")) }
}

/// What scenarios are played on, and at which size.
struct Trial<'a> {
    program: &'a Path,
    part: u64,
    limit: u64,
    /// What the program takes beside the limit, where that is not to be counted.
    own: u64,
}

impl Trial<'_> {
    /// Plays one scenario in each format. Says what is wrong.
    fn play(&self, scenario: &Scenario) -> Result<Vec<String>> {
        let mut complaints = Vec::new();
        let count = scenario.count / self.part;
        let json = run::run(observer(self.program, self.limit, "json"), scenario.play, count)?;
        complaints.extend(self.judge(scenario.name, "json", &json));
        if scenario.overflows && json.evictions().is_none_or(|evictions| evictions == 0) {
            complaints.push(format!("{}: nothing was thrown out, by its own count", scenario.name));
        }
        let is_full = self.part == 1;
        if is_full || scenario.is_shown {
            let text = run::run(observer(self.program, self.limit, "text"), scenario.play, count)?;
            complaints.extend(self.judge(scenario.name, "text", &text));
        }
        if is_full && json.seconds > LEAST_SECONDS {
            complaints.extend(self.grows(scenario)?);
        }
        Ok(complaints)
    }

    fn judge(&self, name: &str, format: &str, outcome: &Outcome) -> Option<String> {
        let resident = mib(outcome.resident);
        let evictions = outcome.evictions().map_or_else(String::new, |evictions| evictions.to_string());
        println!(
            "{name:>20}  {format} {:>11} {:>7.2} {resident:>13.1} {evictions:>10}",
            outcome.frames, outcome.seconds
        );
        let most = self.own + self.limit * ALLOWANCE / 100;
        let over = outcome.resident > most;
        over.then(|| format!("{name}: {resident:.1} MiB were resident ({format}), more than {:.1}", mib(most)))
    }

    /// Whether its work grows faster than its traffic, by every measurement.
    fn grows(&self, scenario: &Scenario) -> Result<Option<String>> {
        let mut least = f64::INFINITY;
        for _ in 0..MEASUREMENTS {
            let work = |count| run::run(observer(self.program, self.limit, "json"), scenario.play, count);
            let (less, more) = (work(scenario.count / STEP)?, work(scenario.count)?);
            least = least.min(more.seconds / less.seconds.max(LEAST_SECONDS / MOST_WORK));
            if least <= MOST_WORK {
                return Ok(None);
            }
        }
        Ok(Some(format!("{}: {STEP} times the traffic is {least:.1} times the work", scenario.name)))
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
