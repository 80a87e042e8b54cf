//! The hook of kernels before 6.6: filters of the queueing discipline `clsact`, over rtnetlink(7). Other than links they
//! outlive who attached them. So a second process, started while there are privileges, removes them when this one has
//! ended, however it ended. What was left even so, as both were killed, is removed at the next start.

use std::{
    io::{self, BufRead, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{ChildStdin, Command, Stdio},
};

use aya::programs::tc::{NlOptions, TcAttachOptions, TcError, TcHandle as Handle};
use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NetlinkPayload};
use netlink_packet_route::{
    RouteNetlinkMessage as Message,
    tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcHeader, TcMessage, TcOption},
};
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};

use super::{
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

/// Who removes the filters: it reads which, and does so when this pipe has no other end any more.
pub(super) struct Clsact {
    remover: ChildStdin,
}

impl Clsact {
    /// Starts the other process.
    pub(super) fn open() -> io::Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        // In a group of its own: what is typed at the terminal is not for it.
        command.arg0("observer").arg("unhook").current_dir("/").process_group(0);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        child.stdin.take().map(|remover| Self { remover }).ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }

    /// Makes an interface ready for filters.
    pub(super) fn prepare(&mut self, interface: &Interface) -> io::Result<TcAttachOptions> {
        for filter in ours(interface.index)? {
            if !Path::new("/proc").join(u32::from(filter.header.handle).to_string()).exists() {
                remove(filter.header)?;
            }
        }
        let is_new = match aya::programs::tc::qdisc_add_clsact(&interface.name) {
            Ok(()) => true,
            Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(EXISTS) => false,
            Err(error) => return Err(io::Error::other(error)),
        };
        writeln!(self.remover, "{} {} {}", interface.index, std::process::id(), u8::from(is_new))?;
        let handle = Handle::from(std::process::id());
        Ok(TcAttachOptions::Netlink(NlOptions { priority: PRIORITY, handle, ..NlOptions::default() }))
    }
}

/// The other process: reads interfaces, whose filters they are, and whether nothing was there before; at the end it
/// removes them.
///
/// # Errors
/// When what it reads breaks off. What cannot be removed is gone already.
pub fn unhook(input: impl BufRead) -> io::Result<()> {
    let lines = input.lines().collect::<io::Result<Vec<_>>>()?;
    for line in lines {
        let numbers: Vec<u32> = line.split(' ').filter_map(|number| number.parse().ok()).collect();
        let [index, owner, is_new] = numbers[..] else { continue };
        let Ok(filters) = ours(index) else { continue };
        for filter in filters.into_iter().filter(|filter| u32::from(filter.header.handle) == owner) {
            let _ = remove(filter.header);
        }
        if is_new == 1 && filters_of(index).is_ok_and(|rest| rest.is_empty()) {
            let _ = remove_discipline(index);
        }
    }
    Ok(())
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
