//! `observer read`: captures, from files and pipes.

use std::time::Instant;

use anyhow::Context;

use super::{
    FAILED, complain,
    outlet::Printer,
    output::{self, Output},
    progress::Bar,
    session::Session,
    signals::{self, Hangup, Stop},
    survey,
};
use crate::{
    cli::Format,
    config::{Config, Read},
    engine::{self, Engine, clocks::Clocks, time::Timestamp},
    tap::{
        SharedInterfaces,
        file::{FileTap, Input, Turn},
    },
};

/// How often the bar is looked at, in frames.
pub(super) const TICK: u32 = 4096;

pub(super) fn run(read: &Read, config: &Config, output: &Output) -> anyhow::Result<u8> {
    let stop = Stop::new(|| {});
    signals::listen(&stop, Hangup::Usual).context("cannot listen for signals")?;
    let interfaces = SharedInterfaces::default();
    let prompt = read.inputs.iter().any(Input::is_pipe);
    let judging = engine::Config { clocks: clocks(read, &stop), ..read.engine.clone() };
    let (tap, errors) = FileTap::open_by(&read.inputs, &interfaces, &judging.clocks, stop.flag());
    if errors.len() == read.inputs.len() {
        // Nothing can be read, so there is nothing to report on.
        errors.iter().for_each(|error| complain(&format!("error: {error}")));
        return Ok(FAILED);
    }
    let sink = output.sink(&read.report, config.color, &interfaces, prompt)?;
    let on_terminal = read.report.format == Format::Text && read.report.output.is_none() && output::is_terminal();
    let bar = Bar::new(read.progress, tap.progress().1);
    let engine = Engine::new(judging);
    let mut session = Session::new(engine, Box::new(Printer(sink)), on_terminal, bar);
    errors.into_iter().for_each(|error| session.note(&error));
    frames(&mut session, tap, prompt, &stop)?;
    if stop.is_set() {
        session.warn("stopped by a signal; this is what was read until then".to_owned());
    }
    session.finish()?;
    Ok(session.code(read.report.fail_on))
}

fn clocks(read: &Read, stop: &Stop) -> Clocks {
    let mut bar = None;
    let clocks = survey::clocks(read, stop, |bytes, size| {
        bar.get_or_insert_with(|| Bar::new(read.progress, size)).tick(bytes);
        true
    });
    bar.iter_mut().for_each(Bar::clear);
    clocks
}

/// Frames carry the time: the engine needs no timeouts while they come, and `finish` judges what is left. While a pipe
/// is silent, time goes on from its last frame.
fn frames(session: &mut Session, mut tap: FileTap, prompt: bool, stop: &Stop) -> anyhow::Result<()> {
    let mut until_tick = TICK;
    let mut quiet = Quiet::default();
    while !stop.is_set() {
        match tap.next_turn() {
            Ok(Turn::Frame(frame)) => {
                quiet.frame(frame.at);
                session.frame(&frame);
            }
            Ok(Turn::Head(head)) => {
                quiet.frame(head.at);
                if !session.passes(&head) {
                    match tap.whole() {
                        Ok(frame) => frame.iter().for_each(|frame| session.frame(frame)),
                        Err(error) => session.note(&error),
                    }
                }
            }
            Ok(Turn::Quiet) => session.engine.handle_timeout(quiet.now()),
            Ok(Turn::End) => break,
            Err(error) => session.note(&error),
        }
        session.emit(prompt)?;
        until_tick -= 1;
        if until_tick == 0 {
            until_tick = TICK;
            session.bar.tick(tap.progress().0);
        }
    }
    Ok(())
}

/// Capture time while a pipe is silent.
#[derive(Default)]
pub(super) struct Quiet {
    last: Timestamp,
    since: Option<Instant>,
}

impl Quiet {
    /// A frame came.
    #[inline]
    pub(super) fn frame(&mut self, at: Timestamp) {
        self.last = self.last.max(at);
        self.since = None;
    }

    /// The last frame's time, and how long nothing came since.
    #[expect(clippy::disallowed_methods, reason = "how long a pipe is silent is not in it")]
    pub(super) fn now(&mut self) -> Timestamp {
        let now = Instant::now();
        self.last + now.duration_since(*self.since.get_or_insert(now))
    }
}
