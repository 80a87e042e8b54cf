//! Connections that have no part in any attempt change nothing of what is told, though they run between the same hosts:
//! neither their holes, nor their upgrades, nor when they began.

use std::{collections::BTreeSet, net::SocketAddr};

use observer::engine::{
    alert::{Cause, Details, RuleId},
    event::{Attempt, Endpoint},
};

use crate::{
    capture, difference,
    observe::Detail,
    on_all,
    traffic::{
        message::{Request, Response},
        mutate::among,
        net::{Client, Id, MICRO, MILLI, Net, SECOND, Server, Time},
        noise::{Noise, Places},
        observe::{Seen, observe},
        random::Random,
        wire::{Owned, Segment},
    },
    world::captured,
};

/// How often each capture is tried, with other noise each time.
const SEEDS: u64 = 3;
/// Strangers' holes, of which no table of holes can keep every one for itself.
const HOLES: u16 = 1100;

/// The hosts and times of a capture's own attempts; none where there are none.
fn places(frames: &[Owned], seen: &Seen) -> Option<Places> {
    let hosts = |pick: &dyn Fn(&Attempt) -> Vec<Endpoint>| -> Vec<_> {
        let ends = seen.attempts.iter().flat_map(|attempt| pick(attempt));
        let hosts: BTreeSet<_> = ends.filter_map(|end| Some(end.address()?.ip())).collect();
        hosts.into_iter().collect()
    };
    let proxies = |attempt: &Attempt| {
        let path: Vec<_> = attempt.path().collect();
        let between = path.windows(2).flat_map(|pair| [pair[0].server.clone(), pair[1].client.clone()]);
        let mut proxies: Vec<_> = between.collect();
        proxies.extend((path.len() == 1).then(|| path[0].server.clone()));
        proxies
    };
    let segments: Vec<_> = frames.iter().filter_map(Segment::read).collect();
    let mut moments: Vec<_> = frames.iter().map(|frame| frame.at.as_nanos()).collect();
    moments.sort_unstable();
    let places = Places {
        clients: hosts(&|attempt| vec![attempt.first().client.clone()]),
        proxies: hosts(&proxies),
        origins: hosts(&|attempt| attempt.path().last().map(|hop| hop.server.clone()).into_iter().collect()),
        ports: segments.iter().flat_map(|segment| [segment.source.port(), segment.destination.port()]).collect(),
        moments,
    };
    (!places.proxies.is_empty()).then_some(places)
}

/// Connections with a hole in the server's answer, between hosts that have no part in anything.
fn holes(at: Time) -> Net {
    let mut net = Net::new(Random::new("holes", 0));
    for number in 0..HOLES {
        let host = number % 200 + 1;
        let ends = [format!("192.0.2.{host}:{}", 20000 + number), "198.51.100.7:8443".to_owned()];
        let [client, server] = ends.map(|end| end.parse().unwrap());
        lossy_answer(&mut net, client, server, at + Time::from(number) * 10 * MICRO);
    }
    net
}

/// A request of which only the end of the answer was captured.
fn lossy_answer(net: &mut Net, client: SocketAddr, server: SocketAddr, at: Time) {
    let id = net.open(client, server, 0, at);
    net.say(id, Client, at, &Request::get("/").bytes());
    lost(net, |net| net.say(id, Server, at, &[b'x'; 299]));
    net.say(id, Server, at, b"xxxxxxxxxx");
    net.leave(id, Client, at);
}

/// Takes away what is sent meanwhile.
fn lost(net: &mut Net, send: impl FnOnce(&mut Net) -> Time) {
    let from = net.sent.len();
    send(net);
    net.sent.truncate(from);
}

/// All that is told, exactly, but for the attempts of clients that are strangers.
fn told(seen: &Seen, strangers: &BTreeSet<SocketAddr>) -> Vec<String> {
    let is_strange = |attempt: &Attempt| attempt.first().client.address().is_some_and(|end| strangers.contains(&end));
    let own: BTreeSet<_> =
        seen.attempts.iter().filter(|attempt| is_strange(attempt)).map(|attempt| attempt.id.to_string()).collect();
    let mut lines = [seen.lines(Detail::Exact), seen.tunnels.clone()].concat();
    lines.retain(|line| {
        let mut words = line.split(' ');
        let is_event = matches!(words.next(), Some("attempt" | "tunnel"));
        !is_event || words.next().is_none_or(|id| !own.contains(id))
    });
    lines
}

#[test]
fn strangers_between_the_same_hosts_change_nothing() {
    on_all(|capture| {
        let frames = capture.frames();
        let whole = observe(&frames);
        let mut before = told(&whole, &BTreeSet::new());
        before.sort();
        let run = |seed| {
            let random = Random::new(&format!("strangers {}", capture.name), seed);
            let noise = Noise::new(places(&frames, &whole)?, 100, random);
            let strangers = noise.net.connections.iter().map(|one| one.client).collect();
            let mut others = captured(noise.captured(), &frames);
            if seed == 0 {
                others.extend(captured(holes(frames[0].at.as_nanos()).sent.iter(), &frames));
            }
            let mut after = told(&observe(&among(frames.clone(), others)), &strangers);
            after.sort();
            (before != after).then(|| format!("{} seed {seed}\n{}", capture.name, difference(&before, &after)))
        };
        (0..SEEDS).filter_map(run).collect()
    });
}

