//! `cargo xtask fuzz`: builds the fuzz targets with libFuzzer and coverage, seeds their corpus from the captures, and
//! runs each for a while. What is found is a file in `fuzz/found`, which a test replays from then on.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    command::{check, describe, openly, quietly},
    workspace::{self, cargo},
};

/// What counts branches and shows comparisons to the fuzzer.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";
const PLATFORM: &str = "x86_64-unknown-linux-gnu";
/// An input that takes longer than so many seconds, or more than so many MiB, is a finding.
const LONGEST: u32 = 10;
const LARGEST: u32 = 1024;
const TARGETS: [&str; 6] = ["files", "frames", "scripts", "heads", "websockets", "records"];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Targets to run (all, when none is named).
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(TARGETS))]
    targets: Vec<String>,
    /// Minutes for each of them.
    #[arg(long, default_value_t = 1)]
    minutes: u64,
}

/// Runs them, one after the other.
pub(crate) fn run(args: &Args) -> Result<()> {
    let fuzz = workspace::root().join("fuzz");
    let built = build(&fuzz)?;
    let corpus = fuzz.join("corpus");
    let seed = ["test", "--quiet", "--package", "observer", "--test", "fuzz", "--", "--ignored", "seeds_are_written"];
    quietly(cargo(&seed).env("FUZZ_CORPUS", &corpus))?;
    let all = TARGETS.map(str::to_owned);
    let targets = if args.targets.is_empty() { &all[..] } else { &args.targets };
    println!(
        "{:>12} {:>12} {:>10} {:>10} {:>8} {:>8}",
        "target", "executions", "coverage", "features", "corpus", "MiB"
    );
    let mut found = Vec::new();
    for target in targets {
        let said = play(&built, &fuzz, target, args.minutes * 60)?;
        let [executions, resident] = ["number_of_executed_units", "peak_rss_mb"].map(|name| stat(&said, name));
        let [coverage, features, inputs] = ["cov:", "ft:", "corp:"].map(|name| last(&said, name));
        println!("{target:>12} {executions:>12} {coverage:>10} {features:>10} {inputs:>8} {resident:>8}");
        let artifacts = said.lines().filter_map(|line| line.split_once("Test unit written to ")).map(|(_, path)| path);
        found.extend(artifacts.map(str::to_owned));
    }
    if found.is_empty() { Ok(()) } else { bail!("found, and kept for `cargo test --test fuzz`: {}", found.join(", ")) }
}

fn build(fuzz: &Path) -> Result<PathBuf> {
    let folder = workspace::root().join("target/fuzz");
    let mut build = cargo(&["build", "--quiet", "--release", "--target", PLATFORM, "--target-dir"]);
    openly(build.arg(&folder).current_dir(fuzz).env("RUSTFLAGS", COVERAGE))?;
    Ok(folder.join(PLATFORM).join("release"))
}

/// Runs one target. Gives what it said.
fn play(built: &Path, fuzz: &Path, target: &str, seconds: u64) -> Result<String> {
    let (corpus, found) = (fuzz.join("corpus").join(target), fuzz.join("found").join(target));
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&found)?;
    let mut command = Command::new(built.join(target));
    command.arg(&corpus).arg(format!("-artifact_prefix={}/", found.display()));
    command.args([
        format!("-max_total_time={seconds}"),
        format!("-timeout={LONGEST}"),
        format!("-rss_limit_mb={LARGEST}"),
    ]);
    command.args(["-print_final_stats=1", "-max_len=65536", "-len_control=20", "-use_value_profile=1"]);
    let out = command.stdin(Stdio::null()).stdout(Stdio::null()).output().with_context(|| describe(&command))?;
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    if !out.status.success() && !said.contains("Test unit written to ") {
        check(out.status, &said)?;
    }
    // An empty folder is nobody's finding.
    let _ = fs::remove_dir(found);
    Ok(said)
}

/// One of the figures at the end.
fn stat<'a>(said: &'a str, name: &str) -> &'a str {
    let line = said.lines().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or("?").trim()
}

/// The last of the figures that are told on the way.
fn last<'a>(said: &'a str, name: &str) -> &'a str {
    let figure = |line: &'a str| line.split_once(name)?.1.split_whitespace().next();
    said.lines().filter(|line| line.starts_with('#')).filter_map(figure).next_back().unwrap_or("?")
}
