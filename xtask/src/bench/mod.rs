//! `cargo xtask bench`: the budgets, measured.

mod delay;

use anyhow::Result;
use clap::Subcommand;

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// How long after the frame that proves it an alert comes, live.
    Delay(delay::Args),
}

/// Measures it.
pub(crate) fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Delay(args) => delay::run(args),
    }
}
