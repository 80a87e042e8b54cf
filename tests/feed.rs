//! The feed from outside: readers that are slow or stuck, logs that are rotated, disks that are full, storms, scrapers.
#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod scene;

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    process::{Child, Command, Stdio},
    thread,
};

use scene::{Scene, end, possible, run, skip::skip, wait_for, wait_for_records, wait_text, wait_until_watching};
use serde_json::Value;

const BARE: [&str; 3] = ["upgrade:/bare", "response", "fin"];
/// Clients while a log is rotated.
const CLIENTS: usize = 12;
const METRICS: &str = "127.0.0.1:9464";

/// All lines, each of them whole and as the schema says.
fn lines(text: &str) -> Vec<Value> {
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is cut: {text}");
    let schema = Command::new(env!("CARGO_BIN_EXE_observer")).arg("schema").output().unwrap().stdout;
    let schema = jsonschema::draft202012::new(&serde_json::from_slice(&schema).unwrap()).unwrap();
    let line = |line: &str| {
        let value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(schema.is_valid(&value), "{line}");
        value
    };
    text.lines().map(line).collect()
}

fn count(lines: &[Value], dataset: &str) -> usize {
    lines.iter().filter(|line| line["event"]["dataset"] == dataset).count()
}

/// What a scraper gets.
fn scrape(scene: &Scene, target: &str) -> String {
    let script = format!(
        "import http.client\nc = http.client.HTTPConnection('{METRICS}', timeout=60)\nc.request(*'{target}'.split())\n\
         r = c.getresponse()\nprint(r.status)\nprint(r.read().decode(), end='')"
    );
    let output = scene.command("python3").args(["-c", &script]).stdout(Stdio::piped()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn wait_for_attempts(scene: &Scene, number: u32) {
    wait_for_metric(scene, &format!("observer_attempts_total{{outcome=\"refused\"}} {number}\n"));
}

fn wait_for_metric(scene: &Scene, line: &str) {
    wait_text(line, || scrape(scene, "GET /metrics"), |page| page.contains(line));
}

/// An observer whose output nobody reads: the pipe is full before it begins.
fn stuck(scene: &Scene) -> (Child, io::PipeReader, usize) {
    let (reader, mut writer) = io::pipe().unwrap();
    let filled = 64 << 10;
    writer.write_all(&vec![b'\n'; filled]).unwrap();
    let mut command = scene.command(env!("CARGO_BIN_EXE_observer"));
    command.args(["live", "-i", "lo", "--format", "json", "--filter", "not port 9464", "--metrics", METRICS]);
    let child = command.stdout(writer).stderr(fs::File::create(scene.path("stuck.err")).unwrap()).spawn().unwrap();
    wait_until_watching(child.id());
    (child, reader, filled)
}

#[test]
fn a_stuck_reader_holds_nothing_up() {
    if !possible() {
        return;
    }
    let scene = Scene::new();
    let (observer, reader, _) = stuck(&scene);
    (0..3).for_each(|_| drop(scene.client(&BARE)));
    wait_for_attempts(&scene, 3);
    assert_eq!(end(observer, "-TERM").0, Some(0), "it ends, though nobody reads");
    // Three attempts with three alerts each, and the counters.
    let told = scene.told("stuck.err");
    assert!(told.starts_with("observer: warning: 13 records were dropped: "), "{told}");
    drop(reader);
}

#[test]
fn a_slow_reader_gets_all_of_it() {
    if !possible() {
        return;
    }
    let scene = Scene::new();
    let (observer, mut reader, filled) = stuck(&scene);
    (0..3).for_each(|_| drop(scene.client(&BARE)));
    wait_for_attempts(&scene, 3);
    let reading = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    assert_eq!(end(observer, "-TERM").0, Some(0));
    let told = lines(&reading.join().unwrap()[filled..]);
    assert_eq!((count(&told, "observer.attempt"), count(&told, "observer.alert")), (3, 9));
    assert_eq!(told.last().unwrap()["details"].get("records_dropped"), None);
    assert_eq!(scene.told("stuck.err"), "");
}

#[test]
fn a_log_can_be_rotated() {
    if !possible() {
        return;
    }
    let scene = Scene::new();
    let dir = scene.dir.join("log");
    fs::create_dir(&dir).unwrap();
    // Whom the fence makes of root may write here.
    std::os::unix::fs::chown(&dir, Some(65_534), None).unwrap();
    open_way(&dir);
    let (log, old) = (scene.path("log/feed.json"), scene.path("log/feed.json.1"));
    let observer = scene.observer("out", &["-i", "lo", "--format", "json", "--output", &log]);
    let metadata = fs::metadata(&log).unwrap();
    assert_eq!((metadata.permissions().mode() & 0o777, metadata.uid()), (0o640, 65_534));
    thread::scope(|scope| {
        let clients = scope.spawn(|| (0..CLIENTS).for_each(|_| drop(scene.client(&BARE))));
        wait_for("the first lines", || fs::metadata(&log).unwrap().len() > 0);
        fs::rename(&log, &old).unwrap();
        run(Command::new("kill").args(["-HUP", &observer.id().to_string()]));
        wait_for("the new file", || fs::exists(&log).unwrap());
        clients.join().unwrap();
    });
    let both = || fs::read_to_string(&old).unwrap() + &fs::read_to_string(&log).unwrap();
    wait_for_records("both logs", both, [CLIENTS, 0, 3 * CLIENTS]);
    assert_eq!(end(observer, "-TERM").0, Some(0));
    assert_eq!(scene.told("out.err"), "");
    let (before, after) = (lines(&fs::read_to_string(&old).unwrap()), lines(&fs::read_to_string(&log).unwrap()));
    assert!(!before.is_empty() && after.len() > 1, "{} and {}", before.len(), after.len());
    let all = [before, after].concat();
    assert_eq!((count(&all, "observer.attempt"), count(&all, "observer.alert")), (CLIENTS, 3 * CLIENTS));
    let sequence: Vec<_> = all.iter().map(|line| line["event"]["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequence, (1..=all.len() as u64).collect::<Vec<_>>());
}

/// Lets everybody walk to a directory, as to `/var/log`.
fn open_way(dir: &std::path::Path) {
    for dir in dir.ancestors().skip(1).filter(|dir| dir.starts_with(env!("CARGO_TARGET_TMPDIR"))) {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn a_log_that_cannot_be_made_again_goes_on_and_says_what_to_do() {
    if !possible() {
        return;
    }
    let scene = Scene::new();
    let (log, old) = (scene.path("feed.json"), scene.path("feed.json.1"));
    let observer = scene.observer("out", &["-i", "lo", "--format", "json", "--output", &log]);
    fs::rename(&log, &old).unwrap();
    run(Command::new("kill").args(["-HUP", &observer.id().to_string()]));
    scene.wait_told("out.err", "the warning", |text| text.contains("`create 0640 nobody`"));
    scene.client(&BARE);
    scene.wait_records("feed.json.1", [1, 0, 3]);
    assert_eq!(end(observer, "-TERM").0, Some(0));
    assert_eq!(count(&lines(&fs::read_to_string(&old).unwrap()), "observer.alert"), 3);
}

#[test]
fn a_device_that_is_full_ends_nothing() {
    if !possible() {
        return;
    }
    let scene = Scene::new();
    let full = ["-i", "lo", "--format", "json", "--output", "/dev/full", "--metrics", METRICS];
    let observer = scene.observer("out", &[&full[..], &["--filter", "not port 9464"]].concat());
    scene.client(&BARE);
    wait_for_attempts(&scene, 1);
    wait_for_metric(&scene, "observer_records_dropped_total 4\n");
    assert_eq!(end(observer, "-TERM").0, Some(3), "the output could not be written");
    let told = scene.told("out.err");
    assert!(told.contains("Capture goes on") && told.contains("5 records were dropped"), "{told}");
}

/// A small disk; it goes away when this does.
struct Disk(String);

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l", &self.0]).status();
    }
}

#[test]
fn writing_resumes_when_there_is_room() {
    if !possible() {
        return;
    }
    let scene = Scene::new();
    let dir = scene.path("disk");
    fs::create_dir(&dir).unwrap();
    run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=128k", "tmpfs", &dir]));
    let disk = Disk(dir);
    let (log, ballast) = (format!("{}/feed.json", disk.0), format!("{}/ballast", disk.0));
    let observer = scene.observer("out", &["-i", "lo", "--format", "json", "--output", &log]);
    // Two pages are left: not enough for the lines of an attempt.
    fs::write(&ballast, vec![0; 120 << 10]).unwrap();
    scene.client(&BARE);
    scene.client(&BARE);
    scene.wait_told("out.err", "the warning", |text| text.contains("Capture goes on"));
    fs::remove_file(ballast).unwrap();
    scene.client(&BARE);
    scene.wait_told("out.err", "the good news", |text| text.contains("can be written again"));
    assert_eq!(end(observer, "-TERM").0, Some(0));
    let told = lines(&fs::read_to_string(&log).unwrap());
    let dropped = told.last().unwrap()["details"]["records_dropped"].as_u64().unwrap();
    assert_eq!(told.len() as u64 + dropped, 13, "each record is there or counted");
}

#[test]
fn a_storm_is_folded() {
    if !possible() {
        return;
    }
    let scene = Scene::new();
    let arguments = ["-i", "lo", "--format", "json", "--emit", "alert", "--aggregate", "3"];
    let observer = scene.observer("out", &arguments);
    // One program for all of them: they have to fall into the window.
    scene.client(&[&["--times", "4"], &BARE[..]].concat());
    let told = lines(&scene.wait_told("out.out", "the window's end", |feed| feed.matches('\n').count() == 6));
    let (folded, first): (Vec<_>, Vec<_>) = told.iter().partition(|line| line.get("repeated").is_some());
    for (folded, first) in folded.iter().zip(first) {
        assert_eq!(folded["repeated"]["count"], 3);
        assert_eq!((&folded["attempt"]["id"], &folded["rule"]), (&first["attempt"]["id"], &first["rule"]));
        assert!(folded["message"].as_str().unwrap().starts_with("3 more within "), "{folded}");
    }
    scene.client(&BARE);
    scene.wait_told("out.out", "a new window", |feed| feed.matches('\n').count() == 9);
    assert_eq!(end(observer, "-TERM").0, Some(0));
    assert_eq!(scene.told("out.out").lines().count(), 9, "nothing was folded since");
}

#[test]
fn a_scraper_gets_counters() {
    if !possible() {
        return;
    }
    let scene = Scene::new();
    let arguments = ["-i", "lo", "--format", "json", "--metrics", METRICS, "--fence", "require"];
    let observer = scene.observer("out", &arguments);
    scene.client(&BARE);
    wait_for_attempts(&scene, 1);
    let page = scrape(&scene, "GET /metrics");
    let (status, page) = page.split_once('\n').unwrap();
    assert_eq!(status, "200");
    assert!(page.contains("observer_alerts_total{rule=\"missing-101\",level=\"error\"} 1\n"), "{page}");
    assert!(scrape(&scene, "GET /").starts_with("404\n"));
    assert!(scrape(&scene, "POST /metrics").starts_with("405\n"));
    // Who says nothing keeps the others waiting until it is sent away, not for ever.
    let silent =
        "import socket\ns = socket.create_connection(('127.0.0.1', 9464))\nprint('open', flush=True)\ns.recv(1)";
    let silent = scene.start("silent", "python3", &["-c", silent]);
    scene.wait_told("silent.out", "a silent connection", |text| text == "open\n");
    assert!(scrape(&scene, "GET /metrics").starts_with("200\n"));
    assert_eq!(end(silent, "-0").0, Some(0));
    assert_eq!(end(observer, "-TERM").0, Some(0));
    promtool(page);
}

fn promtool(page: &str) {
    let mut check = Command::new("promtool");
    let mut child = match check.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => return skip(&format!("promtool cannot be run ({error})")),
    };
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{page}", String::from_utf8_lossy(&output.stderr));
}
