//! A proxy host in a network namespace of its own: real nginx with a good and a bare location, two origins, clients.
//! All of it goes away when the scene does.
#![allow(dead_code, reason = "no test uses all of it")]

pub(crate) mod skip;
pub(crate) mod wait;

use std::{
    fmt, fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use serde_json::Value;

use self::{skip::skip, wait::wait_until};

const CONFIG: &str = "\
daemon off; user root; pid nginx.pid; error_log error.log; worker_processes 1;
events {}
http {
    access_log off;
    server {
        listen 8080;
        listen [::]:8080;
        location /bare { proxy_pass http://127.0.0.1:3001; }
        location /page { return 200 page; }
        location /stream {
            proxy_pass http://127.0.0.1:3002;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
        }
        location /good {
            proxy_pass http://127.0.0.1:3000;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
        }
    }
}
";

/// Whether this can run here. Where it cannot it is skipped, and says why.
pub(crate) fn possible() -> bool {
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    let programs = ["ip", "nginx", "tcpdump", "python3", "setpriv"];
    let found = |name: &&&str| Command::new("which").arg(name).output().is_ok_and(|output| output.status.success());
    let missing = programs.iter().find(|name| !found(name));
    let reason = match missing {
        _ if !root => "it needs root".to_owned(),
        Some(name) => format!("{name} is missing"),
        None => return true,
    };
    skip(&reason);
    false
}

/// The namespace and what runs in it.
pub(crate) struct Scene {
    name: String,
    pub(crate) dir: PathBuf,
    children: Vec<Child>,
}

impl Scene {
    /// Only the namespace, with loopback up.
    pub(crate) fn empty() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("obs{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
        fs::create_dir_all(&dir).unwrap();
        let scene = Self { name, dir, children: Vec::new() };
        run(Command::new("ip").args(["netns", "add", &scene.name]));
        run(scene.command("ip").args(["link", "set", "lo", "up"]));
        scene
    }

    /// With nginx and its origins.
    pub(crate) fn new() -> Self {
        let mut scene = Self::empty();
        fs::write(scene.dir.join("nginx.conf"), CONFIG).unwrap();
        let nginx = scene.spawn("nginx", &["-p", &scene.path(""), "-c", &scene.path("nginx.conf")]);
        scene.children.push(nginx);
        scene.origin("3000", &["head", "accept", "frame", "text:hello", "frame", "close", "eof"]);
        let answer = "send:HTTP/1.1 426 Upgrade Required\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n";
        scene.origin("3001", &["head", answer]);
        let stream = scene.spawn("python3", &[&stream(), "--serve", "3002"]);
        scene.children.push(stream);
        for port in ["8080", "3000", "3001", "3002"] {
            scene.listens(port);
        }
        scene
    }

    /// The namespace's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A file of the scene.
    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.join(name).to_str().unwrap().to_owned()
    }

    /// A command that runs in the namespace.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]).stdin(Stdio::null()).stdout(Stdio::null());
        command.env("PROXY", "127.0.0.1").env("NO_COLOR", "1").env_remove("SUDO_UID");
        command
    }

    /// The same for a shell.
    pub(crate) fn shell(&self, command: &str) -> String {
        format!("ip netns exec {} {command}", self.name)
    }

    /// Runs it there, its output in the files `NAME.out` and `NAME.err`.
    pub(crate) fn start(&self, name: &str, program: &str, arguments: &[&str]) -> Child {
        let file = |end: &str| fs::File::create(self.dir.join(format!("{name}.{end}"))).unwrap();
        self.command(program).args(arguments).stdout(file("out")).stderr(file("err")).spawn().unwrap()
    }

    /// What a program that was started has written.
    pub(crate) fn told(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(name)).unwrap()
    }

    /// Starts an observer and waits until it watches.
    pub(crate) fn observer(&self, name: &str, arguments: &[&str]) -> Child {
        let child = self.start(name, env!("CARGO_BIN_EXE_observer"), &[&["live"], arguments].concat());
        wait_until_watching(child.id());
        child
    }

    /// Waits until what a program has written suits, and gives it.
    pub(crate) fn wait_told(&self, name: &str, what: &str, suits: impl Fn(&str) -> bool) -> String {
        wait_text(&format!("{what} in {name}"), || self.told(name), suits)
    }

    /// Waits until a feed has so many attempts, tunnels and alerts, or more.
    pub(crate) fn wait_records(&self, name: &str, least: [usize; 3]) {
        wait_for_records(name, || self.told(name), least);
    }

    /// Starts a tcpdump of loopback, and returns when it listens.
    pub(crate) fn dump(&self) -> Dump<'_> {
        let capture = self.path("all.pcap");
        let arguments = ["-i", "lo", "--nano", "-U", "-B", "65536", "-w", &capture, "tcp"];
        let process = self.start("tcpdump", "tcpdump", &arguments);
        self.wait_told("tcpdump.err", "a tcpdump", |text| text.contains("listening on"));
        Dump { scene: self, process, capture }
    }

    /// One client, to its end.
    pub(crate) fn client(&self, steps: &[&str]) -> Output {
        let script = lab("raw.py");
        self.command("python3").arg(script).arg("8080").args(steps).stdout(Stdio::piped()).output().unwrap()
    }

    /// One client, its output in the files `NAME.out` and `NAME.err`.
    pub(crate) fn start_client(&self, name: &str, steps: &[&str]) -> Child {
        self.start(name, "python3", &[&[lab("raw.py").as_str(), "8080"], steps].concat())
    }

    /// nginx's one worker.
    pub(crate) fn worker(&self) -> u32 {
        let master = self.children[0].id();
        let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap();
        children.trim().parse().unwrap()
    }

    /// The origin of the good location.
    pub(crate) fn origin_id(&self) -> u32 {
        self.children[1].id()
    }

    fn origin(&mut self, port: &str, steps: &[&str]) {
        let origin = self.spawn("python3", &[&[lab("raw.py").as_str(), "--listen", port], steps].concat());
        self.children.push(origin);
    }

    fn spawn(&self, program: &str, arguments: &[&str]) -> Child {
        self.command(program).args(arguments).stderr(Stdio::null()).spawn().unwrap()
    }

    fn listens(&self, port: &str) {
        let port: u16 = port.parse().unwrap();
        let mark = format!(":{port:04X} 00000000:0000 0A");
        let look = || {
            let output = self.command("cat").arg("/proc/net/tcp").stdout(Stdio::piped()).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        wait_text(&format!("a listener on port {port}"), look, |table| table.contains(&mark));
    }
}

