//! Which process holds which end of a connection: the kernel tells the process of a socket, and the socket of a frame.

use std::net::SocketAddr;

use hashbrown::HashMap;

use super::table::address;
use crate::engine::{attempt::Owner, event::Process};

/// Sockets remembered at a time.
const MOST: usize = 1 << 16;

/// What is known of sockets, by their cookies.
#[derive(Default)]
pub(super) struct Owners {
    sockets: HashMap<u64, Half>,
}

/// One half of what there is to know; the other may never come.
enum Half {
    Process(Process),
    /// Its end, and the other one.
    Ends(SocketAddr, SocketAddr),
    Told,
}

impl Owners {
    /// A frame was sent by a socket.
    pub(super) fn frame(&mut self, record: &observer_ebpf::Frame) -> Option<Owner> {
        if record.cookie == 0 || record.headers == 0 {
            return None;
        }
        let (low, high) = (record.connection.low, record.connection.high);
        let (local, peer) = if record.flow == 0 { (low, high) } else { (high, low) };
        let Some(half) = self.sockets.get_mut(&record.cookie) else {
            self.remember(record.cookie, Half::Ends(address(local), address(peer)));
            return None;
        };
        let Half::Process(process) = half else { return None };
        let owner = Owner { local: address(local), peer: address(peer), process: process.clone() };
        *half = Half::Told;
        Some(owner)
    }

    /// A process has sent through a socket.
    pub(super) fn process(&mut self, record: &observer_ebpf::Owner) -> Option<Owner> {
        let length = record.command.iter().position(|byte| *byte == 0).unwrap_or(record.command.len());
        let command = String::from_utf8_lossy(&record.command[..length]).into();
        let process = Process { pid: record.pid, command };
        let Some(half) = self.sockets.get_mut(&record.cookie) else {
            self.remember(record.cookie, Half::Process(process));
            return None;
        };
        let Half::Ends(local, peer) = *half else { return None };
        *half = Half::Told;
        Some(Owner { local, peer, process })
    }

    /// The socket has ended its connection.
    pub(super) fn forget(&mut self, cookie: u64) {
        self.sockets.remove(&cookie);
    }

    fn remember(&mut self, cookie: u64, half: Half) {
        // Owners are hints: it is enough that those of late are known.
        if self.sockets.len() >= MOST {
            self.sockets.clear();
        }
        self.sockets.insert(cookie, half);
    }
}
