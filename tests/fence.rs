//! The fence around the real program: what its threads hold, and what they are refused. Each thread is made to try, as
//! bytes that took it over would: a debugger puts the call into it. The program knows nothing of this.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]
#![allow(clippy::disallowed_methods, reason = "a test of real programs waits in real time")]

mod scene;
mod taken;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use nix::{errno::Errno, libc, sys::signal::Signal};
use scene::{Scene, end, possible, run, status, wait_for};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use taken::{HERE, Taken};

const PCAP: [&str; 8] = ["--tap", "pcap", "-i", "lo", "--format", "json", "--fence", "require"];
const EBPF: [&str; 8] = ["--tap", "ebpf", "-i", "lo", "--format", "json", "--fence", "require"];

fn threads(observer: &Child) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{}/task", observer.id())).unwrap();
    tasks.map(|task| task.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
}

/// What was tried, what it comes to, and what it should.
type Try = (&'static str, i64, Errno);

const REFUSED: Errno = Errno::EPERM;
const ABSENT: Errno = Errno::ENOSYS;

fn check(who: &str, tries: Vec<Try>) {
    for (what, result, expected) in tries {
        assert_eq!(result, -i64::from(expected as i32), "{what} by {who}");
    }
}

/// Files, and what is called like one.
fn files(taken: &Taken) -> Vec<Try> {
    let create = libc::O_WRONLY | libc::O_CREAT;
    let flags = u64::from(create.cast_unsigned());
    let path = |path: &str| taken.put(path.as_bytes());
    let file = libc::MAP_SHARED as u64;
    vec![
        ("a file to read", taken.open("/etc/passwd", libc::O_RDONLY), Errno::EACCES),
        ("memory of another process", taken.open("/proc/1/mem", libc::O_RDONLY), Errno::EACCES),
        ("a file to write", taken.open("/tmp/behind", create), REFUSED),
        ("a file to make", taken.open("/tmp/behind", libc::O_CREAT), REFUSED),
        ("a file to empty", taken.open("/tmp/behind", libc::O_TRUNC), REFUSED),
        ("a file to write by an old call", taken.call(libc::SYS_open, [path("/tmp/behind"), flags]), REFUSED),
        ("a file to remove", taken.call(libc::SYS_unlinkat, [HERE, path("/tmp/behind")]), ABSENT),
        ("a file in memory", taken.call(libc::SYS_memfd_create, [path("behind")]), ABSENT),
        ("memory of a file", taken.call(libc::SYS_mmap, [0, 4096, 1, file]), REFUSED),
        ("to type into the terminal", taken.call(libc::SYS_ioctl, [0, libc::TIOCSTI, path("x")]), REFUSED),
        ("a mount", taken.call(libc::SYS_mount, []), ABSENT),
    ]
}

/// Programs and processes.
fn processes(taken: &Taken) -> Vec<Try> {
    let (run, anonymous) = (libc::PROT_EXEC as u64, (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64);
    let parent = u64::from(std::process::id());
    let path = |path: &str| taken.put(path.as_bytes());
    vec![
        ("a call that nobody knows", taken.call(4000, []), ABSENT),
        ("a program", taken.call(libc::SYS_execve, [path("/bin/true")]), ABSENT),
        ("a program by another call", taken.call(libc::SYS_execveat, [HERE, path("/bin/true")]), ABSENT),
        ("a process", taken.call(libc::SYS_clone, [Signal::SIGCHLD as u64]), REFUSED),
        ("a process by another call", taken.call(libc::SYS_clone3, [0, 88]), ABSENT),
        ("a process by an old call", taken.call(libc::SYS_fork, []), ABSENT),
        ("a signal", taken.call(libc::SYS_kill, [parent]), ABSENT),
        ("a signal by another call", taken.call(libc::SYS_tgkill, [parent, parent]), REFUSED),
        ("another process", taken.call(libc::SYS_ptrace, [libc::PTRACE_ATTACH as u64, parent]), ABSENT),
        ("a limit", taken.call(libc::SYS_prlimit64, [0, libc::RLIMIT_NOFILE.into(), path("?")]), REFUSED),
        ("memory to run", taken.call(libc::SYS_mmap, [0, 4096, run, anonymous]), REFUSED),
        ("root", taken.call(libc::SYS_setuid, []), ABSENT),
    ]
}

/// The network and the kernel.
fn others(taken: &Taken, has_program: bool) -> Vec<Try> {
    let inet = [libc::AF_INET as u64, libc::SOCK_STREAM as u64, 0];
    let packet = [libc::AF_PACKET as u64, libc::SOCK_RAW as u64, 0x0300];
    let address = taken.put(b"?");
    vec![
        ("a socket", taken.call(libc::SYS_socket, inet), REFUSED),
        ("another tap", taken.call(libc::SYS_socket, packet), REFUSED),
        ("a connection", taken.call(libc::SYS_connect, []), ABSENT),
        ("another address", taken.call(libc::SYS_bind, []), ABSENT),
        ("another listener", taken.call(libc::SYS_listen, []), ABSENT),
        ("a message to an address", taken.call(libc::SYS_sendto, [0, 0, 0, 0, address, 16]), REFUSED),
        ("a message that carries a descriptor", taken.call(libc::SYS_sendmsg, []), ABSENT),
        ("calls that no filter sees", taken.call(libc::SYS_io_uring_setup, []), ABSENT),
        ("a filter that answers calls", taken.call(libc::SYS_seccomp, [1, 8]), ABSENT),
        // BPF_PROG_LOAD
        ("a program in the kernel", taken.call(libc::SYS_bpf, [5]), if has_program { REFUSED } else { ABSENT }),
    ]
}

#[test]
fn every_thread_is_left_only_what_its_parts_call() {
    if !possible() {
        return;
    }
    let scene = Scene::new();
    // Without a fence there is nothing to be seen of one.
    let open = scene.observer("open", &["--tap", "pcap", "-i", "lo", "--format", "json", "--fence", "off"]);
    assert!(Taken::over(open.id()).open("/etc/passwd", libc::O_RDONLY) > 0);
    assert_eq!(end(open, "-TERM").0, Some(0));
    for (arguments, has_program) in [(PCAP, false), (EBPF, true)] {
        let observer = scene.observer("out", &arguments);
        for thread in threads(&observer) {
            let taken = Taken::over(thread);
            assert_eq!(taken.call(libc::SYS_gettid, []), i64::from(thread), "what is allowed");
            let tries = [files(&taken), processes(&taken), others(&taken, has_program)];
            check(&format!("thread {thread} of {arguments:?}"), tries.concat());
        }
        // It goes on as if nothing had been.
        let output = scene.client(&["upgrade:/bare", "response", "fin"]);
        assert!(output.status.success(), "{output:?}");
        wait_for("an alert", || scene.told("out.out").contains("observer.alert"));
        assert_eq!(end(observer, "-TERM").0, Some(0), "{}", scene.told("out.err"));
    }
}

/// The descriptors by which it captures.
fn packet_sockets(observer: &Child) -> Vec<u64> {
    let table = fs::read_to_string(format!("/proc/{}/net/packet", observer.id())).unwrap();
    let inodes: Vec<_> = table.lines().skip(1).filter_map(|line| line.split_whitespace().last()).collect();
    let is_one = |path: &Path| {
        let target = fs::read_link(path).unwrap();
        inodes.iter().any(|inode| target == Path::new(&format!("socket:[{inode}]")))
    };
    let all = fs::read_dir(format!("/proc/{}/fd", observer.id())).unwrap().map(|entry| entry.unwrap().path());
    let number = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().parse().unwrap();
    all.filter(|path| is_one(path)).map(number).collect()
}

/// An Ethernet frame of a type that nobody uses, with a text.
fn frame(text: &str) -> Vec<u8> {
    [&[0; 12], &[0x88, 0xb5][..], text.as_bytes(), &[0; 46]].concat()
}

/// Every way to send a frame by a packet socket, or to get at one that could.
fn sends(taken: &Taken, socket: u64, text: &str) -> Vec<Try> {
    let frame = frame(text);
    let length = frame.len() as u64;
    let bytes = taken.put(&frame);
    // Behind the frame: where it is and how long; a message that has only that; an address on loopback.
    let vector = bytes + 128;
    let message = [0, 0, vector, 1, 0, 0, 0, 0].map(u64::to_le_bytes).concat();
    let address = [&[17, 0, 0x88, 0xb5, 1, 0, 0, 0][..], &[0; 12]].concat();
    let all =
        [&frame, &vec![0; 128 - frame.len()][..], &bytes.to_le_bytes(), &length.to_le_bytes(), &message, &address];
    assert_eq!(taken.put(&all.concat()), bytes);
    let (message, address) = (vector + 16, vector + 80);
    let high = socket | 1 << 32;
    let tx_ring = [socket, libc::SOL_PACKET as u64, 13, bytes, 16];
    let shared = [0, 4096, libc::PROT_WRITE as u64, libc::MAP_SHARED as u64, socket];
    vec![
        ("write", taken.call(libc::SYS_write, [socket, bytes, length]), REFUSED),
        ("write, with bits that the kernel ignores", taken.call(libc::SYS_write, [high, bytes, length]), REFUSED),
        ("writev", taken.call(libc::SYS_writev, [socket, vector, 1]), REFUSED),
        ("pwritev2", taken.call(libc::SYS_pwritev2, [socket, vector, 1, u64::MAX, u64::MAX]), ABSENT),
        ("sendto, as bound", taken.call(libc::SYS_sendto, [socket, bytes, length]), REFUSED),
        ("sendto", taken.call(libc::SYS_sendto, [socket, bytes, length, 0, address, 20]), REFUSED),
        ("sendmsg", taken.call(libc::SYS_sendmsg, [socket, message]), ABSENT),
        ("sendmmsg", taken.call(libc::SYS_sendmmsg, [socket, message, 1]), ABSENT),
        ("sendfile", taken.call(libc::SYS_sendfile, [socket, 0, 0, length]), ABSENT),
        ("splice", taken.call(libc::SYS_splice, [0, 0, socket, 0, length]), ABSENT),
        ("io_submit", taken.call(libc::SYS_io_submit, []), ABSENT),
        ("io_uring", taken.call(libc::SYS_io_uring_setup, [1, bytes]), ABSENT),
        // For --metrics there is a setsockopt, of other options.
        ("a ring to send from", taken.call(libc::SYS_setsockopt, tx_ring), REFUSED),
        ("its memory", taken.call(libc::SYS_mmap, shared), REFUSED),
        ("another number by dup", taken.call(libc::SYS_dup, [socket]), ABSENT),
        ("another number by dup2", taken.call(libc::SYS_dup2, [socket, 200]), ABSENT),
        ("another number by dup3", taken.call(libc::SYS_dup3, [socket, 200]), ABSENT),
        ("another number by fcntl", taken.call(libc::SYS_fcntl, [socket, libc::F_DUPFD_CLOEXEC as u64, 200]), REFUSED),
        ("another number by F_DUPFD", taken.call(libc::SYS_fcntl, [socket, libc::F_DUPFD as u64, 200]), REFUSED),
        ("another number by pidfd", taken.call(libc::SYS_pidfd_getfd, [0, socket]), ABSENT),
    ]
}

#[test]
fn what_captures_cannot_send() {
    if !possible() {
        return;
    }
    let scene = Scene::empty();
    let wire = scene.start("wire", "tcpdump", &["-i", "lo", "-A", "-l", "--immediate-mode", "ether proto 0x88b5"]);
    wait_for("tcpdump", || scene.told("wire.err").contains("listening on"));
    // Without the fence a frame goes out: the way of trying is right.
    let open = scene.observer("open", &["--tap", "pcap", "-i", "lo", "--format", "json", "--fence", "off"]);
    let control = |text: &str| {
        let taken = Taken::over(open.id());
        let frame = frame(text);
        let sent = taken.call(libc::SYS_write, [packet_sockets(&open)[0], taken.put(&frame), frame.len() as u64]);
        assert_eq!(sent, frame.len() as i64);
        drop(taken);
        wait_for("the frame", || scene.told("wire.out").contains(text));
    };
    control("before");
    run(scene.command("ip").args(["link", "add", "away0", "type", "veth", "peer", "away1"]));
    run(scene.command("ip").args(["link", "set", "away0", "up"]));
    let behind = scene.observer("out", &[&PCAP[..], &["-i", "away0", "--metrics", "127.0.0.1:9464"]].concat());
    let sockets = packet_sockets(&behind);
    assert_eq!(sockets.len(), 2);
    for (thread, socket) in threads(&behind).into_iter().flat_map(|thread| sockets.iter().map(move |it| (thread, *it)))
    {
        let taken = Taken::over(thread);
        check(&format!("thread {thread} on {socket}"), sends(&taken, socket, "behind"));
    }
    control("after");
    // What is refused by its number must not become another file's.
    run(scene.command("ip").args(["link", "del", "away0"]));
    wait_for("the loss", || scene.told("out.err").contains("away0 is lost"));
    assert_eq!(packet_sockets(&behind), sockets);
    assert!(!scene.told("wire.out").contains("behind"), "{}", scene.told("wire.out"));
    for child in [open, behind] {
        assert_eq!(end(child, "-TERM").0, Some(0), "{}", scene.told("out.err"));
    }
    end(wire, "-TERM");
}

/// Runs it as on a kernel without Landlock.
fn without_landlock<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    let absent = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    let rules = [(libc::SYS_landlock_create_ruleset, Vec::new())].into();
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter: BpfProgram = SeccompFilter::new(rules, SeccompAction::Allow, absent, arch).unwrap().try_into().unwrap();
    // Whom this thread starts has it as well.
    let run = move || {
        seccompiler::apply_filter(&filter).unwrap();
        run()
    };
    thread::scope(|scope| scope.spawn(run).join().unwrap())
}

#[test]
fn without_landlock_root_becomes_nobody_and_opens_no_file_again() {
    if !possible() {
        return;
    }
    let scene = Scene::new();
    let (log, old) = (scene.path("feed.json"), scene.path("feed.json.1"));
    // Anybody might make files here.
    fs::set_permissions(&scene.dir, fs::Permissions::from_mode(0o777)).unwrap();
    let start = |name: &str, fence: &str| {
        let observer = ["SUDO_UID=1000", "SUDO_GID=1000", env!("CARGO_BIN_EXE_observer"), "live", "--tap", "pcap"];
        let output = ["-i", "lo", "--format", "json", "--output", &log, "--fence", fence];
        scene.start(name, "env", &[&observer[..], &output].concat())
    };
    // Its last thread: before it come the fence and what a signal does.
    let is_ready = |observer: &Child| threads(observer).into_iter().any(|thread| status(thread, "Name") == "signals");
    let with = start("with", "require");
    wait_for("its fence", || is_ready(&with));
    assert_eq!(status(with.id(), "Uid"), "1000\t1000\t1000\t1000");
    assert_eq!(end(with, "-TERM").0, Some(0), "{}", scene.told("with.err"));
    let strict = without_landlock(|| start("strict", "require"));
    assert_eq!(end(strict, "-0").0, Some(3));
    assert!(scene.told("strict.err").contains("--fence require: Landlock"), "{}", scene.told("strict.err"));
    let observer = without_landlock(|| start("out", "auto"));
    wait_for("its fence", || is_ready(&observer));
    assert_eq!(status(observer.id(), "Uid"), "65534\t65534\t65534\t65534");
    for thread in threads(&observer) {
        let file = Taken::over(thread).open("/tmp/behind", libc::O_WRONLY | libc::O_CREAT);
        assert_eq!(file, -i64::from(Errno::EPERM as i32));
    }
    let warnings = || scene.told("out.err").matches("again without Landlock").count();
    assert_eq!(warnings(), 1, "at the start: {}", scene.told("out.err"));
    fs::rename(&log, &old).unwrap();
    run(Command::new("kill").args(["-HUP", &observer.id().to_string()]));
    wait_for("the warning", || warnings() == 2);
    let output = scene.client(&["upgrade:/bare", "response", "fin"]);
    assert!(output.status.success(), "{output:?}");
    wait_for("an alert", || fs::read_to_string(&old).unwrap().contains("observer.alert"));
    assert_eq!(end(observer, "-TERM").0, Some(0), "{}", scene.told("out.err"));
    assert!(!fs::exists(&log).unwrap());
}

/// The process that removes the filters of an observer.
fn remover(observer: &Child) -> u32 {
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", observer.id())).unwrap();
    let told = |child: &str| fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
    let remover = children.split_whitespace().find(|child| told(child).contains("unhook")).unwrap();
    remover.parse().unwrap()
}

/// What is not about interfaces and their filters.
fn removers(taken: &Taken) -> Vec<Try> {
    let inet = [libc::AF_INET as u64, libc::SOCK_DGRAM as u64, 0];
    let packet = [libc::AF_PACKET as u64, libc::SOCK_RAW as u64, 0];
    vec![
        ("a file", taken.open("/etc/passwd", libc::O_RDONLY), ABSENT),
        ("a program", taken.call(libc::SYS_execve, [taken.put(b"/bin/true")]), ABSENT),
        ("a process", taken.call(libc::SYS_clone, [Signal::SIGCHLD as u64]), ABSENT),
        ("to write", taken.call(libc::SYS_write, [1, taken.put(b"?"), 1]), ABSENT),
        ("a device", taken.call(libc::SYS_ioctl, [0, libc::SIOCGIFFLAGS]), ABSENT),
        ("a signal", taken.call(libc::SYS_kill, [1]), ABSENT),
        ("a program in the kernel", taken.call(libc::SYS_bpf, [5]), ABSENT),
        ("a socket", taken.call(libc::SYS_socket, inet), REFUSED),
        ("a tap", taken.call(libc::SYS_socket, packet), REFUSED),
        ("memory to run", taken.call(libc::SYS_mmap, [0, 4096, libc::PROT_EXEC as u64, 0x22]), REFUSED),
        ("a message to an address", taken.call(libc::SYS_sendto, [0, 0, 0, 0, taken.put(b"?"), 16]), REFUSED),
    ]
}

#[test]
fn who_removes_filters_can_do_nothing_else() {
    if !possible() {
        return;
    }
    let scene = Scene::empty();
    let observer = scene.observer("out", &[&EBPF[..], &["--hook", "clsact"]].concat());
    let remover = remover(&observer);
    wait_for("its fence", || status(remover, "Seccomp") == "2");
    let net_admin = format!("{:016x}", 1 << 12);
    for (name, expected) in [
        ("CapEff", &*net_admin),
        ("CapPrm", &net_admin),
        ("CapInh", "0000000000000000"),
        ("CapBnd", "0000000000000000"),
        ("NoNewPrivs", "1"),
        ("Threads", "1"),
    ] {
        assert_eq!(status(remover, name), expected, "{name}");
    }
    assert!(status(remover, "Uid").split('\t').all(|uid| uid != "0"));
    check("the remover", removers(&Taken::over(remover)));
    let filters = || {
        let told = scene.command("tc").args(["filter", "show", "dev", "lo", "egress"]).stdout(Stdio::piped()).output();
        String::from_utf8(told.unwrap().stdout).unwrap()
    };
    assert!(filters().contains("ethernet"), "{}", filters());
    assert_eq!(end(observer, "-KILL").0, None);
    // It goes on as if nothing had been.
    wait_for("the filters to go", || filters().is_empty());
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
