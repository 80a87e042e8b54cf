//! What goes wrong around a live run: it is killed, the kernel drops frames, an interface goes down. What was judged
//! before is not lost, and what was lost is counted. (Full disks, stuck readers and rotated logs: see `feed.rs`.)
#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod scene;

use std::{fs, io::Write, process::Command};

use scene::{Scene, end, possible, run, status, wait::wait_until, wait_for_records, wait_text};
use serde_json::Value;

const BARE: [&str; 3] = ["upgrade:/bare", "response", "fin"];
/// Alerts of one such client.
const ALERTS: usize = 3;
/// Times that a writer is killed, each time when it has written more.
const KILLS: usize = 8;
/// What it has written more, in bytes: all of this is less than what is told of one client.
const MORE: usize = 500;

/// All lines, each of them whole.
fn lines(text: &str) -> Vec<Value> {
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is cut: {text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn alerts(lines: &[Value]) -> usize {
    lines.iter().filter(|line| line["event"]["dataset"] == "observer.alert").count()
}

#[test]
fn a_killed_writer_leaves_whole_lines_to_the_next_one() {
    if !possible() {
        return;
    }
    let scene = Scene::new();
    let log = scene.path("feed.json");
    let arguments = ["-i", "lo", "--format", "json", "--output", &log];
    let size = || fs::read(&log).unwrap().len();
    for kill in 0..KILLS {
        let observer = scene.observer("out", &arguments);
        let before = size();
        scene.client(&BARE);
        wait_until("more in the log", size, |size| *size >= before + kill * MORE);
        assert_eq!(end(observer, "-KILL"), (None, Some(9)), "it ran until then");
        // Where the kernel was in the middle of a write, this is what is left.
        let written = fs::read(&log).unwrap();
        let line =
            written.split_inclusive(|byte| *byte == b'\n').next().map_or(&b"{\"@timestamp\":\""[..], |line| line);
        let cut = &line[..(line.len() * kill / KILLS).max(1)];
        fs::File::options().append(true).open(&log).unwrap().write_all(cut).unwrap();
    }
    let observer = scene.observer("out", &arguments);
    let before = size();
    scene.client(&BARE);
    wait_for_records("the log since", || fs::read_to_string(&log).unwrap().split_off(before), [1, 0, ALERTS]);
    assert_eq!(end(observer, "-TERM").0, Some(0), "{}", scene.told("out.err"));
    let told = lines(&fs::read_to_string(&log).unwrap());
    assert!(alerts(&told) >= ALERTS);
    assert_eq!(told.last().unwrap()["event"]["dataset"], "observer.stats");
}

#[test]
fn what_is_not_ours_is_left_where_it_is() {
    if !possible() {
        return;
    }
    let scene = Scene::new();
    let log = scene.path("feed.json");
    fs::write(&log, "{\"somebody\": \"else\"").unwrap();
    let observer = scene.observer("out", &["-i", "lo", "--format", "json", "--output", &log]);
    assert_eq!(end(observer, "-TERM").0, Some(0));
    assert!(fs::read_to_string(&log).unwrap().starts_with("{\"somebody\": \"else\"\n{"), "on lines of our own");
}

#[test]
fn what_the_kernel_drops_is_counted() {
    if !possible() {
        return;
    }
    let scene = Scene::new();
    let arguments = ["--tap", "pcap", "-i", "lo", "--buffer", "1MiB", "--format", "json"];
    let observer = scene.observer("out", &arguments);
    scene.client(&BARE);
    scene.wait_records("out.out", [1, 0, ALERTS]);
    let signal = |name: &str| run(Command::new("kill").args([name, &observer.id().to_string()]));
    signal("-STOP");
    // A hundred frames of 50 kB from the origin, which the ring cannot take.
    let stream = format!("{}/../tests/scene/stream.py", env!("CARGO_MANIFEST_DIR"));
    run(scene.command("python3").args([&stream, "100-50000-0-0"]));
    scene.client(&BARE);
    signal("-CONT");
    // Clients go on until one of them finds room in the ring: then all that was there before has been read.
    let next = || {
        scene.client(&["upgrade:/good", "head", "text:hi", "frame", "close", "frame"]);
        scene.told("out.out")
    };
    wait_text("a tunnel of a client that came later", next, |feed| feed.contains("/good"));
    assert_eq!(end(observer, "-TERM").0, Some(0));
    let told = lines(&scene.told("out.out"));
    assert_ne!(told.last().unwrap()["details"]["drops"], 0);
    assert!(alerts(&told) >= ALERTS, "what was judged before is still there");
}

#[test]
fn an_interface_may_be_down_for_a_while() {
    if !possible() {
        return;
    }
    for tap in ["pcap", "ebpf"] {
        let scene = Scene::new();
        let observer = scene.observer("out", &["--tap", tap, "--format", "json"]);
        scene.client(&BARE);
        scene.wait_records("out.out", [1, 0, ALERTS]);
        run(scene.command("ip").args(["link", "set", "lo", "down"]));
        // Nothing is told of it; but it looks, as often as the thread that captures wakes up.
        let woken = || status(observer.id(), "voluntary_ctxt_switches").parse::<u64>().unwrap();
        let before = woken();
        wait_until("looks at the interface that is down", woken, |woken| *woken > before + 1);
        run(scene.command("ip").args(["link", "set", "lo", "up"]));
        scene.client(&BARE);
        scene.wait_records("out.out", [2, 0, 2 * ALERTS]);
        assert_eq!(end(observer, "-TERM").0, Some(0), "{}", scene.told("out.err"));
    }
}
