//! Which system calls are refused. A list of what is denied, not of what is allowed: what libc, the allocator and the
//! runtime call changes with their versions and with the kernel, and an observer that dies of a library update after
//! months is worse than one that could still, say, read the clock in a new way. Denied is what turns a mistake of the
//! parser into harm: programs, other processes, the network, files, the kernel itself.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// Refused whatever the arguments.
const NEVER: &[c_long] = &[
    // Programs and processes.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kill,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_personality,
    // The network: what is open stays, nothing is added and nothing is sent first.
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    // Files.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_mknodat,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_fchmodat,
    libc::SYS_fchownat,
    libc::SYS_memfd_create,
    libc::SYS_open_by_handle_at,
    // The kernel.
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
];

/// The old names of some of these; newer architectures do not have them.
#[cfg(target_arch = "x86_64")]
const NEVER_OLD: &[c_long] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_mknod,
    libc::SYS_link,
    libc::SYS_symlink,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
];
#[cfg(not(target_arch = "x86_64"))]
const NEVER_OLD: &[c_long] = &[];

/// Refused where nothing is written to files.
const WRITING: &[c_long] =
    &[libc::SYS_unlinkat, libc::SYS_renameat2, libc::SYS_mkdirat, libc::SYS_truncate, libc::SYS_fallocate];
#[cfg(target_arch = "x86_64")]
const WRITING_OLD: &[c_long] = &[libc::SYS_creat, libc::SYS_unlink, libc::SYS_rename, libc::SYS_mkdir, libc::SYS_rmdir];
#[cfg(not(target_arch = "x86_64"))]
const WRITING_OLD: &[c_long] = &[];

/// Said not to exist: their arguments are in memory, where a filter cannot look, and callers know another way.
/// (io_uring makes calls that no filter sees.)
const ABSENT: &[c_long] = &[
    libc::SYS_clone3,
    libc::SYS_openat2,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// Commands of bpf(2) that what is loaded needs: to look up, update and delete an element of a map, to walk over its keys,
/// and to attach a program to an interface that has come.
const BPF: [u64; 5] = [1, 2, 3, 4, 28];
/// All that the process that looks for owners does once it has begun: there, a call too few only leaves names out.
const LOOKUP: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_close,
    libc::SYS_ppoll,
    // The kernel's table of sockets, through the one socket that is open.
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    // /proc.
    libc::SYS_readlinkat,
    libc::SYS_newfstatat,
    libc::SYS_fstat,
    libc::SYS_statx,
    libc::SYS_getdents64,
    libc::SYS_lseek,
    libc::SYS_fcntl,
    libc::SYS_uname,
    // Memory and time.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    // The end.
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

#[cfg(target_arch = "x86_64")]
const LOOKUP_OLD: &[c_long] = &[libc::SYS_poll, libc::SYS_readlink, libc::SYS_stat, libc::SYS_lstat];
#[cfg(not(target_arch = "x86_64"))]
const LOOKUP_OLD: &[c_long] = &[];

/// Refuses all but [`LOOKUP`].
pub(super) fn allow_lookup() -> anyhow::Result<()> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        LOOKUP.iter().chain(LOOKUP_OLD).map(|number| (*number, Vec::new())).collect();
    let data = || when(2, libc::PROT_EXEC, 0);
    rules.extend([(libc::SYS_mmap, vec![data()?]), (libc::SYS_mprotect, vec![data()?])]);
    let reading = libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC;
    rules.insert(libc::SYS_openat, vec![when(2, reading, libc::O_RDONLY)?]);
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    load(SeccompFilter::new(rules, refuse, SeccompAction::Allow, std::env::consts::ARCH.try_into()?)?)
}

/// Refuses them, for this thread and all that it will start.
pub(super) fn deny(writes: bool, has_program: bool) -> anyhow::Result<()> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        NEVER.iter().chain(NEVER_OLD).map(|number| (*number, Vec::new())).collect();
    // A socket can be had that names interfaces; to connect or bind it is refused.
    let not_unix = if has_program { vec![unless(0, &[libc::AF_UNIX as u64])?] } else { Vec::new() };
    rules.insert(libc::SYS_socket, not_unix);
    rules.insert(libc::SYS_bpf, if has_program { vec![unless(0, &BPF)?] } else { Vec::new() });
    // A process, where a thread would do.
    rules.insert(libc::SYS_clone, vec![when(0, libc::CLONE_THREAD, 0)?]);
    // Memory that can be run.
    let run = || when(2, libc::PROT_EXEC, libc::PROT_EXEC);
    rules.extend([(libc::SYS_mmap, vec![run()?]), (libc::SYS_mprotect, vec![run()?])]);
    if !writes {
        rules.extend(WRITING.iter().chain(WRITING_OLD).map(|number| (*number, Vec::new())));
        rules.insert(libc::SYS_openat, opens_to_write(2)?);
        #[cfg(target_arch = "x86_64")]
        rules.insert(libc::SYS_open, opens_to_write(1)?);
    }
    let absent = ABSENT.iter().map(|number| (*number, Vec::new())).collect();
    apply(absent, libc::ENOSYS)?;
    apply(rules, libc::EPERM)
}

/// A rule for one argument: `mask` of it is `value`.
fn when(argument: u8, mask: i32, value: i32) -> anyhow::Result<SeccompRule> {
    let (mask, value) = (u64::from(mask.cast_unsigned()), u64::from(value.cast_unsigned()));
    let equal = SeccompCmpOp::MaskedEq(mask);
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, equal, value)?;
    Ok(SeccompRule::new(vec![condition])?)
}

/// A rule for one argument: it is none of `values`.
fn unless(argument: u8, values: &[u64]) -> anyhow::Result<SeccompRule> {
    let differs = |value: &u64| SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, *value);
    Ok(SeccompRule::new(values.iter().map(differs).collect::<Result<_, _>>()?)?)
}

/// To write, or to read and write: except a terminal there is nothing left that would need it.
fn opens_to_write(flags: u8) -> anyhow::Result<Vec<SeccompRule>> {
    Ok(vec![when(flags, libc::O_ACCMODE, libc::O_WRONLY)?, when(flags, libc::O_ACCMODE, libc::O_RDWR)?])
}

fn apply(rules: BTreeMap<i64, Vec<SeccompRule>>, error: i32) -> anyhow::Result<()> {
    let refuse = SeccompAction::Errno(error.cast_unsigned());
    load(SeccompFilter::new(rules, SeccompAction::Allow, refuse, std::env::consts::ARCH.try_into()?)?)
}

fn load(filter: SeccompFilter) -> anyhow::Result<()> {
    let program: BpfProgram = filter.try_into()?;
    Ok(seccompiler::apply_filter(&program)?)
}
