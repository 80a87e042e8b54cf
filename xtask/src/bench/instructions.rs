//! `cargo xtask bench instructions`: how many instructions it takes to read the standard captures. Unlike times, these are
//! the same on a busy machine, so that `cargo xtask test` can hold them against what they were.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::figures::table;
use crate::{
    command::{check as succeeded, describe, output},
    setup, skips, workspace,
};

/// What is skipped where instructions cannot be counted.
const NAME: &str = "reading takes no more instructions";
/// How much more than before is too much, in percent.
const TOLERANCE: f64 = 5.0;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Take what is counted now as what is expected.
    #[arg(long)]
    bless: bool,
}

/// What was counted, and the compiler whose work it is.
#[derive(Serialize, Deserialize)]
struct Counts {
    compiler: String,
    instructions: BTreeMap<String, u64>,
}

/// Counts and prints.
pub(crate) fn run(args: &Args) -> Result<()> {
    if !args.bless {
        return check();
    }
    valgrind()?;
    let counts = Counts { compiler: compiler()?, instructions: count()? };
    let path = folder().join("instructions.json");
    fs::write(&path, serde_json::to_string_pretty(&counts)? + "\n")?;
    println!("written to {}", path.display());
    Ok(())
}

/// Counts, and fails where it is too much. Skipped, with the reason, where that cannot be told.
pub(crate) fn check() -> Result<()> {
    if let Err(error) = valgrind() {
        return skips::skip(NAME, &format!("{error:#}"));
    }
    let path = folder().join("instructions.json");
    let before: Counts =
        serde_json::from_str(&fs::read_to_string(&path)?).with_context(|| path.display().to_string())?;
    let compiler = compiler()?;
    if compiler != before.compiler {
        let reason = format!("this is {compiler}, and what is expected was counted with {}", before.compiler);
        return skips::skip(NAME, &reason);
    }
    let now = count()?;
    let mut rows = Vec::new();
    for (name, before) in &before.instructions {
        let now = *now.get(name).with_context(|| format!("{name} is not among the standard captures"))?;
        rows.push((name, *before, now, percent(*before, now)));
    }
    let cells = |(name, before, now, percent): &(&String, u64, u64, f64)| {
        vec![(*name).clone(), before.to_string(), now.to_string(), format!("{percent:+.1} %")]
    };
    table(&["instructions", "expected", "now", ""], &rows.iter().map(cells).collect::<Vec<_>>());
    if rows.iter().any(|(.., percent)| *percent > TOLERANCE) {
        bail!("more than {TOLERANCE} % more; where that is worth it: cargo xtask bench instructions --bless");
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below the 52 bits that are exact")]
fn percent(before: u64, now: u64) -> f64 {
    (now as f64 / before as f64 - 1.0) * 100.0
}

fn folder() -> PathBuf {
    workspace::root().join("xtask/lab/standard")
}

fn compiler() -> Result<String> {
    Ok(output("rustc", &["--version"])?.trim().to_owned())
}

fn valgrind() -> Result<()> {
    if setup::is_installed("valgrind") { Ok(()) } else { setup::install(&["valgrind"]) }
}

/// By capture.
fn count() -> Result<BTreeMap<String, u64>> {
    let observer = workspace::observer()?;
    let place = TempDir::new()?;
    let mut counts = BTreeMap::new();
    for name in ["requests", "tunnels"] {
        let capture = place.path().join(name).with_extension("pcap");
        let mut unpack = Command::new("gzip");
        unpack.arg("-dc").arg(folder().join(name).with_extension("pcap.gz")).stdout(File::create(&capture)?);
        succeeded(unpack.status()?, &describe(&unpack))?;
        counts.insert(name.to_owned(), instructions(&observer, &capture, place.path())?);
    }
    Ok(counts)
}

/// Of a run of the observer, by callgrind's summary.
fn instructions(observer: &Path, capture: &Path, place: &Path) -> Result<u64> {
    let out = place.join("callgrind.out");
    let mut run = Command::new("valgrind");
    run.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", out.display()));
    run.arg(observer).args(["read", "--format", "json"]).arg(capture);
    let said = run.output().with_context(|| describe(&run))?;
    succeeded(said.status, &format!("{}: {}", describe(&run), String::from_utf8_lossy(&said.stderr)))?;
    let text = fs::read_to_string(&out)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals:")).context("callgrind tells no total")?;
    Ok(total.trim().parse()?)
}
