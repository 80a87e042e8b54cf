//! The hook of kernels before 6.6: filters of the queueing discipline `clsact`, over rtnetlink(7). Unlike links they
//! outlive who attached them. So a second process, started while there are privileges, removes them when this one has
//! ended, however it ended. What was left even so, as both were killed, is removed at the next start.

use std::{
    io::{self, Read, Write},
    os::unix::process::CommandExt,
    process::{ChildStdin, Command, Stdio},
};

use aya::programs::tc::{NlOptions, TcAttachOptions, TcError, TcHandle as Handle};
use hashbrown::HashMap;
use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NetlinkPayload};
use netlink_packet_route::{
    RouteNetlinkMessage as Message,
    tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcHeader, TcMessage, TcOption},
};
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};

use super::{
    lease::{self, Lease},
    links::Interface,
    netlink::{self, LONGEST},
};

/// By which our filters are known, with the program's name.
const PRIORITY: u16 = 0xb5e;
/// The names of our programs.
const PROGRAMS: [&str; 2] = ["ethernet", "bare"];

/// Parents of filters: what comes in, what goes out.
const WAYS: [TcHandle; 2] = [
    TcHandle { major: u16::MAX, minor: TcHandle::MIN_INGRESS },
    TcHandle { major: u16::MAX, minor: TcHandle::MIN_EGRESS },
];
/// `ETH_P_ALL`.
const ANY: u16 = 3;
/// `EEXIST`.
const EXISTS: i32 = 17;

/// Interfaces that have filters, at most.
const MOST: usize = 4096;

/// The other process, which removes the filters of the interfaces that it reads when this pipe has no other end any more.
pub(super) struct Clsact {
    remover: ChildStdin,
    interfaces: usize,
    lease: Lease,
}

impl Clsact {
    /// Starts the other process. It holds the lease too: filters of that number are not another's while it removes them.
    pub(super) fn open() -> io::Result<Self> {
        let lease = Lease::take()?;
        let mut command = Command::new("/proc/self/exe");
        // In a group of its own: what is typed at the terminal is not for it.
        command.arg0("observer").arg("unhook").arg(lease.number().to_string()).current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(lease.share()?).stderr(Stdio::null());
        let remover = command.spawn()?.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self { remover, interfaces: 0, lease })
    }

    /// Makes an interface ready for filters, before the first of them.
    pub(super) fn prepare(&mut self, interface: &Interface) -> io::Result<()> {
        self.interfaces += 1;
        if self.interfaces > MOST {
            return Err(io::Error::other(format!("there are more than {MOST} interfaces")));
        }
        for filter in ours(interface.index)? {
            let owner = u32::from(filter.header.handle);
            // With our own number it is of one who had it before.
            if owner == self.lease.number() || !lease::is_held(owner) {
                remove(filter.header)?;
            }
        }
        let is_new = match aya::programs::tc::qdisc_add_clsact(&interface.name) {
            Ok(()) => true,
            Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(EXISTS) => false,
            Err(error) => return Err(io::Error::other(error)),
        };
        self.remover.write_all(&record(interface.index, is_new))
    }

    /// How a filter is attached.
    pub(super) fn options(&self) -> TcAttachOptions {
        let handle = Handle::from(self.lease.number());
        TcAttachOptions::Netlink(NlOptions { priority: PRIORITY, handle, ..NlOptions::default() })
    }
}

/// The bytes for an interface: its index, and whether nothing was there before.
fn record(index: u32, is_new: bool) -> [u8; 8] {
    (u64::from(index) << 1 | u64::from(is_new)).to_le_bytes()
}

/// Reads records to the end, and gives them; those beyond [`MOST`] interfaces are passed over.
fn records(mut input: impl Read) -> HashMap<u32, bool> {
    let (mut interfaces, mut bytes) = (HashMap::new(), [0; 8]);
    while input.read_exact(&mut bytes).is_ok() {
        let value = u64::from_le_bytes(bytes);
        let Ok(index) = u32::try_from(value >> 1) else { continue };
        if interfaces.len() < MOST {
            *interfaces.entry(index).or_default() |= value & 1 == 1;
        }
    }
    interfaces
}

