//! Captures of real proxies in the layouts that the bodies read: where mutation begins.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use observer::tap::{
    SharedInterfaces,
    file::{FileTap, Input},
};

/// The largest seed.
pub const LARGEST: usize = 32 << 10;

/// An upgrade request, with the key of RFC 6455 1.3.
pub const UPGRADE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// Its answer.
pub const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// One seed of one body.
pub struct Seed {
    /// The body's name.
    pub body: &'static str,
    /// What it reads.
    pub bytes: Vec<u8>,
}

/// The captures under a folder, one folder a case.
///
/// # Errors
/// When they cannot be listed.
pub fn captures(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for case in fs::read_dir(root)? {
        let Ok(case) = fs::read_dir(case?.path()) else { continue };
        let is_capture = |path: &PathBuf| path.extension().is_some_and(|end| end == "pcap" || end == "pcapng");
        files.extend(case.filter_map(|file| Some(file.ok()?.path())).filter(is_capture));
    }
    files.sort();
    Ok(files)
}

/// A segment as it was captured.
struct Segment {
    link: u16,
    frame: Vec<u8>,
    network: u16,
    transport: u16,
    headers: u32,
    ends: [String; 2],
    syn: bool,
    flags: u8,
    payload: Vec<u8>,
}

/// The seeds in a capture, one for each body that it has something for.
///
/// # Errors
/// When it cannot be read.
pub fn of(capture: &Path) -> io::Result<Vec<Seed>> {
    let segments = segments(capture);
    let mut file = fs::read(capture)?;
    file.truncate(LARGEST);
    let mut seeds = vec![
        Seed { body: "files", bytes: file },
        Seed { body: "frames", bytes: frames(&segments) },
        Seed { body: "scripts", bytes: script(&segments) },
        Seed { body: "records", bytes: records(&segments) },
    ];
    for talk in talks(&segments) {
        seeds.push(Seed { body: "heads", bytes: turns(&talk) });
        seeds.extend(tunnel(&talk).map(|talk| Seed { body: "websockets", bytes: turns(&talk) }));
    }
    seeds.retain(|seed| seed.bytes.len() > 2 && seed.bytes.len() <= LARGEST);
    Ok(seeds)
}

fn segments(capture: &Path) -> Vec<Segment> {
    let inputs = [Input::Path(capture.to_owned())];
    let (mut tap, _) = FileTap::open(&inputs, &SharedInterfaces::default(), Arc::default());
    let mut segments = Vec::new();
    while let Ok(Some(frame)) = tap.next_frame() {
        segments.extend(segment(frame.bytes));
    }
    segments
}

/// Of Ethernet or Linux cooked v1, which is what the captures hold.
fn segment(bytes: &[u8]) -> Option<Segment> {
    let ethernet = SlicedPacket::from_ethernet(bytes).ok().filter(|packet| packet.transport.is_some());
    let (link, packet) = match ethernet {
        Some(packet) => (1, packet),
        None => (113, SlicedPacket::from_linux_sll(bytes).ok()?),
    };
    let Some(TransportSlice::Tcp(tcp)) = &packet.transport else { return None };
    let (from, to) = match packet.net.as_ref()? {
        NetSlice::Ipv4(ip) => (ip.header().source_addr().to_string(), ip.header().destination_addr().to_string()),
        NetSlice::Ipv6(ip) => (ip.header().source_addr().to_string(), ip.header().destination_addr().to_string()),
        _ => return None,
    };
    let transport = tcp.slice().as_ptr().addr() - bytes.as_ptr().addr();
    let flags = tcp.slice()[13];
    Some(Segment {
        link,
        frame: bytes.to_vec(),
        network: if link == 1 { 14 } else { 16 },
        transport: u16::try_from(transport).ok()?,
        headers: u32::try_from(transport + usize::from(tcp.data_offset()) * 4).ok()?,
        ends: [format!("{from} {}", tcp.source_port()), format!("{to} {}", tcp.destination_port())],
        syn: tcp.syn() && !tcp.ack(),
        flags,
        payload: tcp.payload().to_vec(),
    })
}

