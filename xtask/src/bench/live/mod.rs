//! `cargo xtask bench live`: what it costs to leave the observer on, beside what people would use instead. A real nginx
//! works under a bounded load on the loopback of a namespace, watched in turn by nobody and by each.

mod requests;
mod tunnels;
mod watcher;

use anyhow::Result;
use serde::Serialize;

use super::figures;
use crate::lab::Lab;

/// What of it.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Small requests, as many as nginx answers.
    Requests,
    /// Open tunnels with bytes in them.
    Tunnels,
}

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Measure only this.
    part: Option<Part>,
    /// Turns of each watcher.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long wrk runs in each turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// Connections of wrk.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=256))]
    connections: u32,
    /// Upgrades that fail in each turn, beside the requests.
    #[arg(long, default_value_t = 40)]
    upgrades: u32,
    /// Tunnels that are open.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=2000))]
    tunnels: u64,
    /// What all tunnels move in a turn, in millions of bytes.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    megabytes: u64,
    /// Bytes of a message.
    #[arg(long, default_value_t = 16_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    length: u64,
    /// Over how many seconds the messages are spread.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=120))]
    tunnel_seconds: u32,
    /// Turns of each tap on the tunnels.
    #[arg(long, default_value_t = 2)]
    tunnel_rounds: usize,
}

/// What was found.
#[derive(Serialize)]
struct Figures {
    requests: Vec<requests::Row>,
    tunnels: Vec<tunnels::Row>,
}

/// Measures, prints, and writes `target/bench/live.json`.
pub(crate) fn run(args: &Args) -> Result<()> {
    let lab = Lab::locate()?;
    lab.prepare()?;
    let mut figures = Figures { requests: Vec::new(), tunnels: Vec::new() };
    if args.part != Some(Part::Tunnels) {
        figures.requests = requests::measure(args, &lab)?;
        requests::print(args, &figures.requests);
    }
    if args.part != Some(Part::Requests) {
        figures.tunnels = tunnels::measure(args, &lab)?;
        tunnels::print(args, &figures.tunnels);
    }
    figures::save("live", &figures)
}
