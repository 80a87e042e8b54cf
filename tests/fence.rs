//! The fence around the real program: what its threads hold, and what they are refused. Each thread is made to try, as
//! bytes that took it over would: a debugger puts the call into it. The program knows nothing of this.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]
#![allow(clippy::disallowed_methods, reason = "a test of real programs waits in real time")]

mod scene;

use std::{collections::BTreeMap, fs, path::PathBuf, process::Child};

use nix::{
    errno::Errno,
    libc::{self, c_long},
    sys::{
        ptrace,
        signal::Signal,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use scene::{Scene, end, possible, status, wait_for};

const PCAP: [&str; 8] = ["--tap", "pcap", "-i", "lo", "--format", "json", "--fence", "require"];
const EBPF: [&str; 8] = ["--tap", "ebpf", "-i", "lo", "--format", "json", "--fence", "require"];

/// A thread that somebody else has taken over.
struct Taken {
    thread: Pid,
    before: libc::user_regs_struct,
}

impl Taken {
    /// Stops it inside a system call, so that the instruction for one is where it stands.
    fn over(thread: u32) -> Self {
        let thread = Pid::from_raw(thread.cast_signed());
        let mut taken = None;
        wait_for("a thread that waits in the kernel", || {
            ptrace::attach(thread).unwrap();
            let stopped = waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
            assert!(matches!(stopped, WaitStatus::Stopped(..)), "{stopped:?}");
            let before = ptrace::getregs(thread).unwrap();
            let code = ptrace::read(thread, (before.rip - 2) as ptrace::AddressType).unwrap();
            taken = Some(Self { thread, before });
            code.to_le_bytes()[..2] == [0x0f, 0x05]
        });
        taken.unwrap()
    }

    /// Makes it call the kernel; `text` is put where the second argument points, or the first of what takes one path.
    fn call(&self, number: c_long, mut arguments: [u64; 4], text: Option<(usize, &str)>) -> i64 {
        // Below its stack, beyond the red zone.
        let room = (self.before.rsp - 4096) & !15;
        if let Some((place, text)) = text {
            let bytes = [text.as_bytes(), &[0; 8]].concat();
            for (at, word) in bytes.chunks_exact(8).enumerate() {
                let word = c_long::from_le_bytes(word.try_into().unwrap());
                ptrace::write(self.thread, (room + 8 * at as u64) as ptrace::AddressType, word).unwrap();
            }
            arguments[place] = room;
        }
        let [rdi, rsi, rdx, r10] = arguments;
        let rax = number.cast_unsigned();
        let registers = libc::user_regs_struct {
            rax,
            orig_rax: u64::MAX,
            rdi,
            rsi,
            rdx,
            r10,
            rip: self.before.rip - 2,
            ..self.before
        };
        ptrace::setregs(self.thread, registers).unwrap();
        ptrace::step(self.thread, None).unwrap();
        let stopped = waitpid(self.thread, Some(WaitPidFlag::__WALL)).unwrap();
        assert_eq!(stopped, WaitStatus::Stopped(self.thread, Signal::SIGTRAP));
        ptrace::getregs(self.thread).unwrap().rax.cast_signed()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let _ = ptrace::setregs(self.thread, self.before);
        let _ = ptrace::detach(self.thread, None);
    }
}

fn threads(observer: &Child) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{}/task", observer.id())).unwrap();
    tasks.map(|task| task.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
}

/// What each call comes to, by name.
fn tries(thread: u32) -> BTreeMap<&'static str, i64> {
    let taken = Taken::over(thread);
    let here = i64::from(libc::AT_FDCWD).cast_unsigned();
    let (create, run) = ((libc::O_WRONLY | libc::O_CREAT) as u64, (libc::PROT_READ | libc::PROT_EXEC) as u64);
    let anonymous = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
    let parent = u64::from(std::process::id());
    let inet = [libc::AF_INET as u64, libc::SOCK_STREAM as u64, 0, 0];
    let packet = [libc::AF_PACKET as u64, libc::SOCK_RAW as u64, 0x0300, 0];
    BTreeMap::from([
        ("a call that is allowed", taken.call(libc::SYS_gettid, [0; 4], None)),
        ("a program", taken.call(libc::SYS_execve, [0; 4], Some((0, "/bin/true")))),
        ("a program by another call", taken.call(libc::SYS_execveat, [here, 0, 0, 0], Some((1, "/bin/true")))),
        ("a process", taken.call(libc::SYS_clone, [Signal::SIGCHLD as u64, 0, 0, 0], None)),
        ("a file to read", taken.call(libc::SYS_openat, [here, 0, 0, 0], Some((1, "/etc/passwd")))),
        ("memory of another process", taken.call(libc::SYS_openat, [here, 0, 0, 0], Some((1, "/proc/1/mem")))),
        ("a file to write", taken.call(libc::SYS_openat, [here, 0, create, 0o600], Some((1, "/tmp/behind")))),
        ("a file to remove", taken.call(libc::SYS_unlinkat, [here, 0, 0, 0], Some((1, "/tmp/behind")))),
        ("a socket", taken.call(libc::SYS_socket, inet, None)),
        ("another tap", taken.call(libc::SYS_socket, packet, None)),
        ("a connection", taken.call(libc::SYS_connect, [0; 4], None)),
        ("a signal", taken.call(libc::SYS_kill, [parent, 0, 0, 0], None)),
        ("another process", taken.call(libc::SYS_ptrace, [libc::PTRACE_ATTACH as u64, parent, 0, 0], None)),
        ("memory to run", taken.call(libc::SYS_mmap, [0, 4096, run, anonymous], None)),
        ("root", taken.call(libc::SYS_setuid, [0; 4], None)),
        // BPF_PROG_LOAD
        ("a program in the kernel", taken.call(libc::SYS_bpf, [5, 0, 0, 0], None)),
        ("a mount", taken.call(libc::SYS_mount, [0; 4], None)),
    ])
}

#[test]
fn every_thread_is_refused_what_a_parser_never_does() {
    if !possible() {
        return;
    }
    let scene = Scene::new();
    // Without a fence there is nothing to be seen of one.
    let open = scene.observer("open", &["--tap", "pcap", "-i", "lo", "--format", "json", "--fence", "off"]);
    let here = i64::from(libc::AT_FDCWD).cast_unsigned();
    assert!(Taken::over(open.id()).call(libc::SYS_openat, [here, 0, 0, 0], Some((1, "/etc/passwd"))) > 0);
    assert_eq!(end(open, "-TERM").0, Some(0));
    for arguments in [PCAP, EBPF] {
        let observer = scene.observer("out", &arguments);
        for thread in threads(&observer) {
            let mut tries = tries(thread);
            assert_eq!(tries.remove("a call that is allowed"), Some(i64::from(thread)));
            for (what, result) in tries {
                let refused = [Errno::EPERM, Errno::EACCES].map(|errno| -i64::from(errno as i32));
                assert!(refused.contains(&result), "{what} by thread {thread} of {arguments:?}: {result}");
            }
        }
        // It goes on as if nothing had been.
        let output = scene.client(&["upgrade:/bare", "response", "fin"]);
        assert!(output.status.success(), "{output:?}");
        wait_for("an alert", || scene.told("out.out").contains("observer.alert"));
        assert_eq!(end(observer, "-TERM").0, Some(0), "{}", scene.told("out.err"));
    }
}

#[test]
fn nothing_is_held_but_what_capturing_needs() {
    if !possible() {
        return;
    }
    let scene = Scene::new();
    for (arguments, own) in [
        (PCAP, &["socket:", "pipe:", "anon_inode:[eventpoll]", "anon_inode:[eventfd]", "anon_inode:[signalfd]"][..]),
        (EBPF, &["socket:", "pipe:", "anon_inode:"]),
    ] {
        let observer = scene.observer("out", &arguments);
        for thread in threads(&observer) {
            for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                assert_eq!(status(thread, set), "0000000000000000", "{set} of {thread}, {arguments:?}");
            }
            assert_eq!((&*status(thread, "NoNewPrivs"), &*status(thread, "Seccomp")), ("1", "2"));
            assert!(status(thread, "Uid").split('\t').chain(status(thread, "Gid").split('\t')).all(|id| id != "0"));
            assert!(matches!(&*status(thread, "Groups"), "65534 " | ""), "{}", status(thread, "Groups"));
        }
        let held = fs::read_dir(format!("/proc/{}/fd", observer.id())).unwrap();
        let held: Vec<_> = held.map(|fd| fs::read_link(fd.unwrap().path()).unwrap()).collect();
        let given = ["out.out", "out.err"].map(|name| PathBuf::from(scene.path(name)));
        for file in &held {
            let name = file.to_str().unwrap();
            let is_own = given.contains(file) || name == "/dev/null" || own.iter().any(|own| name.starts_with(own));
            assert!(is_own, "{name} is open, {arguments:?}");
        }
        assert_eq!(end(observer, "-TERM").0, Some(0));
    }
}
