//! Which process holds which end of a connection of this host, as far as whoever asks may see. A process is named only
//! when the socket stands in its table of open files at that moment: never because it listens there, or held one before.
//!
//! Sockets are those of the network namespace that this runs in.

mod processes;
mod sockets;

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use self::{
    processes::Processes,
    sockets::{Socket, Sockets},
};

/// Questions that wait at most; beyond that the oldest is given up.
const WAITING: usize = 1024;
/// How long a question may wait.
const PATIENCE: Duration = Duration::from_secs(2);
/// From one look to the next at a socket that nobody has accepted yet.
const AGAIN: Duration = Duration::from_millis(2);

/// The process that holds the socket `local` -> `peer`.
#[derive(Clone, PartialEq, Eq, Debug, serde::Deserialize, serde::Serialize)]
pub struct Held {
    /// Its own end.
    pub local: SocketAddr,
    /// The other end.
    pub peer: SocketAddr,
    /// The process, as seen from here.
    pub pid: u32,
    /// Its name, from outside: sinks escape it.
    pub command: String,
}

/// A question that is not answered yet.
struct Question {
    local: SocketAddr,
    peer: SocketAddr,
    until: Instant,
}

/// Answers questions.
pub struct Lookup {
    sockets: Sockets,
    processes: Processes,
    waiting: Vec<Question>,
    /// Whether one of them waits for a process to accept its socket.
    unaccepted: bool,
}

impl Lookup {
    /// Opens what it needs.
    ///
    /// # Errors
    /// When the kernel has no sock_diag(7).
    pub fn open(now: Instant) -> io::Result<Self> {
        let (sockets, processes) = (Sockets::open()?, Processes::new(now));
        Ok(Self { sockets, processes, waiting: Vec::new(), unaccepted: false })
    }

    /// Asks for the process that holds the socket `local` -> `peer`.
    pub fn ask(&mut self, local: SocketAddr, peer: SocketAddr, now: Instant) {
        if self.waiting.len() >= WAITING {
            self.waiting.remove(0);
        }
        self.waiting.push(Question { local, peer, until: now + PATIENCE });
    }

    /// When to call [`Self::answer`] again.
    #[must_use]
    pub fn next(&self, now: Instant) -> Option<Duration> {
        let processes = self.processes.next().saturating_duration_since(now).max(AGAIN);
        let next = if self.unaccepted { AGAIN } else { processes };
        (!self.waiting.is_empty()).then_some(next)
    }

    /// Answers what it can.
    ///
    /// # Errors
    /// When the kernel answers no more.
    pub fn answer(&mut self, clock: impl Fn() -> Instant) -> io::Result<Vec<Held>> {
        let now = clock();
        self.waiting.retain(|question| question.until > now);
        self.unaccepted = false;
        let mut here = Vec::with_capacity(self.waiting.len());
        for question in std::mem::take(&mut self.waiting) {
            match self.sockets.find(question.local, question.peer)? {
                Socket::Absent => {}
                Socket::Unaccepted => {
                    self.unaccepted = true;
                    self.waiting.push(question);
                }
                Socket::Inode(inode) => here.push((inode, question)),
            }
        }
        let inodes: Vec<u64> = here.iter().map(|(inode, _)| *inode).collect();
        let (found, all) = self.processes.find(&inodes, clock);
        let mut held = Vec::new();
        for (inode, question) in here {
            match found.get(&inode) {
                Some(holder) => held.push(Held {
                    local: question.local,
                    peer: question.peer,
                    pid: holder.pid.unsigned_abs(),
                    command: holder.command.clone(),
                }),
                None if all => {}
                None => self.waiting.push(question),
            }
        }
        Ok(held)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test asks the real kernel")]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_process_is_found_once_it_has_the_socket() {
        let mut lookup = Lookup::open(Instant::now()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (near, far) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        lookup.ask(near, far, Instant::now());
        lookup.ask(far, near, Instant::now());
        let answer = lookup.answer(Instant::now).unwrap();
        assert_eq!(answer.len(), 1, "{answer:?}");
        let ours = std::fs::read_to_string("/proc/self/comm").unwrap();
        let held = Held { local: near, peer: far, pid: std::process::id(), command: ours.trim_end().to_owned() };
        assert_eq!(answer[0], held);
        assert_eq!(lookup.next(Instant::now()), Some(AGAIN));
        let server = listener.accept().unwrap();
        let mut late = Vec::new();
        while late.is_empty() && lookup.next(Instant::now()).is_some() {
            late = lookup.answer(Instant::now).unwrap();
        }
        assert_eq!(late, [Held { local: far, peer: near, ..held }]);
        assert_eq!(lookup.next(Instant::now()), None);
        drop(server);
    }

    #[test]
    fn who_is_gone_or_elsewhere_is_nobody() {
        let mut lookup = Lookup::open(Instant::now()).unwrap();
        lookup.ask("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap(), Instant::now());
        lookup.ask("192.0.2.1:80".parse().unwrap(), "[2001:db8::1]:2".parse().unwrap(), Instant::now());
        assert_eq!(lookup.answer(Instant::now).unwrap(), []);
        assert_eq!(lookup.next(Instant::now()), None);
    }
}
