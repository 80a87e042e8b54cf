//! The binary from outside: exit codes, standard error, pipes, signals, help.
#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod bytes;
#[path = "scene/skip.rs"]
mod skip;
#[path = "scene/wait.rs"]
mod wait;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Output, Stdio},
    sync::mpsc,
    thread,
};

use bytes::{file, pcap};
use skip::skip;
use wait::wait_until;

fn observer(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_observer"));
    command.args(arguments).env("NO_COLOR", "1").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn read(paths: &[&Path]) -> Output {
    observer(&["read"]).args(paths).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What a run told on standard error: one line for each problem.
fn problems(output: &Output) -> Vec<String> {
    text(&output.stderr).lines().map(str::to_owned).collect()
}

#[test]
fn a_good_capture_is_silent_on_stderr() {
    let output = read(&[&file("good.pcap", &pcap(&[1, 2]))]);
    assert_eq!((code(&output), problems(&output)), (0, vec![]));
    let output = read(&[&file("header-only.pcap", &pcap(&[]))]);
    assert_eq!((code(&output), problems(&output)), (0, vec![]));
}

#[test]
fn a_cut_capture_is_a_warning() {
    let whole = pcap(&[1, 2]);
    let output = read(&[&file("cut.pcap", &whole[..whole.len() - 3])]);
    assert_eq!(code(&output), 0);
    let [warning] = &problems(&output)[..] else { panic!("{output:?}") };
    assert!(warning.contains("warning: ") && warning.contains(&format!("byte {},", whole.len() - 3)), "{warning}");
    assert!(!output.stdout.is_empty());
}

#[test]
fn what_cannot_be_read_is_one_line_and_code_3() {
    let mut lie = pcap(&[1]);
    let place = lie.len();
    lie.extend([0xff; 64]);
    let cases = [
        (file("lie.pcap", &lie), format!("byte {place}:")),
        (file("empty.pcap", b""), "is empty".to_owned()),
        (file("text.pcap", b"not a capture"), "neither pcap nor pcapng".to_owned()),
        (PathBuf::from(env!("CARGO_TARGET_TMPDIR")), "is a directory".to_owned()),
        (PathBuf::from("there/is/none.pcap"), "No such file".to_owned()),
    ];
    for (path, expected) in cases {
        let output = read(&[&path]);
        assert_eq!(code(&output), 3, "{output:?}");
        let [error] = &problems(&output)[..] else { panic!("{output:?}") };
        assert!(error.contains("error: ") && error.contains(&expected), "{error}");
        let damaged = expected.starts_with("byte ");
        assert_eq!(output.stdout.is_empty(), !damaged, "what was read is still told, and nothing where nothing was");
    }
}

#[test]
fn usage_errors_are_code_2() {
    let capture = file("usage.pcap", &pcap(&[1]));
    let capture = capture.to_str().unwrap();
    let cases: [&[&str]; 8] = [
        &[],
        &["read"],
        &["read", "-", "-"],
        &["read", capture, "--emit", "everything"],
        &["read", capture, "--memory-limit", "1MB"],
        &["read", capture, "--idle-min", "-1"],
        &["read", capture, "--output", capture],
        &["explain", "no-such-rule"],
    ];
    for arguments in cases {
        let output = observer(arguments).output().unwrap();
        assert_eq!(code(&output), 2, "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
    assert_eq!(fs::read(capture).unwrap(), pcap(&[1]), "the capture is untouched");
}

#[test]
fn output_goes_to_a_file() {
    let capture = file("to-file.pcap", &pcap(&[1]));
    let target = capture.with_extension("out");
    let output = observer(&["read", "--format", "json", "--output"]).arg(&target).arg(&capture).output().unwrap();
    assert_eq!((code(&output), output.stdout.len()), (0, 0));
    assert!(target.exists());
    fs::remove_file(&target).unwrap();
    let output = observer(&["read", "--output", "/nowhere/at/all"]).arg(&capture).output().unwrap();
    assert_eq!(code(&output), 3);
    assert_eq!(problems(&output).len(), 1);
}

#[test]
fn standard_input_is_a_capture() {
    let mut child = observer(&["read", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let whole = pcap(&(1..30_000).collect::<Vec<_>>());
    child.stdin.take().unwrap().write_all(&whole).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), problems(&output)), (0, vec![]));

    let output = observer(&["read", "-"]).output().unwrap();
    assert_eq!(code(&output), 3);
    assert!(problems(&output)[0].contains("standard input is empty"), "{output:?}");

    let from_file = fs::File::open(file("stdin.pcap", &pcap(&[1]))).unwrap();
    let output = observer(&["read", "-"]).stdin(from_file).output().unwrap();
    assert_eq!((code(&output), problems(&output)), (0, vec![]));
}

#[test]
fn a_broken_pipe_is_success() {
    let capture = file("broken-pipe.pcap", &pcap(&[1]));
    let capture = capture.to_str().unwrap();
    for arguments in [&["read", capture][..], &["explain"], &["schema"], &["completions", "bash"], &["man"]] {
        let mut child = observer(arguments).stdin(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((code(&output), text(&output.stderr)), (0, String::new()), "{arguments:?}");
    }
}

#[test]
fn a_full_disk_is_code_3() {
    let Ok(full) = fs::File::create("/dev/full") else { return skip("there is no /dev/full") };
    let output = observer(&["schema"]).stdout(full).output().unwrap();
    assert_eq!(code(&output), 3);
    assert_eq!(problems(&output).len(), 1, "{output:?}");
}

fn interrupt(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// `ssh HOST tcpdump -U -w - | observer read -`, where the pipe is silent now, in the middle of a frame.
struct Silent {
    child: Child,
    stdin: ChildStdin,
    /// The byte that the frame lacks.
    last: u8,
    told: mpsc::Receiver<String>,
}

impl Silent {
    fn start() -> Self {
        let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/../captures/nginx-bare/capture.pcap");
        let mut child = observer(&["read", "--format", "json", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        let (mut stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let whole = fs::read(capture).unwrap();
        let (last, most) = whole.split_last().unwrap();
        stdin.write_all(most).unwrap();
        let (sender, told) = mpsc::channel();
        thread::spawn(move || BufReader::new(stdout).lines().try_for_each(|line| sender.send(line.unwrap())));
        Self { child, stdin, last: *last, told }
    }

    /// Waits until it tells of an alert: then it has read what there is.
    fn wait_for_alert(&self) {
        let alert = || self.told.try_iter().find(|line| line.contains("observer.alert"));
        wait_until("an alert", alert, Option::is_some);
    }
}

#[test]
fn a_signal_ends_a_waiting_run_well() {
    for signal in ["-INT", "-TERM"] {
        let silent = Silent::start();
        silent.wait_for_alert();
        interrupt(&silent.child, signal);
        let output = silent.child.wait_with_output().unwrap();
        assert_eq!(code(&output), 0);
        assert!(silent.told.iter().any(|line| line.contains("observer.stats")), "what was read is told");
        let [warning] = &problems(&output)[..] else { panic!("{output:?}") };
        assert!(warning.contains("stopped by a signal"), "{warning}");
        drop(silent.stdin);
    }
}

#[test]
fn documents_are_printed() {
    for (arguments, expected) in [
        (&["man"][..], ".SH \"OBSERVER READ\""),
        (&["completions", "bash"], "_observer"),
        (&["completions", "fish"], "complete -c observer"),
        (&["explain", "missing-101"], "missing-101"),
        (&["schema"], "{"),
    ] {
        let output = observer(arguments).output().unwrap();
        assert_eq!(code(&output), 0);
        assert!(text(&output.stdout).contains(expected), "{arguments:?}");
    }
}

/// `OBSERVER_BLESS=1 cargo test` writes the snapshot anew.
#[test]
fn help_is_as_reviewed() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/help.txt");
    let mut help = String::new();
    for arguments in [&["--help"][..], &["read", "--help"], &["live", "--help"], &["explain", "--help"]] {
        let output = observer(arguments).output().unwrap();
        assert_eq!(code(&output), 0);
        let lines: Vec<_> = text(&output.stdout).lines().map(|line| line.trim_end().to_owned()).collect();
        help.push_str(&format!("$ observer {}\n{}\n\n", arguments.join(" "), lines.join("\n")));
    }
    if std::env::var_os("OBSERVER_BLESS").is_some() {
        fs::write(path, &help).unwrap();
    }
    assert_eq!(help, fs::read_to_string(path).unwrap());
}

/// The verdict comes though no further frame does.
#[test]
fn a_quiet_pipe_is_judged() {
    let mut silent = Silent::start();
    silent.wait_for_alert();
    silent.stdin.write_all(&[silent.last]).unwrap();
    drop(silent.stdin);
    let output = silent.child.wait_with_output().unwrap();
    assert_eq!((code(&output), problems(&output)), (0, vec![]));
}

/// A copy of a capture whose clock is ahead by so many ms.
fn ahead(name: &str, capture: &str, ms: i64) -> PathBuf {
    let mut bytes = fs::read(format!("{}/../captures/{capture}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    assert_eq!(bytes[..4], [0xd4, 0xc3, 0xb2, 0xa1], "little-endian, microseconds");
    let word = |bytes: &[u8], at: usize| i64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()));
    let mut at = 24;
    while at < bytes.len() {
        let micros = word(&bytes, at) * 1_000_000 + word(&bytes, at + 4) + ms * 1000;
        let next = at + 16 + usize::try_from(word(&bytes, at + 8)).unwrap();
        for (at, value) in [(at, micros / 1_000_000), (at + 4, micros % 1_000_000)] {
            bytes[at..at + 4].copy_from_slice(&u32::try_from(value).unwrap().to_le_bytes());
        }
        at = next;
    }
    file(name, &bytes)
}

#[test]
fn captures_whose_clocks_are_apart_are_told_as_one() {
    let client = ahead("client.pcap", "two-files-bare/client.pcap", 0);
    let alerts = |path: &Path| {
        let output = observer(&["read", "--format", "json", "--emit", "alert,stats"]).args([&client, path]).output();
        let lines: Vec<serde_json::Value> =
            text(&output.unwrap().stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let (stats, alerts) = lines.split_last().unwrap();
        let alert = |line: &serde_json::Value| (line["rule"]["id"].clone(), line["details"].clone());
        (alerts.iter().map(alert).collect::<Vec<_>>(), stats["details"]["clocks"].clone())
    };
    let (expected, clocks) = alerts(&ahead("upstream-0.pcap", "two-files-bare/upstream.pcap", 0));
    assert_eq!((expected.len(), &clocks[1]["ahead_seconds"]), (3, &0.0.into()), "{expected:?}");
    for ms in [350, -800, 5_000, -600_000, 3_600_000] {
        let name = format!("upstream-{ms}.pcap");
        let (told, clocks) = alerts(&ahead(&name, "two-files-bare/upstream.pcap", ms));
        assert_eq!(told, expected, "{ms} ms");
        let found = (clocks[1]["ahead_seconds"].as_f64().unwrap() * 1000.0).round();
        assert!((found - ms as f64).abs() < 10.0, "{clocks}");
        assert!(clocks[1]["reference"].as_str().unwrap().ends_with("client.pcap"), "{clocks}");
    }
    let told = text(&read(&[&client, &ahead("upstream-5s.pcap", "two-files-bare/upstream.pcap", 5000)]).stdout);
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["The clock of", " s ahead of", "(from 1 request, within", "Times are shown by the clock of"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn captures_that_nothing_links_are_not_compared() {
    let output = read(&[&file("one.pcap", &pcap(&[1, 2])), &file("other.pcap", &pcap(&[1, 2]))]);
    let told = text(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("could not be compared: nothing was seen in both."), "{told}");
}
