//! How long after the frame that proves it an alert is out: upgrades that fail one after another through a real nginx,
//! each alert's arrival against the stamp of the response that proves it.

use anyhow::{Context, Result, bail};

use crate::{
    lab::{Lab, process::wait_for, scene::Stage},
    watch::{Tap, Told, Watch},
    workspace,
};

/// The case of the lab that fails: nginx without any configuration for upgrades.
const CASE: &str = "nginx-bare";
/// The latest that an alert should be, in milliseconds.
const BUDGET: f64 = 50.0;
/// Where the distribution is cut, in milliseconds.
const BARS: [f64; 9] = [20.0, 30.0, 35.0, 40.0, 45.0, 50.0, 75.0, 150.0, 300.0];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Upgrades that fail.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=5000))]
    attempts: u32,
    /// How to capture.
    #[arg(long, value_enum, default_value_t = Tap::Pcap)]
    tap: Tap,
}

/// Measures and prints it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let lab = Lab::locate()?;
    let observer = workspace::observer()?;
    lab.prepare()?;
    let mut case = lab.cases(&[CASE.to_owned()])?.pop().context("no case")?;
    case.client.run = format!("\"$LAB_PYTHON\" \"$LAB/knock.py\" 80 {} /ws", args.attempts);
    let stage = Stage::set("delay", &case, case.network, &lab)?;
    let watch = Watch::start(stage.hosts.command(stage.hosts.tap(), observer), args.tap, &[], stage.folder())?;
    stage.act(&case, &lab)?;
    let expected = usize::try_from(args.attempts)?;
    let all = wait_for(100, || Ok(Delay::all(&watch.told()).len() == expected))?;
    let delays = Delay::all(&watch.stop()?);
    if !all {
        bail!("{} of {expected} alerts came", delays.len());
    }
    print(&delays);
    Ok(())
}

/// Of the alert that sums an attempt up, in milliseconds.
struct Delay {
    whole: f64,
    /// Less what the observer wanted a CPU and got none, since the alert before: the machine's part.
    own: f64,
}

impl Delay {
    #[expect(clippy::cast_precision_loss, reason = "a delay is far below the 52 bits that are exact")]
    fn all(told: &[Told]) -> Vec<Self> {
        let mut starved = 0;
        let summing = told.iter().filter(|told| told.record["rule"]["id"] == "missing-101");
        let delays = summing.filter_map(|told| {
            let since = told.starved - std::mem::replace(&mut starved, told.starved);
            let whole = told.delay()?;
            Some(Self { whole: whole as f64 / 1e6, own: (whole - since) as f64 / 1e6 })
        });
        delays.collect()
    }
}

fn print(delays: &[Delay]) {
    println!("{} alerts, ms after the frame that proves each:", delays.len());
    let whole = line("all of it", delays.iter().map(|delay| delay.whole).collect());
    line("less waiting for a CPU", delays.iter().map(|delay| delay.own).collect());
    let mut from = 0.0;
    for to in BARS.into_iter().chain([f64::INFINITY]) {
        let count = whole.iter().filter(|delay| (from..to).contains(*delay)).count();
        println!("  {from:>5} to {to:>5}: {count}");
        from = to;
    }
}

/// Prints a distribution, and returns it in order.
fn line(what: &str, mut delays: Vec<f64>) -> Vec<f64> {
    delays.sort_by(f64::total_cmp);
    let at = |percent: usize| delays[(delays.len() - 1) * percent / 100];
    let late = delays.iter().filter(|delay| **delay > BUDGET).count();
    println!(
        "  {what:24} p50 {:.1}  p95 {:.1}  p99 {:.1}  max {:.1}; {late} later than {BUDGET}",
        at(50),
        at(95),
        at(99),
        at(100)
    );
    delays
}
