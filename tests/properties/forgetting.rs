//! Tables that are full: what had to be forgotten is doubted or counted, and never makes a conclusion.

use std::collections::HashSet;

use observer::engine::{
    Engine,
    alert::{Details, RuleId},
    attempt::Owner,
    event::{JoinMethod, Process},
};

use crate::{
    talk::{Client, Connection, KEY, Server, Wire, answer, get, switching, upgrade},
    traffic::observe::{Seen, config, observe},
};

const PROXY: &str = "10.0.0.1:80";
const ORIGIN: &str = "10.0.1.2:3000";

/// Refused upgrades that have nothing to do with anything, each at another server.
fn strangers(wire: &mut Wire, count: u32) {
    for number in 0..count {
        let [_, _, c, d] = number.to_be_bytes();
        let mut asked = wire.open(&format!("10.8.{c}.{d}:5000"), &format!("10.7.{c}.{d}:80"));
        wire.say(&mut asked, Client, &upgrade("/other", &format!("c3RyYW5nZXIga2V5ID{number:04}w==")));
        wire.say(&mut asked, Server, &answer("403 Forbidden"));
        wire.close(&mut asked, Server);
    }
}

/// A request and its answer.
fn ask(wire: &mut Wire, [client, server]: [&str; 2], request: &str, status: &str) {
    let mut asked = wire.open(client, server);
    wire.say(&mut asked, Client, request);
    wire.say(&mut asked, Server, &answer(status));
}

/// Both hops of a request that a proxy forwards from some host.
fn relayed(wire: &mut Wire, port: u16, from: &str, requests: [&str; 2], replies: &str) -> [Connection; 2] {
    let mut down = wire.open(&format!("10.9.0.1:{port}"), PROXY);
    wire.say(&mut down, Client, requests[0]);
    let mut up = wire.open(&format!("{from}:{port}"), ORIGIN);
    wire.say(&mut up, Client, requests[1]);
    wire.say(&mut up, Server, replies);
    wire.say(&mut down, Server, replies);
    [down, up]
}

/// The causes of missing-101 that are told where a proxy, known to send from another host, takes all that names an upgrade
/// out of a request, after so many strangers.
fn causes_after(count: u32) -> Vec<String> {
    let mut wire = Wire::default();
    let first = upgrade("/ws/1", KEY);
    let mut tunnel = relayed(&mut wire, 5001, "10.0.2.1", [&first, &first], &switching());
    tunnel.iter_mut().for_each(|hop| wire.close(hop, Client));
    strangers(&mut wire, count);
    relayed(&mut wire, 5002, "10.0.0.1", [&get("/page"); 2].map(String::as_str), &answer("200 OK"));
    let second = upgrade("/ws/2", "YW5vdGhlciBrZXkgb2YgMQ==");
    relayed(&mut wire, 5003, "10.0.2.1", [&second, &get("/ws/2")], &answer("404 Not Found"));
    let seen = observe(&wire.frames);
    let about = seen.alerts.iter().filter(|alert| alert.attempt.first().server.to_string() == PROXY);
    let cause = |details: &Details| match details {
        Details::Missing101 { cause, .. } => Some(format!("{cause:?}")),
        _ => None,
    };
    about.filter(|alert| alert.rule == RuleId::Missing101).filter_map(|alert| cause(&alert.details)).collect()
}

#[test]
fn where_a_forgotten_proxy_sends_from_is_unknown() {
    assert_eq!(causes_after(10), ["HeadersDropped"]);
    assert_eq!(causes_after(4200), ["Unknown"]);
}

#[test]
fn a_process_that_nobody_was_asked_for_may_be_the_same() {
    for (count, told) in [(10, 2), (1030, 1)] {
        let mut wire = Wire::default();
        let (client, own, other) = ("10.9.0.1:5000", "10.0.0.1:6000", "10.0.0.1:6001");
        let say = |wire: &mut Wire, [from, to]: [&str; 2], path: &str, key: u8| {
            let mut asked = wire.open(from, to);
            wire.say(&mut asked, Client, &upgrade(path, &format!("bmV3IGtleSBudW1iZXIg{key}w==")));
            asked
        };
        let mut down = say(&mut wire, [client, PROXY], "/ws", 1);
        let mut rival = say(&mut wire, [other, ORIGIN], "/backend/socket", 2);
        strangers(&mut wire, count);
        let mut up = say(&mut wire, [own, ORIGIN], "/backend/socket", 3);
        let asked = wire.frames.len();
        for hop in [&mut up, &mut rival, &mut down] {
            wire.say(hop, Server, &answer("403 Forbidden"));
        }
        let mut engine = Engine::new(config());
        let owner = |local: &str, peer: &str| {
            let process = Process { pid: 7, command: "bridge".into() };
            Owner { local: local.parse().unwrap(), peer: peer.parse().unwrap(), process }
        };
        engine.handle_owner(owner(PROXY, client));
        let (mut seen, mut known) = (Seen::default(), 0);
        for (at, frame) in wire.frames.iter().enumerate() {
            engine.handle_frame(&frame.frame());
            // The tap comes to it late.
            let pending: HashSet<_> = if at + 1 == asked {
                std::iter::from_fn(|| engine.poll_owner()).map(|(client, _)| client.to_string()).collect()
            } else {
                HashSet::new()
            };
            for local in [own, other].into_iter().filter(|local| pending.contains(*local)) {
                engine.handle_owner(owner(local, ORIGIN));
                known += 1;
            }
        }
        engine.finish();
        seen.take(&mut engine);
        let joined = seen.attempts.iter().filter_map(|attempt| attempt.join);
        assert_eq!((known, joined.filter(|join| join.method == JoinMethod::Process).count()), (told, 0), "{count}");
    }
}

#[test]
fn a_poll_that_was_forgotten_is_counted() {
    for (count, is_told) in [(10, true), (600, false)] {
        let mut wire = Wire::default();
        ask(&mut wire, ["10.9.0.1:5000", PROXY], &upgrade("/socket.io/?transport=websocket", KEY), "400 Bad Request");
        let poll = get("/socket.io/?transport=polling");
        for port in 0..2 {
            ask(&mut wire, [&format!("10.9.0.1:600{port}"), PROXY], &poll, "200 OK");
        }
        let mut other = wire.open("10.9.0.2:5000", PROXY);
        for _ in 0..count {
            wire.say(&mut other, Client, &poll);
            wire.say(&mut other, Server, &answer("200 OK"));
        }
        let seen = observe(&wire.frames);
        let told = seen.alerts.iter().any(|alert| alert.rule == RuleId::PollingFallback);
        assert_eq!((told, seen.stats.evictions > 0), (is_told, !is_told), "{count}");
    }
}
