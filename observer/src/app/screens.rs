//! `observer read --tui`: captures read on the engine's thread, shown on the screens.

use std::{rc::Rc, sync::atomic::Ordering};

use anyhow::Context;

use super::{ALERTED, FAILED, complain, output, signals, signals::Stop};
use crate::{
    config::{Config, Read},
    engine::{Engine, alert::Level},
    tap::{
        SharedInterfaces, TapError,
        file::{FileTap, Input},
    },
    tui::{self, Evidence, Feed, Overflow, Setup},
};

/// How often the clock is looked at, in frames of a file; each frame of a pipe may be the last for long.
const TICK: u32 = 1024;

/// What is left to say when the screens are gone.
#[derive(Default)]
struct Ended {
    worst: Option<Level>,
    warnings: Vec<String>,
    failed: bool,
}

pub(super) fn read(read: &Read, config: &Config) -> anyhow::Result<u8> {
    anyhow::ensure!(output::is_terminal(), "--tui needs a terminal; without --tui there is a report");
    let stop = signals::listen().context("cannot listen for signals")?;
    let setup = Setup {
        source: named(&read.inputs),
        color: output::color(config.color, None),
        show_secrets: read.show_secrets,
        relative: true,
        overflow: Overflow::Wait,
        evidence: evidence(&read.inputs),
    };
    let (request, told) = (read.clone(), Stop::clone(&stop));
    let ended = tui::run(setup, &stop, move |feed| source(&request, feed, &told))?;
    ended.warnings.iter().for_each(|warning| complain(warning));
    let alerted = read.fail_on.is_some_and(|level| ended.worst >= Some(level));
    Ok(match (ended.failed, alerted) {
        (true, _) => FAILED,
        (false, true) => ALERTED,
        (false, false) => 0,
    })
}

/// The capture as it was named; of several, only the names of the files.
fn named(inputs: &[Input]) -> String {
    let labels: Vec<_> = inputs.iter().map(Input::label).collect();
    match &labels[..] {
        [one] => one.clone(),
        several => {
            let names: Vec<_> = several.iter().map(|label| label.rsplit('/').next().unwrap_or(label)).collect();
            names.join(", ")
        }
    }
}

fn evidence(inputs: &[Input]) -> Evidence {
    if inputs.iter().any(Input::is_pipe) {
        return Evidence::Gone("a pipe cannot be read again");
    }
    Evidence::Files(inputs.to_vec())
}

/// Reads all captures.
fn source(read: &Read, mut feed: Feed, stop: &Stop) -> anyhow::Result<Ended> {
    let interfaces = SharedInterfaces::default();
    let mut ended = Ended::default();
    let (mut tap, errors) = FileTap::open(&read.inputs, &interfaces, Stop::clone(stop));
    let all_failed = errors.len() == read.inputs.len();
    for error in errors {
        if all_failed {
            // The message tells its cause already.
            anyhow::bail!("{error}");
        }
        note(&error, &feed, &mut ended);
    }
    let mut engine = Engine::new(read.engine.clone());
    let tick = if read.inputs.iter().any(Input::is_pipe) { 1 } else { TICK };
    let mut until_tick = 1;
    while !feed.is_closed() && !stop.load(Ordering::Relaxed) {
        match tap.next_frame() {
            Ok(Some(frame)) => engine.handle_frame(&frame),
            Ok(None) => break,
            Err(error) => note(&error, &feed, &mut ended),
        }
        feed.events(&mut engine);
        until_tick -= 1;
        if until_tick == 0 {
            until_tick = tick;
            feed.refresh(&engine, &interfaces.borrow(), Some(tap.progress()));
        }
    }
    let interfaces = Rc::clone(&interfaces);
    feed.finish(&mut engine, &interfaces.borrow(), Some(tap.progress()));
    ended.worst = feed.worst();
    Ok(ended)
}

fn note(error: &TapError, feed: &Feed, ended: &mut Ended) {
    let warning = if error.is_warning() { format!("warning: {error}") } else { format!("error: {error}") };
    ended.failed |= !error.is_warning();
    feed.warn(warning.clone());
    ended.warnings.push(warning);
}
