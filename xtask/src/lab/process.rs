//! Processes of the lab: run to the end, or started and ended with their owner.

use std::fs::File;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::command::{check, describe};

/// How often a state is looked at while waiting for it.
const TICK: Duration = Duration::from_millis(50);

/// How long what is known to come may take, in ticks: a minute, which no machine is too busy for. It ends a run that hangs,
/// and decides nothing else.
pub(crate) const PATIENCE: u32 = 1200;

/// A process that is asked to end, then made to end, when this value is dropped.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts `command` with both outputs in the file `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let out = File::create(log).with_context(|| log.display().to_string())?;
        let err = out.try_clone()?;
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        Ok(Self { child: child.with_context(|| describe(command))? })
    }

    /// Starts `command` with its standard output to be read, and its errors in the file `log`.
    pub(crate) fn piped(command: &mut Command, log: &Path) -> Result<(Self, ChildStdout)> {
        let err = File::create(log).with_context(|| log.display().to_string())?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(err).spawn();
        let mut child = child.with_context(|| describe(command))?;
        let stdout = child.stdout.take().context("a pipe was asked for")?;
        Ok((Self { child }, stdout))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended; an error when it failed or was killed.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        let Some(status) = self.child.try_wait()? else { return Ok(false) };
        check(status, "a process of the case failed").map(|()| true)
    }

    /// Sends it a signal, if it still runs.
    pub(crate) fn signal(&self, name: &str) {
        let _ = Command::new("kill").args([name, &self.id().to_string()]).status();
    }

    /// SIGTERM, and some time to obey.
    pub(crate) fn stop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        self.signal("-TERM");
        if !wait_for(PATIENCE, || Ok(matches!(self.child.try_wait(), Ok(Some(_))))).unwrap_or(false) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Looks at `done` every 50 ms, at most `ticks` times.
pub(crate) fn wait_for(ticks: u32, mut done: impl FnMut() -> Result<bool>) -> Result<bool> {
    for _ in 0..ticks {
        if done()? {
            return Ok(true);
        }
        thread::sleep(TICK);
    }
    done()
}
