//! The engine's purity: no crate in its tree and no word in its source that reaches the outside world.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

use crate::workspace;

/// Crates that the engine alone must not pull in.
const CRATES: [&str; 6] = ["pcap", "pcap-parser", "aya", "tokio", "clap", "ratatui"];

/// Words that occur in no code of the engine, tests included.
const WORDS: [&str; 4] = ["unsafe", "Instant", "SystemTime", "async"];

/// Parts of `std` that the engine does not use.
const MODULES: [&str; 8] = ["fs", "thread", "env", "process", "os", "TcpStream", "TcpListener", "UdpSocket"];

/// An error that lists every breach.
pub(crate) fn check() -> Result<()> {
    let mut breaches = crates()?;
    for file in sources(&workspace::root().join("observer/src/engine"))? {
        let text = fs::read_to_string(&file)?;
        let name = file.strip_prefix(workspace::root()).unwrap_or(&file).display().to_string();
        breaches.extend(impurities(&text).into_iter().map(|word| format!("{name}: {word}")));
    }
    if breaches.is_empty() { Ok(()) } else { bail!("the engine is not pure:\n    {}", breaches.join("\n    ")) }
}

fn crates() -> Result<Vec<String>> {
    let args = ["tree", "--package", "observer", "--no-default-features", "--edges", "normal", "--prefix", "none"];
    let mut tree = workspace::cargo(&args);
    let out = tree.output()?;
    crate::command::check(out.status, &String::from_utf8_lossy(&out.stderr))?;
    let text = String::from_utf8_lossy(&out.stdout);
    let names = text.lines().filter_map(|line| line.split_whitespace().next());
    Ok(names.filter(|name| CRATES.contains(name)).map(|name| format!("depends on {name}")).collect())
}

pub(crate) fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(sources(&path)?);
        } else if path.extension().is_some_and(|it| it == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The forbidden words of a source, comments aside.
fn impurities(source: &str) -> Vec<&'static str> {
    let code: String =
        source.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join(" ");
    let mut found: Vec<_> = WORDS.into_iter().filter(|word| words(&code).any(|other| other == *word)).collect();
    let parts: Vec<_> = code.split("std::").skip(1).flat_map(imported).collect();
    found.extend(MODULES.into_iter().filter(|module| parts.contains(module)));
    found
}

/// The parts of a path, after `std::`, up to its end; and of all its branches, where it has some.
fn imported(path: &str) -> impl Iterator<Item = &str> {
    let end = path.find(|c: char| !is_word(c) && c != ':').unwrap_or(path.len());
    let has_branches = path[end..].starts_with('{');
    words(if has_branches { path.split(';').next().unwrap_or_default() } else { &path[..end] })
}

pub(crate) fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !is_word(c))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impurities_are_found_however_they_are_imported() {
        for (source, expected) in [
            ("use std::{fmt, net::IpAddr, time::Duration};", &[][..]),
            ("// unsafe is not used, std::fs neither\nlet fs = 1; let process = fs;", &[]),
            ("std::mem::take(&mut process)", &[]),
            ("unsafe { x }", &["unsafe"]),
            ("use std::{\n    fmt,\n    net::{IpAddr, TcpStream},\n};", &["TcpStream"]),
            ("let text = std::fs::read(path);", &["fs"]),
            ("use std::time::Instant;", &["Instant"]),
            ("use std::thread;\nuse std::collections::BTreeMap;", &["thread"]),
            ("use std::collections::BTreeMap;\nuse super::{fs, process};", &[]),
        ] {
            assert_eq!(impurities(source), expected, "{source}");
        }
    }
}
