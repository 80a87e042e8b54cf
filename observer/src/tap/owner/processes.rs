//! Which process holds a socket: the one in whose table of open files it stands. Those that held one before are looked at
//! first; a walk over all processes is rare, and none of it costs more than a small part of one processor.

use std::{
    io::Read,
    time::{Duration, Instant},
};

use hashbrown::HashMap;
use procfs::process::{self, FDTarget, Process};

/// Processes to look at first.
const KNOWN: usize = 32;
/// Sockets whose place is remembered.
const PLACES: usize = 4096;
/// From one walk over all processes to the next, at least.
const WALK: Duration = Duration::from_millis(500);
/// How many times as long as it looked it rests: after known processes, and after all of them.
const REST: u32 = 9;
const REST_WALK: u32 = 19;

/// Who holds a socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Holder {
    pub(super) pid: i32,
    pub(super) command: String,
}

/// A socket in a process' table of open files.
#[derive(Clone, Copy)]
struct Place {
    pid: i32,
    fd: i32,
}

/// What is known of processes.
pub(super) struct Processes {
    /// The last one that held something comes first.
    known: Vec<i32>,
    places: HashMap<u64, Place>,
    next_look: Instant,
    next_walk: Instant,
}

impl Processes {
    pub(super) fn new(now: Instant) -> Self {
        Self { known: Vec::new(), places: HashMap::new(), next_look: now, next_walk: now }
    }

    /// When there is more to be found.
    pub(super) fn next(&self) -> Instant {
        self.next_look.max(self.next_walk)
    }

    /// Finds what it can of these sockets. Says whether it looked at every process, so that there is nothing else to find.
    pub(super) fn find(&mut self, inodes: &[u64], clock: impl Fn() -> Instant) -> (HashMap<u64, Holder>, bool) {
        let mut found = HashMap::new();
        let mut missing: Vec<u64> = Vec::new();
        for &inode in inodes {
            match self.places.get(&inode).and_then(|place| still(*place, inode)) {
                Some(holder) => drop(found.insert(inode, holder)),
                None => missing.push(inode),
            }
        }
        let start = clock();
        if missing.is_empty() || start < self.next_look {
            return (found, missing.is_empty());
        }
        for pid in self.known.clone() {
            match Process::new(pid) {
                Ok(process) => self.look(&process, &mut missing, &mut found),
                Err(_) => self.known.retain(|known| *known != pid),
            }
        }
        let walks = !missing.is_empty() && start >= self.next_walk;
        if walks {
            for process in process::all_processes().into_iter().flatten().flatten() {
                if missing.is_empty() {
                    break;
                }
                self.look(&process, &mut missing, &mut found);
            }
            let end = clock();
            self.next_walk = end + WALK.max((end - start) * REST_WALK);
        }
        let end = clock();
        self.next_look = end + (end - start) * REST;
        (found, walks || missing.is_empty())
    }

    /// Looks for missing sockets in one process. One that may not be looked at has none.
    fn look(&mut self, process: &Process, missing: &mut Vec<u64>, found: &mut HashMap<u64, Holder>) {
        let Ok(table) = process.fd() else { return };
        let mut holder = None;
        for open in table.flatten() {
            let FDTarget::Socket(inode) = open.target else { continue };
            let Some(at) = missing.iter().position(|wanted| *wanted == inode) else { continue };
            let Some(holder) = holder.get_or_insert_with(|| holder_of(process)) else { return };
            missing.swap_remove(at);
            found.insert(inode, holder.clone());
            self.remember(inode, Place { pid: process.pid, fd: open.fd });
            if missing.is_empty() {
                break;
            }
        }
    }

    fn remember(&mut self, inode: u64, place: Place) {
        self.known.retain(|known| *known != place.pid);
        self.known.insert(0, place.pid);
        self.known.truncate(KNOWN);
        if self.places.len() >= PLACES {
            self.places.clear();
        }
        self.places.insert(inode, place);
    }
}

/// The process at a place, when the socket is there now.
fn still(place: Place, inode: u64) -> Option<Holder> {
    let process = Process::new(place.pid).ok()?;
    let open = process.fd_from_fd(place.fd).ok()?;
    if open.target == FDTarget::Socket(inode) { holder_of(&process) } else { None }
}

/// Its name as the kernel has it: what it gave itself, in any bytes.
fn holder_of(process: &Process) -> Option<Holder> {
    let mut name = Vec::new();
    process.open_relative("comm").ok()?.take(64).read_to_end(&mut name).ok()?;
    let command = String::from_utf8_lossy(name.strip_suffix(b"\n").unwrap_or(&name)).into_owned();
    Some(Holder { pid: process.pid, command })
}
