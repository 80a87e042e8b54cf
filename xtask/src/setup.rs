//! `cargo xtask setup`: installs what is missing with the system's package manager, and says so in one line each.
//!
//! Only Debian's `apt-get` is driven. Elsewhere the list is printed, since names of packages differ. The C linker comes
//! even before this: see `.cargo/linker`.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    command::{describe, quietly},
    lab, skips,
};

/// What the machine is to be ready for.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Purpose {
    /// To build the observer and read a capture.
    Demo,
    /// To run every check of `cargo xtask test`.
    Test,
    /// To run real proxies and capture them; root only.
    Lab,
}

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What the machine is to be ready for.
    #[arg(long = "for", value_enum, default_value_t = Purpose::Test)]
    purpose: Purpose,
}

/// A program, and Debian's packages that bring it.
type Need = (&'static str, &'static [&'static str]);

const BUILD: &[Need] = &[("cc", &["gcc", "libc6-dev"])];
const TEST: &[Need] = &[("tshark", &["tshark"]), ("tmux", &["tmux"])];
/// For the tests that make network namespaces, which only root can run, beside what the lab needs.
const TEST_AS_ROOT: &[Need] =
    &[("setpriv", &["util-linux"]), ("python3", &["python3-minimal"]), ("promtool", &["prometheus"])];
/// What brings libpcap's headers.
const LIBPCAP: Need = ("pcap-config", &["libpcap-dev"]);

/// `cargo xtask setup`.
pub(crate) fn run(args: &Args) -> Result<()> {
    prepare(args.purpose)?;
    println!("setup: ready");
    Ok(())
}

/// Installs what `purpose` needs; silent and quick when nothing is missing.
pub(crate) fn prepare(purpose: Purpose) -> Result<()> {
    let root = is_root()?;
    let needs = match purpose {
        Purpose::Demo => BUILD.to_vec(),
        Purpose::Test | Purpose::Lab if root => [BUILD, TEST, TEST_AS_ROOT].concat(),
        Purpose::Test | Purpose::Lab => [BUILD, TEST].concat(),
    };
    let missing = needs.iter().filter(|(program, _)| !is_installed(program)).flat_map(|(_, packages)| *packages);
    let missing: Vec<_> = missing.copied().collect();
    let quiet = if root && !missing.is_empty() { Some(NoServices::until_dropped()?) } else { None };
    install(&missing)?;
    drop(quiet);
    libpcap();
    if purpose == Purpose::Test && !has_libpcap() {
        skips::skip("every test of live capture", "libpcap's headers are missing")?;
    }
    match purpose {
        Purpose::Lab => lab::install_extras(),
        Purpose::Test if root => lab::install(),
        Purpose::Demo | Purpose::Test => Ok(()),
    }
}

/// Installs libpcap's headers. The observer can do without them, but not capture live.
fn libpcap() {
    if has_libpcap() {
        return;
    }
    if let Err(error) = install(LIBPCAP.1) {
        println!("setup: {error:#}");
    }
    if !has_libpcap() {
        println!("setup: libpcap's headers cannot be had: building without `observer live` and `observer doctor`");
    }
}

/// Whether the observer can be built with the live tap.
pub(crate) fn has_libpcap() -> bool {
    is_installed(LIBPCAP.0)
}

/// Whether a program can be started; also those that only root has on its path.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(Into::into);
    std::env::split_paths(&path).chain(system).any(|folder| folder.join(program).is_file())
}

/// Installs Debian packages.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    if !is_installed("apt-get") {
        bail!("install these with your package manager, under its names (these are Debian's), and try again: {list}");
    }
    let sudo = if is_root()? {
        false
    } else if is_installed("sudo") {
        true
    } else {
        bail!("as root, run: apt-get update && apt-get install -y {list}");
    };
    println!("setup: installing {list}");
    // A package source that is down need not have what is missing: only the install decides.
    if let Err(error) = quietly(apt(sudo).arg("update")) {
        println!("setup: warning: {error:#}");
    }
    let mut install = apt(sudo);
    install.args(["install", "-y", "--no-install-recommends"]).args(packages);
    quietly(&mut install)
        .with_context(|| format!("cannot install what is missing; try it yourself: {}", describe(&install)))
}

/// `apt-get` that asks nothing. Packages get the default for their questions: tshark leaves capturing to root.
fn apt(sudo: bool) -> Command {
    let mut command = Command::new(if sudo { "sudo" } else { "env" });
    command.args(if sudo { &["env"][..] } else { &[] }).args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    command
}

/// Whether the observer can be watched at work here. Where it cannot, the check of this name is skipped.
pub(crate) fn can_watch(name: &str) -> Result<bool> {
    let reason = match (is_root()?, has_libpcap()) {
        (true, true) => return Ok(true),
        (true, false) => "libpcap's headers are missing",
        (false, _) => "it needs root",
    };
    skips::skip(name, reason).map(|()| false)
}

fn is_root() -> Result<bool> {
    let own = Path::new("/proc/self");
    Ok(fs::metadata(own).context("who am I?")?.uid() == 0)
}

/// Keeps Debian from starting the services of the packages, which would take ports of the host.
pub(crate) struct NoServices {
    is_ours: bool,
}

impl NoServices {
    const POLICY: &str = "/usr/sbin/policy-rc.d";

    /// From now on; root only.
    pub(crate) fn until_dropped() -> Result<Self> {
        let is_ours = !Path::new(Self::POLICY).exists();
        if is_ours {
            fs::write(Self::POLICY, "#!/bin/sh\nexit 101\n")?;
            fs::set_permissions(Self::POLICY, fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self { is_ours })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.is_ours {
            let _ = fs::remove_file(Self::POLICY);
        }
    }
}
