//! The fence: once the tap and the outputs are open, and before the first byte of a stranger is parsed, the process
//! gives up what it no longer needs. Another user, no capabilities, no new privileges, files and ports out of reach
//! (Landlock), no system calls but those of the parts in use (seccomp).
//!
//! It is raised while there is one thread: later ones inherit all of it.

mod calls;
mod syscalls;
mod user;

use std::{
    fs,
    os::fd::RawFd,
    path::{Path, PathBuf},
};

use anyhow::Context;
use caps::Capability;
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
    Scope, path_beneath_rules,
};
#[cfg(feature = "ebpf")]
use nix::sys::signal::SigSet;
use nix::unistd::{User, geteuid};

use crate::{cli::Fence as Raise, config::Fence};

/// What may still be read: the time zone, and what a panic's backtrace and the C library look at.
const READABLE: [&str; 3] = ["/etc/localtime", "/usr/share/zoneinfo", "/etc/terminfo"];

/// The user that runs behind the fence.
#[derive(Clone, Debug)]
pub(super) struct TargetUser {
    /// Nothing if it does not change.
    pub(super) ids: Option<(u32, u32)>,
    /// The name, or the number.
    pub(super) name: String,
    /// Whether an output can be opened again: not where Landlock cannot keep other files out of reach.
    pub(super) may_open: bool,
}

/// Asked before the fence is raised: behind it there are no names any more.
///
/// # Errors
/// When there is no such user.
pub(super) fn target_user(fence: &Fence) -> anyhow::Result<TargetUser> {
    let is_off = fence.raise == Raise::Off;
    let root = geteuid().is_root() && !is_off;
    let ids = if root { Some(user::target(fence.user.as_deref())?) } else { None };
    let uid = ids.map_or_else(geteuid, |(uid, _)| uid);
    let user = User::from_uid(uid).ok().flatten();
    let name = user.map_or_else(|| uid.to_string(), |user| user.name);
    let ids = ids.map(|(uid, gid)| (uid.as_raw(), gid.as_raw()));
    Ok(TargetUser { ids, name, may_open: is_off || has_landlock() })
}

/// What stays open.
#[derive(Clone, Debug, Default)]
pub(super) struct Gates {
    /// Files that are written, and may be opened again under the same name.
    pub(super) outputs: Vec<PathBuf>,
    /// A directory where new files are made.
    pub(super) exports: Option<PathBuf>,
    /// Whether a screen is drawn, so that the terminal may be opened.
    pub(super) screen: bool,
    /// Whether scrapers are answered.
    pub(super) metrics: bool,
    /// Whether there is a program in the kernel to talk to.
    pub(super) program: bool,
    /// Sockets that capture, and must not send.
    pub(super) packets: Vec<RawFd>,
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
    user::change(fence.user.as_deref(), &[])?;
    part("no new privileges", nix::sys::prctl::set_no_new_privs().map_err(anyhow::Error::from))?;
    let files = files(gates);
    let may_write = files.is_ok() && (gates.screen || !gates.outputs.is_empty());
    part("Landlock", files)?;
    part("seccomp", syscalls::allow(gates, may_write))?;
    Ok(gaps)
}

/// What it takes to see which process of another user holds a socket.
pub(super) const LOOKUP_CAPS: [Capability; 2] = [Capability::CAP_SYS_PTRACE, Capability::CAP_DAC_READ_SEARCH];

/// A fence around the process that looks up owners: it keeps [`LOOKUP_CAPS`], as far as it has them, and a short list of
/// system calls. No Landlock: a process in such a domain may look at none outside of it.
///
/// # Errors
/// As [`raise`].
pub(super) fn raise_around_lookup(fence: &Fence) -> anyhow::Result<()> {
    if fence.raise == Raise::Off {
        return Ok(());
    }
    user::change(fence.user.as_deref(), &LOOKUP_CAPS)?;
    nix::sys::prctl::set_no_new_privs()?;
    match syscalls::allow_lookup() {
        Err(error) if fence.raise == Raise::Require => Err(error),
        _ => Ok(()),
    }
}

/// Drops [`LOOKUP_CAPS`] where another process has them: whoever may run this program is not to read files by it.
///
/// # Errors
/// When the kernel refuses.
pub(super) fn drop_lookup_caps() -> anyhow::Result<()> {
    user::drop_caps(&LOOKUP_CAPS)
}

