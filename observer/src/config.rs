//! What is meant by what was typed.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::ColorChoice;
use clap_complete::Shell;

#[cfg(feature = "pcap")]
use crate::tap::{Choice, live};
use crate::{
    cli::{self, Cli, Command, Format, Kind, Progress, Threshold},
    engine::{
        self,
        alert::{Level, RuleId},
        clocks::Clocks,
    },
    sink::Emit,
    tap::file::Input,
};

/// How long files are given to bring late frames: captures of two hosts are rarely in step.
const SETTLE: Duration = Duration::from_secs(1);

/// What part of the memory limit is for the connections of which the kernel leaves payload out, beside it.
#[cfg(feature = "pcap")]
const KEPT_PART: usize = 6;
/// What part of it is for the records that wait for a reader.
#[cfg(feature = "pcap")]
const FEED_PART: usize = 8;

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
    /// Watch this host.
    #[cfg(feature = "pcap")]
    Live(Box<Live>),
    /// Look whether this host can be watched.
    #[cfg(feature = "pcap")]
    Doctor,
    /// Answer which process holds a socket.
    #[cfg(feature = "pcap")]
    Owners(Fence),
    /// Remove the filters of the observer with this number.
    #[cfg(feature = "ebpf")]
    Unhook(u32),
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
    /// What to print, how and where.
    pub report: Report,
    /// The engine's part.
    pub engine: engine::Config,
    /// When to show progress.
    pub progress: Progress,
}

/// What to print, how and where.
#[derive(Clone, Debug)]
pub struct Report {
    /// How to print.
    pub format: Format,
    /// Whether to show screens instead.
    #[cfg(feature = "tui")]
    pub tui: bool,
    /// Where screens export to.
    #[cfg(feature = "tui")]
    pub export_dir: Option<PathBuf>,
    /// What to print.
    pub emit: Emit,
    /// From which level on alerts make the run fail.
    pub fail_on: Option<Level>,
    /// Whether secrets are printed.
    pub show_secrets: bool,
    /// Where to print instead of standard output.
    pub output: Option<PathBuf>,
}

/// How to watch this host.
#[cfg(feature = "pcap")]
#[derive(Clone, Debug)]
pub struct Live {
    /// How to capture.
    pub choice: crate::tap::Choice,
    /// What to capture.
    pub tap: live::Options,
    /// What to give up before.
    pub fence: Fence,
    /// The window in which like alerts are folded.
    pub aggregate: Option<Duration>,
    /// Where counters are told to Prometheus.
    pub metrics: Option<std::net::SocketAddr>,
    /// What to print, how and where.
    pub report: Report,
    /// What records that wait for a reader may hold, in bytes.
    pub feed_memory: usize,
    /// The engine's part.
    pub engine: engine::Config,
}

/// What to give up before the first frame is read.
#[cfg(feature = "pcap")]
#[derive(Clone, Debug)]
pub struct Fence {
    /// Whether.
    pub raise: cli::Fence,
    /// Whom root becomes.
    pub user: Option<String>,
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
    /// Only lines are folded.
    #[error("--aggregate is for --format json; the text and the screens tell what is alike once by themselves")]
    AggregateText,
    /// Screens are no feed.
    #[error("--metrics is for --format json or text, not for the screens")]
    MetricsScreens,
    /// Filters are libpcap's.
    #[cfg(feature = "ebpf")]
    #[error("--filter is in libpcap's language; use it with --tap pcap")]
    EbpfFilter,
    /// This program was built without live capture.
    #[error("this observer was built without live capture; build it with the feature `pcap`, or use `observer read`")]
    NoLive,
}

impl TryFrom<Cli> for Config {
    type Error = ConfigError;

