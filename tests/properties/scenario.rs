//! Hand-made scenarios: what no real capture shows. Notices are not compared.

use std::{fmt::Write, time::Duration};

use observer::engine::{
    Engine,
    alert::{Details, Level},
    attempt::Owner,
    event::{Confidence, Join, JoinMethod, Process},
};

use crate::{
    talk::{Client, Connection, KEY, Server, Wire, answer, get, stripped, switching, upgrade},
    traffic::observe::{Seen, config, observe},
};

const PROXY: &str = "10.0.0.1:80";
const ORIGIN: &str = "10.0.1.2:3000";
const OTHER: &str = "YW5vdGhlciBrZXkgb2YgMQ==";

/// Every alert above notice that a scenario gives, `rule` or `missing-101:cause`, in order of the alphabet.
fn check(wire: &Wire, expected: &str) {
    let seen = observe(&wire.frames);
    let mut alerts: Vec<_> = seen
        .alerts
        .iter()
        .filter(|alert| alert.level > Level::Notice)
        .map(|alert| {
            let mut name = alert.rule.to_string();
            if let Details::Missing101 { cause, .. } = &alert.details {
                let _ = write!(name, ":{cause:?}");
            }
            name
        })
        .collect();
    alerts.sort();
    assert_eq!(alerts.join(" "), expected);
}

/// A client's request and what the proxy sends upstream for it, as two open connections.
fn forwarded(wire: &mut Wire, client: &str, from: &str, requests: [&str; 2]) -> [Connection; 2] {
    let mut down = wire.open(client, PROXY);
    wire.say(&mut down, Client, requests[0]);
    let mut up = wire.open(from, ORIGIN);
    wire.say(&mut up, Client, requests[1]);
    [down, up]
}

/// A tunnel through the proxy.
fn tunnel(wire: &mut Wire) -> [Connection; 2] {
    tunnel_of(wire, 0)
}

/// One of several.
fn tunnel_of(wire: &mut Wire, number: u16) -> [Connection; 2] {
    let request = upgrade(&format!("/ws/{number}"), KEY);
    let [client, from] =
        [("10.9.0.1", 5000), ("10.0.0.1", 6000)].map(|(host, port)| format!("{host}:{}", port + number));
    let [mut down, mut up] = forwarded(wire, &client, &from, [&request, &request]);
    wire.say(&mut up, Server, &switching());
    wire.say(&mut down, Server, &switching());
    [down, up]
}

#[test]
fn a_stripped_upgrade_is_the_proxys() {
    let mut wire = Wire::default();
    let requests = [upgrade("/ws", KEY), stripped("/ws", KEY)];
    let [mut down, mut up] = forwarded(&mut wire, "10.9.0.1:5000", "10.0.0.1:6000", [&requests[0], &requests[1]]);
    wire.say(&mut up, Server, &answer("426 Upgrade Required"));
    wire.say(&mut down, Server, &answer("426 Upgrade Required"));
    check(&wire, "missing-101:HeadersDropped upgrade-headers-dropped");
}

#[test]
fn a_reset_right_after_the_101_is_no_error() {
    for side in [Client, Server] {
        let mut wire = Wire::default();
        let [mut down, mut up] = tunnel(&mut wire);
        let (first, then) = if side == Client { (&mut down, &mut up) } else { (&mut up, &mut down) };
        wire.reset(first, side);
        wire.reset(then, side);
        check(&wire, "");
    }
}

#[test]
fn a_simultaneous_close_and_a_half_close_are_no_errors() {
    let mut wire = Wire::default();
    let [mut down, mut up] = tunnel(&mut wire);
    wire.wait(Duration::from_secs(60));
    wire.fin(&mut down, Client);
    wire.fin(&mut up, Server);
    wire.fin(&mut down, Server);
    wire.fin(&mut up, Client);
    check(&wire, "");
    let mut wire = Wire::default();
    let [mut down, mut up] = tunnel(&mut wire);
    wire.fin(&mut down, Client);
    wire.fin(&mut up, Client);
    wire.wait(Duration::from_secs(60));
    wire.close(&mut up, Server);
    wire.fin(&mut down, Server);
    check(&wire, "");
}

