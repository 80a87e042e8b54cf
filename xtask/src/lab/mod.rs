//! The lab: real proxies in their own network namespaces, misconfigured the way people do it, captured on both
//! sides by tcpdump. A case is one file in `xtask/lab/cases`; its capture goes to `captures/<case>/`.

mod capture;
mod case;
mod install;
mod net;
mod process;
mod proxy;
mod scene;
mod write;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, bail};

use case::Case;

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Cases to capture (all, when none is named).
    cases: Vec<String>,
    /// Cases at the same time; those that wait for idle timers run beside them.
    #[arg(long, default_value_t = 3)]
    jobs: usize,
    /// Only write `case.toml` again from the definitions; start nothing.
    #[arg(long)]
    truth: bool,
    /// List the cases and their titles.
    #[arg(long)]
    list: bool,
}

/// The directories that the lab reads and writes.
pub(crate) struct Lab {
    /// Scripts, cases and the frames of the proxies' configurations.
    scripts: PathBuf,
    /// Python and node packages.
    cache: PathBuf,
    /// Where the captures go.
    captures: PathBuf,
}

/// Installs what the lab needs.
pub(crate) fn install() -> Result<()> {
    install::everything(&Lab::locate()?)
}

/// Runs the cases named in `args`, several at a time, each in namespaces of its own.
pub(crate) fn run(args: &Args) -> Result<()> {
    let lab = Lab::locate()?;
    let cases = case::load(&lab.scripts.join("cases"), &args.cases)?;
    if args.list {
        cases.iter().for_each(|case| println!("{:32} {}", case.name, case.title));
        return Ok(());
    }
    if args.truth {
        return cases.iter().try_for_each(|case| write::truth(case, &lab));
    }
    install::everything(&lab)?;
    net::sweep_dead()?;
    ctrlc::set_handler(|| {
        net::sweep_own();
        std::process::exit(130);
    })?;
    let failed = run_all(cases, &lab, args.jobs.max(1));
    if failed.is_empty() { Ok(()) } else { bail!("{} cases failed: {}", failed.len(), failed.join(", ")) }
}

/// Slow cases wait rather than work, so each gets a thread of its own; `jobs` threads share the others.
fn run_all(cases: Vec<Case>, lab: &Lab, jobs: usize) -> Vec<String> {
    let (slow, quick): (Vec<_>, Vec<_>) = cases.into_iter().partition(|case| case.slow);
    let queue = Mutex::new(VecDeque::from(quick));
    let failed = Mutex::new(Vec::new());
    let next = || queue.lock().ok()?.pop_front();
    let play = |case: &Case| match scene::play(case, lab) {
        Ok(frames) => println!("{:32} {frames} frames", case.name),
        Err(error) => {
            eprintln!("{:32} FAILED: {error:#}", case.name);
            if let Ok(mut failed) = failed.lock() {
                failed.push(case.name.clone());
            }
        }
    };
    thread::scope(|scope| {
        for case in &slow {
            scope.spawn(move || play(case));
        }
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(case) = next() {
                    play(&case);
                }
            });
        }
    });
    failed.into_inner().unwrap_or_default()
}

impl Lab {
    fn locate() -> Result<Self> {
        let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = xtask.parent().context("xtask lies outside the workspace")?;
        Ok(Self { scripts: xtask.join("lab"), cache: root.join(".cache/lab"), captures: root.join("captures") })
    }
}
