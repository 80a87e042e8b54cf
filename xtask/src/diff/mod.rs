//! `cargo xtask diff`: holds the observer against tshark. Both must see the same upgrade requests and the same 101s, or
//! the difference is explained; and the observer must be quick, small and calm on every file.

mod exceptions;
mod observed;
mod sight;
mod tshark;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{
    setup::{self, Purpose},
    workspace,
};
use sight::{Only, Sight};

/// Files that lie beside captures and are none.
const NO_CAPTURES: [&str; 7] = ["md", "toml", "json", "jsonl", "csv", "txt", "py"];

/// Captures in a folder of this name hold no upgrade at all.
const ROBUST: &str = "robust";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folders with captures, or captures, to compare instead of `captures/`.
    paths: Vec<PathBuf>,
    /// Tell about every file.
    #[arg(long)]
    verbose: bool,
}

/// `cargo xtask diff`.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::prepare(Purpose::Test)?;
    let paths = if args.paths.is_empty() { vec![workspace::captures()] } else { args.paths.clone() };
    let mut files = Vec::new();
    for path in &paths {
        collect(path, &mut files)?;
    }
    compare(files, args.verbose)
}

/// As a step of the tests: all captures of the repository.
pub(crate) fn captures() -> Result<()> {
    run(&Args { paths: Vec::new(), verbose: false })
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path).with_context(|| path.display().to_string())? {
            collect(&entry?.path(), files)?;
        }
    } else if !path.extension().is_some_and(|it| NO_CAPTURES.iter().any(|other| it == *other)) {
        files.push(path.to_owned());
    }
    Ok(())
}

/// What came of one file.
struct Outcome {
    heads: (usize, usize),
    time: Duration,
    memory: u64,
    is_readable: bool,
    explained: Vec<(&'static str, String)>,
    problems: Vec<String>,
}

fn compare(files: Vec<PathBuf>, verbose: bool) -> Result<()> {
    let binary = workspace::observer()?;
    let (queue, outcomes) = (Mutex::new(files), Mutex::new(BTreeMap::new()));
    let next = || queue.lock().ok()?.pop();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(file) = next() {
                    let outcome = examine(&binary, &file);
                    if let Ok(mut outcomes) = outcomes.lock() {
                        outcomes.insert(file, outcome);
                    }
                }
            });
        }
    });
    report(&outcomes.into_inner().unwrap_or_default(), verbose)
}

fn examine(binary: &Path, file: &Path) -> Result<Outcome> {
    let run = observed::read(binary, file)?;
    let tshark = tshark::read(file)?;
    let (mut explained, mut problems) = (Vec::new(), run.faults);
    for (only, line) in tshark.iter().flat_map(|tshark| Sight::differences(tshark, &run.sight)) {
        match exceptions::reason(file, only) {
            Some(reason) => explained.push((reason, line)),
            None if only == Only::Tshark => problems.push(format!("only tshark: {line}")),
            None => problems.push(format!("only observer: {line}")),
        }
    }
    if run.sight.attempts > 0 && file.components().any(|part| part.as_os_str() == ROBUST) {
        problems.push(format!("{} attempts where there is none", run.sight.attempts));
    }
    let heads = run.sight.counts();
    Ok(Outcome { heads, time: run.time, memory: run.memory, is_readable: tshark.is_some(), explained, problems })
}

fn report(outcomes: &BTreeMap<PathBuf, Result<Outcome>>, verbose: bool) -> Result<()> {
    let mut bad = 0;
    for (file, outcome) in outcomes {
        let name = file.strip_prefix(workspace::root()).unwrap_or(file).display();
        match outcome {
            Err(error) => println!("{name}: {error:#}"),
            Ok(outcome) => tell(&name.to_string(), outcome, verbose),
        }
        bad += usize::from(outcome.as_ref().map_or(true, |outcome| !outcome.problems.is_empty()));
    }
    let good: Vec<_> = outcomes.iter().filter_map(|(file, outcome)| Some((file, outcome.as_ref().ok()?))).collect();
    summary(&good);
    if bad > 0 { bail!("{bad} of {} files differ", outcomes.len()) } else { Ok(()) }
}

fn tell(name: &str, outcome: &Outcome, verbose: bool) {
    if verbose {
        let (requests, switches) = outcome.heads;
        let (time, memory) = (outcome.time.as_secs_f32(), mega(outcome.memory));
        println!("{name}: {requests} upgrade requests, {switches} 101s, {time:.2} s, {memory:.1} MB");
    }
    outcome.explained.iter().for_each(|(reason, line)| println!("{name}: only tshark: {line}: right: {reason}"));
    outcome.problems.iter().for_each(|line| println!("{name}: {line}"));
}

fn summary(outcomes: &[(&PathBuf, &Outcome)]) {
    let sum = |count: fn(&Outcome) -> usize| outcomes.iter().map(|(_, outcome)| count(outcome)).sum::<usize>();
    let name = |file: &Path| file.iter().rev().take(2).collect::<Vec<_>>().into_iter().rev().collect::<PathBuf>();
    let rows = [
        ("files", outcomes.len()),
        ("of them not read by tshark", sum(|it| usize::from(!it.is_readable))),
        ("upgrade requests", sum(|it| it.heads.0)),
        ("101s", sum(|it| it.heads.1)),
        ("differences explained", sum(|it| it.explained.len())),
        ("differences and faults", sum(|it| it.problems.len())),
    ];
    rows.iter().for_each(|(what, count)| println!("{what:28} {count:6}"));
    if let Some((file, it)) = outcomes.iter().max_by_key(|(_, it)| it.time) {
        println!("{:28} {:6.2} s   {}", "slowest", it.time.as_secs_f32(), name(file).display());
    }
    if let Some((file, it)) = outcomes.iter().max_by_key(|(_, it)| it.memory) {
        println!("{:28} {:6.1} MB  {}", "largest in memory", mega(it.memory), name(file).display());
    }
}

#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
