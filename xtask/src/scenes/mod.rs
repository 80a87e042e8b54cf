//! `cargo xtask scenes`: the lab's cases once more, with `observer live` attached by each tap. What it tells must be the
//! truth of the case, and what `observer read` makes of a tcpdump of the same run. Each is played once.

mod compare;
mod tally;

use std::{
    path::{Path, PathBuf},
    sync::Mutex,
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_json::Value;

use self::tally::{Played, Tally};
use crate::{
    command::output,
    golden,
    lab::{
        self, Lab,
        capture::Recording,
        case::{Capture, Case, Network},
        process::{PATIENCE, wait_for},
        scene::Stage,
    },
    setup,
    watch::{Tap, Told, Watch},
    workspace,
};

/// What CI plays: of every product one upgrade that works and each of its typical failures, chains, retries, tunnels
/// that are cut, and what only looks like a failure.
const CHOICE: [&str; 52] = [
    "accept-mismatch",
    "apache-dropped",
    "apache-good",
    "apache-idle-5s",
    "apache-refused",
    "apache-rewrite",
    "apache-ws-scheme",
    "auth-request-denied",
    "bridge-idle-5s",
    "caddy-dropped",
    "caddy-good",
    "caddy-refused",
    "chain-edge-bare",
    "chain-good",
    "chain-haproxy-nginx-bare",
    "chain-idle-inner",
    "chain-inner-bare",
    "client-gives-up",
    "client-malformed",
    "clients-killed",
    "docker-nat-bare",
    "h2c-forwarded-refused",
    "haproxy-denied",
    "haproxy-dropped",
    "haproxy-good",
    "haproxy-refused",
    "haproxy-silent",
    "haproxy-tunnel-5s",
    "ipv6-bare",
    "many-mixed",
    "nginx-auth-basic",
    "nginx-bare",
    "nginx-heartbeat",
    "nginx-http10-lenient",
    "nginx-idle-5s",
    "nginx-missing-slash",
    "nginx-path-mismatch",
    "nginx-redirect",
    "nginx-reload",
    "nginx-sigterm",
    "ordinary-nginx",
    "origin-forbidden",
    "origin-redirect",
    "origin-reset",
    "retry-502",
    "socketio-good",
    "subprotocol-dropped",
    "upgrade-injected",
    "upstream-closed",
    "upstream-frozen",
    "upstream-refused",
    "upstream-silent",
];

/// What is only understood when it is known that two addresses are one proxy's: its requests upstream have no key, or
/// none was ever sent. With client and origin apart, and nothing seen of that proxy before, the truth is not reported. What
/// `read` reports all the same is not held against a tap; where it accuses falsely, that is printed as a known limit.
const BY_ADDRESS: [&str; 13] = [
    "apache-refused",
    "caddy-refused",
    "client-malformed",
    "docker-tcp-bare",
    "docker-tcp-good",
    "h2c-forwarded-declined",
    "h2c-forwarded-refused",
    "haproxy-refused",
    "kubectl-spdy-bare",
    "retry-exhausted",
    "upgrade-injected",
    "upstream-refused",
    "upstream-unreachable",
];

/// Scenes at the same time: they wait more than they work.
const JOBS: usize = 6;

/// When a run fails, for its help.
const WHAT_FAILS: &str = "\
Each scene is played once. A disagreement with the truth of its case, or between a tap and `read`, is printed and counted:
more than 1 in 100 scenes fail the run, or more than one where fewer than 100 are played. On a busy machine, programs may
do things in another order than the truth has it. The choice that CI plays comes to 101 scenes, so there one scene may
disagree, in one tap or both; of --all two may; of cases that are named none.
A false accusation (an alert at warning or above that the truth does not have) always fails, and so does a scene that
cannot be played.";

#[derive(clap::Args)]
#[command(after_help = WHAT_FAILS)]
pub(crate) struct Args {
    /// Cases of the lab to play (a choice of them, when none is named).
    cases: Vec<String>,
    /// Play every case that can be watched live.
    #[arg(long, conflicts_with = "cases")]
    all: bool,
    /// How to capture; each gets an observer of its own in every scene.
    #[arg(long = "tap", value_enum, default_values_t = [Tap::Pcap])]
    taps: Vec<Tap>,
    /// Keep the files of each scene that fails in this directory.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Scenes at the same time.
    #[arg(long, default_value_t = JOBS)]
    jobs: usize,
}

/// A case on a network.
struct Scene {
    name: String,
    case: Case,
    network: Network,
}

/// Plays the choice by every tap, for `cargo xtask test`.
pub(crate) fn check() -> Result<()> {
    if !setup::can_watch("live sees the same")? {
        return Ok(());
    }
    run(&Args { cases: Vec::new(), all: false, taps: Tap::value_variants().to_vec(), keep: None, jobs: JOBS })
}

/// Plays them.
pub(crate) fn run(args: &Args) -> Result<()> {
    let lab = Lab::locate()?;
    let observer = workspace::observer()?;
    lab.prepare()?;
    let names =
        if args.cases.is_empty() && !args.all { CHOICE.map(str::to_owned).to_vec() } else { args.cases.clone() };
    let scenes = scenes(&lab, &names)?;
    let is_played = |name: &&String| scenes.iter().any(|scene| scene.case.name == **name);
    if let Some(name) = names.iter().find(|name| !is_played(name)) {
        bail!("{name} cannot be watched live: it is about what a capture lacks, or about one interface among many");
    }
    let (slow, quick): (Vec<_>, Vec<_>) = scenes.into_iter().partition(|scene| scene.case.slow);
    let played = lab::together(&slow, quick, args.jobs.max(1), |scene| {
        let played = scene.play(args, &lab, &observer);
        tally::print(&scene.name, &played);
        Some((scene.name.clone(), played))
    });
    Tally::of(&played, args.cases.is_empty()).finish()
}

/// Each case on its own network, and those of one host with client, proxy and origin apart as well.
fn scenes(lab: &Lab, names: &[String]) -> Result<Vec<Scene>> {
    let here = lab.playable(names)?.into_iter();
    let here = here.map(|case| Scene { name: case.name.clone(), network: case.network, case });
    let apart = lab.playable(names)?.into_iter().filter(|case| case.network == Network::Loopback).map(|case| Scene {
        name: format!("{}-apart", case.name),
        network: Network::Three,
        case,
    });
    Ok(here.chain(apart).filter(Scene::can_be_watched).collect())
}

impl Scene {
    /// Cases about what a capture lacks cannot, nor those of one interface among many.
    fn can_be_watched(&self) -> bool {
        let Case { capture, finish, args, network, client, proxy, .. } = &self.case;
        let [Capture { interface, options, filter, .. }] = &capture[..] else { return false };
        let whole = options.is_empty() && filter.is_empty() && finish.is_none() && args.is_empty();
        let everywhere = interface == "any" || (*network == Network::Loopback && interface == "lo");
        let can_be_apart =
            !client.run.contains("ON_PROXY") && proxy.iter().any(|proxy| proxy.config.contains("127.0.0.1"));
        whole && everywhere && (self.network == *network || can_be_apart)
    }

    /// Plays it under the eyes of tcpdump and of an observer for each tap.
    fn play(&self, args: &Args, lab: &Lab, observer: &Path) -> Result<Played> {
        // All that wait would start at the same time, and none of them get anywhere.
        static START: Mutex<()> = Mutex::new(());
        let turn = self.case.slow.then(|| START.lock());
        let stage = Stage::set(&self.name, &self.case, self.network, lab)?;
        drop(turn);
        let said = self.watch(&args.taps, &stage, lab, observer);
        if let (false, Some(keep)) = (said.as_ref().is_ok_and(Played::is_right), &args.keep) {
            stage.keep(&keep.join(&self.name))?;
        }
        said
    }

    fn watch(&self, taps: &[Tap], stage: &Stage, lab: &Lab, observer: &Path) -> Result<Played> {
        let recording = Recording::start(&everything(), &stage.hosts, stage.folder())?;
        let attach = |tap: &Tap| {
            let command = stage.hosts.command(stage.hosts.tap(), observer);
            // What the kernel may leave out, it does.
            Ok((*tap, Watch::start(command, *tap, &["--ordinary", "0"], stage.folder())?))
        };
        let watches = taps.iter().map(attach).collect::<Result<Vec<_>>>()?;
        stage.act(&self.case, lab)?;
        recording.stop(&stage.hosts)?;
        let read = read(observer, &stage.folder().join(CAPTURE))?;
        let mut played = Played { said: vec![format!("{} records", compare::facts(&read).len())], ..Played::default() };
        for (tap, watch) in watches {
            self.judge(&read, tap, watch, &mut played).context(tap.name())?;
        }
        Ok(played)
    }

    /// Holds what an observer told against the truth and against what was read.
    fn judge(&self, read: &[Value], tap: Tap, watch: Watch, played: &mut Played) -> Result<()> {
        let records = |told: &[Told]| told.iter().map(|told| told.record.clone()).collect::<Vec<_>>();
        let is_as_read = || Ok(compare::between(read, &records(&watch.told())).is_empty());
        let in_time = self.is_dark() || wait_for(PATIENCE, is_as_read)?;
        let told = watch.stop()?;
        let (slowest, records) = (
            told.iter().filter(|told| told.is_alert()).filter_map(Told::delay).max().unwrap_or_default(),
            records(&told),
        );
        let drops = records.last().map(|stats| &stats["details"]["drops"]);
        if drops != Some(&Value::from(0)) {
            bail!("frames were dropped: {drops:?}");
        }
        played.said.push(format!("{} at most {} ms late", tap.name(), slowest / 1_000_000));
        let of_tap = |line: String| format!("{}: {line}", tap.name());
        let accusations = tally::accusations(&self.case.truth.alerts, &records).into_iter().map(of_tap);
        let (lies, differences) = (self.lies(&records)?, compare::between(read, &records));
        // Where read cannot tell the truth, a tap that sees processes may.
        if self.is_dark() && (lies.is_empty() || differences.is_empty()) {
            played.known.extend(accusations);
            return Ok(());
        }
        played.accusations.extend(accusations);
        if !in_time && differences.is_empty() {
            bail!("some of it was told only at the end");
        }
        let lies = lies.into_iter().filter(|_| !self.is_dark()).map(|line| format!("not the truth: {line}"));
        let differences = differences.into_iter().map(|line| format!("differs from read: {line}"));
        played.disagreements.extend(lies.chain(differences).map(of_tap));
        Ok(())
    }

    /// Whether addresses alone do not tell the truth.
    fn is_dark(&self) -> bool {
        self.network != self.case.network && BY_ADDRESS.contains(&self.case.name.as_str())
    }

    fn lies(&self, records: &[Value]) -> Result<Vec<String>> {
        let cases = golden::cases(&workspace::captures(), std::slice::from_ref(&self.case.name))?;
        let moved = self.network != self.case.network;
        Ok(cases.iter().flat_map(|case| case.lies(records, moved)).collect())
    }
}

/// What tcpdump writes.
const CAPTURE: &str = "all.pcap";

fn everything() -> Capture {
    let options = vec!["--nano".to_owned()];
    Capture { file: CAPTURE.to_owned(), interface: "any".to_owned(), options, filter: "tcp".to_owned() }
}

fn read(observer: &Path, capture: &Path) -> Result<Vec<Value>> {
    let path = capture.to_str().context("the path of the capture is not UTF-8")?;
    golden::events(&output(observer, &["read", "--format", "json", path])?)
}