/// The other process: reads interfaces until its input ends; then it removes the filters of `owner` there, and what they
/// were attached to if nothing else is. What cannot be removed is gone already.
pub fn unhook(owner: u32, input: impl Read) {
    for (index, is_new) in records(input) {
        let Ok(filters) = ours(index) else { continue };
        for filter in filters.into_iter().filter(|filter| u32::from(filter.header.handle) == owner) {
            let _ = remove(filter.header);
        }
        if is_new && filters_of(index).is_ok_and(|rest| rest.is_empty()) {
            let _ = remove_discipline(index);
        }
    }
}

/// The filters on an interface that are ours, of whichever process.
fn ours(index: u32) -> io::Result<Vec<TcMessage>> {
    let mut filters = filters_of(index)?;
    filters.retain(|filter| filter.header.info >> 16 == u32::from(PRIORITY) && is_named(filter));
    Ok(filters)
}

fn is_named(filter: &TcMessage) -> bool {
    filter.attributes.iter().any(|attribute| {
        match attribute {
        TcAttribute::Options(options) => options.iter().any(|option| {
            matches!(option, TcOption::Bpf(TcFilterBpfOption::ProgName(name)) if PROGRAMS.contains(&name.as_str()))
        }),
        _ => false,
    }
    })
}

/// All filters on an interface, both ways.
fn filters_of(index: u32) -> io::Result<Vec<TcMessage>> {
    let mut filters = Vec::new();
    for parent in WAYS {
        let header = TcHeader { parent, ..of(index) };
        filters.extend(ask(Message::GetTrafficFilter(TcMessage::from_parts(header, Vec::new())), NLM_F_DUMP)?);
    }
    // Without a handle it is the list itself.
    filters.retain(|filter| filter.header.handle != TcHandle::UNSPEC);
    Ok(filters)
}

fn remove(header: TcHeader) -> io::Result<()> {
    let filter = TcMessage::from_parts(header, vec![TcAttribute::Kind("bpf".to_owned())]);
    ask(Message::DelTrafficFilter(filter), NLM_F_ACK).map(drop)
}

fn remove_discipline(index: u32) -> io::Result<()> {
    let header = TcHeader { parent: TcHandle::CLSACT, handle: TcHandle { major: u16::MAX, minor: 0 }, ..of(index) };
    let discipline = TcMessage::from_parts(header, vec![TcAttribute::Kind("clsact".to_owned())]);
    ask(Message::DelQueueDiscipline(discipline), NLM_F_ACK).map(drop)
}

fn of(index: u32) -> TcHeader {
    TcHeader { index: index.cast_signed(), info: u32::from(ANY.to_be()), ..TcHeader::default() }
}

/// Asks, and gives the filters that are answered.
fn ask(message: Message, flags: u16) -> io::Result<Vec<TcMessage>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    netlink::send(&socket, message, flags)?;
    let (mut buffer, mut filters, mut end) = (vec![0; LONGEST], Vec::new(), None);
    while end.is_none() {
        netlink::receive(&socket, &mut buffer, |message| match message {
            NetlinkPayload::Done(_) => end = Some(0),
            NetlinkPayload::Error(error) => end = Some(error.code.map_or(0, |code| -code.get())),
            NetlinkPayload::InnerMessage(Message::NewTrafficFilter(filter)) => filters.push(filter),
            _ => {}
        })?;
    }
    match end {
        None | Some(0) => Ok(filters),
        Some(code) => Err(io::Error::from_raw_os_error(code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_read_within_bounds() {
        let given = [(7, true), (9, false), (u32::MAX, true), (7, false)];
        let bytes: Vec<u8> = given.iter().flat_map(|(index, is_new)| record(*index, *is_new)).collect();
        // A record that was cut off is none.
        let read = records(&[&bytes[..], &[1, 2, 3]].concat()[..]);
        assert_eq!(read, HashMap::from([(7, true), (9, false), (u32::MAX, true)]));
        let many: Vec<u8> = (0..100_000).flat_map(|index| record(index, false)).collect();
        assert_eq!(records(&many[..]).len(), MOST);
        assert_eq!(records(&[0xff; 1 << 20][..]).len(), 0, "no index is so large");
    }
}
