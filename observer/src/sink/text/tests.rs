//! What the text output looks like, held against what was looked at; and what it must never say.

use std::sync::Arc;

use crate::{
    engine::{
        event::{Event, Stats},
        sample,
    },
    sink::{
        Emit, Options,
        outputs::{as_text, options},
    },
};

fn bare() -> Vec<Event> {
    let attempt = Arc::new(sample::bare(1, 4, "/ws", "10.0.0.7:53012"));
    let mut events = vec![Event::Attempt(Arc::clone(&attempt))];
    events.extend(sample::bare_alerts(&attempt));
    events
}

fn text(events: &[Event], width: usize) -> String {
    as_text(events, Options::default(), width)
}

/// Not a check: `cargo test look -- --ignored --nocapture` prints what to look at.
#[test]
#[ignore = "for eyes"]
fn look() {
    let width = std::env::var("WIDTH").ok().and_then(|width| width.parse().ok()).unwrap_or(80);
    let color = std::env::var_os("COLOR").is_some();
    let with = Options { color, ..options() };
    eprintln!("{}", "-".repeat(width));
    let mut first = bare();
    for event in sample::rest().into_iter().chain([Event::Stats(Box::new(sample::stats()))]) {
        first.push(event);
    }
    for events in [first, sample::bad_gateway(), sample::chain(), sample::long(), sample::idle(), sample::anomalies()] {
        eprintln!("{}\n{}", as_text(&events, with.clone(), width), "-".repeat(width));
    }
    eprintln!("{}", many());
}

/// Forty clients with one cause.
fn many() -> String {
    let mut events = Vec::new();
    for number in 0..40 {
        let client = format!("10.0.0.7:{}", 50_000 + number);
        let attempt = Arc::new(sample::bare(number, 4 + number * 10, "/ws", &client));
        events.push(Event::Attempt(Arc::clone(&attempt)));
        events.extend(sample::bare_alerts(&attempt));
    }
    text(&events, 80)
}