fn short(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes()
}

fn frames(segments: &[Segment]) -> Vec<u8> {
    let mut bytes = segments.first().map_or(1, |segment| segment.link).to_le_bytes().to_vec();
    for segment in segments.iter().take_while(|segment| segment.frame.len() < LARGEST) {
        bytes.push(1);
        bytes.extend([0, 0]);
        bytes.extend(short(segment.frame.len()));
        bytes.extend(&segment.frame);
        if bytes.len() > LARGEST / 2 {
            break;
        }
    }
    bytes
}

fn script(segments: &[Segment]) -> Vec<u8> {
    let (mut bytes, mut known) = (Vec::new(), Vec::<[String; 2]>::new());
    for Segment { ends, syn, flags, payload, .. } in segments {
        let reversed = [ends[1].clone(), ends[0].clone()];
        let place = known.iter().position(|other| *other == *ends || *other == reversed).unwrap_or_else(|| {
            known.push(if *syn { ends.clone() } else { reversed });
            known.len() - 1
        });
        let by_server = known[place] != *ends;
        bytes.extend([u8::try_from(place % 4).unwrap_or(0) | u8::from(by_server) << 2, *flags, 1, 0, 0, 0, 0]);
        bytes.extend(short(payload.len()));
        bytes.extend(payload);
        if bytes.len() > LARGEST / 2 {
            break;
        }
    }
    bytes
}

fn records(segments: &[Segment]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for segment in segments.iter().filter(|segment| segment.link == 1 && segment.frame.len() < 4096).take(40) {
        let mut record = 1_u64.to_ne_bytes().to_vec();
        let length = u32::try_from(segment.frame.len()).unwrap_or(0);
        let payload = u32::try_from(segment.payload.len()).unwrap_or(0);
        for word in [observer_ebpf::kind::FRAME, 1, length, length, 0, payload] {
            record.extend(word.to_ne_bytes());
        }
        record.extend(segment.network.to_ne_bytes());
        record.extend(segment.transport.to_ne_bytes());
        record.extend(segment.headers.to_ne_bytes());
        record.resize(size_of::<observer_ebpf::Frame>(), 0);
        record.extend(&segment.frame);
        bytes.extend(short(record.len()));
        bytes.extend(record);
    }
    bytes
}

/// What was said in turn on each connection: by whom, and what.
fn talks(segments: &[Segment]) -> Vec<Vec<(bool, Vec<u8>)>> {
    let mut talks = BTreeMap::<[String; 2], Vec<(bool, Vec<u8>)>>::new();
    for Segment { ends, syn, payload, .. } in segments {
        let reversed = [ends[1].clone(), ends[0].clone()];
        if *syn {
            talks.entry(ends.clone()).or_default();
        }
        let (by_server, ends) = if talks.contains_key(&reversed) { (true, reversed) } else { (false, ends.clone()) };
        if let Some(talk) = talks.get_mut(&ends).filter(|_| !payload.is_empty()) {
            talk.push((by_server, payload.clone()));
        }
    }
    talks.into_values().collect()
}

/// What is said behind a 101.
fn tunnel(talk: &[(bool, Vec<u8>)]) -> Option<Vec<(bool, Vec<u8>)>> {
    let at = talk.iter().position(|(by_server, said)| *by_server && said.starts_with(b"HTTP/1.1 101"))?;
    let head = &talk[at].1;
    let end = head.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    Some([&[(true, head[end..].to_vec())][..], &talk[at + 1..]].concat())
}

fn turns(talk: &[(bool, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = short(1400).to_vec();
    for (by_server, said) in talk {
        bytes.extend([u8::from(*by_server), 1]);
        bytes.extend(short(said.len()));
        bytes.extend(said);
    }
    bytes
}
