//! The tap in the kernel, on a real proxy: the same judgements as libpcap and `observer read`, what it leaves out, what it
//! loses, and that nothing of it is left when its process has ended.
#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod scene;

use std::{
    collections::BTreeSet,
    fs,
    process::{Child, Command, Stdio},
};

use scene::{Scene, end, possible, run, wait::wait_until, wait_for, wait_text};
use serde_json::Value;

const BARE: [&str; 3] = ["upgrade:/bare", "response", "fin"];
const GOOD: [&str; 6] = ["upgrade:/good", "head", "text:hi", "frame", "close", "frame"];
const EVERYTHING: &str = "alert,attempt,tunnel,anomaly,stats";
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
    let dump = scene.dump();
    let kernel = scene.observer("kernel", &KERNEL);
    let pcap = scene.observer("pcap", &["--tap", "pcap", "--format", "json"]);
    for steps in [&BARE[..], &GOOD, &BARE, &GOOD] {
        let output = scene.client(steps);
        assert!(output.status.success(), "{output:?}");
    }
    stream(&scene, [300, 20_000, 3, 0]);
    stream(&scene, [2000, 3, 20, 0]);
    for (observer, feed) in [(kernel, "kernel.out"), (pcap, "pcap.out")] {
        scene.wait_records(feed, [6, 4, 6]);
        assert_eq!(end(observer, "-TERM").0, Some(0));
    }
    let capture = dump.stop();
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
    scene.wait_records("out.out", [1, 1, 0]);
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
fn ordinary_requests_stay_in_the_kernel() {
    if !possible() {
        return;
    }
    let scene = Scene::new();
    let kernel = scene.observer("kernel", &[&KERNEL[..], &["--ordinary", "0", "--emit", EVERYTHING]].concat());
    let pcap = scene.observer("pcap", &["--tap", "pcap", "--format", "json", "--emit", EVERYTHING]);
    let pages = ["get:/page", "response"].repeat(100);
    for upgrade in [&BARE[..], &GOOD] {
        let output = scene.client(&[&pages[..], upgrade].concat());
        assert!(output.status.success(), "{output:?}");
    }
    // The one begins behind another on its connection, and goes on behind it.
    let output = scene.client(&[&pages[..], &BARE[..2], &pages, &BARE].concat());
    assert!(output.status.success(), "{output:?}");
    let [kernel, pcap] = [(kernel, "kernel"), (pcap, "pcap")].map(|(observer, name)| {
        scene.wait_records(&format!("{name}.out"), [4, 1, 9]);
        assert_eq!(end(observer, "-TERM").0, Some(0));
        lines(&scene.told(&format!("{name}.out")))
    });
    assert_eq!(judged(&kernel), judged(&pcap));
    assert_eq!(of(&kernel, "observer.attempt").len(), 4);
    let counts = |told: &[Value], name: &str| told.last().unwrap()["details"][name].as_u64().unwrap();
    for name in ["requests", "gaps", "drops", "anomalies", "connections", "tunnels"] {
        assert_eq!(counts(&kernel, name), counts(&pcap, name), "{name}");
    }
    assert!(counts(&pcap, "frames") > 800 && counts(&kernel, "frames") < 80, "{}", counts(&kernel, "frames"));
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
    // Clients go on until one of them finds room in the ring: then all that was there before has been read.
    let next = || {
        scene.client(&GOOD);
        scene.told("out.out")
    };
    wait_text("a tunnel of a client that came later", next, |feed| feed.contains("/good"));
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
        assert_eq!(filters(&scene).0, "");
    }
}

/// The filters that are attached to loopback, and the queueing disciplines there.
fn filters(scene: &Scene) -> (String, String) {
    let told = |arguments: &[&str]| {
        let output = scene.command("tc").args(arguments).stdout(Stdio::piped()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    (told(&["filter", "show", "dev", "lo", "egress"]), told(&["qdisc", "show", "dev", "lo"]))
}

#[test]
fn filters_do_what_links_do_and_go_when_they_do() {
    if !possible() {
        return;
    }
    let scene = Scene::new();
    for signal in ["-TERM", "-KILL"] {
        let observer = scene.observer("out", &[&KERNEL[..], &["--hook", "clsact", "-i", "lo"]].concat());
        let held = programs(&observer);
        assert_eq!(links(&observer, "tcx"), 0);
        assert!(filters(&scene).0.contains("ethernet"), "{}", filters(&scene).0);
        let output = scene.client(&BARE);
        assert!(output.status.success(), "{output:?}");
        scene.wait_told("out.out", "the alert", |text| text.contains("upgrade-headers-dropped"));
        end(observer, signal);
        wait_text("the filters to go", || filters(&scene).0, str::is_empty);
        wait_for("the kernel to let go", || !held.iter().any(|id| is_loaded(*id)));
        assert!(!filters(&scene).1.contains("clsact"), "{}", filters(&scene).1);
        assert_eq!(scene.told("out.err"), "");
    }
}

#[test]
fn filters_that_were_left_are_removed_at_the_next_start_and_no_others() {
    if !possible() {
        return;
    }
    let scene = Scene::empty();
    let clsact = [&KERNEL[..], &["--hook", "clsact", "-i", "lo"]].concat();
    let other = scene.observer("other", &clsact);
    let killed = scene.observer("killed", &clsact);
    // Who would remove its filters goes first.
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", killed.id())).unwrap();
    let told = |child: &str| fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
    let remover = children.split(' ').find(|child| told(child).contains("unhook")).unwrap();
    run(Command::new("kill").args(["-KILL", remover]));
    let id = killed.id();
    end(killed, "-KILL");
    let handle = |id: u32| format!("handle {id:#x}");
    assert!(filters(&scene).0.contains(&handle(id)), "{}", filters(&scene).0);
    let next = scene.observer("next", &clsact);
    let there = filters(&scene).0;
    assert!(!there.contains(&handle(id)), "{there}");
    assert!(there.contains(&handle(other.id())) && there.contains(&handle(next.id())), "{there}");
    for observer in [next, other] {
        end(observer, "-TERM");
    }
    wait_text("the filters to go", || filters(&scene).0, str::is_empty);
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
    wait_until("both ways of both ends, and loopback", || links(&every, "tcx"), |links| *links == 5);
    assert_eq!(programs(&every), before);
    run(scene.command("ip").args(["link", "del", "late0"]));
    wait_until("loopback alone", || links(&every, "tcx"), |links| *links == 1);
    assert_eq!(end(every, "-TERM").0, Some(0));
    assert_eq!(scene.told("every.err"), "");
}
