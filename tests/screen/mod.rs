//! A terminal of `tmux` with the real binary in it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::scene::{skip::skip, wait_text};

/// A terminal with the program in it, on a server of its own.
pub(crate) struct Screen {
    socket: PathBuf,
    pub(crate) home: PathBuf,
}

impl Screen {
    /// Runs the program; `None` where there is no tmux.
    pub(crate) fn open(name: &str, size: (u16, u16), arguments: &str) -> Option<Self> {
        Self::run(name, size, &format!("'{}' {arguments}", env!("CARGO_BIN_EXE_observer")))
    }

    /// Runs a command of the shell.
    pub(crate) fn run(name: &str, size: (u16, u16), command: &str) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            skip("tmux is missing");
            return None;
        }
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tui-{name}"));
        let _ = fs::remove_dir_all(&home);
        fs::create_dir_all(&home).unwrap();
        // A path of a socket has to be short.
        let socket = env::temp_dir().join(format!("observer-{}-{name}", std::process::id()));
        let screen = Self { socket, home };
        let command = format!("cd {}; {command}; echo \"exit $?\"; exec tail -f /dev/null", screen.home.display());
        let (width, height) = (size.0.to_string(), size.1.to_string());
        let output =
            screen.tmux(&["-f", "/dev/null", "new-session", "-d", "-s", "t", "-x", &width, "-y", &height, &command]);
        assert!(output.status.success(), "{output:?}");
        Some(screen)
    }

    pub(crate) fn tmux(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        command.env("LC_ALL", "C.UTF-8").env_remove("TMUX").arg("-u").arg("-S").arg(&self.socket);
        command.args(arguments).output().unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p", "-t", "t"]).stdout).into_owned()
    }

    pub(crate) fn press(&self, keys: &[&str]) {
        for key in keys {
            self.tmux(&["send-keys", "-t", "t", key]);
        }
    }

    /// Waits until the screen shows all of these.
    pub(crate) fn expect(&self, parts: &[&str]) -> String {
        let shows = |text: &str| parts.iter().all(|part| text.contains(part));
        wait_text(&format!("{parts:?} on the screen"), || self.text(), shows)
    }

    /// The process in the terminal.
    pub(crate) fn pid(&self) -> String {
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
