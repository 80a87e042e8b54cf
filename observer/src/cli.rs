//! What may be typed. Meaning is given to it in [`crate::config`].

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{
    Args, ColorChoice, Parser, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use clap_complete::Shell;

use crate::engine::alert::RuleId;

/// Sees why WebSocket and other HTTP Upgrade handshakes fail behind a reverse proxy.
///
/// Joins each client's upgrade request with the request that the proxy sent upstream for it, says which hop broke it
/// and how, and shows the configuration line that mends it. Strictly passive: it sends nothing.
#[derive(Clone, Debug, Parser)]
#[command(name = "observer", version, disable_help_subcommand = true)]
pub struct Cli {
    /// When to use colours.
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true)]
    pub color: ColorChoice,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Read captures and tell what happened to every upgrade attempt.
    #[command(after_help = READ_NOTES)]
    Read(Box<Read>),
    /// Watch the traffic of this host and tell what happens to every upgrade attempt.
    #[command(after_help = LIVE_NOTES)]
    Live(Box<Live>),
    /// Explain a rule: what it means, its evidence, and fixes for the usual proxies. Without RULE: list the rules.
    Explain {
        /// The rule's id, as in alerts.
        #[arg(value_parser = rule_parser())]
        rule: Option<RuleId>,
    },
    /// Tell whether this user may capture on this host, and what to do if not. Exit code 0 if so, else 3.
    Doctor,
    /// Tell which process holds a socket, for `live`, which starts this itself.
    #[command(hide = true)]
    Owners(Owners),
    /// Remove filters of `live --hook clsact`, which starts this itself.
    #[cfg(feature = "ebpf")]
    #[command(hide = true)]
    Unhook {
        /// The number of the observer whose filters they are.
        owner: u32,
    },
    /// Print the JSON schema of the output of `--format json`.
    Schema,
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page, as roff.
    Man,
}

const READ_NOTES: &str = "\
Captures: pcap and pcapng, packed with gzip or not. Capture both sides of the proxy, together or apart:
  observer read client-side.pcap upstream-side.pcap
  ssh HOST tcpdump -U -w - -i any tcp | observer read -

Exit codes:
  0  done (a capture cut off at its end is read as far as it goes)
  1  alerts reached the level of --fail-on
  2  wrong usage
  3  a capture could not be read, or not to its end, or the output could not be written";

const LIVE_NOTES: &str = "\
Run it on the proxy's host, where both sides of the proxy are seen. `observer doctor` tells whether it may capture.
  sudo observer live
  sudo observer live -i lo -i eth0 --filter 'port 80 or port 3000' --format json

Exit codes:
  0  ended by SIGINT, SIGTERM or a reader that went away
  1  alerts reached the level of --fail-on
  2  wrong usage, or a filter that does not compile
  3  the interface could not be watched, or the output could not be written";

/// The arguments of `read`.
#[derive(Args, Clone, Debug)]
pub struct Read {
    /// Captures, merged by time; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// What to judge and how to print it.
    #[command(flatten)]
    pub report: Report,

    /// When to show a progress bar on standard error.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Progress::Auto)]
    pub progress: Progress,
}

/// What `read` and `live` have in common.
#[derive(Args, Clone, Debug)]
pub struct Report {
    /// How to print [default: text; of `live`: text on a terminal, else json].
    #[arg(long, value_enum)]
    pub format: Option<Format>,

    /// Show screens to walk through instead of a report; `live` does so by itself on a terminal.
    #[cfg(feature = "tui")]
    #[arg(long, conflicts_with_all = ["format", "emit", "output"])]
    pub tui: bool,

    /// Where the key `e` of the screens writes [default: the working directory, or where `live` may not write there, that
    /// of temporary files].
    #[cfg(feature = "tui")]
    #[arg(long, value_name = "DIR")]
    pub export_dir: Option<PathBuf>,

    /// What to print, comma-separated.
    #[arg(
        long,
        value_enum,
        value_name = "KINDS",
        value_delimiter = ',',
        default_values_t = [Kind::Alert, Kind::Attempt, Kind::Tunnel, Kind::Stats],
    )]
    pub emit: Vec<Kind>,

    /// Exit with 1 when there is an alert of this level or above, printed or not.
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub fail_on: Option<Threshold>,

    /// The shortest silence that idle-close speaks of.
    #[arg(long, value_name = "SECONDS", default_value = "4.5", value_parser = seconds)]
    pub idle_min: Duration,

    /// How long a client may wait for an answer before that is the proxy's fault.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub answer_timeout: Duration,

    /// Memory for the state of connections, such as 512MiB or 1G. When it is full, the oldest state is dropped,
    /// counted and reported.
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = size)]
    pub memory_limit: usize,

    /// Print cookies, credentials, query strings and tokens instead of `<redacted>`.
    #[arg(long)]
    pub show_secrets: bool,

    /// Write to FILE instead of standard output. `live` appends to it, and opens it again on SIGHUP.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// The arguments of `live`.
