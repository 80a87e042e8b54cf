//! `cargo xtask soak`: `observer live` for minutes on a busy nginx that is reloaded now and then. Its memory and
//! descriptors must stay flat, and what it told must be what nginx's own logs prove.

mod facts;
mod sample;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use self::sample::{Gauge, Sample};
use crate::{
    command::quietly,
    golden,
    lab::{
        Lab,
        case::Network,
        process::{PATIENCE, Process, wait_for},
        scene::Stage,
    },
    proc, setup,
    watch::{Tap, Watch},
    workspace,
};

/// Between two lines of the table.
const STEP: Duration = Duration::from_secs(10);
/// Where the observer tells its counters.
const METRICS: &str = "127.0.0.1:9464";
/// Before the clients' end nginx is left alone for as long, in seconds: its old worker is gone by then.
const CALM: u64 = 25;
/// How long clients may take to end by themselves, in seconds.
const GRACE: u64 = 30;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long the clients run.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    minutes: u64,
    /// Tunnels at the same time, half of them with heartbeats.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(2..=1500))]
    tunnels: u64,
    /// Seconds between two reloads of nginx.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(15..))]
    reload: u64,
    /// How to capture.
    #[arg(long, value_enum, default_value_t = Tap::Pcap)]
    tap: Tap,
    /// Keep nginx's logs and the observer's output in this directory.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// A short run for `cargo xtask test`: too short for memory, but not for what is told.
pub(crate) fn check() -> Result<()> {
    if !setup::can_watch("nginx's logs prove what is told")? {
        return Ok(());
    }
    run(&Args { minutes: 1, tunnels: 60, reload: 20, tap: Tap::Pcap, keep: None })
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let lab = Lab::locate()?;
    let observer = workspace::observer()?;
    lab.prepare()?;
    let case = lab.load("soak")?;
    let stage = Stage::set("soak", &case, Network::Loopback, &lab)?;
    let output = stage.folder().join("feed.json");
    let output_name = output.to_str().context("the folder's name is not UTF-8")?;
    let more = ["--output", output_name, "--metrics", METRICS];
    let watch = Watch::start(stage.hosts.command(stage.hosts.tap(), observer), args.tap, &more, stage.folder())?;
    let seconds = args.minutes * 60;
    let variables = [("SOAK_SECONDS", seconds.to_string()), ("SOAK_TUNNELS", args.tunnels.to_string())];
    let client = stage.start_client(&case, &lab, u32::try_from(seconds + GRACE)?, &variables)?;
    let (samples, living) = attend(args, &stage, client, watch.id())?;
    let logs = stage.folder().join("nginx");
    wait_for_all(&logs, &living, &output)?;
    watch.stop()?;
    if let Some(keep) = &args.keep {
        stage.keep(keep)?;
    }
    let records = golden::events(&fs::read_to_string(&output)?)?;
    let both = Both::read(&logs, &living, &output)?;
    both.print();
    let mut complaints = sample::not_flat(&samples);
    complaints.extend(lost(&records));
    complaints.extend(both.differences());
    if complaints.is_empty() {
        println!("flat, and every fact of nginx's logs was told, and no other");
        return Ok(());
    }
    bail!("{} complaints:\n{}", complaints.len(), complaints.join("\n"))
}

/// Watches the clients to their end. Gives what was measured, and the workers that nginx has then.
#[expect(clippy::disallowed_methods, reason = "reloads and measurements come at real times")]
fn attend(args: &Args, stage: &Stage, mut client: Process, observer: u32) -> Result<(Vec<Sample>, Vec<u32>)> {
    let nginx = stage.proxies[0].process.id();
    let (start, seconds) = (Instant::now(), args.minutes * 60);
    let gauge = Gauge::new(observer);
    let (mut samples, mut reloads, mut steps) = (Vec::new(), 1, 0);
    println!("{}", sample::TITLE);
    while !client.has_ended().with_context(|| stage.client_said())? {
        let elapsed = start.elapsed();
        if elapsed.as_secs() > seconds + GRACE {
            bail!("the clients do not end: {}", stage.client_said());
        }
        if elapsed >= STEP * steps {
            let sample = gauge.look(elapsed, &stage.hosts, METRICS)?;
            println!("{sample}");
            samples.push(sample);
            steps += 1;
        }
        if elapsed.as_secs() >= args.reload * reloads && elapsed.as_secs() + CALM <= seconds {
            quietly(Command::new("kill").args(["-HUP", &nginx.to_string()]))?;
            reloads += 1;
        }
        thread::sleep(Duration::from_millis(100));
    }
    println!("{}", gauge.look(start.elapsed(), &stage.hosts, METRICS)?);
    println!("{} reloads; the clients said: {}", reloads - 1, stage.client_said().trim());
    Ok((samples, proc::children(nginx)?))
}

/// What the observer itself says that it missed.
fn lost(records: &[Value]) -> Vec<String> {
    let Some(stats) = records.last() else { return vec!["the observer told nothing".to_owned()] };
    let count = |name: &'static str| (name, stats["details"][name].as_u64().unwrap_or_default());
    let counts = ["drops", "records_dropped", "evictions", "gaps"].map(count);
    counts.iter().filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name}: {count}")).collect()
}

/// Waits until the observer has told what the logs prove. What differs in the end is told by who compares it then.
fn wait_for_all(logs: &Path, living: &[u32], output: &Path) -> Result<()> {
    let mut looked_at = None;
    wait_for(PATIENCE, || {
        let files = [logs.join("soak.log"), logs.join("error.log"), output.to_owned()];
        let lengths = files.iter().map(|file| Ok(fs::metadata(file)?.len())).collect::<Result<Vec<_>>>()?;
        let is_new = looked_at.replace(lengths.clone()) != Some(lengths);
        Ok(is_new && Both::read(logs, living, output)?.differences().is_empty())
    })
    .map(drop)
}

/// What nginx's logs prove, and what the observer told.
struct Both {
    proved: facts::Proved,
    told: facts::Facts,
}

impl Both {
    /// As of now: a line that is still being written is left aside.
    fn read(logs: &Path, living: &[u32], output: &Path) -> Result<Self> {
        let read = |path: &Path| -> Result<String> {
            let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
            Ok(text.rsplit_once('\n').map(|(whole, _)| whole.to_owned()).unwrap_or_default())
        };
        let proved = facts::of_nginx(&read(&logs.join("soak.log"))?, &read(&logs.join("error.log"))?, living)?;
        Ok(Self { proved, told: facts::of_observer(&golden::events(&read(output)?)?) })
    }

    fn print(&self) {
        let sum = |facts: &facts::Facts| facts.values().sum::<i64>();
        println!("{} facts in nginx's logs, {} told", sum(&self.proved.facts), sum(&self.told));
        facts::summary(&self.proved.facts).iter().for_each(|line| println!("  {line}"));
    }

    /// What only one of them says.
    fn differences(self) -> Vec<String> {
        facts::between(self.proved, &self.told)
    }
}
