//! What cannot be checked on this machine. `cargo xtask test` lists it at its end; in CI it fails, unless a CI machine
//! cannot have what is missing.

use std::{
    collections::BTreeSet,
    env, fs,
    process::Command,
    sync::{Mutex, PoisonError},
};

use anyhow::{Result, bail};

use crate::command::openly;

/// What a CI machine may lack, by words of the reason. Who adds a line says why no such machine can have it.
const MAY_LACK: [&str; 3] = [
    // It may reach a package mirror and nothing else.
    "the advisory database cannot be reached",
    // It takes the stable compiler of its day, and the counts are of one compiler.
    "what is expected was counted with",
    // It takes Caddy from its distribution, where it is older than this option.
    "too old for stream_close_delay",
];

/// Where tests put a line for each that is skipped: `tests/scene/skip.rs`.
const FILE: &str = "OBSERVER_SKIPPED";

/// What was skipped so far.
static SKIPPED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Says what is skipped, and why. An error in CI, unless its machine may lack that.
pub(crate) fn skip(name: &str, reason: &str) -> Result<()> {
    println!("skipped: {name}: {reason}");
    note([format!("{name}: {reason}")])
}

/// Runs tests, and takes over what they skip.
pub(crate) fn of_tests(command: &mut Command) -> Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    let ran = openly(command.env(FILE, file.path()));
    let noted = note(fs::read_to_string(file.path())?.lines().map(str::to_owned));
    ran.and(noted)
}

/// All of it, for the end.
pub(crate) fn list() -> Vec<String> {
    let skipped = SKIPPED.lock().unwrap_or_else(PoisonError::into_inner);
    skipped.iter().map(|line| format!("skipped: {line}")).collect()
}

fn note(lines: impl IntoIterator<Item = String>) -> Result<()> {
    let lines: BTreeSet<_> = lines.into_iter().collect();
    let is_ci = env::var("CI").as_deref() == Ok("true");
    let bad: Vec<_> = lines.iter().filter(|line| is_ci && !may_be_skipped(line)).cloned().collect();
    SKIPPED.lock().unwrap_or_else(PoisonError::into_inner).extend(lines);
    if bad.is_empty() {
        Ok(())
    } else {
        bail!("skipped in CI, whose machine can have what is missing: {}", bad.join("; "))
    }
}

/// Whether CI may go without it.
fn may_be_skipped(line: &str) -> bool {
    MAY_LACK.iter().any(|words| line.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ci_goes_without_little() {
        assert!(may_be_skipped("observer::advice::programs::caddy: this Caddy is too old for stream_close_delay"));
        assert!(!may_be_skipped("live::interfaces_may_come_and_go: it needs root"));
        assert!(!may_be_skipped("tui::it_resizes: tmux is missing"));
    }
}
