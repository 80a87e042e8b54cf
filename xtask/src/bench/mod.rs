//! `cargo xtask bench`: the budgets, measured.

mod delay;
mod figures;
pub(crate) mod instructions;
mod live;
mod offline;
mod scale;

use anyhow::Result;
use clap::Subcommand;

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// How long after the frame that proves it an alert comes, live.
    Delay(delay::Args),
    /// How many instructions it takes to read the standard captures.
    Instructions(instructions::Args),
    /// What the observer costs a busy nginx, beside tcpdump and tshark, and what open tunnels cost the observer.
    Live(live::Args),
    /// How quickly captures are read, beside tcpdump and tshark.
    Offline(offline::Args),
    /// What open connections and tunnels cost, as their number grows.
    Scale(scale::Args),
}

/// Measures it.
pub(crate) fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Delay(args) => delay::run(args),
        Bench::Instructions(args) => instructions::run(args),
        Bench::Live(args) => live::run(args),
        Bench::Offline(args) => offline::run(args),
        Bench::Scale(args) => scale::run(args),
    }
}
