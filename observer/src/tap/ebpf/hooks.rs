//! The program on its interfaces. On loopback every packet goes out and comes in: it is looked at once, going out.

use std::{error::Error, os::fd::RawFd};

use aya::{
    Ebpf,
    programs::{
        TcAttachType,
        links::LinkOrder,
        tc::{SchedClassifierLink, TcAttachOptions},
    },
};
use netlink_packet_route::link::LinkLayerType;

use super::{
    clsact::Clsact,
    links::{Interface, Links, News},
    load::{classifier, failed, is_refused, is_unknown, why},
};
use crate::tap::{
    TapError,
    live::{ANY, Change, Hook},
};

/// The program and where it is attached.
pub(super) struct Hooks {
    programs: Ebpf,
    /// Where filters are attached instead of links.
    clsact: Option<Clsact>,
    /// Whether it is for this to say which.
    is_auto: bool,
    links: Links,
    /// The names that are watched; none for every interface.
    wanted: Vec<String>,
    hooks: Vec<Watched>,
    /// Interfaces that cannot be watched, so that each is told once.
    unread: Vec<u32>,
    /// Whether the kernel has refused to attach to an interface that came later.
    refused: bool,
}

/// One interface, watched as long as the links are held.
struct Watched {
    interface: Interface,
    _links: Vec<SchedClassifierLink>,
}

impl Hooks {
    /// Attaches to what is there of `wanted`.
    pub(super) fn open(programs: Ebpf, wanted: &[String], hook: Hook) -> Result<Self, TapError> {
        let (links, there) = Links::open().map_err(|error| TapError::List { why: error.to_string() })?;
        let wanted = if wanted.iter().any(|name| name == ANY) { Vec::new() } else { wanted.to_vec() };
        if let Some(name) = wanted.iter().find(|name| there.iter().all(|interface| interface.name != **name)) {
            let known = there.iter().map(|interface| &*interface.name).collect::<Vec<_>>().join(", ");
            return Err(TapError::NoInterface { name: name.clone(), known });
        }
        let mut hooks = Self {
            programs,
            clsact: None,
            is_auto: hook == Hook::Auto,
            links,
            wanted,
            hooks: Vec::new(),
            unread: Vec::new(),
            refused: false,
        };
        if hook == Hook::Clsact {
            hooks.clsact = Some(Clsact::open().map_err(|error| failed(&error))?);
        }
        for interface in there {
            let named = !hooks.wanted.is_empty();
            match hooks.add(interface) {
                // Of all interfaces, those that carry something else are passed over.
                Err(TapError::LinkType { .. }) if !named => {}
                Err(TapError::Unwatched { name, why }) => {
                    let why = format!("the program cannot be attached to {name}: {why}");
                    return Err(TapError::Ebpf { why });
                }
                added => drop(added?),
            }
        }
        Ok(hooks)
    }

    pub(super) fn fd(&self) -> RawFd {
        self.links.fd()
    }

    pub(super) const fn len(&self) -> usize {
        self.hooks.len()
    }

    pub(super) const fn may_attach(&self) -> bool {
        !self.refused
    }

    /// Attaches to interfaces that came. Says which came back or went, of those that were named, and which cannot be
    /// watched.
    pub(super) fn follow(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for news in self.links.news() {
            match news {
                News::There(interface) => {
                    let name = interface.name.clone();
                    match self.add(interface) {
                        Ok(true) if !self.wanted.is_empty() => changes.push(Change::Back(name)),
                        Ok(_) => {}
                        Err(error) => changes.push(Change::Lost(error)),
                    }
                }
                News::Gone(index) => changes.extend(self.lose(index)),
            }
        }
        changes
    }

    /// Attaches to an interface. False when it is not wanted, or watched already.
    fn add(&mut self, interface: Interface) -> Result<bool, TapError> {
        let known = self.hooks.iter().any(|hook| hook.interface.index == interface.index)
            || self.unread.contains(&interface.index);
        if known || !(self.wanted.is_empty() || self.wanted.contains(&interface.name)) {
            return Ok(false);
        }
        match self.attach(&interface) {
            Ok(links) => self.hooks.push(Watched { interface, _links: links }),
            Err(error) => {
                self.unread.push(interface.index);
                return Err(error);
            }
        }
        Ok(true)
    }

    fn attach(&mut self, interface: &Interface) -> Result<Vec<SchedClassifierLink>, TapError> {
        let name = &interface.name;
        let (program, ways) = match interface.kind {
            LinkLayerType::Loopback => ("ethernet", &[TcAttachType::Egress][..]),
            LinkLayerType::Ether => ("ethernet", &BOTH[..]),
            LinkLayerType::None | LinkLayerType::Rawip | LinkLayerType::Ppp => ("bare", &BOTH[..]),
            kind => return Err(TapError::LinkType { name: name.clone(), number: u16::from(kind).into() }),
        };
        let mut links = self.link(interface, program, ways);
        // Older kernels know no such links.
        if self.is_auto && self.hooks.is_empty() && links.as_ref().is_err_and(|error| is_unknown(&**error)) {
            self.clsact = Some(Clsact::open().map_err(|error| failed(&error))?);
            links = self.link(interface, program, ways);
        }
        links.map_err(|error| {
            self.refused |= is_refused(&*error);
            TapError::Unwatched { name: name.clone(), why: why(&*error) }
        })
    }

    /// Attaches one of the programs, by links or by filters.
    fn link(
        &mut self,
        interface: &Interface,
        program: &str,
        ways: &[TcAttachType],
    ) -> Result<Vec<SchedClassifierLink>, Box<dyn Error>> {
        if let Some(clsact) = &mut self.clsact {
            clsact.prepare(interface)?;
        }
        let program = classifier(&mut self.programs, program)?;
        let mut links = Vec::new();
        for way in ways {
            let options = match &self.clsact {
                Some(clsact) => clsact.options(),
                None => TcAttachOptions::TcxOrder(LinkOrder::default()),
            };
            let id = program.attach_with_options(&interface.name, *way, options)?;
            links.push(program.take_link(id)?);
        }
        Ok(links)
    }

    /// The interface with this index is gone, and with it what was attached.
    fn lose(&mut self, index: u32) -> Option<Change> {
        self.unread.retain(|unread| *unread != index);
        let at = self.hooks.iter().position(|hook| hook.interface.index == index)?;
        let name = self.hooks.swap_remove(at).interface.name;
        let why = "it is gone".to_owned();
        (!self.wanted.is_empty()).then_some(Change::Lost(TapError::Lost { name, why }))
    }
}

const BOTH: [TcAttachType; 2] = [TcAttachType::Ingress, TcAttachType::Egress];
