//! A thread of a running program that calls the kernel as a test wants: a debugger puts the calls into it.

use nix::{
    libc::{self, c_long},
    sys::{
        ptrace,
        signal::Signal,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use crate::scene::wait_for;

/// No directory but where it works.
pub(crate) const HERE: u64 = (libc::AT_FDCWD as i64).cast_unsigned();

/// A thread that somebody else has taken over.
pub(crate) struct Taken {
    thread: Pid,
    before: libc::user_regs_struct,
}

impl Taken {
    /// Stops it inside a system call, so that the instruction for one is where it stands.
    pub(crate) fn over(thread: u32) -> Self {
        let thread = Pid::from_raw(thread.cast_signed());
        let mut taken = None;
        wait_for("a thread that waits in the kernel", || {
            // Let go of it first.
            drop(taken.take());
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

    /// Makes it call the kernel with up to six arguments.
    pub(crate) fn call<const N: usize>(&self, number: c_long, arguments: [u64; N]) -> i64 {
        let mut all = [0; 6];
        all[..N].copy_from_slice(&arguments);
        let [rdi, rsi, rdx, r10, r8, r9] = all;
        let rax = number.cast_unsigned();
        let registers = libc::user_regs_struct {
            rax,
            orig_rax: u64::MAX,
            rdi,
            rsi,
            rdx,
            r10,
            r8,
            r9,
            rip: self.before.rip - 2,
            ..self.before
        };
        ptrace::setregs(self.thread, registers).unwrap();
        ptrace::step(self.thread, None).unwrap();
        let stopped = waitpid(self.thread, Some(WaitPidFlag::__WALL)).unwrap();
        assert_eq!(stopped, WaitStatus::Stopped(self.thread, Signal::SIGTRAP));
        ptrace::getregs(self.thread).unwrap().rax.cast_signed()
    }

    /// Puts bytes into its memory, below its stack and beyond the red zone, and gives their address.
    pub(crate) fn put(&self, bytes: &[u8]) -> u64 {
        let room = (self.before.rsp - 8192) & !15;
        let bytes = [bytes, &[0; 8]].concat();
        for (at, word) in bytes.chunks_exact(8).enumerate() {
            let word = c_long::from_le_bytes(word.try_into().unwrap());
            ptrace::write(self.thread, (room + 8 * at as u64) as ptrace::AddressType, word).unwrap();
        }
        room
    }

    /// Makes it open a file.
    pub(crate) fn open(&self, path: &str, flags: libc::c_int) -> i64 {
        self.call(libc::SYS_openat, [HERE, self.put(path.as_bytes()), flags.cast_unsigned().into(), 0o600])
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let _ = ptrace::setregs(self.thread, self.before);
        let _ = ptrace::detach(self.thread, None);
    }
}