/// A tcpdump at work.
pub(crate) struct Dump<'a> {
    scene: &'a Scene,
    process: Child,
    capture: String,
}

impl Dump<'_> {
    /// Ends it when it has written all that the kernel took, and gives the path of the capture. At its end tcpdump leaves
    /// in the kernel's ring what it has not looked at, and it looks once a second.
    pub(crate) fn stop(self) -> String {
        let Self { scene, process, capture } = self;
        let counts = || {
            run(Command::new("kill").args(["-USR1", &process.id().to_string()]));
            let text = scene.told("tcpdump.err");
            let line = text.lines().rev().find(|line| line.contains("captured, ")).unwrap_or_default();
            line.split(' ').filter_map(|word| word.parse().ok()).collect::<Vec<u32>>()
        };
        // The kernel counts a frame of loopback twice: as it goes out and as it comes in.
        let all = |counts: &Vec<u32>| matches!(counts[..], [captured, received, 0] if received == 2 * captured);
        wait_until("tcpdump to write all (captured, received, dropped)", counts, all);
        assert_eq!(end(process, "-INT").0, Some(0));
        capture
    }
}

/// Waits until a feed has so many attempts, tunnels and alerts, or more. A line that is still being written is none.
pub(crate) fn wait_for_records(name: &str, feed: impl FnMut() -> String, least: [usize; 3]) {
    let dataset = |line: &str| Some(serde_json::from_str::<Value>(line).ok()?["event"]["dataset"].as_str()?.to_owned());
    let reaches = |feed: &str| {
        let there: Vec<_> = feed.lines().filter_map(dataset).collect();
        let kinds = ["observer.attempt", "observer.tunnel", "observer.alert"].into_iter().zip(least);
        kinds.into_iter().all(|(kind, least)| there.iter().filter(|dataset| *dataset == kind).count() >= least)
    };
    wait_text(&format!("{least:?} attempts, tunnels and alerts in {name}"), feed, reaches);
}

impl Drop for Scene {
    fn drop(&mut self) {
        for child in &mut self.children {
            // nginx ends its workers itself when it is asked.
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
        if !thread::panicking() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

fn stream() -> String {
    format!("{}/../tests/scene/stream.py", env!("CARGO_MANIFEST_DIR"))
}

fn lab(name: &str) -> String {
    format!("{}/../xtask/lab/{name}", env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn run(command: &mut Command) {
    let output = command.stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A text that an error shows as it stands there.
struct Text(String);

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{}", self.0)
    }
}

/// Waits until a text suits, and gives it.
pub(crate) fn wait_text(what: &str, mut look: impl FnMut() -> String, suits: impl Fn(&str) -> bool) -> String {
    wait_until(what, || Text(look()), |text| suits(&text.0)).0
}

/// Waits for something that must happen and has nothing to show until it does.
pub(crate) fn wait_for(what: &str, happened: impl FnMut() -> bool) {
    wait_until(what, happened, |happened| *happened);
}

/// A line of `/proc/PID/status`.
pub(crate) fn status(pid: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
    line.unwrap_or_default().to_owned()
}

/// Waits until an observer watches. The threads of these names are the last that it starts: before them it opens its tap,
/// raises its fence and takes its signals.
pub(crate) fn wait_until_watching(pid: u32) {
    let names = || {
        assert!(!status(pid, "State").starts_with('Z'), "the observer has ended");
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok()).collect::<Vec<_>>()
    };
    let watches = |names: &Vec<String>| ["signals\n", "owners\n"].iter().all(|name| names.iter().any(|it| it == name));
    wait_until("an observer that watches, by its threads", names, watches);
}

/// Signals a child and waits for its end. Says its exit code, or else the signal that ended it.
pub(crate) fn end(mut child: Child, signal: &str) -> (Option<i32>, Option<i32>) {
    // It may be gone already.
    let _ = Command::new("kill").args([signal, &child.id().to_string()]).stderr(Stdio::null()).status();
    let ended = wait_until("the end of a process", || child.try_wait().unwrap(), Option::is_some).unwrap();
    (ended.code(), ended.signal())
}