/// Adds strangers to a capture; returns what is told without and with them.
fn beside(name: &str, talk: impl FnOnce(&mut Net, Time)) -> [Vec<String>; 2] {
    let frames = capture::named(name).frames();
    let mut net = Net::new(Random::new(name, 0));
    talk(&mut net, frames[0].at.as_nanos());
    let others = captured(net.sent.iter(), &frames);
    [frames.clone(), among(frames, others)].map(|frames| told(&observe(&frames), &BTreeSet::new()))
}

/// A request that asks for no upgrade, and is answered 101.
fn switched(net: &mut Net, port: u16, method: &'static str, at: Time) -> Id {
    let ends = [format!("192.0.2.9:{port}"), "198.51.100.7:8080".to_owned()];
    let [client, server] = ends.map(|end| end.parse().unwrap());
    let id = net.open(client, server, 0, at);
    net.say(id, Client, at, &Request { method, ..Request::get("/index.html") }.bytes());
    net.say(id, Server, at, &Response::switching("websocket", None).bytes());
    id
}

#[test]
fn a_strangers_101_ends_no_tunnel() {
    let [before, after] = beside("nginx-idle-60s", |net, start| {
        let at = start + 18 * SECOND;
        let id = switched(net, 50000, "GET", at);
        net.close(id, Server, at);
    });
    assert!(before.iter().any(|line| line.starts_with("idle-close Error")), "{before:?}");
    assert!(before == after, "{}", difference(&before, &after));
}

#[test]
fn strangers_101s_forge_no_idle_close() {
    let [before, after] = beside("client-closes-after-61s", |net, start| {
        let at = start + 2 * SECOND;
        let one = switched(net, 50000, "CONNECT", at);
        let other = switched(net, 50001, "CONNECT", at + MILLI);
        net.close(one, Server, at + 15 * SECOND);
        net.close(other, Client, at + 15 * SECOND + 100 * MICRO);
    });
    assert!(!before.iter().any(|line| line.starts_with("idle-close")), "{before:?}");
    assert!(before == after, "{}", difference(&before, &after));
}

#[test]
fn a_database_connection_from_before_the_capture_silences_nothing() {
    let [before, after] = beside("nginx-limit-req", |net, start| {
        let ends = ["127.0.0.1:50001", "127.0.0.1:5432"].map(|end| end.parse().unwrap());
        let id = net.found(ends[0], ends[1], 0, start);
        net.say(id, Client, start, b"Q\0\0\0\x0dselect 1\0");
    });
    assert!(before.iter().any(|line| line.starts_with("missing-101 Error")), "{before:?}");
    assert!(before == after, "{}", difference(&before, &after));
}

/// The cause that is told of the attempt that got no 101.
fn cause(frames: &[Owned]) -> Option<Cause> {
    observe(frames)
        .alerts
        .into_iter()
        .find(|alert| alert.rule == RuleId::Missing101)
        .and_then(|alert| if let Details::Missing101 { cause, .. } = alert.details { Some(cause) } else { None })
}

/// What a hole on the proxy's own host makes of a cause, it makes of it whatever else is missing elsewhere.
fn check_not_forgotten(expected: Cause, hole: impl FnOnce(&mut Net, [SocketAddr; 2], &[Owned])) {
    let frames = capture::named("nginx-path-mismatch").frames();
    let ends = ["127.0.0.1:50000", "127.0.0.1:8443"].map(|end| end.parse().unwrap());
    let mut net = Net::new(Random::new("forgotten", 0));
    hole(&mut net, ends, &frames);
    let end = frames[frames.len() - 1].at.as_nanos();
    let one = among(frames.clone(), captured(net.sent.iter(), &frames));
    let all = among(one.clone(), captured(holes(end).sent.iter(), &frames));
    assert_eq!(
        [&frames, &one, &all].map(|frames| cause(frames)),
        [Some(Cause::NotForwarded), Some(expected), Some(expected)]
    );
}

#[test]
fn a_hole_in_place_of_a_request_is_not_forgotten() {
    check_not_forgotten(Cause::Unknown, |net, [client, server], frames| {
        let begins =
            |frame: &&Owned| Segment::read(frame).is_some_and(|segment| segment.payload.starts_with(b"GET /websocket"));
        let asked = frames.iter().find(begins).unwrap().at.as_nanos();
        let before = asked - 20 * MILLI;
        let id = net.open(client, server, 1, before);
        net.say(id, Client, before, &Request::get("/").bytes());
        net.say(id, Server, before, &Response::new(200, b"").bytes());
        lost(net, |net| net.say(id, Client, asked + 20 * MICRO, &Request::get("/websocket").bytes()));
        net.say(id, Server, asked + 50 * MICRO, &Response::new(404, b"").bytes());
    });
}

#[test]
fn a_hole_in_an_answer_hides_no_request() {
    check_not_forgotten(Cause::NotForwarded, |net, [client, server], frames| {
        let request = frames.iter().find(|frame| Segment::read(frame).is_some_and(|one| one.wire_payload > 0));
        lossy_answer(net, client, server, request.unwrap().at.as_nanos());
    });
}
