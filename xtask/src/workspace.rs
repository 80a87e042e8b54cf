//! The workspace: where it lies, cargo in it, and the observer as cargo builds it.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{
    command::{check, describe},
    setup,
};

/// Its root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The captures of real proxies.
pub(crate) fn captures() -> PathBuf {
    root().join("captures")
}

/// The cargo that runs this, at the root.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(args).current_dir(root());
    command
}

/// A cargo command on the whole workspace, or one package, with every feature that this machine can build.
pub(crate) fn with_features(args: &[&str]) -> Command {
    let mut command = cargo(args);
    if !setup::has_libpcap() {
        command.args(["--no-default-features", "--features", "observer/app,observer/tui"]);
    }
    command
}

/// Builds the observer as users get it, and returns where it is.
pub(crate) fn observer() -> Result<PathBuf> {
    built(&["--bin", "observer"])
}

/// Builds another program of the observer's package in the same way.
pub(crate) fn built(which: &[&str]) -> Result<PathBuf> {
    let mut build = with_features(&["build", "--release", "--package", "observer"]);
    build.args(which);
    build.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let out = build.output().with_context(|| describe(&build))?;
    check(out.status, &describe(&build))?;
    let said = String::from_utf8_lossy(&out.stdout);
    let mut messages = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let executable = messages.find_map(|message| message["executable"].as_str().map(PathBuf::from));
    executable.context("cargo built nothing that runs")
}
