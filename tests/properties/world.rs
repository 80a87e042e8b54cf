//! Mutations of what surrounds the traffic: clocks, addresses, other traffic, noise.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use observer::engine::{frame::LinkType, time::Timestamp};

use crate::{
    capture::{Capture, merge},
    traffic::{
        net::Sent,
        random::Random,
        wire::{Owned, Segment},
    },
};

/// The clocks of a case's files apart by up to 200 ms. Two clocks mean two hosts: where a case was made on one, its
/// clients, its proxies and its origins get addresses of their own.
pub fn skewed(capture: &Capture, random: &mut Random) -> Vec<Owned> {
    let apart = |file: Vec<Owned>, nanos: i64| file.into_iter().map(|frame| frame.delayed(nanos)).collect();
    let mut shift = || i64::try_from(random.below(400_000_000)).expect("a short time") - 200_000_000;
    let files = own_hosts(&capture.files).into_iter().enumerate();
    merge(files.map(|(at, file)| apart(file, if at == 0 { 0 } else { shift() })).collect())
}

/// Addresses of their own for the clients, in the first file, for the origins, in the others, and for what is between them.
pub fn own_hosts(files: &[Vec<Owned>]) -> Vec<Vec<Owned>> {
    files.iter().enumerate().map(|(at, file)| spread(file, at == 0)).collect()
}

fn spread(frames: &[Owned], clients: bool) -> Vec<Owned> {
    let name = |end: SocketAddr| {
        let ephemeral = end.port() >= EPHEMERAL;
        let own = |host: u8| match end.ip() {
            IpAddr::V4(_) => IpAddr::from([10, 9, 0, host]),
            IpAddr::V6(_) => IpAddr::from([0xfd09, 0, 0, 0, 0, 0, 0, u16::from(host)]),
        };
        match (clients, ephemeral) {
            _ if !end.ip().is_loopback() => end.ip(),
            (true, true) => own(1),
            (false, false) => own(2),
            _ => own(3),
        }
    };
    renamed(frames, name)
}

/// Other hosts for every segment.
pub fn renamed(frames: &[Owned], name: impl Fn(SocketAddr) -> IpAddr) -> Vec<Owned> {
    readdressed(frames, |end| SocketAddr::new(name(end), end.port()))
}

/// Other ends for every segment.
fn readdressed(frames: &[Owned], name: impl Fn(SocketAddr) -> SocketAddr) -> Vec<Owned> {
    let rename = |frame: &Owned| {
        let Some(mut segment) = Segment::read(frame) else { return frame.clone() };
        segment.source = name(segment.source);
        segment.destination = name(segment.destination);
        segment.relink(LinkType::Raw, false);
        segment.write(frame)
    };
    frames.iter().map(rename).collect()
}

/// The same over IPv6.
pub fn ipv6(frames: &[Owned]) -> Vec<Owned> {
    renamed(frames, |end| match end.ip() {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets().map(u16::from);
            Ipv6Addr::new(0xfd00, 0, 0, 0, a, b, c, d).into()
        }
        ip => ip,
    })
}

/// Two captures at one time on two sets of hosts.
pub fn interleaved(one: &[Owned], other: &[Owned]) -> Vec<Owned> {
    let moved = renamed(other, |end| match end.ip() {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            // All of 127/8 is one machine.
            Ipv4Addr::new(if ip.is_loopback() { 10 } else { a }, b ^ 0x55, c, d).into()
        }
        IpAddr::V6(ip) => {
            let mut groups = ip.segments();
            groups[5] ^= 0x55;
            Ipv6Addr::from(groups).into()
        }
    });
    at_one_time(one, &moved)
}

fn at_one_time(one: &[Owned], other: &[Owned]) -> Vec<Owned> {
    merge(vec![one.to_vec(), shifted_to(one, other)])
}

/// The other capture at the time of the one.
pub fn shifted_to(one: &[Owned], other: &[Owned]) -> Vec<Owned> {
    let shift = one[0].at.as_nanos() - other[0].at.as_nanos();
    other.iter().map(|frame| frame.clone().delayed(shift)).collect()
}

/// What was sent, as captured beside frames.
pub fn captured<'a>(sent: impl Iterator<Item = &'a Sent>, beside: &[Owned]) -> Vec<Owned> {
    let frame = |sent: &Sent| {
        let like = Owned::raw(Timestamp::from_nanos(sent.at), 0, beside[0].interface);
        sent.segment.write(&like)
    };
    sent.map(frame).collect()
}

/// Two captures at one time on the same hosts, the other on ports that the one does not use.
pub fn on_other_ports(one: &[Owned], other: &[Owned]) -> Vec<Owned> {
    let mut taken = ports(one);
    let mut names = BTreeMap::new();
    for port in ports(other) {
        let from = if port < EPHEMERAL { port + 10_000 } else { port };
        let free = (from..=u16::MAX).chain(EPHEMERAL..from).find(|port| taken.insert(*port));
        names.insert(port, free.expect("few ports are taken"));
    }
    at_one_time(one, &readdressed(other, |end| SocketAddr::new(end.ip(), names[&end.port()])))
}

/// Clients' ports begin here.
const EPHEMERAL: u16 = 32768;

fn ports(frames: &[Owned]) -> BTreeSet<u16> {
    let ends = frames.iter().filter_map(Segment::read).flat_map(|segment| [segment.source, segment.destination]);
    ends.map(|end| end.port()).collect()
}

/// Frames of random bytes between the others, some of them cut from real ones.
pub fn garbage(frames: &[Owned], random: &mut Random) -> Vec<Owned> {
    let mut out = Vec::new();
    for frame in frames {
        if random.chance(30) {
            let mut noise = frame.clone();
            noise.bytes = (0..random.below(120)).map(|_| u8::try_from(random.below(256)).expect("a byte")).collect();
            out.push(noise);
        }
        out.push(frame.clone());
    }
    out
}

/// Bits flipped anywhere.
pub fn flipped(frames: &[Owned], random: &mut Random) -> Vec<Owned> {
    let mut out = frames.to_vec();
    for frame in &mut out {
        for _ in 0..random.below(4) {
            let at = random.below(frame.bytes.len());
            if let Some(byte) = frame.bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
    }
    out
}
