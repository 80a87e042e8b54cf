//! `observer doctor`: may I capture here, and what to do if not. Tries what `live` would do, and undoes it.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write},
};

use caps::{CapSet, Capability};
use nix::unistd::{User, geteuid};

use super::FAILED;
use crate::tap::{
    SharedInterfaces, TapError,
    live::{self, ANY, Device, Hook, LiveTap, Options},
    permission, program,
};

/// What a handle is tried with: enough for its ring, and no more.
const BUFFER: usize = 2 << 20;

/// Tells, and gives the exit code.
pub(super) fn run(out: &mut dyn Write) -> io::Result<u8> {
    writeln!(out, "kernel      {}", kernel())?;
    writeln!(out, "user        {}", user())?;
    writeln!(out, "CAP_NET_RAW {}", if may_capture() { "yes" } else { "no" })?;
    let loads = ebpf(out)?;
    writeln!(out, "libpcap     {}", libpcap())?;
    writeln!(out, "fence       {}", fence())?;
    writeln!(out, "processes   {}", processes())?;
    writeln!(out, "\nInterfaces:")?;
    let every = try_open(ANY);
    writeln!(out, "  {:<15} {:<5} {}", "(every one)", "", outcome(&every))?;
    match live::devices() {
        Ok(devices) => devices.iter().try_for_each(|device| interface(out, device))?,
        Err(error) => writeln!(out, "  {error}")?,
    }
    writeln!(out)?;
    match every {
        _ if loads => {
            writeln!(out, "--tap auto takes ebpf, and pcap with --filter.")?;
            writeln!(out, "This host can be watched: `observer live`.")?;
            Ok(0)
        }
        Ok(()) => {
            writeln!(out, "--tap auto takes pcap.")?;
            writeln!(out, "This host can be watched: `observer live`.")?;
            Ok(0)
        }
        Err(TapError::NotPermitted { .. }) => {
            writeln!(out, "This user may not capture: {}.", permission())?;
            Ok(FAILED)
        }
        Err(error) => {
            writeln!(out, "This host cannot be watched: {error}.")?;
            Ok(FAILED)
        }
    }
}

fn interface(out: &mut dyn Write, device: &Device) -> io::Result<()> {
    let Device { name, up, addresses } = device;
    let mut line = format!("  {name:<15} {:<5} {}", if *up { "up" } else { "down" }, outcome(&try_open(name)));
    for (at, address) in addresses.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = write!(line, "{} {address}", if at == 0 { ";" } else { "," });
    }
    writeln!(out, "{line}")
}

fn try_open(name: &str) -> Result<(), TapError> {
    let options = Options {
        interfaces: vec![name.to_owned()],
        filter: None,
        buffer: BUFFER,
        ordinary: 0,
        hook: Hook::Auto,
        memory: 0,
    };
    LiveTap::open(&options, &SharedInterfaces::default()).map(drop)
}

fn outcome(tried: &Result<(), TapError>) -> String {
    match tried {
        Ok(()) => "opens".to_owned(),
        Err(TapError::NotPermitted { .. }) => "no permission".to_owned(),
        Err(TapError::Interface { why, .. }) => format!("does not open: {why}"),
        Err(TapError::LinkType { number, .. }) => format!("carries link type {number}, which is not read"),
        Err(error) => error.to_string(),
    }
}

/// A line of the kernel's own.
fn told(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn kernel() -> String {
    let release = told("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".to_owned());
    format!("{} {release} {}", std::env::consts::OS, std::env::consts::ARCH)
}

fn user() -> String {
    let uid = geteuid();
    let name = User::from_uid(uid).ok().flatten().map(|user| user.name);
    format!("{} ({uid})", name.unwrap_or_else(|| "without a name".to_owned()))
}

fn may_capture() -> bool {
    caps::has_cap(None, CapSet::Effective, Capability::CAP_NET_RAW).unwrap_or(false)
}

/// Whether the program in the kernel can be had: loads it, attaches it and lets it go.
#[cfg(feature = "ebpf")]
fn ebpf(out: &mut dyn Write) -> io::Result<bool> {
    let options =
        Options { interfaces: Vec::new(), filter: None, buffer: BUFFER, ordinary: 0, hook: Hook::Auto, memory: 0 };
    let opened = crate::tap::ebpf::EbpfTap::open(&options, &SharedInterfaces::default());
    match &opened {
        Ok(tap) => writeln!(out, "eBPF        loads and attaches to {} interfaces by tcx", tap.watched())?,
        Err(error) => writeln!(out, "eBPF        {error}")?,
    }
    Ok(opened.is_ok())
}

#[cfg(not(feature = "ebpf"))]
fn ebpf(out: &mut dyn Write) -> io::Result<bool> {
    writeln!(out, "eBPF        this observer was built without it")?;
    Ok(false)
}

/// The library that is loaded has its version in its file's name.
fn libpcap() -> String {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let path = maps.split_whitespace().find(|word| word.starts_with('/') && word.contains("/libpcap"));
    path.map_or_else(|| "linked into this program".to_owned(), ToOwned::to_owned)
}

/// Whose processes can be named.
fn processes() -> String {
    let lacks = |wanted: &&Capability| !caps::has_cap(None, CapSet::Effective, **wanted).unwrap_or(false);
    let missing: Vec<_> = super::fence::LOOKUP_CAPS.iter().filter(lacks).map(ToString::to_string).collect();
    if missing.is_empty() {
        return "of every user: hops tell which process holds their ends".to_owned();
    }
    let all = "cap_net_raw,cap_sys_ptrace,cap_dac_read_search+ep";
    format!("only of this user, for want of {} (optional): `sudo setcap {all} {}`", missing.join(", "), program())
}

/// What of the fence this kernel has.
fn fence() -> String {
    let seccomp = told("/proc/sys/kernel/seccomp/actions_avail").is_some();
    let seccomp = if seccomp { "seccomp" } else { "no seccomp" };
    let landlock =
        if super::fence::has_landlock() { "Landlock" } else { "no Landlock: --output cannot be opened again" };
    format!("{seccomp}, {landlock}")
}
