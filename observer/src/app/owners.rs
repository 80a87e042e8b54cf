//! Which process holds which end of a connection. What it takes to see that, and what it takes to read strangers' bytes
//! safely, do not go together: so a second process looks. It is started before the fence, keeps nothing but what looking
//! takes, and knows nothing but pairs of addresses. Nobody ever waits for it.

mod serve;

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    os::unix::process::CommandExt,
    process::{ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use anyhow::Context;
use clap::ValueEnum;

pub(super) use self::serve::serve;
use crate::{
    config::Fence,
    engine::{Engine, attempt::Owner, event::Process},
    tap::owner::Held,
};

/// Answers that wait to be taken; the other process waits then.
const WAITING: usize = 1024;

/// The other process, or what is left of it.
pub(super) struct Owners {
    questions: Option<ChildStdin>,
    answers: Receiver<Held>,
    /// Until somebody listens.
    unheard: Option<(ChildStdout, SyncSender<Held>)>,
}

impl Owners {
    /// Starts it. It ends when this process does.
    pub(super) fn start(fence: &Fence) -> anyhow::Result<Self> {
        let raise = fence.raise.to_possible_value().map(|value| value.get_name().to_owned());
        let mut command = Command::new("/proc/self/exe");
        command.arg0("observer").args(["owners", "--fence"]).args(raise).current_dir("/");
        if let Some(user) = &fence.user {
            command.arg("--user").arg(user);
        }
        // In a group of its own: what is typed at the terminal is not for it.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().context("cannot start the process that looks for owners of connections")?;
        let (questions, unheard) = (child.stdin.take(), child.stdout.take());
        if let Some(questions) = &questions {
            rustix::io::ioctl_fionbio(questions, true)?;
        }
        let (sender, answers) = sync_channel(WAITING);
        Ok(Self { questions, answers, unheard: unheard.map(|unheard| (unheard, sender)) })
    }

    /// The fence is up: listens, and says `wake` after each answer.
    pub(super) fn listen(&mut self, wake: impl Fn() + Send + 'static) -> anyhow::Result<()> {
        let Some((answers, sender)) = self.unheard.take() else { return Ok(()) };
        let listen = move || {
            for line in BufReader::new(answers).lines().map_while(Result::ok) {
                let Ok(held) = serde_json::from_str(&line) else { continue };
                if sender.send(held).is_err() {
                    return;
                }
                wake();
            }
        };
        thread::Builder::new().name("owners".to_owned()).spawn(listen).context("cannot start a thread")?;
        Ok(())
    }

    /// Tells the engine what was found, and asks what it wants to know.
    pub(super) fn turn(&mut self, engine: &mut Engine) {
        for Held { local, peer, pid, command } in self.answers.try_iter() {
            engine.handle_owner(Owner { local, peer, process: Process { pid, command: command.into() } });
        }
        while let Some((client, server)) = engine.poll_owner() {
            self.ask(client, server);
        }
    }

    /// Asks for both ends, or for none: a pipe takes so little whole. When it is full, there are others to answer first.
    fn ask(&mut self, client: SocketAddr, server: SocketAddr) {
        let Some(questions) = &mut self.questions else { return };
        let both = format!("[\"{server}\",\"{client}\"]\n[\"{client}\",\"{server}\"]\n");
        match questions.write(both.as_bytes()) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => self.questions = None,
            _ => {}
        }
    }
}
