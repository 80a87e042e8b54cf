//! `observer live` from outside, on a real proxy: the same alerts as `observer read`, ends, errors, privileges.
#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod scene;

use std::{
    process::{Command, Output, Stdio},
    sync::Arc,
    time::Duration,
};

use observer::{
    engine::{Config, Engine, event::Event, frame::Frame, time::Timestamp},
    tap::{
        SharedInterfaces,
        file::{FileTap, Input},
        live::{Clock, Reading},
    },
};
use scene::{Scene, end, possible, run, status, wait::wait_until, wait_for, wait_until_watching};
use serde_json::Value;

const BARE: [&str; 3] = ["upgrade:/bare", "response", "fin"];
const GOOD: [&str; 6] = ["upgrade:/good", "head", "text:hi", "frame", "close", "frame"];

/// All lines, each of them whole.
fn lines(text: &str) -> Vec<Value> {
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is cut: {text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What an alert says, whatever tap saw it.
fn alerts(lines: &[Value]) -> Vec<String> {
    let of = |line: &Value, place: &str| line.pointer(place).cloned().unwrap_or_default().to_string();
    let mut alerts: Vec<_> = lines
        .iter()
        .filter(|line| line["event"]["dataset"] == "observer.alert")
        .map(|line| ["/rule/id", "/attempt/id", "/message", "/details"].map(|place| of(line, place)).join(" "))
        .collect();
    alerts.sort();
    alerts
}

#[test]
fn live_gives_the_alerts_of_read() {
    if !possible() {
        return;
    }
    let scene = Scene::new();
    let dump = scene.dump();
    let lo = scene.observer("lo", &["--tap", "pcap", "-i", "lo", "--format", "json"]);
    let any = scene.observer("any", &["--tap", "pcap", "-i", "any", "--format", "json"]);
    let every = scene.observer("every", &["--format", "json", "--filter", "port 8080 or portrange 3000-3001"]);
    for steps in [&BARE[..], &GOOD, &BARE] {
        let output = scene.client(steps);
        assert!(output.status.success(), "{output:?}");
    }
    for (observer, feed) in [(lo, "lo.out"), (any, "any.out"), (every, "every.out")] {
        scene.wait_records(feed, [3, 1, 6]);
        assert_eq!(end(observer, "-TERM").0, Some(0));
    }
    let capture = dump.stop();
    let read = Command::new(env!("CARGO_BIN_EXE_observer"));
    let output = { read }.args(["read", "--format", "json", &capture]).output().unwrap();
    let expected = alerts(&lines(&String::from_utf8(output.stdout).unwrap()));
    assert!(expected.len() >= 6, "{expected:#?}");
    for name in ["lo", "any", "every"] {
        assert_eq!(scene.told(&format!("{name}.err")), "", "{name}");
        let told = lines(&scene.told(&format!("{name}.out")));
        assert_eq!(alerts(&told), expected, "{name}");
        let ingress = told.iter().find_map(|line| line.pointer("/observer/ingress/interface/name"));
        assert_eq!(ingress, Some(&Value::from("lo")), "{name}");
        assert_eq!(told.last().unwrap()["details"]["drops"], 0);
    }
}

/// What a capture comes to when the wall clock was set, by so many seconds, when it was half over: the engine is told what
/// the tap tells it.
fn judged(path: &str, seconds: i64) -> Vec<String> {
    let mut engine = Engine::new(Config::default());
    let (mut tap, _) = FileTap::open(&[Input::Path(path.into())], &SharedInterfaces::default(), Arc::default());
    let mut frames = Vec::new();
    while let Some(frame) = tap.next_frame().unwrap() {
        frames.push((Frame { bytes: &[], ..frame }, frame.bytes.to_vec()));
    }
    let (start, end) = (frames[0].0.at.as_nanos(), frames.last().unwrap().0.at.as_nanos());
    let (middle, set) = (start + (end - start) / 2, seconds * 1_000_000_000);
    let reading = |even: i64| Reading { wall: if even > middle { even + set } else { even }, up: even - start };
    let mut clock = Clock::new(reading(start));
    let mut steps = 0;
    for (frame, bytes) in frames {
        // Frames are read a little later than they were stamped; while there are none, time goes on.
        let even = frame.at.as_nanos();
        while clock.now() < frame.at {
            let next = (clock.now().as_nanos() + 5_000_000).min(even + 7_000_000);
            steps += usize::from(clock.look(reading(next)).is_some());
            engine.handle_timeout(clock.now().before(Duration::from_millis(13)));
        }
        let at = clock.of_frame(Timestamp::from_nanos(reading(even).wall));
        engine.handle_frame(&Frame { at, bytes: &bytes, ..frame });
    }
    engine.finish();
    assert_eq!(steps, usize::from(seconds != 0));
    let event = |event| (!matches!(event, Event::Stats(_))).then(|| format!("{event:?}"));
    std::iter::from_fn(|| engine.poll_event()).filter_map(event).collect()
}

#[test]
fn a_clock_that_is_set_changes_no_verdict() {
    for case in ["nginx-idle-5s", "nginx-heartbeat", "many-mixed", "origin-restart"] {
        let path = format!("{}/../captures/{case}/capture.pcap", env!("CARGO_MANIFEST_DIR"));
        let expected = judged(&path, 0);
        assert!(!expected.is_empty());
        for seconds in [3600, -3600, 1, -1] {
            assert_eq!(judged(&path, seconds), expected, "{case}: {seconds} s");
        }
    }
}

#[test]
fn alerts_wait_for_no_further_traffic() {
    if !possible() {
        return;
    }
    let scene = Scene::new();
    let observer = scene.observer("out", &["-i", "lo", "--format", "json", "--emit", "alert"]);
    for round in 1..=3 {
        scene.client(&BARE);
        scene.wait_records("out.out", [0, 0, round * 3]);
    }
    end(observer, "-INT");
}

#[test]
fn hops_name_the_processes_that_hold_them() {
    if !possible() {
        return;
    }
    let scene = Scene::new();
    let observer = scene.observer("out", &["-i", "lo", "--format", "json", "--emit", "attempt", "--fence", "require"]);
    let (worker, origin) = (scene.worker(), scene.origin_id());
    let mut complete = false;
    let mut round = 0;
    // How soon they are found depends on the machine; who is named never does.
    wait_for("an attempt with all processes", || {
        round += 1;
        let mut client = scene.start_client("client", &["upgrade:/good", "head", "sleep:0.5", "text:hi", "frame"]);
        let id = client.id();
        assert!(client.wait().unwrap().success(), "{}", scene.told("client.err"));
        scene.wait_records("out.out", [round, 0, 0]);
        let attempt = lines(&scene.told("out.out")).pop().unwrap();
        let hops = attempt["attempt"]["hops"].as_array().unwrap();
        let told = hops.iter().flat_map(|hop| [&hop["client"]["process"], &hop["server"]["process"]]);
        let expected = [(id, "python3"), (worker, "nginx"), (worker, "nginx"), (origin, "python3")];
        assert_eq!(hops.len(), 2);
        complete = true;
        for (told, (pid, name)) in told.zip(expected) {
            assert!(told.is_null() || *told == serde_json::json!({"pid": pid, "name": name}), "{told} is not {pid}");
            complete &= !told.is_null();
        }
        complete
    });
    end(observer, "-TERM");
}

#[test]
fn privileges_are_gone_when_frames_are_read() {
    if !possible() {
        return;
    }
    let scene = Scene::new();
    let mut observer = scene.observer("out", &["-i", "lo", "--format", "json", "--fence", "require"]);
    let tasks = std::fs::read_dir(format!("/proc/{}/task", observer.id())).unwrap();
    for task in tasks {
        let task: u32 = task.unwrap().file_name().to_str().unwrap().parse().unwrap();
        for (name, expected) in [("CapEff", "0000000000000000"), ("CapPrm", "0000000000000000"), ("NoNewPrivs", "1")] {
            assert_eq!(status(task, name), expected, "{name} of {task}");
        }
        assert_eq!(status(task, "Seccomp"), "2");
        assert!(status(task, "Uid").split('\t').all(|uid| uid != "0"));
    }
    // The one who looks for owners keeps what that takes, and nothing else.
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", observer.id())).unwrap();
    let owners: u32 = children.trim().parse().unwrap();
    let look = format!("{:016x}", 1 << 19 | 1 << 2);
    wait_until("its fence", || status(owners, "Seccomp"), |mode| mode == "2");
    for (name, expected) in [("CapEff", &*look), ("CapPrm", &look), ("CapBnd", "0000000000000000"), ("NoNewPrivs", "1")]
    {
        assert_eq!(status(owners, name), expected, "{name}");
    }
    assert!(status(owners, "Uid").split('\t').all(|uid| uid != "0"));
    let _ = Command::new("kill").args(["-HUP", &owners.to_string()]).status();
    scene.client(&BARE);
    scene.wait_records("out.out", [1, 0, 3]);
    assert!(observer.try_wait().unwrap().is_none(), "{}", scene.told("out.err"));
    assert_eq!(alerts(&lines(&scene.told("out.out"))).len(), 3);
    assert_eq!(status(owners, "Name"), "observer-owners", "a signal is not for it");
    end(observer, "-TERM");
    wait_until("its end", || status(owners, "Name"), String::is_empty);
}

fn observer(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_observer"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// The exit code and the one line of standard error.
fn complaint(output: &Output) -> (Option<i32>, String) {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    (output.status.code(), text)
}

#[test]
fn what_cannot_be_watched_is_one_line() {
    if !possible() {
        return;
    }
    let cases = [
        (&["-i", "there-is-none"][..], 3, "there are: "),
        (&["-i", "lo", "-i", "none"], 3, "there is no interface none"),
        (&["--filter", "prot 80"], 2, "does not compile"),
        (&["--filter", "tcp) or (udp"], 2, "does not compile"),
        (&["--user", "nobody-at-all"], 3, "there is no user"),
        (&["--output", "/nowhere/at/all"], 3, "cannot create --output"),
        (&["--tui", "--export-dir", "/nowhere/at/all"], 3, "cannot export to /nowhere/at/all"),
        (&["--tui", "--export-dir", "/proc/1/task"], 3, "nobody may not write there"),
    ];
    for (arguments, expected, words) in cases {
        let (code, line) = complaint(&observer(&[&["live"], arguments].concat()).output().unwrap());
        assert_eq!(code, Some(expected), "{line}");
        assert!(line.contains(words), "{line}");
    }
}

#[test]
fn without_permission_it_says_what_to_do() {
    if !possible() {
        return;
    }
    // Where `nobody` may run it.
    let copy = std::env::temp_dir().join(format!("observer-{}", std::process::id()));
    std::fs::copy(env!("CARGO_BIN_EXE_observer"), &copy).unwrap();
    let copy = copy.to_str().unwrap();
    let nobody = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", copy]).args(arguments);
        command.stdin(Stdio::null()).output().unwrap()
    };
    let (live, doctor) = (nobody(&["live", "--tap", "pcap"]), nobody(&["doctor"]));
    std::fs::remove_file(copy).unwrap();
    let (code, line) = complaint(&live);
    assert_eq!(code, Some(3));
    for words in [format!("sudo setcap cap_net_raw+ep {copy}"), format!("sudo {copy} live")] {
        assert!(line.contains(&words), "{line}");
        assert!(String::from_utf8_lossy(&doctor.stdout).contains(&words), "{doctor:?}");
    }
    assert_eq!(doctor.status.code(), Some(3));
    let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(told.contains("for want of CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH (optional)"), "{told}");
    let doctor = observer(&["doctor"]).output().unwrap();
    assert_eq!(doctor.status.code(), Some(0), "{doctor:?}");
}

#[test]
fn a_reader_that_goes_away_ends_it_well() {
    if !possible() {
        return;
    }
    let scene = Scene::new();
    let program = env!("CARGO_BIN_EXE_observer");
    let mut command = scene.command(program);
    let piped = command.args(["live", "-i", "lo", "--format", "json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    wait_until_watching(child.id());
    drop(child.stdout.take());
    scene.client(&BARE);
    wait_until("the end", || child.try_wait().unwrap(), Option::is_some);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[test]
fn interfaces_may_come_and_go() {
    if !possible() {
        return;
    }
    let scene = Scene::empty();
    let add = || run(scene.command("ip").args(["link", "add", "away0", "type", "veth", "peer", "away1"]));
    let up = || run(scene.command("ip").args(["link", "set", "away0", "up"]));
    add();
    up();
    let every = scene.observer("every", &["--tap", "pcap", "--format", "json"]);
    let kept = scene.observer("kept", &["--tap", "pcap", "-i", "lo", "-i", "away0", "--format", "json"]);
    let deaf = scene.observer("deaf", &["--tap", "pcap", "-i", "away0", "--format", "json"]);
    let again = scene.observer("again", &["--tap", "pcap", "-i", "away0", "--format", "json", "--fence", "off"]);
    run(scene.command("ip").args(["link", "del", "away0"]));
    for name in ["kept.err", "again.err"] {
        scene.wait_told(name, "the loss", |text| text.contains("away0 is lost"));
    }
    add();
    up();
    scene.wait_told("again.err", "the return", |text| text.contains("away0 is back"));
    scene.wait_told("kept.err", "the reason", |text| text.contains("without the privileges"));
    let (code, lines) = (end(deaf, "-0").0, scene.told("deaf.err"));
    assert_eq!(code, Some(3));
    assert!(lines.lines().last().unwrap().contains("every interface is lost"), "{lines}");
    assert!(scene.told("deaf.out").contains("observer.stats"), "what there is is told");
    for observer in [every, kept, again] {
        assert_eq!(end(observer, "-TERM").0, Some(0));
    }
    assert_eq!(scene.told("every.err"), "");
}
