//! One libpcap handle: how it is opened, its filter, and from libpcap's packets to frames.

use std::os::fd::{AsRawFd, RawFd};

use pcap::{Active, Capture, Linktype, Packet, Precision};

use super::{ANY, Options};
use crate::{
    engine::{
        frame::{ClockId, Frame, InterfaceId, LinkType},
        time::Timestamp,
    },
    tap::{TapError, names::Names},
};

/// Offloaded segments are up to 64 KiB, with BIG TCP up to 512 KiB, of which heads are the first.
const SNAP_LENGTH: i32 = 262_144;

/// How long the kernel may keep frames to itself before it wakes us, in milliseconds. Immediate mode would wake us for
/// each one and use a ring of fixed slots, which bursts overrun.
pub(super) const BLOCK_AGE: i32 = 10;

/// Linux cooked v2: the only one that says for each frame of `any` where it was seen.
const LINUX_SLL2: i32 = 276;

/// Only TCP; behind IPv6 extension headers and fragment headers libpcap cannot look, so those pass. (`tcp` takes all
/// fragments of IPv4.)
const TCP: &str = "tcp or ip6[6] = 0 or ip6[6] = 43 or ip6[6] = 44 or ip6[6] = 60";

/// An open handle.
pub(super) struct Handle {
    pub(super) name: String,
    capture: Capture<Active>,
    link: LinkType,
    /// `None` where each frame says it.
    interface: Option<InterfaceId>,
    /// The kernel's count of drops, as of the last look: it wraps.
    dropped: u32,
}

impl Handle {
    pub(super) fn open(name: &str, options: &Options, names: &mut Names) -> Result<Self, TapError> {
        if name != ANY && !names.exists(name) {
            return Err(TapError::NoInterface { name: name.to_owned(), known: known() });
        }
        let mut capture = activate(name, options.buffer).map_err(|error| open_error(name, &error))?;
        let other = |error: pcap::Error| TapError::Interface { name: name.to_owned(), why: plain(&error) };
        if name == ANY {
            // An older libpcap has only v1: then frames come without their interface.
            let _ = capture.set_datalink(Linktype(LINUX_SLL2));
        }
        let number = u32::try_from(capture.get_datalink().0).unwrap_or(u32::MAX);
        let link = LinkType::from_number(number);
        if let LinkType::Other(number) = link {
            return Err(TapError::LinkType { name: name.to_owned(), number });
        }
        set_filter(&mut capture, link, options.filter.as_deref())?;
        let capture = capture.setnonblock().map_err(other)?;
        let interface = (link != LinkType::LinuxSll2).then(|| names.by_name(name));
        Ok(Self { name: name.to_owned(), capture, link, interface, dropped: 0 })
    }

    pub(super) fn fd(&self) -> RawFd {
        self.capture.as_raw_fd()
    }

    /// Hands out at most `most` frames, and says how many there were.
    pub(super) fn drain(
        &mut self,
        most: usize,
        names: &mut Names,
        frames: &mut u64,
        mut each: impl FnMut(&Frame<'_>),
    ) -> Result<usize, TapError> {
        let Self { name, capture, link, interface, .. } = self;
        let drained = capture.dispatch(Some(most), |packet| {
            *frames += 1;
            let interface = interface.unwrap_or_else(|| names.by_index(sll2_index(packet.data)));
            each(&frame(&packet, *frames, interface, *link));
        });
        drained.map_err(|error| TapError::Lost { name: name.clone(), why: plain(&error) })
    }

    /// Frames dropped since the last call.
    pub(super) fn drops(&mut self) -> u64 {
        let Ok(stats) = self.capture.stats() else { return 0 };
        u64::from(stats.dropped.wrapping_sub(std::mem::replace(&mut self.dropped, stats.dropped)))
    }
}

fn frame<'a>(packet: &Packet<'a>, number: u64, interface: InterfaceId, link: LinkType) -> Frame<'a> {
    // With `Precision::Nano` the second field holds nanoseconds, whatever its name says.
    let pcap::PacketHeader { ts, len, .. } = *packet.header;
    let nanos = ts.tv_sec.saturating_mul(1_000_000_000).saturating_add(ts.tv_usec);
    let clock = ClockId::default();
    Frame { at: Timestamp::from_nanos(nanos), number, interface, clock, link, wire_length: len, bytes: packet.data }
}

/// The interface index in a Linux cooked v2 header.
fn sll2_index(bytes: &[u8]) -> u32 {
    bytes.get(4..8).and_then(<[u8]>::first_chunk).map_or(0, |index| u32::from_be_bytes(*index))
}

