//! From lists of system calls to seccomp filters. What is on no list does not exist (ENOSYS): libraries then take an
//! older way or do without, and a new version of them does not get the process killed. What is on a list with other
//! arguments is refused (EPERM).

use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::RawFd,
};

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use super::{Gates, calls};

/// Leaves this thread, and all that it will start, what the parts in use call. Files are opened to write only where
/// `may_write`.
pub(super) fn allow(gates: &Gates, may_write: bool) -> anyhow::Result<()> {
    let tap = if gates.program { &calls::EBPF } else { &calls::PCAP };
    let mut parts = vec![&calls::BASE, &calls::FILES, &calls::PARSER, tap];
    let in_use =
        [(!gates.outputs.is_empty(), &calls::OUTPUT), (gates.screen, &calls::SCREEN), (gates.metrics, &calls::METRICS)];
    parts.extend(in_use.into_iter().filter_map(|(is_used, part)| is_used.then_some(part)));
    let mut allowed = Allowed::new(&parts)?;
    if !may_write {
        allowed.refuse_writing()?;
    }
    allowed.refuse_sending(&gates.packets)?;
    allowed.load()
}

/// Leaves it what looking up owners takes.
pub(super) fn allow_lookup() -> anyhow::Result<()> {
    let mut allowed = Allowed::new(&[&calls::BASE, &calls::FILES, &calls::LOOKUP])?;
    allowed.refuse_writing()?;
    allowed.load()
}

/// Leaves it what removing filters takes.
#[cfg(feature = "ebpf")]
pub(super) fn allow_removal() -> anyhow::Result<()> {
    Allowed::new(&[&calls::BASE, &calls::REMOVAL])?.load()
}

/// System calls by number, and of some of them what is refused all the same. No rules of a call: all of it.
struct Allowed {
    calls: BTreeSet<c_long>,
    refused: BTreeMap<c_long, Vec<SeccompRule>>,
}

impl Allowed {
    /// What these parts call, but for what no part does: make memory executable, map a file, start a process, send to an
    /// address, change a limit, signal another process.
    fn new(parts: &[&calls::Calls]) -> anyhow::Result<Self> {
        let mut values: BTreeMap<(c_long, u8), Vec<u64>> = BTreeMap::new();
        for (call, argument, some) in parts.iter().flat_map(|part| part.only) {
            values.entry((*call, *argument)).or_default().extend(*some);
        }
        let calls = parts.iter().flat_map(|part| part.any).copied().chain(values.keys().map(|(call, _)| *call));
        let mut allowed = Self { calls: calls.collect(), refused: BTreeMap::new() };
        for ((call, argument), values) in values {
            allowed.refuse(call, unless(argument, &values)?);
        }
        for call in [libc::SYS_mmap, libc::SYS_mprotect] {
            allowed.refuse(call, when(2, libc::PROT_EXEC, libc::PROT_EXEC)?);
        }
        // A mapped file can be changed, and a mapped socket can send, without a call that a filter sees.
        allowed.refuse(libc::SYS_mmap, when(3, libc::MAP_ANONYMOUS, 0)?);
        allowed.refuse(libc::SYS_clone, when(0, libc::CLONE_THREAD, 0)?);
        allowed.refuse(libc::SYS_sendto, unless_null(4)?);
        allowed.refuse(libc::SYS_prlimit64, unless_null(2)?);
        allowed.refuse(libc::SYS_tgkill, unless(0, &[std::process::id().into()])?);
        Ok(allowed)
    }

    /// To open a file other than to read it. (Three is an access mode, too: for ioctl alone.)
    fn refuse_writing(&mut self) -> anyhow::Result<()> {
        for mode in [libc::O_WRONLY, libc::O_RDWR, libc::O_ACCMODE, libc::O_CREAT, libc::O_TRUNC] {
            let mask = if mode & libc::O_ACCMODE == 0 { mode } else { libc::O_ACCMODE };
            self.refuse(libc::SYS_openat, when(2, mask, mode)?);
            #[cfg(target_arch = "x86_64")]
            self.refuse(libc::SYS_open, when(1, mask, mode)?);
        }
        Ok(())
    }

    /// To send frames: a socket that captures can do so without any capability. A filter knows a descriptor only by its
    /// number, so there must not be a second one for it, nor a way to send that no list has.
    fn refuse_sending(&mut self, packets: &[RawFd]) -> anyhow::Result<()> {
        for number in packets {
            for call in [libc::SYS_write, libc::SYS_writev, libc::SYS_sendto] {
                self.refuse(call, when(0, -1, *number)?);
            }
            let duplicate = [condition(0, -1, *number)?, condition(1, -1, libc::F_DUPFD_CLOEXEC)?];
            self.refuse(libc::SYS_fcntl, SeccompRule::new(duplicate.into())?);
        }
        Ok(())
    }

    fn refuse(&mut self, call: c_long, rule: impl Into<Option<SeccompRule>>) {
        self.refused.entry(call).or_default().extend(rule.into());
    }

    /// The filter of the numbers comes last: it ends the right to load another one.
    fn load(self) -> anyhow::Result<()> {
        let Self { calls, refused } = self;
        let refused = refused.into_iter().filter(|(call, _)| calls.contains(call)).collect();
        load(refused, SeccompAction::Allow, errno(libc::EPERM))?;
        let calls = calls.into_iter().map(|call| (call, Vec::new())).collect();
        load(calls, errno(libc::ENOSYS), SeccompAction::Allow)
    }
}

fn errno(error: i32) -> SeccompAction {
    SeccompAction::Errno(error.cast_unsigned())
}

fn load(
    rules: BTreeMap<c_long, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> anyhow::Result<()> {
    let program: BpfProgram =
        SeccompFilter::new(rules, otherwise, matched, std::env::consts::ARCH.try_into()?)?.try_into()?;
    Ok(seccompiler::apply_filter(&program)?)
}

/// `mask` of an argument is `value`.
fn condition(argument: u8, mask: i32, value: i32) -> anyhow::Result<SeccompCondition> {
    let (mask, value) = (u64::from(mask.cast_unsigned()), u64::from(value.cast_unsigned()));
    Ok(SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(mask), value)?)
}

fn when(argument: u8, mask: i32, value: i32) -> anyhow::Result<SeccompRule> {
    Ok(SeccompRule::new(vec![condition(argument, mask, value)?])?)
}

/// An argument is none of `values`; without any, no rule.
fn unless(argument: u8, values: &[u64]) -> anyhow::Result<Option<SeccompRule>> {
    let differs = |value: &u64| SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, *value);
    let conditions = values.iter().map(differs).collect::<Result<Vec<_>, _>>()?;
    Ok(if conditions.is_empty() { None } else { Some(SeccompRule::new(conditions)?) })
}

/// A pointer is given.
fn unless_null(argument: u8) -> anyhow::Result<SeccompRule> {
    let given = SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0)?;
    Ok(SeccompRule::new(vec![given])?)
}
