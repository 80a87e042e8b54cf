//! The system calls of each part of the program, one short list a part. A part that is not in use adds nothing; what is
//! on no list does not exist behind the fence (ENOSYS), which tells a library to take an older way.
//!
//! The lists come from tracing (`strace -f`) on Linux 6.18 with glibc 2.36. What other versions of glibc, and musl, call
//! for the same is marked "elsewhere".

#![allow(clippy::unnecessary_cast, reason = "C libraries differ in the types of these constants")]

use libc::c_long;

/// What a part may call.
pub(super) struct Calls {
    /// Whatever the arguments are, but for what is refused to every part.
    pub(super) any: &'static [c_long],
    /// Where this argument is one of these values: anything else is refused (EPERM).
    pub(super) only: &'static [(c_long, u8, &'static [u64])],
}

/// What each of the three processes needs: what is open, memory, time, and the end.
pub(super) const BASE: Calls = Calls {
    any: &[
        libc::SYS_read,
        libc::SYS_close,
        // Connected sockets, or those whose other end is the kernel.
        libc::SYS_recvfrom,
        libc::SYS_sendto,
        // Memory.
        libc::SYS_brk,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_mprotect,
        libc::SYS_futex,
        libc::SYS_getrandom,
        // Time, where the kernel does not put it into the process.
        libc::SYS_clock_gettime,
        libc::SYS_restart_syscall,
        // Signals and the end.
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ],
    // Flags of a descriptor, and another one for the same.
    only: &[(
        libc::SYS_fcntl,
        1,
        &[
            libc::F_DUPFD_CLOEXEC as u64,
            libc::F_GETFD as u64,
            libc::F_SETFD as u64,
            libc::F_GETFL as u64,
            libc::F_SETFL as u64,
        ],
    )],
};

/// Files that are opened to read, by the parser process the time zone, now and then, and by the one that looks up owners
/// `/proc`. (Elsewhere: stat, lstat, open and readlink, by musl.)
pub(super) const FILES: Calls = Calls {
    any: &[
        libc::SYS_openat,
        libc::SYS_statx,
        libc::SYS_fstat,
        libc::SYS_newfstatat,
        libc::SYS_lseek,
        libc::SYS_readlinkat,
        libc::SYS_getdents64,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_open,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_stat,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_lstat,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_readlink,
    ],
    only: &[],
};

/// The parser process: its threads, and waiting.
pub(super) const PARSER: Calls = Calls {
    any: &[
        libc::SYS_write,
        // (Elsewhere: readv and writev, by musl.)
        libc::SYS_readv,
        libc::SYS_writev,
        // Waiting. (Elsewhere: all but poll, epoll_wait and clock_nanosleep.)
        libc::SYS_epoll_create1,
        libc::SYS_epoll_ctl,
        libc::SYS_epoll_pwait,
        libc::SYS_epoll_pwait2,
        libc::SYS_eventfd2,
        libc::SYS_ppoll,
        libc::SYS_nanosleep,
        libc::SYS_clock_nanosleep,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_poll,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_epoll_wait,
        // Threads: clone may only make those. clone3 is absent, as its flags are out of a filter's sight.
        // (Elsewhere: membarrier and prlimit64.)
        libc::SYS_clone,
        libc::SYS_set_robust_list,
        libc::SYS_rseq,
        libc::SYS_gettid,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_membarrier,
        libc::SYS_prlimit64,
        // A panic that cannot unwind ends in abort(3): a signal to itself.
        libc::SYS_getpid,
        libc::SYS_tgkill,
        // Time, where the kernel does not put it into the process.
        libc::SYS_clock_getres,
        libc::SYS_gettimeofday,
    ],
    only: &[
        // The pair by which signals arrive.
        (libc::SYS_socketpair, 0, &[libc::AF_UNIX as u64]),
        // Whether it is a terminal, and how wide: never to type into it (TIOCSTI).
        (libc::SYS_ioctl, 1, &[libc::TCGETS as u64, libc::TIOCGWINSZ as u64, libc::FIONBIO as u64]),
        // Names of threads, and of memory (elsewhere). Loading the second of two filters asks for no new privileges again.
        (libc::SYS_prctl, 0, &[libc::PR_SET_NAME as u64, libc::PR_SET_VMA as u64, libc::PR_SET_NO_NEW_PRIVS as u64]),
    ],
};