#[test]
fn a_proxy_that_closes_after_silence_is_told() {
    let mut wire = Wire::default();
    let [mut down, mut up] = tunnel(&mut wire);
    wire.wait(Duration::from_secs(60));
    wire.close(&mut down, Server);
    wire.close(&mut up, Client);
    check(&wire, "idle-close");
}

/// A proxy that closes talking and silent tunnels at a reload, and is stopped for a while before the silent ones.
#[test]
fn a_pause_in_a_sweep_makes_no_timer() {
    for silent_first in [false, true] {
        let mut wire = Wire::default();
        let mut talking: Vec<_> = (0..3).map(|at| tunnel_of(&mut wire, at)).collect();
        let mut silent: Vec<_> = (3..6).map(|at| tunnel_of(&mut wire, at)).collect();
        wire.wait(Duration::from_secs(14));
        for [down, up] in &mut talking {
            wire.bytes(down, Client, b"\x81\x81\0\0\0\0a");
            wire.bytes(up, Client, b"\x81\x81\0\0\0\0a");
        }
        wire.wait(Duration::from_secs(1));
        let parts = if silent_first { [&mut silent, &mut talking] } else { [&mut talking, &mut silent] };
        for part in parts {
            for [down, up] in part {
                wire.fin(down, Server);
                wire.fin(up, Client);
            }
            wire.wait(Duration::from_millis(70));
        }
        check(&wire, "mass-close");
    }
}

#[test]
fn two_clients_with_one_key_are_told_apart() {
    let mut wire = Wire::default();
    let request = upgrade("/ws", KEY);
    let [mut good, mut up] = forwarded(&mut wire, "10.9.0.1:5000", "10.0.0.1:6000", [&request, &request]);
    let [mut bad, mut up2] = forwarded(&mut wire, "10.9.0.2:5000", "10.0.0.1:6001", [&request, &stripped("/ws", KEY)]);
    wire.say(&mut up2, Server, &answer("426 Upgrade Required"));
    wire.say(&mut bad, Server, &answer("426 Upgrade Required"));
    wire.say(&mut up, Server, &switching());
    wire.say(&mut good, Server, &switching());
    check(&wire, "missing-101:HeadersDropped upgrade-headers-dropped");
}

