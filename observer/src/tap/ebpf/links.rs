//! The interfaces of this host as the kernel tells them over rtnetlink(7): all at first, then each that comes or goes.

use std::{
    io,
    os::fd::{AsRawFd, RawFd},
};

use hashbrown::HashMap;
use netlink_packet_core::{NLM_F_DUMP, NetlinkPayload};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkLayerType, LinkMessage},
};
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};

use super::netlink::{self, LONGEST};

/// `RTNLGRP_LINK`: interfaces that come, change and go.
const LINK_GROUP: u32 = 1;

/// `ENOBUFS`, for which `io::ErrorKind` has no name.
const NO_ROOM: i32 = 105;

/// An interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Interface {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) kind: LinkLayerType,
}

/// What the kernel says of an interface.
#[derive(Debug)]
pub(super) enum News {
    /// It is there, perhaps not for the first time.
    There(Interface),
    /// The one with this index is gone.
    Gone(u32),
}

/// The kernel's messages.
pub(super) struct Links {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Links {
    /// Listens, and gives the interfaces that are there.
    pub(super) fn open() -> io::Result<(Self, Vec<Interface>)> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.add_membership(LINK_GROUP)?;
        let mut links = Self { socket, buffer: vec![0; LONGEST] };
        links.ask()?;
        let mut there = HashMap::new();
        while !links.read(&mut |news| match news {
            News::There(interface) => drop(there.insert(interface.index, interface)),
            News::Gone(index) => drop(there.remove(&index)),
        })? {}
        links.socket.set_non_blocking(true)?;
        let mut there: Vec<_> = there.into_values().collect();
        there.sort_by_key(|interface| interface.index);
        Ok((links, there))
    }

    pub(super) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// What has been said since the last call.
    pub(super) fn news(&mut self) -> Vec<News> {
        let mut news = Vec::new();
        loop {
            match self.read(&mut |each| news.push(each)) {
                Ok(_) => {}
                // More was said than there was room for: all of it again.
                Err(error) if error.raw_os_error() == Some(NO_ROOM) => drop(self.ask()),
                Err(_) => return news,
            }
        }
    }

    /// Asks for all interfaces.
    fn ask(&self) -> io::Result<()> {
        let get = RouteNetlinkMessage::GetLink(LinkMessage::default());
        netlink::send(&self.socket, get, NLM_F_DUMP)
    }

    /// Reads messages once. True when they end a list of all interfaces.
    fn read(&mut self, each: &mut impl FnMut(News)) -> io::Result<bool> {
        let mut ended = false;
        netlink::receive(&self.socket, &mut self.buffer, |message| match message {
            NetlinkPayload::Done(_) => ended = true,
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
                if let Some(interface) = interface(&link) {
                    each(News::There(interface));
                }
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link)) => each(News::Gone(link.header.index)),
            _ => {}
        })?;
        Ok(ended)
    }
}

fn interface(link: &LinkMessage) -> Option<Interface> {
    let name = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    })?;
    Some(Interface { index: link.header.index, name, kind: link.header.link_layer_type })
}