/// `--output`: a line that has no room is taken back. Opening it again is [`FILES`]' `openat`, where it may write.
pub(super) const OUTPUT: Calls = Calls { any: &[libc::SYS_ftruncate], only: &[] };

/// libpcap: how many frames were dropped, whether an interface is still there, what it is called.
pub(super) const PCAP: Calls = Calls {
    any: &[libc::SYS_getsockopt, libc::SYS_getsockname],
    only: &[
        (libc::SYS_ioctl, 1, &[libc::SIOCGIFNAME as u64, libc::SIOCGIFINDEX as u64, libc::SIOCGIFFLAGS as u64]),
        // None, but not absent: of an interface that came back libpcap shall say that it is not permitted.
        (libc::SYS_socket, 0, &[]),
    ],
};

/// The program in the kernel: elements of its maps (look up, update, delete, the next key), and to attach it to an
/// interface that has come, which is looked up through a socket that is never connected.
pub(super) const EBPF: Calls = Calls {
    any: &[],
    only: &[
        (libc::SYS_bpf, 0, &[1, 2, 3, 4, 28]),
        (libc::SYS_socket, 0, &[libc::AF_UNIX as u64]),
        (libc::SYS_ioctl, 1, &[libc::SIOCGIFNAME as u64, libc::SIOCGIFINDEX as u64]),
    ],
};

/// The screens: the terminal's mode, by either set of numbers.
pub(super) const SCREEN: Calls = Calls {
    any: &[],
    only: &[(
        libc::SYS_ioctl,
        1,
        &[
            libc::TCSETS as u64,
            libc::TCSETSW as u64,
            libc::TCSETSF as u64,
            libc::TCGETS2 as u64,
            libc::TCSETS2 as u64,
            libc::TCSETSW2 as u64,
            libc::TCSETSF2 as u64,
        ],
    )],
};

/// `--metrics`: scrapers come, and have little time.
pub(super) const METRICS: Calls = Calls {
    any: &[libc::SYS_accept4],
    only: &[
        (libc::SYS_setsockopt, 1, &[libc::SOL_SOCKET as u64]),
        (libc::SYS_setsockopt, 2, &[libc::SO_RCVTIMEO as u64, libc::SO_SNDTIMEO as u64]),
    ],
};

/// The process that looks up owners: what it is asked, and what it answers. (Elsewhere: poll.)
pub(super) const LOOKUP: Calls = Calls {
    any: &[
        libc::SYS_write,
        libc::SYS_ppoll,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_poll,
        libc::SYS_uname,
    ],
    only: &[],
};

/// The process that removes filters of `clsact`: a socket of rtnetlink for each question.
#[cfg(feature = "ebpf")]
pub(super) const REMOVAL: Calls =
    Calls { any: &[libc::SYS_bind, libc::SYS_getsockname], only: &[(libc::SYS_socket, 0, &[libc::AF_NETLINK as u64])] };

#[cfg(test)]
mod tests {
    use super::*;

    /// A call whose arguments matter to one part must not be on another's list as one whose arguments do not.
    #[test]
    fn the_lists_do_not_contradict_each_other() {
        let parts = [BASE, FILES, PARSER, OUTPUT, PCAP, EBPF, SCREEN, METRICS, LOOKUP];
        for part in &parts {
            for (call, argument, _) in part.only {
                assert!(!parts.iter().any(|part| part.any.contains(call)), "call {call}, argument {argument}");
            }
        }
    }
}
