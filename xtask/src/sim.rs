//! `cargo xtask sim`: the simulation of `tests/sim` over any number of seeds, or one of them played again in full.

use std::path::PathBuf;

use anyhow::Result;

use crate::{command::openly, workspace::cargo};

/// Plays simulated clients, proxies and origins, and holds the engine to what is true.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many seeds to play.
    #[arg(long, default_value_t = 100_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Play one seed and show all that happens there.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Write that seed's captures to this file and to files with `.damaged` and `.foreign-gap` behind its name.
    #[arg(long, requires = "seed", value_name = "FILE")]
    pcap: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut test = cargo(&["test", "--release", "--package", "observer", "--no-default-features", "--features", "app"]);
    test.args(["--test", "sim", "--", "--nocapture"]);
    match args.seed {
        Some(seed) => test.args(["--ignored", "replay"]).env("SIM_SEED", seed.to_string()),
        None => test.env("SIM_FROM", args.from.to_string()).env("SIM_SEEDS", args.seeds.to_string()),
    };
    if let Some(path) = &args.pcap {
        test.env("SIM_PCAP", std::path::absolute(path)?);
    }
    openly(&mut test)
}
