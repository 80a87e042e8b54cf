//! The tap in the kernel, on a real proxy: the same judgements as libpcap and `observer read`, what it leaves out, what it
//! loses, and that nothing of it is left when its process has ended.
#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]
#![allow(clippy::disallowed_methods, reason = "a test of real programs waits in real time")]

mod scene;

use std::{
    collections::BTreeSet,
    fs,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use scene::{Scene, end, possible, run, wait_for};
use serde_json::Value;

const BARE: [&str; 3] = ["upgrade:/bare", "response", "fin"];
const GOOD: [&str; 6] = ["upgrade:/good", "head", "text:hi", "frame", "close", "frame"];
const KERNEL: [&str; 4] = ["--tap", "ebpf", "--format", "json"];

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What is judged, whatever tap saw it: times of frames, and their numbers, are each tap's own.
fn judged(lines: &[Value]) -> Vec<String> {
    let places = [
        "/event/dataset",
        "/rule/id",
        "/attempt/id",
        "/attempt/outcome",
        "/details/close/code",
        "/details/close/from",
        "/details/closed_by",
        "/details/bytes",
        "/details/frames",
        "/details/pings",
    ];
    let of = |line: &Value, place: &str| line.pointer(place).cloned().unwrap_or_default().to_string();
    let lines = lines.iter().filter(|line| line["event"]["kind"] != "metric");
    let mut judged: Vec<_> = lines.map(|line| places.map(|place| of(line, place)).join(" ")).collect();
    judged.sort();
    judged
}

fn of<'a>(lines: &'a [Value], dataset: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"]["dataset"] == dataset).collect()
}

/// A tunnel through the proxy: frames, their length, pings, and how long the origin pauses after the first frame, in
/// milliseconds. Says how many bytes came.
fn stream(scene: &Scene, [frames, length, pings, pause]: [u32; 4]) -> u64 {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/scene/stream.py");
    let asked = format!("{frames}-{length}-{pings}-{pause}");
    let output = scene.command("python3").args([script, &asked]).stdout(Stdio::piped()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or_else(|_| panic!("{output:?}"))
}

/// How many links of a type a process holds.
fn links(child: &Child, kind: &str) -> usize {
    let folder = format!("/proc/{}/fdinfo", child.id());
    let texts = fs::read_dir(folder).unwrap().filter_map(|entry| fs::read_to_string(entry.unwrap().path()).ok());
    texts.filter(|text| text.contains(&format!("link_type:\t{kind}"))).count()
}

/// The ids of the programs that a process holds.
fn programs(child: &Child) -> BTreeSet<u32> {
    let folder = format!("/proc/{}/fdinfo", child.id());
    let texts = fs::read_dir(folder).unwrap().filter_map(|entry| fs::read_to_string(entry.unwrap().path()).ok());
    let ids = texts.filter_map(|text| text.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok()));
    ids.collect()
}

fn is_loaded(id: u32) -> bool {
    aya::programs::loaded_programs().filter_map(Result::ok).any(|program| program.id() == id)
}

#[test]
fn every_tap_judges_alike() {
    if !possible() {
        return;
    }
    let scene = Scene::new();
    let capture = scene.path("all.pcap");
    let dump = scene.start("tcpdump", "tcpdump", &["-i", "lo", "--nano", "-U", "-B", "65536", "-w", &capture, "tcp"]);
    wait_for("tcpdump", || scene.told("tcpdump.err").contains("listening on"));
    let kernel = scene.observer("kernel", &KERNEL);
    let pcap = scene.observer("pcap", &["--tap", "pcap", "--format", "json"]);
    for steps in [&BARE[..], &GOOD, &BARE, &GOOD] {
        let output = scene.client(steps);
        assert!(output.status.success(), "{output:?}");
    }
    stream(&scene, [300, 20_000, 3, 0]);
    stream(&scene, [2000, 3, 20, 0]);
    thread::sleep(Duration::from_millis(300));
    for observer in [kernel, pcap] {
        assert_eq!(end(observer, "-TERM").0, Some(0));
    }
    // tcpdump sees its ring once a second, and not at its end.
    thread::sleep(Duration::from_millis(1500));
    end(dump, "-INT");
    let read = Command::new(env!("CARGO_BIN_EXE_observer"));
    let output = { read }.args(["read", "--format", "json", &capture]).output().unwrap();
    let expected = judged(&lines(&String::from_utf8(output.stdout).unwrap()));
    assert!(expected.len() >= 12, "{expected:#?}");
    for name in ["kernel", "pcap"] {
        assert_eq!(scene.told(&format!("{name}.err")), "", "{name}");
        let told = lines(&scene.told(&format!("{name}.out")));
        assert_eq!(judged(&told), expected, "{name}");
        assert_eq!(told.last().unwrap()["details"]["drops"], 0, "{name}");
    }
}

