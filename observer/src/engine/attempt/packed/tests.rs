use std::sync::Arc;

use super::*;
use crate::engine::{
    event::{Endpoint, Event, Field, Process, Request},
    sample,
    time::Timestamp,
};

/// All attempts that the sinks are tried with.
fn samples() -> Vec<Attempt> {
    let of = |event| match event {
        Event::Attempt(attempt) => Some(Arc::unwrap_or_clone(attempt)),
        Event::Tunnel(tunnel) => Some(Arc::unwrap_or_clone(tunnel.attempt)),
        Event::Alert(alert) => Some(Arc::unwrap_or_clone(alert.attempt)),
        Event::Anomaly(_) | Event::Stats(_) => None,
    };
    sample::all().into_iter().filter_map(of).collect()
}

fn request(attempt: &mut Attempt) -> &mut Request {
    attempt.hops[0].request.as_mut().unwrap()
}

#[test]
fn attempts_come_back_as_they_were() {
    let mut packing = Packing::default();
    let samples = samples();
    let all: Vec<_> = samples.iter().cycle().take(3 * usize::try_from(RENEWED_AFTER).unwrap()).collect();
    let packed: Vec<_> = all.iter().map(|attempt| packing.pack(attempt)).collect();
    assert!(packing.memory() > 0);
    for (attempt, packed) in all.iter().zip(&packed) {
        assert_eq!(packing.take(packed), **attempt);
    }
    // What is left is what the next ones are packed by.
    assert_eq!((packing.phrases.len(), packing.memory() <= block(PHRASES)), (1, true));
}

#[test]
fn what_is_unusual_comes_back_too() {
    let mut packing = Packing::default();
    let mut attempt = sample::upgraded(1);
    attempt.hops[0].client = Endpoint::Path("/run/client.sock".into());
    attempt.hops[0].server = Endpoint::Ip("[fe80::1%7]:80".parse().unwrap());
    attempt.hops[0].processes[1] = Some(Process { pid: 7, command: "nginx".into() });
    attempt.decided_at = Timestamp::MIN;
    let last = request(&mut attempt);
    (last.frame, last.at) = (u64::MAX, Timestamp::MAX);
    // Keys: one that is written in another way than it is usually, a second one, and what looks like one.
    for value in ["AQIDBAUGBwgJCgsMDQ4PEB==", "BBBBBBBBBBBBBBBBBBBBBA==", "twenty-four characters !", "", "\u{fffd}é"]
    {
        last.fields.push(Field { name: value.into(), value: value.into() });
    }
    for _ in 0..3 {
        let packed = packing.pack(&attempt);
        assert_eq!(packing.unpack(&packed), attempt);
    }
}

#[test]
fn another_tunnel_of_the_same_proxy_takes_few_bytes() {
    let mut packing = Packing::default();
    let sizes: Vec<_> = (0..100)
        .map(|number: u64| {
            let mut attempt = sample::upgraded(number << 40 | 0x5a);
            for hop in &mut attempt.hops {
                let fields = hop.request.iter_mut().flat_map(|request| &mut request.fields);
                for field in fields.filter(|field| &*field.name == "Sec-WebSocket-Key") {
                    field.value = format!("{number:022}==").into();
                }
            }
            packing.pack(&attempt).0.len()
        })
        .collect();
    assert!(sizes[0] > 400 && sizes[99] < 150, "{} bytes, then {}", sizes[0], sizes[99]);
}
