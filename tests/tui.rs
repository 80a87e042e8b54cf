//! The screens as a person has them: the real binary in a terminal of `tmux`, driven by keys and read back.
#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::Duration,
};

/// How long a screen may take to show what it should.
const PATIENCE: u32 = 100;
const STEP: Duration = Duration::from_millis(100);

/// A terminal with the program in it, on a server of its own.
struct Screen {
    socket: PathBuf,
    home: PathBuf,
}

impl Screen {
    /// Shows a capture; `None` where there is no tmux, which CI must have.
    fn open(name: &str, size: (u16, u16), arguments: &str) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            assert!(env::var_os("CI").is_none(), "tmux is missing");
            eprintln!("skipped: tmux is missing");
            return None;
        }
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tui-{name}"));
        let _ = fs::remove_dir_all(&home);
        fs::create_dir_all(&home).unwrap();
        // A path of a socket has to be short.
        let socket = env::temp_dir().join(format!("observer-{}-{name}", std::process::id()));
        let screen = Self { socket, home };
        let program = env!("CARGO_BIN_EXE_observer");
        let command = format!("cd {}; '{program}' {arguments}; echo \"exit $?\"; exec sleep 60", screen.home.display());
        let (width, height) = (size.0.to_string(), size.1.to_string());
        let output =
            screen.tmux(&["-f", "/dev/null", "new-session", "-d", "-s", "t", "-x", &width, "-y", &height, &command]);
        assert!(output.status.success(), "{output:?}");
        Some(screen)
    }

    fn tmux(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        command.env("LC_ALL", "C.UTF-8").env_remove("TMUX").arg("-u").arg("-S").arg(&self.socket);
        command.args(arguments).output().unwrap()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p", "-t", "t"]).stdout).into_owned()
    }

    fn press(&self, keys: &[&str]) {
        for key in keys {
            self.tmux(&["send-keys", "-t", "t", key]);
        }
    }

    /// Waits until the screen shows all of these.
    fn expect(&self, parts: &[&str]) -> String {
        let mut text = String::new();
        for _ in 0..PATIENCE {
            text = self.text();
            if parts.iter().all(|part| text.contains(part)) {
                return text;
            }
            thread::sleep(STEP);
        }
        panic!("{parts:?} is not on\n{text}");
    }

    /// The process in the terminal.
    fn pid(&self) -> String {
        let shell = self.tmux(&["display-message", "-p", "-t", "t", "#{pane_pid}"]).stdout;
        let shell = String::from_utf8(shell).unwrap().trim().to_owned();
        let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        children.split_whitespace().next().unwrap().to_owned()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
        let _ = fs::remove_file(&self.socket);
    }
}

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

#[test]
fn without_a_terminal_it_says_so() {
    let out = File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-terminal")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_observer"));
    let output = command.args(["read", "--tui", &capture("nginx-bare")]).stdout(out).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("needs a terminal"));
}
