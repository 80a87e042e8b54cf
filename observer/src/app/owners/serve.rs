//! The other process: reads pairs of addresses, a line each, and answers with who holds the first one's socket.

use std::{
    fs::File,
    io::{self, Read, Write},
    net::SocketAddr,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use nix::sys::signal::SigSet;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{app::fence, config::Fence, tap::owner::Lookup};

/// Longer than any line that is meant.
const LINE: usize = 256;

/// Serves until nobody asks any more.
pub(in crate::app) fn serve(fence: &Fence) -> anyhow::Result<()> {
    // It ends when the questions do; signals are for the one who asks.
    SigSet::all().thread_block()?;
    nix::sys::prctl::set_name(c"observer-owners")?;
    let mut lookup = Lookup::open(instant())?;
    let mut questions = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut answers = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    fence::raise_around_lookup(fence)?;
    let (mut read, mut text) = ([0; 4096], Vec::new());
    loop {
        if is_readable(&questions, lookup.next(instant()))? {
            let length = questions.read(&mut read)?;
            if length == 0 {
                return Ok(());
            }
            text.extend(read.iter().take(length));
            let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            for line in text.drain(..whole).collect::<Vec<u8>>().split(|byte| *byte == b'\n') {
                if let Ok((local, peer)) = serde_json::from_slice::<(SocketAddr, SocketAddr)>(line) {
                    lookup.ask(local, peer, instant());
                }
            }
            text.truncate(LINE);
        }
        for held in lookup.answer(instant)? {
            let mut line = serde_json::to_vec(&held)?;
            line.push(b'\n');
            answers.write_all(&line)?;
        }
    }
}

fn is_readable(file: &File, most: Option<Duration>) -> io::Result<bool> {
    let most = most.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
    let mut ready = [PollFd::new(file, PollFlags::IN)];
    Ok(poll(&mut ready, most.as_ref())? > 0)
}

#[expect(clippy::disallowed_methods, reason = "how long to look, and to wait, is the real time's matter")]
fn instant() -> Instant {
    Instant::now()
}
