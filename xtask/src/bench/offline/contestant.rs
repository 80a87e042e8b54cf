//! Who reads a capture, and what a turn takes.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde::Serialize;
use tempfile::TempDir;
use wait4::Wait4;

use crate::{
    command::{check, describe},
    workspace,
};

/// A program with the words before and after the file's name.
pub(super) struct Contestant {
    pub(super) name: &'static str,
    program: PathBuf,
    before: &'static [&'static str],
    after: &'static [&'static str],
    /// Too slow for a whole file: it reads a part, once.
    pub(super) slow: bool,
}

/// What a turn took.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Turn {
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
    /// Resident at most.
    pub(super) memory: u64,
}

/// All of them; what they are held against comes first.
pub(super) fn all() -> Result<Vec<Contestant>> {
    let contestant = |name, program: &Path, before, after, slow| {
        let program = program.to_owned();
        Contestant { name, program, before, after, slow }
    };
    let walk = workspace::built(&["--example", "walk"])?;
    Ok(vec![
        contestant("tcpdump -r -w", Path::new("tcpdump"), &["-r"], &["-w", "/dev/null"], false),
        contestant("observer read", &workspace::observer()?, &["read"], &[], false),
        contestant("bare walk", &walk, &[], &[], false),
        contestant("cat", Path::new("cat"), &[], &[], false),
        contestant("tcpflow", Path::new("tcpflow"), &["-C", "-r"], &[], true),
        contestant("tshark", Path::new("tshark"), &["-n", "-r"], &["-Y", "http.upgrade"], true),
    ])
}

impl Contestant {
    /// One turn. What it writes goes nowhere.
    #[expect(clippy::disallowed_methods, reason = "the time it takes is what is asked for")]
    pub(super) fn read(&self, file: &Path) -> Result<Turn> {
        let folder = TempDir::new()?;
        let mut command = Command::new(&self.program);
        command.args(self.before).arg(file).args(self.after).current_dir(&folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let start = Instant::now();
        let child = command.spawn().with_context(|| describe(&command))?;
        let used = child.wait4()?;
        let seconds = start.elapsed().as_secs_f64();
        check(used.status, &describe(&command))?;
        let cpu: Duration = used.rusage.utime + used.rusage.stime;
        Ok(Turn { seconds, cpu_seconds: cpu.as_secs_f64(), memory: used.rusage.maxrss })
    }
}
