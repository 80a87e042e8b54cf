//! Runs what was asked for: joins tap, engine and sinks, and turns the result into an exit code.

mod output;
mod progress;
#[cfg(feature = "tui")]
mod screens;
mod signals;

use std::{
    io::{self, Write},
    process::ExitCode,
    rc::Rc,
    sync::atomic::Ordering,
};

use anyhow::Context;
use clap::{CommandFactory, Parser};

use self::{output::Output, progress::Bar, signals::Stop};
use crate::{
    advice,
    cli::{Cli, Format},
    config::{Config, Read, Task},
    engine::{Engine, alert::Level, event::Event},
    sink::{self, Ending, Options, Sink},
    tap::{
        SharedInterfaces, TapError,
        file::{FileTap, Input},
    },
};

/// The run failed: a tap, or the output.
const FAILED: u8 = 3;
/// What was typed makes no sense.
const USAGE: u8 = 2;
/// Alerts reached `--fail-on`.
const ALERTED: u8 = 1;

/// How often the bar is looked at, in frames.
const TICK: u32 = 4096;

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    let config = match Config::try_from(Cli::parse()) {
        Ok(config) => config,
        Err(error) => {
            complain(&format!("error: {error}"));
            return ExitCode::from(USAGE);
        }
    };
    let output = Output::default();
    match run(&config, &output) {
        Ok(code) => ExitCode::from(code),
        // Who reads us has seen enough.
        Err(_) if output.is_broken() => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("error: {error:#}"));
            ExitCode::from(FAILED)
        }
    }
}

/// A line for the user. Standard error may be closed; then nobody wants to know.
fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "observer: {line}");
}

fn run(config: &Config, output: &Output) -> anyhow::Result<u8> {
    let mut out = output.stdout(false);
    match &config.task {
        #[cfg(feature = "tui")]
        Task::Read(read) if read.tui => return screens::read(read, config),
        Task::Read(read) => return self::read(read, config, output),
        Task::Explain(rule) => advice::explain(*rule, &mut out, output::color(config.color, None))?,
        Task::Schema => out.write_all(sink::schema::text().as_bytes())?,
        Task::Completions(shell) => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "observer", &mut script);
            out.write_all(&script)?;
        }
        Task::Man => man(&mut out)?,
    }
    out.flush()?;
    Ok(0)
}

/// One page: the program, then each subcommand's arguments.
fn man(out: &mut dyn Write) -> io::Result<()> {
    let mut program = Cli::command();
    program.build();
    let page = clap_mangen::Man::new(program.clone());
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    for command in program.get_subcommands() {
        writeln!(out, ".SH \"OBSERVER {}\"", command.get_name().to_uppercase())?;
        let mut body = Vec::new();
        let page = clap_mangen::Man::new(command.clone());
        page.render_options_section(&mut body)?;
        if let Some(about) = command.get_about() {
            writeln!(out, "{about}")?;
        }
        out.write_all(String::from_utf8_lossy(&body).replace(".SH OPTIONS", ".PP").as_bytes())?;
        if let Some(notes) = command.get_after_help() {
            writeln!(out, ".PP\n.nf\n{}\n.fi", notes.to_string().replace('-', "\\-"))?;
        }
    }
    page.render_version_section(out)
}

fn read(read: &Read, config: &Config, output: &Output) -> anyhow::Result<u8> {
    let stop = signals::listen().context("cannot listen for signals")?;
    let interfaces = SharedInterfaces::default();
    let sink = open_sink(read, config, output, &interfaces)?;
    let (tap, errors) = FileTap::open(&read.inputs, &interfaces, Stop::clone(&stop));
    let mut session = Session {
        engine: Engine::new(read.engine.clone()),
        sink,
        bar: Bar::new(read.progress, tap.progress().1),
        on_terminal: read.format == Format::Text && read.output.is_none() && output::is_terminal(),
        prompt: is_prompt(read),
        worst: None,
        warnings: Vec::new(),
        failed: false,
    };
    errors.into_iter().for_each(|error| session.note(&error));
    session.frames(tap, &stop)?;
    session.finish(&stop)?;
    let alerted = read.fail_on.is_some_and(|level| session.worst >= Some(level));
    Ok(match (session.failed, alerted) {
        (true, _) => FAILED,
        (false, true) => ALERTED,
        (false, false) => 0,
    })
}

