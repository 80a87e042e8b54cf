//! Two captures at one time on the same hosts: other ports are enough to tell whose traffic is whose.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use observer::engine::event::Fields;

use crate::{
    capture, check_kinds, on_all, rests_on_neighbours,
    traffic::{
        observe::observe,
        wire::{Owned, Segment},
    },
    world,
};

#[test]
fn other_traffic_of_the_same_hosts_changes_nothing() {
    let others: Vec<_> = capture::all().into_iter().map(|other| (Likeness::new(&other.frames()), other)).collect();
    let tried = AtomicUsize::new(0);
    on_all(|capture| {
        let frames = capture.frames();
        let likeness = Likeness::new(&frames);
        let at = others.iter().position(|(_, other)| other.name == capture.name).unwrap();
        let mut next = (0..others.len()).map(|step| &others[(at * 7 + 3 + step) % others.len()]);
        let Some((_, other)) =
            next.find(|(other, named)| likeness.is_apart(other) && !rests_on_neighbours(&named.name))
        else {
            return Vec::new();
        };
        if rests_on_neighbours(&capture.name) {
            return Vec::new();
        }
        tried.fetch_add(1, Ordering::Relaxed);
        let mut before = [&frames, &other.frames()].map(|frames| observe(frames).kinds()).concat();
        before.sort();
        let both = world::on_other_ports(&frames, &other.frames());
        check_kinds(&format!("beside {}", other.name), capture, &before, &both).into_iter().collect()
    });
    let tried = tried.into_inner();
    assert!(tried > 100 || std::env::var("ONLY").is_ok(), "{tried} were tried, which is too few to tell");
}

/// What tells two captures apart though they have hosts in common.
pub struct Likeness {
    hosts: BTreeSet<IpAddr>,
    /// Keys, and the last part of each path that was asked for: what ties requests together.
    names: BTreeSet<String>,
}

impl Likeness {
    pub fn new(frames: &[Owned]) -> Self {
        let hops: Vec<_> = observe(frames).attempts.iter().flat_map(|attempt| attempt.hops.clone()).collect();
        let ends = hops.iter().flat_map(|hop| [hop.client.address(), hop.server.address()]);
        let requests = || hops.iter().filter_map(|hop| hop.request.as_ref());
        let keys = requests().filter_map(|request| request.field("sec-websocket-key"));
        let ordinary = frames.iter().filter_map(|frame| ordinary(&Segment::read(frame)?));
        let targets = requests().map(|request| request.target.to_string()).chain(ordinary);
        Self {
            hosts: ends.flatten().map(|end| end.ip()).collect(),
            names: keys.map(str::to_owned).chain(targets.map(|target| tail(&target))).collect(),
        }
    }

    /// Whether the other has a host in common, but asks for nothing that may be taken for one's own.
    pub fn is_apart(&self, other: &Self) -> bool {
        !self.hosts.is_disjoint(&other.hosts) && self.names.is_disjoint(&other.names)
    }
}

/// The target of a request that begins a segment.
fn ordinary(segment: &Segment) -> Option<String> {
    let line = segment.payload.split(|byte| *byte == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ').skip(1);
    let target = words.next()?;
    words.next()?.starts_with("HTTP/").then(|| target.to_owned())
}

fn tail(target: &str) -> String {
    let path = target.split('?').next().unwrap_or_default();
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned()
}
