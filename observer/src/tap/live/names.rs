//! Interfaces by index and by name. The socket that asks the kernel is opened once, so that names of new interfaces
//! can be had after the process may open no more.

use std::{io, os::fd::OwnedFd};

use rustix::net::{
    AddressFamily, SocketFlags, SocketType,
    netdevice::{index_to_name, name_to_index},
    socket_with,
};

use crate::{
    engine::frame::InterfaceId,
    tap::{InterfaceInfo, SharedInterfaces},
};

/// What all live interfaces are from.
const SOURCE: &str = "live";

/// Every interface that frames came from.
pub(super) struct Names {
    socket: OwnedFd,
    table: SharedInterfaces,
    /// By index. There are few, and the last one asked for comes first.
    known: Vec<(u32, InterfaceId)>,
}

impl Names {
    pub(super) fn new(table: &SharedInterfaces) -> io::Result<Self> {
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        Ok(Self { socket, table: table.clone(), known: Vec::new() })
    }

    /// Whether there is an interface of this name.
    pub(super) fn exists(&self, name: &str) -> bool {
        name_to_index(&self.socket, name).is_ok()
    }

    /// The id of the interface with this index; it is registered when it is new.
    #[inline]
    pub(super) fn by_index(&mut self, index: u32) -> InterfaceId {
        match self.known.iter().position(|(known, _)| *known == index) {
            Some(at) => self.known[at].1,
            None => self.learn(index),
        }
    }

    /// The id of the interface with this name, as [`Self::by_index`].
    pub(super) fn by_name(&mut self, name: &str) -> InterfaceId {
        match name_to_index(&self.socket, name) {
            Ok(index) => self.by_index(index),
            Err(_) => self.table.register(InterfaceInfo { name: Some(name.to_owned()), source: SOURCE.to_owned() }),
        }
    }

    #[cold]
    fn learn(&mut self, index: u32) -> InterfaceId {
        // It may be gone again; then only its index is known.
        let name = index_to_name(&self.socket, index).unwrap_or_else(|_| format!("if{index}"));
        let id = self.table.register(InterfaceInfo { name: Some(name), source: SOURCE.to_owned() });
        self.known.push((index, id));
        id
    }
}
