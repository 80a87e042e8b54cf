//! Runs what was asked for: joins tap, engine and sinks, and turns the result into an exit code.

#[cfg(feature = "pcap")]
mod doctor;
#[cfg(feature = "tui")]
mod exports;
#[cfg(feature = "pcap")]
mod fence;
#[cfg(feature = "pcap")]
mod live;
#[cfg(feature = "pcap")]
mod metrics;
mod outlet;
mod output;
#[cfg(feature = "pcap")]
mod owners;
mod progress;
#[cfg(feature = "pcap")]
mod queue;
mod read;
#[cfg(feature = "tui")]
mod screens;
mod session;
mod signals;
mod survey;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{CommandFactory, Parser};

use self::output::Output;
use crate::{
    advice,
    cli::Cli,
    config::{Config, Task},
    sink,
    tap::TapError,
};

/// The run failed: a tap, or the output.
const FAILED: u8 = 3;
/// What was typed makes no sense.
const USAGE: u8 = 2;
/// Alerts reached `--fail-on`.
const ALERTED: u8 = 1;

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
            ExitCode::from(code(&error))
        }
    }
}

/// A filter that does not compile was typed wrong; all else failed.
fn code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref() {
        Some(TapError::Filter { .. }) => USAGE,
        _ => FAILED,
    }
}

/// A line for the user. Standard error may be closed; then nobody wants to know.
fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "observer: {line}");
}

fn run(config: &Config, output: &Output) -> anyhow::Result<u8> {
    let mut out = output.stdout(false);
    #[cfg(feature = "pcap")]
    if !matches!(config.task, Task::Live(_) | Task::Doctor | Task::Owners(_)) {
        fence::drop_lookup_caps()?;
    }
    match &config.task {
        #[cfg(feature = "tui")]
        Task::Read(read) if read.report.tui => return screens::read(read, config),
        Task::Read(read) => return read::run(read, config, output),
        #[cfg(feature = "pcap")]
        Task::Live(live) => return live::run(live, config, output),
        #[cfg(feature = "pcap")]
        Task::Doctor => {
            let code = doctor::run(&mut out)?;
            out.flush()?;
            return Ok(code);
        }
        #[cfg(feature = "pcap")]
        Task::Owners(fence) => owners::serve(fence)?,
        #[cfg(feature = "ebpf")]
        Task::Unhook(owner) => {
            fence::restrict_clsact_remover()?;
            crate::tap::ebpf::unhook(*owner, io::stdin().lock());
        }
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
    for command in program.get_subcommands().filter(|command| !command.is_hide_set()) {
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
