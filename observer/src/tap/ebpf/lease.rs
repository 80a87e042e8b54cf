//! Which observer a filter belongs to, and whether that one still lives. A process id does not tell: it means nothing in
//! another PID namespace, and is given again. So an observer holds an abstract unix socket, named by the number that its
//! filters carry. Such names belong to a network namespace, as interfaces do, and the kernel frees them with the last
//! process that holds them.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, socket_with},
};

/// A process id has so many bits at most. The others make it another number where an observer of another PID namespace
/// has the same.
const PID_BITS: u32 = 22;

/// A number that nobody else has in this network namespace.
pub(super) struct Lease {
    number: u32,
    socket: OwnedFd,
}

impl Lease {
    /// Takes one that contains the process id, to be recognised in the output of `tc`.
    pub(super) fn take() -> io::Result<Self> {
        let pid = std::process::id();
        for more in 0..1 << (u32::BITS - PID_BITS) {
            let number = pid | more << PID_BITS;
            match hold(number) {
                Err(Errno::ADDRINUSE) => {}
                held => return Ok(Self { number, socket: held? }),
            }
        }
        Err(Errno::ADDRINUSE.into())
    }

    pub(super) const fn number(&self) -> u32 {
        self.number
    }

    /// For another process, which holds it as well.
    pub(super) fn share(&self) -> io::Result<OwnedFd> {
        self.socket.as_fd().try_clone_to_owned()
    }
}

/// Whether an observer holds this number. Where that cannot be found out, one may.
pub(super) fn is_held(number: u32) -> bool {
    hold(number).is_err()
}

fn hold(number: u32) -> Result<OwnedFd, Errno> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrUnix::new_abstract_name(format!("observer-clsact-{number:08x}").as_bytes())?)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_held_until_the_last_holder_lets_go() {
        let (one, other) = (Lease::take().unwrap(), Lease::take().unwrap());
        let number = one.number();
        assert_ne!(number, other.number());
        for lease in [&one, &other] {
            assert_eq!(lease.number() & ((1 << PID_BITS) - 1), std::process::id());
        }
        let shared = one.share().unwrap();
        drop(one);
        assert!(is_held(number));
        drop(shared);
        assert!(!is_held(number));
    }
}
