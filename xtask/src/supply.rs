//! What the program is made of: crates whose licences and sources are known, and every `unsafe` counted, with its reason.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    command::{describe, openly, quietly},
    purity::{sources, words},
    skips,
    workspace::{self, cargo},
};

/// Folders that have code, and how often they say `unsafe`. Who adds one changes the number here, and is asked why.
const UNSAFE: [(&str, usize); 5] =
    [("observer/src", 0), ("observer-ebpf/src", 61), ("tests", 0), ("fuzz", 0), ("xtask/src", 0)];
/// How far above it the reason may stand.
const NEAR: usize = 4;
/// The version that is installed where there is none.
const DENY: &str = "0.20.2";
/// How long that may take, in seconds.
const PATIENCE: &str = "900";

/// Counts `unsafe`, each of which must say why it is sound.
pub(crate) fn unsafe_code() -> Result<()> {
    let mut complaints = Vec::new();
    for (folder, expected) in UNSAFE {
        let mut count = 0;
        for file in sources(&workspace::root().join(folder))? {
            let text = fs::read_to_string(&file)?;
            let found = unsafe_lines(&text);
            count += found.len();
            let bare = found.into_iter().filter(|(_, has_reason)| !has_reason);
            complaints.extend(bare.map(|(line, _)| format!("{}:{line}: no `SAFETY:` above it", file.display())));
        }
        println!("unsafe in {folder}: {count}");
        if count != expected {
            complaints.push(format!("{folder}: {count} times unsafe, where {expected} are known"));
        }
    }
    if complaints.is_empty() { Ok(()) } else { bail!("{}", complaints.join("\n")) }
}

/// The lines of a source that say it, comments and attributes aside, and whether a reason stands near.
fn unsafe_lines(source: &str) -> Vec<(usize, bool)> {
    let lines: Vec<_> = source.lines().collect();
    let code = |line: &str| line.split("//").next().unwrap_or_default().split('"').step_by(2).collect::<String>();
    let says = |line: &str| words(line).any(|word| word == "unsafe") && !line.contains("#[");
    let reason = |at: usize| {
        let near = lines[at.saturating_sub(NEAR)..at].iter();
        near.map(|line| line.trim_start()).any(|line| line.starts_with("// SAFETY:") || line == "/// # Safety")
    };
    // What the kernel calls is declared so by its type; its body gives the reasons.
    let is_called = |line: &str| line.contains("unsafe extern \"C\" fn");
    let all = lines.iter().enumerate().filter(|(_, line)| says(&code(line)));
    all.map(|(at, line)| (at + 1, is_called(line) || reason(at))).collect()
}

/// `cargo deny check`: licences, bans, sources; advisories where their database can be had.
pub(crate) fn deny() -> Result<()> {
    let Some(deny) = cargo_deny() else {
        return skips::skip("licences and sources", "cargo-deny is not installed, and cannot be installed here");
    };
    let check = |what: &[&str]| {
        let mut command = Command::new(&deny);
        command
            .args(["--log-level", "error", "check", "--hide-inclusion-graph"])
            .args(what)
            .current_dir(workspace::root());
        command
    };
    openly(&mut check(&["licenses", "bans", "sources"]))?;
    let mut advisories = check(&["advisories"]);
    let out = advisories.output().with_context(|| describe(&advisories))?;
    let said = String::from_utf8_lossy(&out.stderr);
    if !out.status.success() && said.contains("failed to fetch advisory database") {
        return skips::skip("advisories", "the advisory database cannot be reached");
    }
    crate::command::check(out.status, &said)
}

/// Where it is; installed first if it must be.
fn cargo_deny() -> Option<PathBuf> {
    let runs = |path: &PathBuf| {
        let mut version = Command::new(path);
        version
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    let own = workspace::root().join(".cache/deny");
    let places = [PathBuf::from("cargo-deny"), own.join("bin/cargo-deny")];
    if let Some(found) = places.iter().find(|path| runs(path)) {
        return Some(found.clone());
    }
    println!("installing cargo-deny {DENY}, for at most {PATIENCE} s");
    let cargo = cargo(&[]).get_program().to_owned();
    let mut install = Command::new("timeout");
    install.arg(PATIENCE).arg(cargo).args([
        "install",
        "--quiet",
        "--locked",
        "--version",
        DENY,
        "cargo-deny",
        "--root",
    ]);
    match quietly(install.arg(&own)) {
        Ok(()) => Some(places[1].clone()).filter(runs),
        Err(error) => {
            println!("{error:#}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unsafe_needs_a_reason() {
        for (source, expected) in [
            ("// SAFETY: it is there\nlet x = unsafe { *p };", &[(2, true)][..]),
            ("let x = unsafe { *p };", &[(1, false)]),
            ("// unsafe\n#[unsafe(no_mangle)]\nlet x = \"unsafe\";", &[]),
            ("/// # Safety\n/// Plain.\npub unsafe trait Plain {}", &[(3, true)]),
        ] {
            assert_eq!(unsafe_lines(source), expected, "{source}");
        }
    }
}
