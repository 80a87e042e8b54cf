//! `cargo xtask scenes`: the lab's cases once more, with `observer live` attached by each tap. What it tells must be the
//! truth of the case, and what `observer read` makes of a tcpdump of the same run.

mod compare;

use std::{
    path::{Path, PathBuf},
    sync::Mutex,
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_json::Value;

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
const CHOICE: [&str; 55] = [
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
    "caddy-reload",
    "chain-edge-bare",
    "chain-good",
    "chain-haproxy-nginx-bare",
    "chain-idle-inner",
    "chain-inner-bare",
    "client-gives-up",
    "client-malformed",
    "clients-killed",
    "docker-nat-bare",
    "docker-nat-good",
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
    "nginx-only-connection",
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
/// none was ever sent. With client and origin apart, and nothing seen of that proxy before, less than the truth is told.
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

/// How often a scene is played, at most, that goes otherwise than it should.
const PLAYS: u32 = 3;

/// The taps and `read` agree, but not with the truth of the case: on a busy machine, programs may do things in another
/// order. If they are wrong about what happened, they are so each time.
#[derive(Debug)]
struct Otherwise(String);

impl std::fmt::Display for Otherwise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "is not the truth, nor is what was captured: {}", self.0)
    }
}

/// Scenes at the same time: they wait more than they work.
const JOBS: usize = 6;

#[derive(clap::Args)]
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
    let count = scenes.len();
    let (slow, quick): (Vec<_>, Vec<_>) = scenes.into_iter().partition(|scene| scene.case.slow);
    let failed = lab::together(&slow, quick, args.jobs.max(1), |scene| match scene.play(args, &lab, &observer) {
        Ok(said) => {
            println!("{:40} {said}", scene.name);
            None
        }
        Err(error) => {
            eprintln!("{:40} FAILED: {error:#}", scene.name);
            Some(scene.name.clone())
        }
    });
    println!("{count} scenes, {} failed", failed.len());
    if failed.is_empty() { Ok(()) } else { bail!("failed: {}", failed.join(", ")) }
}

/// Each case on its own network, and those of one host with client, proxy and origin apart as well.
fn scenes(lab: &Lab, names: &[String]) -> Result<Vec<Scene>> {
    let here = lab.cases(names)?.into_iter().map(|case| Scene { name: case.name.clone(), network: case.network, case });
    let apart = lab.cases(names)?.into_iter().filter(|case| case.network == Network::Loopback).map(|case| Scene {
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

    /// Plays it under the eyes of tcpdump and of an observer for each tap. Says what was seen.
    fn play(&self, args: &Args, lab: &Lab, observer: &Path) -> Result<String> {
        let mut plays = 1;
        loop {
            match self.play_once(args, lab, observer) {
                Err(error) if error.is::<Otherwise>() && plays < PLAYS => {
                    println!("{:40} is played again: {error:#}", self.name);
                    plays += 1;
                }
                said => return said,
            }
        }
    }

    fn play_once(&self, args: &Args, lab: &Lab, observer: &Path) -> Result<String> {
        // All that wait would start at the same time, and none of them get anywhere.
        static START: Mutex<()> = Mutex::new(());
        let turn = self.case.slow.then(|| START.lock());
        let stage = Stage::set(&self.name, &self.case, self.network, lab)?;
        drop(turn);
        let said = self.watch(&args.taps, &stage, lab, observer);
        if let (Err(_), Some(keep)) = (&said, &args.keep) {
            stage.keep(&keep.join(&self.name))?;
        }
        said
    }

    fn watch(&self, taps: &[Tap], stage: &Stage, lab: &Lab, observer: &Path) -> Result<String> {
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
        let mut said = vec![format!("{} records", compare::facts(&read).len())];
        for (tap, watch) in watches {
            let slowest = self.judge(&read, watch).context(tap.name())?;
            said.push(format!("{} at most {} ms late", tap.name(), slowest / 1_000_000));
        }
        Ok(said.join(", "))
    }

    /// Holds what an observer told against the truth and against what was read. Gives the longest delay of an alert.
    fn judge(&self, read: &[Value], watch: Watch) -> Result<i64> {
        let records = |told: &[Told]| told.iter().map(|told| told.record.clone()).collect::<Vec<_>>();
        let in_time =
            self.is_dark() || wait_for(PATIENCE, || Ok(compare::between(read, &records(&watch.told())).is_empty()))?;
        let told = watch.stop()?;
        let (slowest, records) = (
            told.iter().filter(|told| told.is_alert()).filter_map(Told::delay).max().unwrap_or_default(),
            records(&told),
        );
        let (lies, differences) = (self.lies(&records)?, compare::between(read, &records));
        match (self.is_dark(), lies.is_empty(), differences.is_empty()) {
            (false, false, true) => return Err(anyhow::Error::msg(Otherwise(lies.join("; ")))),
            (false, false, false) => bail!("is not the truth: {}", lies.join("; ")),
            (false, true, false) | (true, false, false) => bail!("differs from read:\n{}", differences.join("\n")),
            // Where read cannot tell the truth, a tap that sees processes may.
            _ => {}
        }
        if !in_time {
            bail!("told some of it only at its end");
        }
        let drops = records.last().map(|stats| &stats["details"]["drops"]);
        if drops != Some(&Value::from(0)) {
            bail!("frames were dropped: {drops:?}");
        }
        Ok(slowest)
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
