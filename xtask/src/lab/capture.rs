//! tcpdump: started before the traffic, stopped after its last frame, and sure to have lost none.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::case::Capture;
use super::net::Hosts;
use super::process::{PATIENCE, Process, wait_for};

/// One tcpdump at work.
pub(crate) struct Recording {
    process: Process,
    interface: String,
    file: PathBuf,
    log: PathBuf,
}

impl Recording {
    /// Starts tcpdump, and returns when it listens.
    pub(crate) fn start(capture: &Capture, hosts: &Hosts, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{}.log", capture.file));
        let mut command = hosts.command(hosts.tap(), "tcpdump");
        command.args(["-n", "-U", "-Z", "root", "-B", "16384", "-i", &capture.interface, "-w"]);
        let file = folder.join(&capture.file);
        command.arg(&file).args(&capture.options).args(capture.filter.split_whitespace());
        let process = Process::start(&mut command, &log)?;
        let listens = || Ok(fs::read_to_string(&log)?.contains("listening on"));
        if !wait_for(PATIENCE, listens)? {
            bail!("tcpdump: {}", fs::read_to_string(&log)?.trim());
        }
        Ok(Self { process, interface: capture.interface.clone(), file, log })
    }

    /// Waits until nobody on the hosts has anything to do and tcpdump has written all of it, ends it, and returns how many
    /// frames it wrote.
    pub(crate) fn stop(mut self, hosts: &Hosts) -> Result<u32> {
        hosts.wait_for_rest()?;
        if !wait_for(PATIENCE, || Ok(self.process.has_ended()? || self.has_read_all()?))? {
            bail!("tcpdump does not come to the end: {}", fs::read_to_string(&self.log)?.trim());
        }
        self.process.stop();
        let said = fs::read_to_string(&self.log)?;
        if count(&said, "dropped by kernel")? != 0 {
            bail!("tcpdump lost frames: {}", said.trim());
        }
        count(&said, "captured")
    }

    /// Whether it has come to read all that the kernel has for it, which it looks at once a second, and not at its end. The
    /// kernel counts a frame of loopback twice, as it goes out and as it comes in, and tcpdump once.
    fn has_read_all(&self) -> Result<bool> {
        self.process.signal("-USR1");
        let said = fs::read_to_string(&self.log)?;
        let Some(counts) = said.lines().rev().find(|line| line.contains("captured, ")) else { return Ok(false) };
        let mut counts = counts.split(' ').filter_map(|word| word.parse::<u32>().ok());
        let (captured, received) = (counts.next().unwrap_or_default(), counts.next().unwrap_or_default());
        let twice = match self.interface.as_str() {
            "lo" => captured,
            "any" => on_loopback(&fs::read(&self.file)?),
            _ => 0,
        };
        // Before it has looked for the first time, both may be zero.
        Ok(captured > 0 && received == captured + twice)
    }
}

/// How many frames of a capture of every interface are of loopback.
fn on_loopback(capture: &[u8]) -> u32 {
    /// Of the file, and of each frame in it.
    const HEADS: (usize, usize) = (24, 16);
    /// The number that loopback has on each host, where Linux cooked v2 has the interface's.
    const LOOPBACK: [u8; 4] = 1_u32.to_be_bytes();
    let (mut rest, mut count) = (capture.get(HEADS.0..).unwrap_or_default(), 0);
    while let Some((head, after)) = rest.split_at_checked(HEADS.1) {
        let length = head[8..].first_chunk().map_or(0, |length| u32::from_ne_bytes(*length)) as usize;
        let Some((frame, next)) = after.split_at_checked(length) else { break };
        count += u32::from(frame.get(4..8) == Some(&LOOPBACK));
        rest = next;
    }
    count
}

/// The number at the start of the line of tcpdump's farewell that ends in `what`.
fn count(said: &str, what: &str) -> Result<u32> {
    let line = said.lines().rev().find(|line| line.ends_with(what));
    let number = line.and_then(|line| line.split_whitespace().next()).and_then(|word| word.parse().ok());
    number.with_context(|| format!("tcpdump did not say how many were {what}: {said}"))
}
