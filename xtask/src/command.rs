//! Commands that must succeed, and what to say when they do not.

use std::ffi::OsStr;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

/// Runs a command that must succeed, and returns its standard output.
pub(crate) fn output(program: impl AsRef<OsStr>, args: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    let out = command.args(args).output().with_context(|| describe(&command))?;
    check(out.status, &format!("{}: {}", describe(&command), String::from_utf8_lossy(&out.stderr)))?;
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Runs a command that must succeed, its output shown only when it fails.
pub(crate) fn quietly(command: &mut Command) -> Result<()> {
    let out = command.stdin(Stdio::null()).output().with_context(|| describe(command))?;
    let said = [out.stdout, out.stderr].concat();
    check(out.status, &format!("{}: {}", describe(command), String::from_utf8_lossy(&said)))
}

/// Runs a command that must succeed, its output shown as it comes.
pub(crate) fn openly(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| describe(command))?;
    check(status, &describe(command))
}

/// An error that says `what` when a command failed.
pub(crate) fn check(status: ExitStatus, what: &str) -> Result<()> {
    if status.success() { Ok(()) } else { bail!("{status}: {}", what.trim()) }
}

/// A command as a person would type it.
pub(crate) fn describe(command: &Command) -> String {
    let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
    format!("{} {}", command.get_program().to_string_lossy(), args.join(" "))
}
