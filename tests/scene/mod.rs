//! A proxy host in a network namespace of its own: real nginx with a good and a bare location, two origins, clients.
//! All of it goes away when the scene does.
#![allow(dead_code, reason = "no test uses all of it")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(10);

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

/// Whether this can run here. Where it cannot it is skipped, and says why; in CI that is a failure.
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
    assert!(std::env::var("CI").as_deref() != Ok("true"), "cannot run in CI: {reason}");
    println!("skipped: {reason}");
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
        wait_for("the fence", || fenced(child.id()) || arguments.contains(&"off"));
        // With the fence off there is nothing to see from outside.
        thread::sleep(Duration::from_millis(if arguments.contains(&"off") { 500 } else { 50 }));
        child
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
        wait_for("a listener", || {
            let output = self.command("cat").arg("/proc/net/tcp").stdout(Stdio::piped()).output().unwrap();
            String::from_utf8_lossy(&output.stdout).contains(&mark)
        });
    }
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

/// Waits for something that must happen soon.
pub(crate) fn wait_for(what: &str, mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A line of `/proc/PID/status`.
pub(crate) fn status(pid: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
    line.unwrap_or_default().to_owned()
}

fn fenced(pid: u32) -> bool {
    status(pid, "Seccomp") == "2" && status(pid, "Threads") != "1"
}

/// Signals a child and waits for its end. Says its exit code, and how long that took.
pub(crate) fn end(mut child: Child, signal: &str) -> (Option<i32>, Duration) {
    let start = Instant::now();
    // It may be gone already.
    let _ = Command::new("kill").args([signal, &child.id().to_string()]).stderr(Stdio::null()).status();
    wait_for("the end", || child.try_wait().unwrap().is_some());
    (child.wait().unwrap().code(), start.elapsed())
}
