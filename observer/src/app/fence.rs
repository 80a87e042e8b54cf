//! The fence: once the tap and the outputs are open, and before the first byte of a stranger is parsed, the process
//! gives up what it no longer needs. Another user, no capabilities, no new privileges, files and ports out of reach
//! (Landlock), system calls that a parser never makes refused (seccomp).
//!
//! It is raised while there is one thread: later ones inherit all of it.

mod syscalls;
mod user;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
    Scope, path_beneath_rules,
};

use crate::{cli::Fence as Raise, config::Fence};

/// What may still be read: the time zone, and what a panic's backtrace and the C library look at.
const READABLE: [&str; 3] = ["/etc/localtime", "/usr/share/zoneinfo", "/etc/terminfo"];

/// What stays open.
#[derive(Clone, Debug, Default)]
pub(super) struct Gates {
    /// Files that are written, and may be opened again under the same name.
    pub(super) outputs: Vec<PathBuf>,
}

/// Raises the fence. Gives one line for each part of it that this system lacks.
///
/// # Errors
/// When a part is lacking that is required, or the user to become does not exist.
pub(super) fn raise(fence: &Fence, gates: &Gates) -> anyhow::Result<Vec<String>> {
    if fence.raise == Raise::Off {
        return Ok(Vec::new());
    }
    let mut gaps = Vec::new();
    let mut part = |what: &str, result: anyhow::Result<()>| match result {
        Err(error) if fence.raise == Raise::Require => Err(error).with_context(|| format!("--fence require: {what}")),
        Err(error) => {
            gaps.push(format!("{what}: {error:#}"));
            Ok(())
        }
        Ok(()) => Ok(()),
    };
    // As another user than root, or not at all: half of this would be worse than an error.
    user::change(fence.user.as_deref())?;
    part("no new privileges", nix::sys::prctl::set_no_new_privs().map_err(anyhow::Error::from))?;
    part("Landlock", files(gates))?;
    part("seccomp", syscalls::deny(!gates.outputs.is_empty()))?;
    Ok(gaps)
}

/// Whether this kernel has Landlock, and it is enabled.
pub(super) fn has_landlock() -> bool {
    let rules = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    rules.handle_access(AccessFs::from_all(ABI::V1)).and_then(Ruleset::create).is_ok()
}

/// Files and ports.
fn files(gates: &Gates) -> anyhow::Result<()> {
    let abi = ABI::V6;
    let outputs: Vec<PathBuf> = gates.outputs.iter().map(|path| reach(path)).collect();
    let write = AccessFs::WriteFile | AccessFs::MakeReg | AccessFs::Truncate;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules(READABLE, AccessFs::ReadFile | AccessFs::ReadDir))?
        .add_rules(path_beneath_rules(["/dev/tty"], AccessFs::ReadFile | AccessFs::WriteFile))?
        .add_rules(path_beneath_rules(outputs, write))?
        .restrict_self()?;
    match status.ruleset {
        RulesetStatus::NotEnforced => anyhow::bail!("this kernel has none, or it is not enabled"),
        _ => Ok(()),
    }
}

/// A file that is rotated away is created anew: so its directory must be in reach. A device is not rotated.
fn reach(output: &Path) -> PathBuf {
    let regular = fs::metadata(output).map_or(true, |metadata| metadata.is_file());
    match output.parent() {
        Some(parent) if regular && parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) if regular => parent.to_owned(),
        _ => output.to_owned(),
    }
}
