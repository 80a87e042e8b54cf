//! The screens as a person has them: the real binary in a terminal of `tmux`, driven by keys and read back.
#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod scene;
mod screen;

use std::{
    fs::{self, File},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::Command,
};

use scene::{Scene, possible, wait::wait_until};
use screen::Screen;

fn capture(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join("captures").join(name).join("capture.pcap").display().to_string()
}

fn many(name: &str) -> Option<Screen> {
    Screen::open(name, (80, 24), &format!("read --tui {}", capture("many-mixed")))
}

#[test]
fn the_screens_of_many_attempts() {
    let Some(screen) = many("walk") else { return };
    let text = screen.expect(&["many-mixed/capture.pcap", "all read", "✓ 20  ✗ 20", "1 Attempts 40", "2 Alerts 60"]);
    assert!(text.lines().count() <= 24 && text.lines().all(|line| line.chars().count() <= 80), "{text}");
    screen.press(&["/", "status:426"]);
    screen.expect(&["20 match status:426", "/status:426", "✗ 426 GET /bad/"]);
    screen.press(&["Enter", "Enter"]);
    screen.expect(&["✗ GET /bad/ on chat.test  426 after", "◄ HTTP/1.0", "◄ dropped", "nginx/1.22.1"]);
    screen.press(&["G"]);
    screen.expect(&["All fields, as sent", "joined by Sec-WebSocket-Key (certain)"]);
    screen.press(&["Escape"]);
    screen.expect(&["time", "rules"]);
    screen.press(&["2"]);
    screen.expect(&[
        "20 upgrade-headers-dropped",
        "20 http10-upstream",
        "20 missing-101",
        "is not configured to forward",
    ]);
    screen.press(&["Enter"]);
    screen.expect(&["✗ GET /bad/", "◄ dropped"]);
    screen.press(&["3"]);
    screen.expect(&["No tunnel was open at the end."]);
    screen.press(&["?"]);
    screen.expect(&["Keys", "filter as you type"]);
    screen.press(&["x", "q"]);
    screen.expect(&["exit 0"]);
}

#[test]
fn it_resizes() {
    let Some(screen) = many("resize") else { return };
    screen.expect(&["all read"]);
    screen.tmux(&["resize-window", "-t", "t", "-x", "200", "-y", "50"]);
    screen.expect(&["GET /bad/ on chat.test  426", "All fields, as sent"]);
    screen.tmux(&["resize-window", "-t", "t", "-x", "50", "-y", "12"]);
    screen.expect(&["make it larger"]);
    screen.tmux(&["resize-window", "-t", "t", "-x", "80", "-y", "24"]);
    screen.expect(&["1 Attempts 40", "q quit"]);
}

#[test]
fn signals_give_the_terminal_back() {
    for signal in ["-TERM", "-INT"] {
        let Some(screen) = many(signal.trim_start_matches('-')) else { return };
        screen.expect(&["all read"]);
        assert!(Command::new("kill").args([signal, &screen.pid()]).status().unwrap().success());
        let text = screen.expect(&["exit 0"]);
        assert!(!text.contains("Attempts"), "the alternate screen is still there\n{text}");
        let flag = screen.tmux(&["display-message", "-p", "-t", "t", "#{cursor_flag} #{alternate_on}"]).stdout;
        assert_eq!(String::from_utf8_lossy(&flag).trim(), "1 0");
    }
}

