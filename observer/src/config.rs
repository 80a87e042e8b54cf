//! What is meant by what was typed.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::ColorChoice;
use clap_complete::Shell;

use crate::{
    cli::{self, Cli, Command, Format, Kind, Progress, Threshold},
    engine::{
        self,
        alert::{Level, RuleId},
    },
    sink::Emit,
    tap::file::Input,
};

/// How long files are given to bring late frames: captures of two hosts are rarely in step.
const SETTLE: Duration = Duration::from_secs(1);

/// One run.
#[derive(Clone, Debug)]
pub struct Config {
    /// When to use colours.
    pub color: ColorChoice,
    /// What to do.
    pub task: Task,
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Task {
    /// Read captures.
    Read(Box<Read>),
    /// Explain a rule, or list them.
    Explain(Option<RuleId>),
    /// Print the schema.
    Schema,
    /// Print a completion script.
    Completions(Shell),
    /// Print the manual page.
    Man,
}

/// How to read captures.
#[derive(Clone, Debug)]
pub struct Read {
    /// Which.
    pub inputs: Vec<Input>,
    /// How to print.
    pub format: Format,
    /// Whether to show screens instead.
    #[cfg(feature = "tui")]
    pub tui: bool,
    /// What to print.
    pub emit: Emit,
    /// From which level on alerts make the run fail.
    pub fail_on: Option<Level>,
    /// The engine's part.
    pub engine: engine::Config,
    /// Whether secrets are printed.
    pub show_secrets: bool,
    /// Where to print instead of standard output.
    pub output: Option<PathBuf>,
    /// When to show progress.
    pub progress: Progress,
}

/// Why what was typed makes no sense.
#[derive(PartialEq, Eq, thiserror::Error, Debug)]
pub enum ConfigError {
    /// Standard input can be read once.
    #[error("`-` is given more than once; standard input holds one capture")]
    StdinTwice,
    /// The output would destroy a capture.
    #[error("--output {0} is one of the captures to read; name another file")]
    OutputIsInput(String),
}

impl TryFrom<Cli> for Config {
    type Error = ConfigError;

    fn try_from(cli: Cli) -> Result<Self, ConfigError> {
        let Cli { color, command } = cli;
        let task = match command {
            Command::Read(read) => Task::Read(Box::new(Read::try_from(*read)?)),
            Command::Explain { rule } => Task::Explain(rule),
            Command::Schema => Task::Schema,
            Command::Completions { shell } => Task::Completions(shell),
            Command::Man => Task::Man,
        };
        Ok(Self { color, task })
    }
}

impl TryFrom<cli::Read> for Read {
    type Error = ConfigError;

    fn try_from(typed: cli::Read) -> Result<Self, ConfigError> {
        let cli::Read {
            files,
            format,
            #[cfg(feature = "tui")]
            tui,
            emit,
            fail_on,
            idle_min,
            answer_timeout,
            memory_limit,
            show_secrets,
            output,
            progress,
        } = typed;
        let inputs: Vec<Input> = files.into_iter().map(input).collect();
        if inputs.iter().filter(|input| **input == Input::Stdin).count() > 1 {
            return Err(ConfigError::StdinTwice);
        }
        if let Some(output) = &output
            && inputs.iter().any(|input| matches!(input, Input::Path(path) if same_file(path, output)))
        {
            return Err(ConfigError::OutputIsInput(Input::Path(output.clone()).label()));
        }
        let engine = engine::Config { memory_limit, idle_min, answer_timeout, settle: SETTLE };
        let emit = emit.into_iter().map(kind).fold(Emit::NONE, Emit::with);
        Ok(Self {
            inputs,
            format,
            #[cfg(feature = "tui")]
            tui,
            emit,
            fail_on: fail_on.map(level),
            engine,
            show_secrets,
            output,
            progress,
        })
    }
}

fn input(path: PathBuf) -> Input {
    if path == Path::new("-") { Input::Stdin } else { Input::Path(path) }
}

fn same_file(one: &Path, other: &Path) -> bool {
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other && one.is_file(),
        _ => false,
    }
}

const fn level(threshold: Threshold) -> Level {
    match threshold {
        Threshold::Notice => Level::Notice,
        Threshold::Warning => Level::Warning,
        Threshold::Error => Level::Error,
    }
}

const fn kind(kind: Kind) -> Emit {
    match kind {
        Kind::Alert => Emit::ALERT,
        Kind::Attempt => Emit::ATTEMPT,
        Kind::Tunnel => Emit::TUNNEL,
        Kind::Anomaly => Emit::ANOMALY,
        Kind::Stats => Emit::STATS,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn read(arguments: &[&str]) -> Result<Read, ConfigError> {
        let typed = ["observer", "read"].iter().chain(arguments);
        match Config::try_from(Cli::try_parse_from(typed).unwrap())?.task {
            Task::Read(read) => Ok(*read),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn defaults() {
        let read = read(&["a.pcap", "-"]).unwrap();
        assert_eq!(read.inputs, [Input::Path("a.pcap".into()), Input::Stdin]);
        assert_eq!(read.engine.memory_limit, 256 << 20);
        assert_eq!(read.engine.idle_min, Duration::from_millis(4500));
        assert_eq!(read.engine.answer_timeout, Duration::from_secs(30));
        assert_eq!(read.engine.settle, SETTLE);
        assert_eq!((read.fail_on, read.show_secrets, read.output), (None, false, None));
        assert_eq!(read.emit, Emit::ALERT.with(Emit::ATTEMPT).with(Emit::TUNNEL).with(Emit::STATS));
    }

    #[test]
    fn stdin_once() {
        assert_eq!(read(&["-", "-"]).unwrap_err(), ConfigError::StdinTwice);
        assert_eq!(read(&["./-"]).unwrap().inputs, [Input::Path("./-".into())]);
    }

    #[test]
    fn output_never_overwrites_a_capture() {
        let this = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert_eq!(read(&[this, "--output", this]).unwrap_err(), ConfigError::OutputIsInput(this.to_owned()));
    }
}
