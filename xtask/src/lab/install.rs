//! Installs what the lab needs and lacks: Debian packages, Python and node packages into `.cache/lab`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::Lab;
use crate::command::quietly;
use crate::setup::{self, is_installed};

/// A program and the Debian package that brings it.
const PROGRAMS: [(&str, &str); 13] = [
    ("nginx", "nginx"),
    ("haproxy", "haproxy"),
    ("apache2", "apache2"),
    ("caddy", "caddy"),
    ("tcpdump", "tcpdump"),
    ("tshark", "tshark"),
    ("editcap", "wireshark-common"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("openssl", "openssl"),
    ("curl", "curl"),
    ("npm", "npm"),
    ("wrk", "wrk"),
];

/// Every install step; each does nothing where its work is done already.
pub(crate) fn everything(lab: &Lab) -> Result<()> {
    fs::create_dir_all(&lab.cache)?;
    debian()?;
    python(&lab.cache)?;
    node(lab)
}

fn debian() -> Result<()> {
    let programs = PROGRAMS.iter().filter(|(program, _)| !is_installed(program)).map(|(_, package)| *package);
    let venv = Command::new("python3").args(["-c", "import ensurepip"]).output().is_ok_and(|out| out.status.success());
    let missing: Vec<_> = programs.chain((!venv).then_some("python3-venv")).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let _quiet = setup::NoServices::until_dropped()?;
    setup::install(&missing)
}

fn python(cache: &Path) -> Result<()> {
    let venv = cache.join("venv");
    if venv.join("bin/websockets").exists() {
        return Ok(());
    }
    quietly(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    quietly(Command::new(venv.join("bin/pip")).args(["install", "--quiet", "websockets"]))
}

fn node(lab: &Lab) -> Result<()> {
    fs::copy(lab.scripts.join("package.json"), lab.cache.join("package.json"))?;
    let wanted = ["ws", "express", "socket.io", "socket.io-client"];
    if wanted.iter().all(|name| lab.cache.join("node_modules").join(name).exists()) {
        return Ok(());
    }
    quietly(Command::new("npm").args(["install", "--silent", "--no-audit", "--no-fund"]).current_dir(&lab.cache))
}