/// Drops all but what removing filters of `clsact` takes, and ignores signals: it ends when the process does that has
/// started it.
///
/// # Errors
/// When the kernel refuses, other than for want of seccomp, of which the one that has started it complains.
#[cfg(feature = "ebpf")]
pub(super) fn restrict_clsact_remover() -> anyhow::Result<()> {
    SigSet::all().thread_block()?;
    user::change(None, &[Capability::CAP_NET_ADMIN])?;
    nix::sys::prctl::set_no_new_privs()?;
    let _ = syscalls::allow_removal();
    Ok(())
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
    let terminal = gates.screen.then_some("/dev/tty");
    let write = AccessFs::WriteFile | AccessFs::MakeReg | AccessFs::Truncate;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules(READABLE, AccessFs::ReadFile | AccessFs::ReadDir))?
        .add_rules(path_beneath_rules(terminal, AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev))?
        .add_rules(path_beneath_rules(outputs, write))?
        .add_rules(path_beneath_rules(&gates.exports, AccessFs::WriteFile | AccessFs::MakeReg))?
        .restrict_self()?;
    match status.ruleset {
        RulesetStatus::NotEnforced => anyhow::bail!(
            "this kernel has none, or it is not enabled; so no more files are opened to write: --output cannot be opened \
             again on SIGHUP, and screens cannot export"
        ),
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

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io,
        net::{TcpListener, TcpStream, UdpSocket},
        process::Command,
        thread,
    };

    use super::*;

    fn denied<T>(result: io::Result<T>) -> bool {
        let kinds = [io::ErrorKind::PermissionDenied, io::ErrorKind::Unsupported];
        result.is_err_and(|error| kinds.contains(&error.kind()))
    }

    /// All but the user, which is the whole process's: the rest is one thread's and those it starts.
    fn behind(gates: &Gates, check: impl FnOnce() + Send + 'static) {
        let gates = gates.clone();
        let checked = thread::spawn(move || {
            nix::sys::prctl::set_no_new_privs().unwrap();
            if has_landlock() {
                files(&gates).unwrap();
            }
            syscalls::allow(&gates, !gates.outputs.is_empty()).unwrap();
            // What holds for a thread holds for its children.
            thread::spawn(check).join().unwrap();
        });
        checked.join().unwrap();
    }

    #[test]
    fn what_a_parser_never_does_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        behind(&Gates::default(), move || {
            assert!(denied(Command::new("true").status()), "a program");
            assert!(denied(TcpStream::connect(address)), "a connection");
            assert!(denied(UdpSocket::bind("127.0.0.1:0")), "a socket");
            assert!(denied(File::create("/tmp/behind-the-fence")), "a file to write");
            assert!(!has_landlock() || denied(File::open("/etc/passwd")), "a file to read");
            assert!(!has_landlock() || denied(fs::read_dir("/proc")), "a directory");
            let memory = vec![1_u8; 64 << 20];
            assert_eq!(memory.iter().map(|byte| usize::from(*byte)).sum::<usize>(), 64 << 20, "memory");
        });
    }

    #[test]
    fn who_looks_for_owners_only_looks() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let looked = thread::spawn(move || {
            nix::sys::prctl::set_no_new_privs().unwrap();
            syscalls::allow_lookup().unwrap();
            assert!(fs::read_dir("/proc").unwrap().count() > 0);
            assert!(fs::read_link("/proc/self/exe").is_ok());
            assert!(denied(File::create("/tmp/behind-the-fence")), "a file to write");
            assert!(denied(File::options().read(true).write(true).open("/dev/null")), "a file to read and write");
            assert!(denied(fs::remove_file("/tmp/behind-the-fence")), "a file to remove");
            assert!(denied(TcpStream::connect(address)), "a connection");
            assert!(denied(UdpSocket::bind("127.0.0.1:0")), "a socket");
            assert!(denied(Command::new("true").status()), "a program");
            assert!(denied(thread::Builder::new().spawn(|| {})), "a thread");
        });
        looked.join().unwrap();
    }

    #[test]
    fn an_output_can_be_rotated() {
        let dir = std::env::temp_dir().join(format!("observer-fence-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let output = dir.join("out.json");
        File::create(&output).unwrap();
        let gates = Gates { outputs: vec![output.clone()], ..Gates::default() };
        behind(&gates, move || {
            assert!(File::options().append(true).create(true).open(&output).is_ok());
            assert!(File::options().append(true).create(true).open(output.with_extension("new")).is_ok());
            assert!(!has_landlock() || denied(File::create("/tmp/behind-the-fence")));
        });
        fs::remove_dir_all(dir).unwrap();
    }
}