#[test]
fn a_bare_proxy_pass_is_told_in_full() {
    let shown = text(&bare(), 80);
    for part in [
        "✗ GET /ws on chat.test  426 after 24.1 ms",
        "frames 4–11",
        "nginx/1.22.1",
        "GET /ws HTTP/1.0",
        "◄ HTTP/1.0",
        "◄ dropped",
        "◄ replaced",
        "426 Upgrade Required",
        "proxy_set_header Upgrade $http_upgrade;",
        "proxy_http_version 1.1;",
        "observer explain upgrade-headers-dropped",
    ] {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
}

#[test]
fn processes_stand_below_what_they_hold() {
    let mut attempt = sample::bare(1, 4, "/ws", "10.0.0.7:53012");
    sample::own(&mut attempt);
    let mut events = vec![Event::Attempt(Arc::new(attempt.clone()))];
    events.extend(sample::bare_alerts(&Arc::new(attempt)));
    let wide = text(&events, 80);
    let line = wide.lines().find(|line| line.contains("nginx[812]")).unwrap();
    assert!(line.ends_with(r"node\x1b[900]") && !line.contains("10.0.0.1"), "{wide}");
    let narrow = text(&events, 60);
    assert!(narrow.contains("10.0.0.1:80 nginx[812]"), "{narrow}");
}

#[test]
fn nothing_is_wider_than_the_terminal() {
    for width in [60, 80, 100, 120] {
        for events in [bare(), sample::all()] {
            let shown = as_text(&events, options(), width);
            // Snippets are there to be pasted: their lines are never broken.
            for line in shown.lines().filter(|line| !line.starts_with("      ") || line.contains('┊')) {
                assert!(super::line::width(line) <= width, "{} > {width}: {line}", super::line::width(line));
            }
        }
    }
}

#[test]
fn many_with_one_cause_are_grouped() {
    let shown = many();
    assert_eq!(shown.matches("Fix for nginx").count(), 1, "{shown}");
    assert_eq!(shown.matches("as frame 4").count(), 2, "{shown}");
    assert!(shown.contains("and 37 more like frame 4"), "{shown}");
}

#[test]
fn it_is_readable_without_colour_and_coloured_when_asked() {
    assert!(!text(&bare(), 80).contains('\x1b'));
    let coloured = as_text(&bare(), Options { color: true, ..Options::default() }, 80);
    assert!(coloured.contains('\x1b'));
    let mut plain = String::new();
    let mut inside = false;
    for c in coloured.chars() {
        match c {
            '\x1b' => inside = true,
            'm' if inside => inside = false,
            _ if inside => {}
            _ => plain.push(c),
        }
    }
    assert_eq!(plain.replace(' ', ""), text(&bare(), 80).replace(' ', ""));
}

#[test]
fn it_never_calls_well_what_it_did_not_see() {
    let base = || Stats { frames: 10, connections: 2, requests: 2, upgraded: 2, tunnels: 2, ..Stats::default() };
    for (stats, said) in [
        (base(), "Nothing is wrong: all 2 upgrade attempts got their 101"),
        (Stats { upgraded: 1, ..base() }, "Nothing is wrong: the one upgrade attempt got its 101"),
        (Stats { gaps: 1, ..base() }, "No fault was found in what could be read: all 2"),
        (Stats { tls_connections: 1, ..base() }, "No fault was found in what could be read"),
        (Stats { unknown: 1, ..base() }, "2 of 3 upgrade attempts got 101; the outcome of 1 was not captured"),
        (Stats { refused: 1, ..base() }, "no rule takes the other for a fault"),
        (Stats { upgraded: 0, unknown: 2, ..base() }, "Nothing could be judged: what decided"),
        (Stats { upgraded: 0, ..base() }, "no request asked for an upgrade."),
        (Stats { upgraded: 0, requests: 0, tls_connections: 2, ..base() }, "there is TLS, but no plain HTTP/1"),
        (Stats { upgraded: 0, requests: 0, ..base() }, "no HTTP/1 request was seen"),
        (Stats { frames: 3, ..Stats::default() }, "no TCP connection was seen"),
        (Stats::default(), "no frame was captured"),
    ] {
        let shown = text(&[Event::Stats(Box::new(stats))], 200).replace('\n', " ");
        assert!(shown.contains(said), "{said}: {shown}");
        assert_eq!(shown.contains("Nothing is wrong"), said.contains("Nothing is wrong"), "{shown}");
    }
}

#[test]
fn healthy_attempts_are_only_counted() {
    let attempt = Arc::new(sample::upgraded(1));
    assert_eq!(
        as_text(&[Event::Attempt(attempt)], Options { emit: Emit::ALL, ..Options::default() }, 80),
        "! a.pcap is cut at byte 1234\n"
    );
}

#[test]
fn long_chains_are_stacked_where_they_do_not_fit() {
    let narrow = text(&sample::chain(), 80);
    for part in
        ["  Apache/2.4.71 10.1.0.3:8080", "▲", "earlier try at 127.0.0.1:3001: connection refused", "side request"]
    {
        assert!(narrow.contains(part), "{part} is not in\n{narrow}");
    }
    let wide = text(&sample::chain(), 120);
    assert!(!wide.contains('▲') && wide.contains("├─ #61 +0 ms"), "{wide}");
}

#[test]
fn long_addresses_and_paths_are_shown_whole() {
    let shown = text(&sample::long(), 80);
    for part in ["[2001:db8:1111:2222:3333:4444:5555:6666]:60211", "[2001:db8:1111:2222:3333:4444:5555:1]:443"] {
        assert!(shown.contains(part), "{shown}");
    }
    let joined: String = shown.lines().take(3).map(str::trim).collect();
    assert!(
        joined.contains("/projects/日本語プロジェクト/streams/telemetry/websocket/subscribe?<redacted>"),
        "{joined}"
    );
}

#[test]
fn an_idle_close_is_told_as_a_timeline() {
    let shown = text(&sample::idle(), 80);
    for part in [
        "cut after 60.1 s of silence",
        "21:58:47.107  101, the tunnel opens",
        "21:58:59.123  last payload; in all 12 frames from client, 140 from server",
        "no ping or pong ever",
        "21:59:59.183  nginx/1.22.1 closes first",
        "nginx proxy_read_timeout (60 s)",
    ] {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
}

#[test]
fn alerts_wait_for_those_that_belong_to_them() {
    use crate::sink::{outputs::Memory, text_at};
    let memory = Memory::default();
    let mut sink = text_at(Box::new(memory.clone()), Options::default(), 80);
    bare().iter().for_each(|event| sink.event(event).unwrap());
    assert_eq!(memory.text(), "");
    sink.flush().unwrap();
    assert!(memory.text().contains("also missing-101"));
}