fn activate(name: &str, buffer: usize) -> Result<Capture<Active>, pcap::Error> {
    Capture::from_device(name)?
        .promisc(false)
        .snaplen(SNAP_LENGTH)
        .buffer_size(i32::try_from(buffer).unwrap_or(i32::MAX))
        .timeout(BLOCK_AGE)
        .precision(Precision::Nano)
        .open()
}

fn set_filter(capture: &mut Capture<Active>, link: LinkType, wanted: Option<&str>) -> Result<(), TapError> {
    let bad = |error: &pcap::Error| TapError::Filter { filter: wanted.unwrap_or(TCP).to_owned(), why: plain(error) };
    // Alone first: a filter such as `port 80) or (udp` must not pass because of the brackets put around it.
    if let Some(wanted) = wanted {
        capture.compile(wanted, true).map_err(|error| bad(&error))?;
    }
    let program = filter(link, wanted);
    capture.filter(&program, true).map_err(|error| bad(&error))
}

/// `vlan` shifts all that comes after it, so it comes last; only Ethernet has it (elsewhere the kernel has taken the
/// first tag off).
fn filter(link: LinkType, wanted: Option<&str>) -> String {
    let tcp = match link {
        LinkType::Ethernet => format!("({TCP} or (vlan and ({TCP} or (vlan and ({TCP})))))"),
        _ => format!("({TCP})"),
    };
    match wanted {
        Some(wanted) => format!("({wanted}) and {tcp}"),
        None => tcp,
    }
}

/// The names of all interfaces, for an error.
fn known() -> String {
    match super::devices() {
        Ok(devices) => devices.into_iter().map(|device| device.name).collect::<Vec<_>>().join(", "),
        Err(_) => "see `ip link`".to_owned(),
    }
}

fn open_error(name: &str, error: &pcap::Error) -> TapError {
    let why = plain(error);
    let marks = ["CAP_NET_RAW", "ermission", "ermitted"];
    if marks.iter().any(|mark| why.contains(mark)) {
        return TapError::NotPermitted { name: name.to_owned() };
    }
    TapError::Interface { name: name.to_owned(), why }
}

/// What libpcap says, without the crate's words before it.
pub(super) fn plain(error: &pcap::Error) -> String {
    match error {
        pcap::Error::PcapError(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(link: LinkType, number: i32, wanted: Option<&str>) {
        let program = filter(link, wanted);
        let dead = Capture::dead(Linktype(number)).unwrap();
        let compiled = dead.compile(&program, true);
        assert!(compiled.is_ok(), "{program}: {}", compiled.err().unwrap());
    }

    #[test]
    fn filters_compile_for_every_link() {
        for wanted in [None, Some("port 80"), Some("host 10.0.0.1 or port 8080"), Some("ip6")] {
            check(LinkType::Ethernet, 1, wanted);
            check(LinkType::LinuxSll, 113, wanted);
            check(LinkType::LinuxSll2, LINUX_SLL2, wanted);
            check(LinkType::Raw, 12, wanted);
        }
        check(LinkType::Ethernet, 1, Some("vlan 5 and port 80"));
    }

    /// Ethernet, an IPv4 or IPv6 header with the protocol, and nothing of use behind it.
    fn ethernet(tags: usize, version: u8, protocol: u8) -> Vec<u8> {
        let mut frame = vec![0; 12];
        for _ in 0..tags {
            frame.extend([0x81, 0x00, 0, 5]);
        }
        match version {
            4 => {
                frame.extend([0x08, 0x00, 0x45, 0, 0, 40, 0, 0, 0x20, 0x10, 64, protocol]);
                frame.extend([0; 40]);
            }
            _ => {
                frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, protocol, 64]);
                frame.extend([0; 60]);
            }
        }
        frame
    }

    #[test]
    fn the_filter_keeps_tcp_and_what_may_hide_it() {
        let dead = Capture::dead(Linktype(1)).unwrap();
        let program = dead.compile(&filter(LinkType::Ethernet, None), true).unwrap();
        for tags in 0..3 {
            for (version, protocol, kept) in [(4, 6, true), (4, 17, false), (6, 6, true), (6, 44, true), (6, 60, true)]
            {
                let frame = ethernet(tags, version, protocol);
                assert_eq!(program.filter(&frame), kept, "{tags} tags, IPv{version}, {protocol}");
            }
            assert!(!program.filter(&ethernet(tags, 6, 17)));
        }
    }

    #[test]
    fn cooked_frames_name_their_interface() {
        assert_eq!(sll2_index(&[8, 0, 0, 0, 0, 0, 0, 3, 0, 0]), 3);
        assert_eq!(sll2_index(&[8, 0]), 0);
    }
}