fn open_sink(
    read: &Read,
    config: &Config,
    output: &Output,
    interfaces: &SharedInterfaces,
) -> anyhow::Result<Box<dyn Sink>> {
    let out = match &read.output {
        Some(path) => output.file(path)?,
        None => output.stdout(is_prompt(read)),
    };
    let options = Options {
        emit: read.emit,
        show_secrets: read.show_secrets,
        color: output::color(config.color, read.output.as_deref()),
        interfaces: Rc::clone(interfaces),
    };
    Ok(match read.format {
        Format::Text => sink::text(out, options),
        Format::Json => sink::json(out, options),
    })
}

fn is_prompt(read: &Read) -> bool {
    read.inputs.iter().any(Input::is_pipe)
}

/// One run of the engine.
struct Session {
    engine: Engine,
    sink: Box<dyn Sink>,
    bar: Bar,
    /// Whether a person sees the report as it is written.
    on_terminal: bool,
    /// Whether events are to be printed at once.
    prompt: bool,
    worst: Option<Level>,
    warnings: Vec<String>,
    failed: bool,
}

impl Session {
    /// Frames carry the time: the engine needs no timeouts while they come, and `finish` judges what is left.
    fn frames(&mut self, mut tap: FileTap, stop: &Stop) -> anyhow::Result<()> {
        let mut until_tick = TICK;
        while !stop.load(Ordering::Relaxed) {
            match tap.next_frame() {
                Ok(Some(frame)) => self.engine.handle_frame(&frame),
                Ok(None) => break,
                Err(error) => self.note(&error),
            }
            if let Some(event) = self.engine.poll_event() {
                self.events(event)?;
            }
            until_tick -= 1;
            if until_tick == 0 {
                until_tick = TICK;
                self.bar.tick(tap.progress().0);
            }
        }
        Ok(())
    }

    fn finish(&mut self, stop: &Stop) -> anyhow::Result<()> {
        self.engine.finish();
        while let Some(event) = self.engine.poll_event() {
            self.event(&event)?;
        }
        self.bar.clear();
        if stop.load(Ordering::Relaxed) {
            self.warn("stopped by a signal; this is what was read until then".to_owned());
        }
        // Where standard error and the report meet on a terminal, once is enough.
        let warnings = if self.on_terminal { Vec::new() } else { std::mem::take(&mut self.warnings) };
        let ending = Ending { warnings };
        Ok(self.sink.finish(&ending)?)
    }

    /// All events that are ready. Where frames come from a pipe, somebody may be waiting for them.
    #[cold]
    fn events(&mut self, first: Event) -> anyhow::Result<()> {
        let mut next = Some(first);
        while let Some(event) = next {
            self.event(&event)?;
            next = self.engine.poll_event();
        }
        if self.prompt {
            self.sink.flush()?;
        }
        Ok(())
    }

    fn event(&mut self, event: &Event) -> anyhow::Result<()> {
        if let Event::Alert(alert) = event {
            self.worst = self.worst.max(Some(alert.level));
        }
        let Self { bar, sink, .. } = self;
        Ok(bar.aside(|| sink.event(event))?)
    }

    #[cold]
    fn note(&mut self, error: &TapError) {
        if error.is_warning() {
            return self.warn(error.to_string());
        }
        self.failed = true;
        self.bar.aside(|| complain(&format!("error: {error}")));
        self.warnings.push(error.to_string());
    }

    fn warn(&mut self, warning: String) {
        self.bar.aside(|| complain(&format!("warning: {warning}")));
        self.warnings.push(warning);
    }
}
