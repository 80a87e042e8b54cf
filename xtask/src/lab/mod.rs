//! The lab: real proxies in their own network namespaces, misconfigured the way people do it, captured on both
//! sides by tcpdump. A case is one file in `xtask/lab/cases`; its capture goes to `captures/<case>/`.

pub(crate) mod capture;
pub(crate) mod case;
mod install;
pub(crate) mod net;
pub(crate) mod process;
pub(crate) mod product;
mod proxy;
pub(crate) mod scene;
mod write;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::iter;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
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

/// Installs what single cases need as well.
pub(crate) fn install_extras() -> Result<()> {
    let lab = Lab::locate()?;
    install::everything(&lab)?;
    install::for_cases(lab.cases(&[])?, &lab).map(drop)
}

/// Runs the cases named in `args`, several at a time, each in namespaces of its own.
pub(crate) fn run(args: &Args) -> Result<()> {
    let lab = Lab::locate()?;
    let cases = lab.cases(&args.cases)?;
    if args.list {
        cases.iter().for_each(|case| println!("{:32} {}", case.name, case.title));
        return Ok(());
    }
    if args.truth {
        return cases.iter().try_for_each(|case| write::truth(case, &lab));
    }
    lab.prepare()?;
    let cases = install::for_cases(cases, &lab)?;
    let (slow, quick): (Vec<_>, Vec<_>) = cases.into_iter().partition(|case| case.slow);
    let failed = together(&slow, quick, args.jobs.max(1), |case| match scene::play(case, &lab) {
        Ok(frames) => {
            println!("{:32} {frames} frames", case.name);
            None
        }
        Err(error) => {
            eprintln!("{:32} FAILED: {error:#}", case.name);
            Some(case.name.clone())
        }
    });
    if failed.is_empty() { Ok(()) } else { bail!("{} cases failed: {}", failed.len(), failed.join(", ")) }
}

/// Plays many. The slow wait rather than work, so each gets a thread of its own; `jobs` threads share the quick.
pub(crate) fn together<T: Send + Sync, R: Send>(
    slow: &[T],
    quick: Vec<T>,
    jobs: usize,
    play: impl Fn(&T) -> Option<R> + Sync,
) -> Vec<R> {
    let queue = Mutex::new(VecDeque::from(quick));
    let results = Mutex::new(Vec::new());
    let next = || queue.lock().ok()?.pop_front();
    let play = |one: &T| {
        let result = play(one);
        if let Ok(mut results) = results.lock() {
            results.extend(result);
        }
    };
    thread::scope(|scope| {
        for one in slow {
            scope.spawn(|| play(one));
        }
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(one) = next() {
                    play(&one);
                }
            });
        }
    });
    results.into_inner().unwrap_or_default()
}

impl Lab {
    /// Installs what is missing, and sees to it that no namespace outlives this process by more than its next run.
    pub(crate) fn prepare(&self) -> Result<()> {
        install::everything(self)?;
        net::sweep_dead()?;
        static HANDLED: OnceLock<()> = OnceLock::new();
        if HANDLED.set(()).is_ok() {
            ctrlc::set_handler(|| {
                net::sweep_own();
                std::process::exit(130);
            })?;
        }
        Ok(())
    }

    /// What is played for another reason than its capture: `xtask/lab/NAME.toml`.
    pub(crate) fn load(&self, name: &str) -> Result<Case> {
        case::load(&self.scripts, &[name.to_owned()])?.pop().with_context(|| format!("{name}.toml was not read"))
    }

    /// The cases named, or all of them.
    pub(crate) fn cases(&self, names: &[String]) -> Result<Vec<Case>> {
        case::load(&self.scripts.join("cases"), names)
    }

    /// The same, without those for which a program cannot be had here.
    pub(crate) fn playable(&self, names: &[String]) -> Result<Vec<Case>> {
        install::for_cases(self.cases(names)?, self)
    }

    /// What scripts find in their environment, wherever they run.
    pub(crate) fn surround<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("LAB", &self.scripts)
            .env("LAB_PYTHON", self.python())
            .env("NODE_PATH", join(self.node_modules()))
            .env("PATH", self.path())
            .env("PYTHONUNBUFFERED", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1")
    }

    /// A script by its name.
    pub(crate) fn script(&self, name: &str) -> PathBuf {
        self.scripts.join(name)
    }

    /// The Python that has `websockets`.
    pub(crate) fn python(&self) -> PathBuf {
        self.cache.join("venv/bin/python")
    }

    /// The Python that has a program of `install`.
    pub(crate) fn python_of(&self, program: &str) -> PathBuf {
        self.cache.join("python").join(program).join("bin/python")
    }

    /// The node packages of a program of `install`.
    fn node_of(&self, program: &str) -> PathBuf {
        self.cache.join("node").join(program).join("node_modules")
    }

    /// Every folder of node packages.
    fn node_modules(&self) -> impl Iterator<Item = PathBuf> {
        let extras = install::EXTRAS.iter().map(|extra| self.node_of(extra.program));
        iter::once(self.cache.join("node_modules")).chain(extras)
    }

    /// Where programs are looked for: among those of Debian first, then those of the packages.
    fn path(&self) -> OsString {
        let pythons = install::EXTRAS.iter().map(|extra| self.python_of(extra.program).with_file_name(""));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let own: Vec<_> = std::env::split_paths(&path).collect();
        join(own.into_iter().chain(pythons).chain(self.node_modules().map(|folder| folder.join(".bin"))))
    }

    pub(crate) fn locate() -> Result<Self> {
        let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = xtask.parent().context("xtask lies outside the workspace")?;
        Ok(Self { scripts: xtask.join("lab"), cache: root.join(".cache/lab"), captures: root.join("captures") })
    }
}

/// A list of folders as the environment has it.
fn join(folders: impl Iterator<Item = PathBuf>) -> OsString {
    std::env::join_paths(folders).unwrap_or_default()
}
