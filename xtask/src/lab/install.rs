//! Installs what the lab needs and lacks: Debian packages, Python and node packages into `.cache/lab`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::Lab;
use super::process::quietly;

/// A program and the Debian package that brings it.
const PROGRAMS: [(&str, &str); 12] = [
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
];

/// Every install step; each does nothing where its work is done already.
pub(crate) fn everything(lab: &Lab) -> Result<()> {
    fs::create_dir_all(&lab.cache)?;
    debian()?;
    python(&lab.cache)?;
    node(lab)
}

fn debian() -> Result<()> {
    let missing: Vec<_> = PROGRAMS.iter().filter(|(program, _)| !is_installed(program)).map(|(_, name)| name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive").args(["install", "-y", "--no-install-recommends"]).args(missing);
    // The packages would start their services on the host's own ports.
    apt.env("RUNLEVEL", "1");
    quietly(&mut apt)
}

fn is_installed(program: &str) -> bool {
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].iter().any(|folder| Path::new(folder).join(program).exists())
}

fn python(cache: &Path) -> Result<()> {
    let venv = cache.join("venv");
    if venv.join("bin/websockets").exists() {
        return Ok(());
    }
    quietly(Command::new("python3").args(["-m", "venv"]).arg(&venv)).context("apt-get install python3-venv")?;
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
