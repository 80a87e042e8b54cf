//! Interfaces by index and by name. The socket that asks the kernel is opened once, so that names of new interfaces
//! can be had after the process may open no more.

use std::{io, os::fd::OwnedFd};

use hashbrown::HashMap;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType,
    netdevice::{index_to_name, name_to_index},
    socket_with,
};

use crate::{
    engine::frame::{ClockId, InterfaceId},
    tap::{InterfaceInfo, SharedInterfaces},
};

/// What all live interfaces are from.
const SOURCE: &str = "live";

/// Interfaces to tell apart, and what all later ones are called.
const MOST: usize = 16_384;
const OTHERS: &str = "others";

/// Every interface that frames came from.
pub(super) struct Names {
    socket: OwnedFd,
    table: SharedInterfaces,
    /// By index.
    known: HashMap<u32, InterfaceId>,
    /// The one asked for last.
    last: Option<(u32, InterfaceId)>,
}

impl Names {
    pub(super) fn new(table: &SharedInterfaces) -> io::Result<Self> {
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        Ok(Self { socket, table: table.clone(), known: HashMap::new(), last: None })
    }

    /// Whether there is an interface of this name.
    pub(super) fn exists(&self, name: &str) -> bool {
        name_to_index(&self.socket, name).is_ok()
    }

    /// The id of the interface with this index; it is registered when it is new.
    #[inline]
    pub(super) fn by_index(&mut self, index: u32) -> InterfaceId {
        match self.last {
            Some((last, id)) if last == index => id,
            _ => self.find(index),
        }
    }

    /// The id of the interface with this name, as [`Self::by_index`].
    pub(super) fn by_name(&mut self, name: &str) -> InterfaceId {
        match name_to_index(&self.socket, name) {
            Ok(index) => self.by_index(index),
            Err(_) => self.register(name.to_owned()),
        }
    }

    fn find(&mut self, index: u32) -> InterfaceId {
        let id = match self.known.get(&index) {
            Some(id) => *id,
            None => self.learn(index),
        };
        self.last = Some((index, id));
        id
    }

    #[cold]
    fn learn(&mut self, index: u32) -> InterfaceId {
        // Where containers come and go, so do their interfaces.
        if self.known.len() >= MOST {
            return self.register(OTHERS.to_owned());
        }
        // It may be gone again; then only its index is known.
        let name = index_to_name(&self.socket, index).unwrap_or_else(|_| format!("if{index}"));
        let id = self.register(name);
        self.known.insert(index, id);
        id
    }

    /// One that came back under its name is the one that left.
    fn register(&self, name: String) -> InterfaceId {
        let same =
            self.table.borrow().iter().position(|info| info.source == SOURCE && info.name.as_deref() == Some(&*name));
        match same.and_then(|at| u32::try_from(at).ok()) {
            Some(at) => InterfaceId(at),
            None => self.table.register(InterfaceInfo {
                name: Some(name),
                source: SOURCE.to_owned(),
                clock: ClockId::default(),
            }),
        }
    }
}