#[test]
fn a_tunnels_payload_stays_in_the_kernel() {
    if !possible() {
        return;
    }
    let scene = Scene::new();
    let observer = scene.observer("out", &KERNEL);
    // In the pause the demand comes down to the kernel; what a burst right behind the 101 brings before is shipped.
    let bytes = stream(&scene, [4000, 50_000, 10, 1000]);
    assert!(bytes > 200_000_000);
    thread::sleep(Duration::from_millis(300));
    assert_eq!(end(observer, "-TERM").0, Some(0));
    let told = lines(&scene.told("out.out"));
    let stats = told.last().unwrap();
    assert_eq!(stats["details"]["drops"], 0);
    assert!(stats["details"]["frames"].as_u64().unwrap() < 60, "{}", stats["details"]);
    let tunnels = of(&told, "observer.tunnel");
    assert_eq!(tunnels.len(), 1, "{}", scene.told("out.out"));
    let details = &tunnels[0]["details"];
    assert!(details["bytes"]["to_client"].as_u64().unwrap() > 200_000_000, "{details}");
    assert_eq!((&details["pings"], &details["close"]["code"]), (&Value::from(10), &Value::from(1000)), "{details}");
    assert_eq!(details["incomplete"], false);
}

#[test]
fn what_the_ring_cannot_take_is_told() {
    if !possible() {
        return;
    }
    let scene = Scene::new();
    let observer = scene.observer("out", &[&KERNEL[..], &["--buffer", "1MiB"]].concat());
    let signal = |name: &str| run(Command::new("kill").args([name, &observer.id().to_string()]));
    signal("-STOP");
    stream(&scene, [100, 50_000, 0, 0]);
    for _ in 0..3 {
        scene.client(&BARE);
    }
    signal("-CONT");
    thread::sleep(Duration::from_millis(300));
    assert_eq!(end(observer, "-TERM").0, Some(0));
    let told = lines(&scene.told("out.out"));
    assert_ne!(told.last().unwrap()["details"]["drops"], 0);
    assert!(of(&told, "observer.alert").iter().all(|alert| alert["rule"]["id"] != "idle-close"));
}

#[test]
fn nothing_is_left_behind() {
    if !possible() {
        return;
    }
    let scene = Scene::empty();
    for signal in ["-TERM", "-KILL"] {
        let observer = scene.observer("out", &KERNEL);
        let held = programs(&observer);
        assert_eq!(links(&observer, "tcx"), 1, "loopback is looked at once");
        assert_eq!(links(&observer, "raw_tracepoint"), 1, "who sends");
        assert!(!held.is_empty() && held.iter().all(|id| is_loaded(*id)), "{held:?}");
        end(observer, signal);
        wait_for("the kernel to let go", || !held.iter().any(|id| is_loaded(*id)));
        let filters = scene.command("tc").args(["filter", "show", "dev", "lo", "egress"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&filters.stdout), "");
    }
}

#[test]
fn interfaces_that_come_later_are_watched_without_privileges() {
    if !possible() {
        return;
    }
    let scene = Scene::empty();
    let every = scene.observer("every", &[&KERNEL[..], &["--fence", "require"]].concat());
    let before = programs(&every);
    run(scene.command("ip").args(["link", "add", "late0", "type", "veth", "peer", "late1"]));
    wait_for("both ways of both ends, and loopback", || links(&every, "tcx") == 5);
    assert_eq!(programs(&every), before);
    run(scene.command("ip").args(["link", "del", "late0"]));
    wait_for("loopback alone", || links(&every, "tcx") == 1);
    assert_eq!(end(every, "-TERM").0, Some(0));
    assert_eq!(scene.told("every.err"), "");
}