#[test]
fn an_attempt_is_exported_with_the_frames_that_prove_it() {
    let path = capture("nginx-bare");
    let Some(screen) = Screen::open("export", (80, 24), &format!("read --tui {path}")) else { return };
    screen.expect(&["all read", "1 Attempts 1"]);
    screen.press(&["e"]);
    screen.expect(&["wrote observer-", ".pcapng"]);
    let find = |end: &str| {
        let mut files = fs::read_dir(&screen.home).unwrap().map(|file| file.unwrap().path());
        files.find(|path| path.extension().is_some_and(|extension| extension == end)).unwrap()
    };
    let json = fs::read_to_string(find("json")).unwrap();
    assert_eq!(json.lines().count(), 4, "{json}");
    assert!(json.contains("upgrade-headers-dropped"));
    // The part proves what the whole does.
    let rules = |path: &str| {
        let program = env!("CARGO_BIN_EXE_observer");
        let output =
            Command::new(program).args(["read", "--format", "json", "--emit", "alert", path]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let rule = |line: &str| line.split("\"rule\":{\"id\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        text.lines().map(rule).collect::<Vec<_>>()
    };
    let part = find("pcapng");
    assert_eq!(rules(&part.display().to_string()), rules(&path));
    let bytes = fs::read(&part).unwrap();
    let comments = String::from_utf8_lossy(&bytes);
    for comment in ["hop 1 of 2: request, HTTP/1.1", "hop 2 of 2: request, HTTP/1.0", "response 426", "FIN from the"] {
        assert!(comments.contains(comment), "{comment}");
    }
}

/// Seconds until the proxy's timer cuts the only tunnel.
fn until_cut(text: &str) -> f64 {
    let row = text.lines().find(|line| line.contains("60s?")).unwrap_or_default();
    let left = row.split_whitespace().rev().find_map(|word| word.strip_suffix('s')?.parse().ok());
    left.unwrap_or(f64::MAX)
}

#[test]
fn a_live_run_on_a_proxy_host() {
    if !possible() {
        return;
    }
    let scene = Scene::new();
    let temporary = scene.dir.join("tmp");
    fs::create_dir(&temporary).unwrap();
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o777)).unwrap();
    let program = env!("CARGO_BIN_EXE_observer");
    let command = scene.shell(&format!("env TMPDIR={} '{program}' live -i lo", temporary.display()));
    let Some(screen) = Screen::run("live", (80, 24), &command) else { return };
    let text = screen.expect(&["observer  lo", "1 Attempts 0", "q quit"]);
    assert!(text.lines().count() <= 24 && text.lines().all(|line| line.chars().count() <= 80), "{text}");
    scene.client(&["upgrade:/bare", "response", "fin"]);
    let mut tunnel = scene.start_client("tunnel", &["upgrade:/good", "head", "text:hi", "frame", "eof"]);
    screen.expect(&["1 Attempts 2", "✗ 426 GET /bare", "✓ 101 GET /good", "1 open"]);
    screen.press(&["/", "status:426"]);
    screen.expect(&["1 match status:426"]);
    screen.press(&["Enter", "Enter"]);
    screen.expect(&["✗ GET /bare", "426 after", "◄ HTTP/1.0", "nginx/"]);
    // The working directory is not for whom root becomes.
    screen.press(&["e"]);
    screen.expect(&["wrote observer-", ".json and .pcapng ("]);
    screen.press(&["Escape", "3"]);
    let first = until_cut(&screen.expect(&["until cut", "/good", "60s?"]));
    wait_until("the countdown", || until_cut(&screen.text()), |left| *left < first - 0.9);
    screen.press(&["q"]);
    let text = screen.expect(&["exit 0", "exported"]);
    assert!(!text.contains("until cut"), "the alternate screen is still there\n{text}");
    let flag = screen.tmux(&["display-message", "-p", "-t", "t", "#{cursor_flag} #{alternate_on}"]).stdout;
    assert_eq!(String::from_utf8_lossy(&flag).trim(), "1 0");
    let files: Vec<_> = fs::read_dir(&temporary).unwrap().map(|file| file.unwrap()).collect();
    assert_eq!(files.len(), 2, "{files:?}");
    for file in files {
        let metadata = file.metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.mode() & 0o777), (65534, 0o600));
        assert!(text.replace('\n', "").contains(file.path().to_str().unwrap()), "{text}");
    }
    tunnel.kill().unwrap();
    tunnel.wait().unwrap();
}

#[test]
fn without_a_terminal_it_says_so() {
    let out = File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-terminal")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_observer"));
    let output = command.args(["read", "--tui", &capture("nginx-bare")]).stdout(out).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("needs a terminal"));
}