    fn try_from(cli: Cli) -> Result<Self, ConfigError> {
        let Cli { color, command } = cli;
        let task = match command {
            Command::Read(read) => Task::Read(Box::new(Read::try_from(*read)?)),
            #[cfg(feature = "pcap")]
            Command::Live(live) => Task::Live(Box::new(Live::try_from(*live)?)),
            #[cfg(not(feature = "pcap"))]
            Command::Live(_) | Command::Doctor | Command::Owners(_) => return Err(ConfigError::NoLive),
            #[cfg(feature = "pcap")]
            Command::Doctor => Task::Doctor,
            #[cfg(feature = "pcap")]
            Command::Owners(cli::Owners { fence }) => Task::Owners(fence.into()),
            #[cfg(feature = "ebpf")]
            Command::Unhook { owner } => Task::Unhook(owner),
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
        let cli::Read { files, report, progress } = typed;
        let (report, engine) = judged(report, Format::Text, SETTLE);
        let inputs: Vec<Input> = files.into_iter().map(input).collect();
        if inputs.iter().filter(|input| **input == Input::Stdin).count() > 1 {
            return Err(ConfigError::StdinTwice);
        }
        if let Some(output) = &report.output
            && inputs.iter().any(|input| matches!(input, Input::Path(path) if same_file(path, output)))
        {
            return Err(ConfigError::OutputIsInput(Input::Path(output.clone()).label()));
        }
        Ok(Self { inputs, report, engine, progress })
    }
}

#[cfg(feature = "pcap")]
impl TryFrom<cli::Live> for Live {
    type Error = ConfigError;

    fn try_from(typed: cli::Live) -> Result<Self, ConfigError> {
        let cli::Live {
            interfaces,
            tap,
            filter,
            buffer,
            ordinary,
            #[cfg(feature = "ebpf")]
            hook,
            fence,
            aggregate,
            metrics,
            report,
        } = typed;
        #[cfg(feature = "ebpf")]
        let hook = match hook {
            cli::Hook::Auto => live::Hook::Auto,
            cli::Hook::Tcx => live::Hook::Tcx,
            cli::Hook::Clsact => live::Hook::Clsact,
        };
        #[cfg(not(feature = "ebpf"))]
        let hook = live::Hook::Auto;
        let choice = match tap {
            cli::Tap::Auto => Choice::Auto,
            #[cfg(feature = "ebpf")]
            cli::Tap::Ebpf if filter.is_some() => return Err(ConfigError::EbpfFilter),
            #[cfg(feature = "ebpf")]
            cli::Tap::Ebpf => Choice::Ebpf,
            cli::Tap::Pcap => Choice::Pcap,
        };
        let on_terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
        #[cfg(feature = "tui")]
        let screens = report.tui || (on_terminal && report.format.is_none() && report.output.is_none());
        let default = if on_terminal { Format::Text } else { Format::Json };
        #[cfg_attr(not(feature = "tui"), expect(unused_mut, reason = "only screens change it"))]
        let (mut report, mut engine) = judged(report, default, engine::Config::default().settle);
        #[cfg(feature = "tui")]
        {
            report.tui = screens;
            if screens && metrics.is_some() {
                return Err(ConfigError::MetricsScreens);
            }
        }
        if aggregate.is_some() && report.format != Format::Json {
            return Err(ConfigError::AggregateText);
        }
        let fence = fence.into();
        let memory = engine.memory_limit / KEPT_PART;
        let tap = live::Options { interfaces, filter, buffer, ordinary, hook, memory };
        let feed_memory = engine.memory_limit / FEED_PART;
        engine.memory_limit -= feed_memory;
        Ok(Self { choice, tap, fence, aggregate, metrics, report, feed_memory, engine })
    }
}

#[cfg(feature = "pcap")]
impl From<cli::Fencing> for Fence {
    fn from(typed: cli::Fencing) -> Self {
        let cli::Fencing { fence, user } = typed;
        Self { raise: fence, user }
    }
}

/// The parts that `read` and `live` share.
fn judged(typed: cli::Report, default: Format, settle: Duration) -> (Report, engine::Config) {
    let cli::Report {
        format,
        #[cfg(feature = "tui")]
        tui,
        #[cfg(feature = "tui")]
        export_dir,
        emit,
        fail_on,
        idle_min,
        answer_timeout,
        memory_limit,
        show_secrets,
        output,
    } = typed;
    let engine =
        engine::Config { memory_limit, idle_min, answer_timeout, settle, demanding: false, clocks: Clocks::default() };
    let emit = emit.into_iter().map(kind).fold(Emit::NONE, Emit::with);
    let format = format.unwrap_or(default);
    let report = Report {
        format,
        #[cfg(feature = "tui")]
        tui,
        #[cfg(feature = "tui")]
        export_dir,
        emit,
        fail_on: fail_on.map(level),
        show_secrets,
        output,
    };
    (report, engine)
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
        assert_eq!((read.report.fail_on, read.report.show_secrets, read.report.output), (None, false, None));
        assert_eq!(read.report.emit, Emit::ALERT.with(Emit::ATTEMPT).with(Emit::TUNNEL).with(Emit::STATS));
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
