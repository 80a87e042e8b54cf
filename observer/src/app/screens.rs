//! The screens as a front end: captures, or what is captured live, are judged on the engine's thread and shown here.

#[cfg(feature = "pcap")]
use std::sync::{Arc, Mutex, PoisonError};
use std::{
    path::PathBuf,
    sync::mpsc::{self, Receiver},
};

use anyhow::Context;

use super::{
    ALERTED, FAILED, complain, exports, output,
    read::Quiet,
    signals::{self, Hangup, Stop},
    survey,
};
#[cfg(feature = "pcap")]
use super::{live::Sources, outlet::Outlet};
#[cfg(feature = "pcap")]
use crate::{
    config,
    engine::{event::Event, frame::Frame},
    sink::Ending,
    tui::Ring,
};
use crate::{
    config::{Config, Read},
    engine::{
        self, Engine,
        alert::Level,
        clocks::{Clocks, Estimate},
    },
    sink::text::shared::clock_sentences,
    tap::{
        SharedInterfaces, TapError,
        file::{FileTap, Input, Turn},
    },
    tui::{self, Evidence, Feed, FoundClocks, Overflow, Setup},
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
    let stop = Stop::new(|| {});
    signals::listen(&stop, Hangup::Usual).context("cannot listen for signals")?;
    let (exported, files) = mpsc::channel();
    let clocks = FoundClocks::default();
    let setup = Setup {
        source: named(&read.inputs),
        color: output::color(config.color, None),
        show_secrets: read.report.show_secrets,
        relative: true,
        overflow: Overflow::Wait,
        evidence: evidence(&read.inputs, Arc::clone(&clocks)),
        exports: exports::named(read.report.export_dir.as_deref())?,
        exported,
    };
    let (request, told) = (read.clone(), stop.clone());
    let ended = tui::run(setup, &stop.flag(), move |feed| source(&request, feed, &told, &clocks));
    tell(&files);
    let ended = ended?;
    ended.warnings.iter().for_each(|warning| complain(warning));
    let alerted = read.report.fail_on.is_some_and(|level| ended.worst >= Some(level));
    Ok(match (ended.failed, alerted) {
        (true, _) => FAILED,
        (false, true) => ALERTED,
        (false, false) => 0,
    })
}