#[derive(Args, Clone, Debug)]
pub struct Live {
    /// The interface to watch; may be given several times. Without it: every interface, also those that appear later.
    #[arg(short, long = "interface", value_name = "IFACE")]
    pub interfaces: Vec<String>,

    /// How to capture.
    #[arg(long, value_enum, default_value_t = Tap::Auto)]
    pub tap: Tap,

    /// Watch only what matches EXPR, in the language of pcap-filter(7); only TCP is watched in any case. Both sides of
    /// the proxy should match.
    #[arg(long, value_name = "EXPR")]
    pub filter: Option<String>,

    /// Room for frames between kernel and observer, for each interface named.
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = size)]
    pub buffer: usize,

    /// How many ordinary requests per second to look at while no upgrade is under way. With the tap in the kernel, the
    /// others stay there: they are only counted.
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    pub ordinary: u32,

    /// How to attach the program in the kernel.
    #[cfg(feature = "ebpf")]
    #[arg(long, value_enum, default_value_t = Hook::Auto)]
    pub hook: Hook,

    /// What to give up before the first frame is read.
    #[command(flatten)]
    pub fence: Fencing,

    /// Fold alerts that follow one of the same rule, proxy, origin and path within SECONDS into one line with their
    /// number; for --format json.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub aggregate: Option<Duration>,

    /// Tell counters to Prometheus at http://ADDR/metrics, such as 127.0.0.1:9464.
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<SocketAddr>,

    /// What to judge and how to print it.
    #[command(flatten)]
    pub report: Report,
}

/// What is given up, by `live` and by what it starts.
#[derive(Args, Clone, Debug)]
pub struct Fencing {
    /// Whether to give up privileges, files, ports and system calls before the first frame is read.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Fence::Auto)]
    pub fence: Fence,

    /// User that root becomes behind the fence [default: the caller of sudo, else nobody; without Landlock nobody].
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
}

/// The arguments of `owners`.
#[derive(Args, Clone, Debug)]
pub struct Owners {
    /// What to give up first.
    #[command(flatten)]
    pub fence: Fencing,
}

/// Whether to raise the fence.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Fence {
    /// As far as this system can; what it lacks is told.
    Auto,
    /// No. An interface that was named with -i and vanished can then be opened again.
    Off,
    /// All of it, or do not start.
    Require,
}

/// How to capture.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Tap {
    /// The best that works here: ebpf, else pcap; with --filter always pcap.
    Auto,
    /// A program in the kernel, which copies only what is needed.
    #[cfg(feature = "ebpf")]
    Ebpf,
    /// libpcap, which copies every frame of TCP.
    Pcap,
}

/// How to attach the program in the kernel.
#[cfg(feature = "ebpf")]
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Hook {
    /// As this kernel has it.
    Auto,
    /// By links, of Linux 6.6. They end with the observer, however it ends.
    Tcx,
    /// By filters, as older kernels have it. Another process removes them at the end.
    Clsact,
}

/// How to print.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line; see `observer schema`.
    Json,
}

/// Kinds of output.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Kind {
    /// Judgements: a rule fired.
    Alert,
    /// Every upgrade attempt, when its handshake is decided.
    Attempt,
    /// Every tunnel, when it ends.
    Tunnel,
    /// Oddities on the wire.
    Anomaly,
    /// Counters.
    Stats,
}

/// The levels of alerts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Threshold {
    /// Worth knowing.
    Notice,
    /// Likely to hurt.
    Warning,
    /// Broken.
    Error,
}

/// When to show a progress bar.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Progress {
    /// On a terminal, when it takes over a second.
    Auto,
    /// Never.
    Never,
}

fn rule_parser() -> impl TypedValueParser<Value = RuleId> {
    PossibleValuesParser::new(RuleId::ALL.map(RuleId::as_str))
        .try_map(|id| RuleId::from_id(&id).ok_or("there is no such rule"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "write seconds as a number, such as 4.5".to_owned())?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|span| *span <= Duration::from_secs(366 * 86_400))
        .ok_or_else(|| "it must lie between 0 and one year".to_owned())
}

/// The least `--memory-limit`.
const MEMORY_MIN: usize = 1 << 20;

fn size(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        _ => return Err("write a size as a number with K, M or G, such as 256MiB".to_owned()),
    };
    let number: usize = digits.parse().map_err(|_| "write a size as a number, such as 256MiB".to_owned())?;
    let bytes = number.checked_mul(1 << shift).ok_or("it is more than this machine can address")?;
    if bytes < MEMORY_MIN { Err("it must be at least 1MiB".to_owned()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("1048576", Some(1 << 20)),
            ("1024K", Some(1 << 20)),
            ("256MiB", Some(256 << 20)),
            ("2g", Some(2 << 30)),
            ("2GiB", Some(2 << 30)),
            ("10", None),
            ("1MB", None),
            ("M", None),
            ("-1M", None),
            ("99999999999999999999G", None),
            ("9999999999999G", None),
            ("1µ", None),
        ] {
            assert_eq!(size(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn spans() {
        assert_eq!(seconds("4.5"), Ok(Duration::from_millis(4500)));
        for text in ["-1", "NaN", "inf", "1e300", "soon", ""] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