#[test]
fn an_upgrade_on_a_used_upstream_connection_is_found() {
    let mut wire = Wire::default();
    let head = "HEAD /health HTTP/1.1\r\nHost: chat.test\r\n\r\n";
    let mut up = wire.open("10.0.0.1:6000", ORIGIN);
    wire.say(&mut up, Client, head);
    wire.say(&mut up, Server, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n");
    wire.say(&mut up, Client, &get("/a"));
    wire.say(&mut up, Server, "HTTP/1.1 100 Continue\r\n\r\n");
    wire.say(
        &mut up,
        Server,
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    );
    let mut down = wire.open("10.9.0.1:5000", PROXY);
    wire.say(&mut down, Client, &upgrade("/ws", KEY));
    wire.say(&mut up, Client, &stripped("/ws", KEY));
    wire.say(&mut up, Server, &answer("400 Bad Request"));
    wire.say(&mut down, Server, &answer("400 Bad Request"));
    check(&wire, "missing-101:HeadersDropped upgrade-headers-dropped");
}

#[test]
fn an_upgrade_inside_a_connect_tunnel_is_found() {
    let mut wire = Wire::default();
    let mut down = wire.open("10.9.0.1:5000", PROXY);
    wire.say(&mut down, Client, "CONNECT chat.test:80 HTTP/1.1\r\nHost: chat.test:80\r\n\r\n");
    wire.say(&mut down, Server, "HTTP/1.1 200 Connection established\r\n\r\n");
    wire.say(&mut down, Client, &upgrade("/ws", KEY));
    wire.say(&mut down, Server, &switching());
    check(&wire, "");
    assert_eq!(observe(&wire.frames).attempts.len(), 1);
}

#[test]
fn a_request_without_host_is_the_clients_fault() {
    let mut wire = Wire::default();
    let mut down = wire.open("10.9.0.1:5000", PROXY);
    wire.say(&mut down, Client, &upgrade("/ws", KEY).replace("Host: chat.test\r\n", ""));
    wire.say(&mut down, Server, &answer("400 Bad Request"));
    check(&wire, "missing-101:ClientMalformed");
}

#[test]
fn ordinary_requests_are_nobodys_fault_whatever_their_connection_field() {
    let mut wire = Wire::default();
    let request = get("/a").replace("\r\n\r\n", "\r\nConnection: keep-alive, Upgrade\r\n\r\n");
    let [mut down, mut up] = forwarded(&mut wire, "10.9.0.1:5000", "10.0.0.1:6000", [&request, &get("/a")]);
    wire.say(&mut up, Server, &answer("404 Not Found"));
    wire.say(&mut down, Server, &answer("404 Not Found"));
    check(&wire, "");
}

#[test]
fn a_health_check_of_the_same_path_is_not_what_was_forwarded() {
    let mut wire = Wire::default();
    let mut down = wire.open("10.9.0.1:5000", PROXY);
    wire.say(&mut down, Client, &upgrade("/ws", KEY));
    let mut check_up = wire.open("10.0.0.1:6001", ORIGIN);
    wire.say(&mut check_up, Client, &get("/ws").replace("chat.test", "health"));
    wire.say(&mut check_up, Server, &answer("426 Upgrade Required"));
    wire.refused("10.0.0.1:6000", ORIGIN);
    wire.say(&mut down, Server, &answer("502 Bad Gateway"));
    check(&wire, "missing-101:UpstreamRefused");
}

#[test]
fn another_clients_request_is_not_what_was_forwarded() {
    let mut wire = Wire::default();
    let mut down = wire.open("10.9.0.1:5000", PROXY);
    wire.say(&mut down, Client, &upgrade("/ws", KEY));
    let [mut other, mut up] = forwarded(&mut wire, "10.9.0.2:5001", "10.0.0.1:6001", [&get("/ws"), &get("/ws")]);
    wire.say(&mut down, Server, &answer("404 Not Found"));
    wire.say(&mut up, Server, &answer("404 Not Found"));
    wire.say(&mut other, Server, &answer("404 Not Found"));
    // Which of both the proxy forwarded cannot be known: that it stripped the upgrade must not be said.
    let seen = observe(&wire.frames);
    assert!(seen.alerts.iter().all(|alert| alert.rule.to_string() == "missing-101"), "{:?}", seen.alerts);
}

#[test]
fn a_proxy_that_sends_from_another_address_is_known_once_seen() {
    let mut wire = Wire::default();
    let request = upgrade("/ws", KEY);
    let [mut down, mut up] = forwarded(&mut wire, "10.9.0.1:5000", "10.0.1.1:6000", [&request, &request]);
    wire.say(&mut up, Server, &switching());
    wire.say(&mut down, Server, &switching());
    wire.wait(Duration::from_secs(3));
    let mut down = wire.open("10.9.0.1:5001", PROXY);
    wire.say(&mut down, Client, &upgrade("/ws", OTHER));
    wire.refused("10.0.1.1:6001", ORIGIN);
    wire.say(&mut down, Server, &answer("502 Bad Gateway"));
    check(&wire, "missing-101:UpstreamRefused");
}

#[test]
fn a_client_on_the_proxys_own_host_is_not_the_proxy() {
    let mut wire = Wire::default();
    let request = upgrade("/ws", KEY);
    let [mut down, mut up] = forwarded(&mut wire, "10.0.0.1:5000", "10.0.0.1:6000", [&request, &request]);
    wire.say(&mut up, Server, &switching());
    wire.say(&mut down, Server, &switching());
    // Its own ordinary request straight to the origin.
    let mut direct = wire.open("10.0.0.1:5001", ORIGIN);
    wire.say(&mut direct, Client, &get("/ws"));
    wire.say(&mut direct, Server, &answer("426 Upgrade Required"));
    check(&wire, "");
    assert_eq!(observe(&wire.frames).attempts.len(), 1);
}

#[test]
fn two_proxies_on_one_address_are_told_apart() {
    let mut wire = Wire::default();
    let mut first = wire.open("10.9.0.1:5000", PROXY);
    wire.say(&mut first, Client, &upgrade("/ws", KEY));
    let mut second = wire.open("10.0.0.1:6000", "10.0.0.1:8080");
    wire.say(&mut second, Client, &upgrade("/ws", KEY));
    let mut last = wire.open("10.0.0.1:6001", ORIGIN);
    wire.say(&mut last, Client, &stripped("/ws", KEY));
    for connection in [&mut last, &mut second, &mut first] {
        wire.say(connection, Server, &answer("426 Upgrade Required"));
    }
    check(&wire, "missing-101:HeadersDropped upgrade-headers-dropped");
    let by = observe(&wire.frames).alerts.into_iter().find_map(|alert| match alert.details {
        Details::HeadersDropped { by, .. } => Some(by.to_string()),
        _ => None,
    });
    assert_eq!(by.as_deref(), Some("10.0.0.1:8080"));
}

#[test]
fn equal_ports_on_both_sides_are_two_connections() {
    let mut wire = Wire::default();
    let request = upgrade("/ws", KEY);
    let mut down = wire.open("10.9.0.1:5000", "10.0.0.1:3000");
    wire.say(&mut down, Client, &request);
    let mut up = wire.open("10.0.0.1:5000", ORIGIN);
    wire.say(&mut up, Client, &request);
    wire.say(&mut up, Server, &switching());
    wire.say(&mut down, Server, &switching());
    check(&wire, "");
    assert_eq!(observe(&wire.frames).attempts[0].hops.len(), 2);
}

#[test]
fn a_tls_client_that_closes_after_silence_accuses_nobody() {
    let mut wire = Wire::default();
    let mut hello = vec![0x16, 3, 1, 0, 44, 1, 0, 0, 40, 3, 3];
    hello.resize(49, 0);
    let record: &[u8] = &[0x17, 3, 3, 0, 4, 1, 2, 3, 4];
    let mut down = wire.open("10.9.0.1:5000", "10.0.0.1:443");
    wire.bytes(&mut down, Client, &hello);
    wire.bytes(&mut down, Server, record);
    wire.bytes(&mut down, Client, record);
    let mut up = wire.open("10.0.0.1:6000", ORIGIN);
    wire.say(&mut up, Client, &upgrade("/ws", KEY).replace("\r\n\r\n", "\r\nX-Forwarded-For: 10.9.0.1\r\n\r\n"));
    wire.say(&mut up, Server, &switching());
    wire.bytes(&mut down, Server, record);
    wire.wait(Duration::from_secs(60));
    wire.close(&mut down, Client);
    wire.close(&mut up, Client);
    check(&wire, "");
}

#[test]
fn a_docker_exec_through_a_proxy_that_strips_is_told() {
    let mut wire = Wire::default();
    let post = |fields: &str| {
        format!(
            "POST /exec/42/start HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n{fields}Content-Length: 2\r\n\r\n{{}}"
        )
    };
    let requests = [post("Connection: Upgrade\r\nUpgrade: tcp\r\n"), post("Connection: close\r\n")];
    let [mut down, mut up] = forwarded(&mut wire, "10.9.0.1:5000", "10.0.0.1:6000", [&requests[0], &requests[1]]);
    wire.say(&mut up, Server, &answer("400 Bad Request"));
    wire.say(&mut down, Server, &answer("400 Bad Request"));
    check(&wire, "missing-101:HeadersDropped upgrade-headers-dropped");
}

#[test]
fn a_strangers_request_for_the_same_path_is_not_what_an_upgrade_was_made_of() {
    let mut wire = Wire::default();
    let mut ordinary = wire.open("10.9.0.1:5000", PROXY);
    wire.say(&mut ordinary, Client, &get("/"));
    let mut offer = wire.open("10.7.0.1:6000", "10.7.0.2:80");
    wire.say(&mut offer, Client, &get("/").replace("\r\n\r\n", "\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"));
    wire.say(&mut offer, Server, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
    wire.say(&mut ordinary, Server, &answer("200 OK"));
    check(&wire, "");
}

#[test]
fn a_refusal_seen_before_its_syn_is_a_refusal() {
    let mut wire = Wire::default();
    let mut down = wire.open("10.9.0.1:5000", PROXY);
    wire.say(&mut down, Client, &upgrade("/ws", KEY));
    wire.refused("10.0.0.1:6000", ORIGIN);
    let last = wire.frames.len() - 1;
    wire.frames.swap(last - 1, last);
    wire.say(&mut down, Server, &answer("502 Bad Gateway"));
    check(&wire, "missing-101:UpstreamRefused");
}

/// The attempts of two clients whose proxy renames the target and makes keys of its own, told by hops and join.
fn renamed(pids: &[(&str, &str, u32)], clients: &[&str]) -> Vec<(usize, Option<Join>)> {
    let mut wire = Wire::default();
    let mut say_all = |ends: &[String], server: &str, request: &dyn Fn(usize) -> String| -> Vec<Connection> {
        let mut open: Vec<_> = ends.iter().map(|end| wire.open(end, server)).collect();
        open.iter_mut().enumerate().for_each(|(number, one)| wire.say(one, Client, &request(number)));
        open
    };
    let clients: Vec<_> = clients.iter().map(ToString::to_string).collect();
    let sent: Vec<_> = (0..clients.len()).map(|number| format!("10.0.0.1:600{number}")).collect();
    let down = say_all(&clients, PROXY, &|_| upgrade("/ws", KEY));
    let up = say_all(&sent, ORIGIN, &|number| upgrade("/backend/socket", &format!("bmV3IGtleSBudW1iZXIg{number}w==")));
    for mut asked in up.into_iter().chain(down) {
        wire.say(&mut asked, Server, &answer("403 Forbidden"));
    }
    let mut engine = Engine::new(config());
    for (local, peer, pid) in pids {
        let process = Process { pid: *pid, command: "nginx".into() };
        engine.handle_owner(Owner { local: local.parse().unwrap(), peer: peer.parse().unwrap(), process });
    }
    let mut seen = Seen::default();
    wire.frames.iter().for_each(|frame| engine.handle_frame(&frame.frame()));
    engine.finish();
    seen.take(&mut engine);
    seen.attempts.iter().map(|attempt| (attempt.hops.len(), attempt.join)).collect()
}

#[test]
fn hops_that_share_only_their_process_are_joined_where_nothing_else_fits() {
    let (one, other) = ("10.9.0.1:5000", "10.9.0.2:5000");
    let by_process = Some(Join { method: JoinMethod::Process, confidence: Confidence::Probable });
    let accepted = [(PROXY, one, 7), (PROXY, other, 7)];
    let sent = |pid| ("10.0.0.1:6000", ORIGIN, pid);
    assert_eq!(renamed(&[accepted[0], sent(7)], &[one]), [(2, by_process)]);
    assert_eq!(renamed(&[accepted[0], sent(8)], &[one]), [(1, None), (1, None)]);
    assert_eq!(renamed(&[], &[one]), [(1, None), (1, None)]);
    let both = [accepted[0], accepted[1], sent(7), ("10.0.0.1:6001", ORIGIN, 7)];
    assert_eq!(renamed(&both, &[one, other]), [(1, None); 4]);
}