/// The files that were exported, once more: the message that told them went with the screens.
fn tell(files: &Receiver<PathBuf>) {
    files.try_iter().for_each(|file| complain(&format!("exported {}", file.display())));
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

fn evidence(inputs: &[Input], clocks: FoundClocks) -> Evidence {
    if inputs.iter().any(Input::is_pipe) {
        return Evidence::Gone("a pipe cannot be read again");
    }
    Evidence::Files(inputs.to_vec(), clocks)
}

/// Reads all captures.
fn source(read: &Read, mut feed: Feed, stop: &Stop, clocks: &FoundClocks) -> anyhow::Result<Ended> {
    let interfaces = SharedInterfaces::default();
    let mut ended = Ended::default();
    let clocks = clocks.get_or_init(|| survey::clocks(read, stop, |_, _| !feed.is_closed()));
    let (mut tap, errors) = FileTap::open_by(&read.inputs, &interfaces, clocks, stop.flag());
    let all_failed = errors.len() == read.inputs.len();
    for error in errors {
        if all_failed {
            // The message tells its cause already.
            anyhow::bail!("{error}");
        }
        note(&error, &feed, &mut ended);
    }
    tell_clocks(clocks, &interfaces, &feed);
    let mut engine = Engine::new(engine::Config { clocks: clocks.clone(), ..read.engine.clone() });
    let tick = if read.inputs.iter().any(Input::is_pipe) { 1 } else { TICK };
    let mut until_tick = 1;
    let mut quiet = Quiet::default();
    while !feed.is_closed() && !stop.is_set() {
        match tap.next_turn() {
            Ok(Turn::Frame(frame)) => {
                quiet.frame(frame.at);
                engine.handle_frame(&frame);
            }
            Ok(Turn::Head(head)) => {
                quiet.frame(head.at);
                if !engine.pass_frame(&head) {
                    match tap.whole() {
                        Ok(frame) => frame.iter().for_each(|frame| engine.handle_frame(frame)),
                        Err(error) => note(&error, &feed, &mut ended),
                    }
                }
            }
            Ok(Turn::Quiet) => engine.handle_timeout(quiet.now()),
            Ok(Turn::End) => break,
            Err(error) => note(&error, &feed, &mut ended),
        }
        feed.events(&mut engine);
        until_tick -= 1;
        if until_tick == 0 {
            until_tick = tick;
            feed.refresh(&engine, &interfaces.borrow(), Some(tap.progress()));
        }
    }
    feed.finish(&mut engine, &interfaces.borrow(), Some(tap.progress()));
    ended.worst = feed.worst();
    Ok(ended)
}

/// What the times on the screens are worth, where captures do not simply share one clock.
fn tell_clocks(clocks: &Clocks, interfaces: &SharedInterfaces, feed: &Feed) {
    let clocks = clocks.estimates();
    let one = |clock: &Estimate| clock.ahead == 0 && clocks.first().is_some_and(|first| clock.reference == first.clock);
    if !clocks.iter().all(one) {
        let sentences = clock_sentences(clocks, &interfaces.borrow());
        sentences.into_iter().for_each(|(_, sentence)| feed.warn(sentence));
    }
}

fn note(error: &TapError, feed: &Feed, ended: &mut Ended) {
    let warning = if error.is_warning() { format!("warning: {error}") } else { format!("error: {error}") };
    ended.failed |= !error.is_warning();
    feed.warn(warning.clone());
    ended.warnings.push(warning);
}

/// Bytes of frames kept for an export, live.
#[cfg(feature = "pcap")]
const EVIDENCE: usize = 64 << 20;

/// `observer live` on a terminal.
#[cfg(feature = "pcap")]
pub(super) struct Live {
    pub(super) sources: Sources,
    pub(super) interfaces: SharedInterfaces,
    pub(super) exports: PathBuf,
}

#[cfg(feature = "pcap")]
impl Live {
    pub(super) fn show(self, live: &config::Live, config: &Config, stop: &Stop) -> anyhow::Result<u8> {
        let Self { sources, interfaces, exports } = self;
        let ring = Arc::new(Mutex::new(Ring::new(EVIDENCE)));
        let watched =
            if live.tap.interfaces.is_empty() { "every interface".to_owned() } else { live.tap.interfaces.join(", ") };
        let (exported, files) = mpsc::channel();
        let setup = Setup {
            source: watched,
            color: output::color(config.color, None),
            show_secrets: live.report.show_secrets,
            relative: false,
            overflow: Overflow::Drop,
            evidence: Evidence::Recent(Arc::clone(&ring)),
            exports,
            exported,
        };
        let (live, told) = (live.clone(), stop.clone());
        let ended = tui::run(setup, &stop.flag(), move |feed| {
            let outlet = Box::new(Screens { feed, interfaces, ring, stop: told.clone() });
            super::live::watch(&live, sources, outlet, false, told)
        });
        tell(&files);
        ended
    }
}

/// Events on their way to the screens.
#[cfg(feature = "pcap")]
struct Screens {
    feed: Feed,
    interfaces: SharedInterfaces,
    ring: Arc<Mutex<Ring>>,
    stop: Stop,
}

#[cfg(feature = "pcap")]
impl Outlet for Screens {
    fn event(&mut self, event: Event) -> anyhow::Result<()> {
        self.feed.event(event);
        Ok(())
    }

    fn frame(&mut self, frame: &Frame<'_>) {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).push(frame);
    }

    fn wants_frames(&self) -> bool {
        true
    }

    fn is_watched(&self) -> bool {
        true
    }

    fn look(&mut self, engine: &Engine) {
        self.feed.refresh(engine, &self.interfaces.borrow(), None);
        if self.feed.is_closed() {
            self.stop.set();
        }
    }

    fn notice(&mut self, line: &str) -> bool {
        self.feed.warn(line.to_owned());
        true
    }

    fn finish(&mut self, _ending: &Ending) -> anyhow::Result<()> {
        Ok(())
    }
}
