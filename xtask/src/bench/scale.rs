//! `cargo xtask bench scale`: what open connections and tunnels cost, each of them, as their number grows tenfold.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::figures::{self, table};
use crate::{command::output, workspace};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many, one after another.
    #[arg(default_values_t = [10_000, 100_000, 1_000_000])]
    counts: Vec<u32>,
    /// Turns; the quickest counts, as what else a machine does only adds.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// Of so many, as `observer/examples/scale.rs` tells it.
#[derive(Serialize, Deserialize)]
struct Row {
    kind: String,
    count: u32,
    /// What all of them hold, by the kernel's count.
    bytes: u64,
    /// What the engine thinks that it holds, with what it always does.
    estimate: u64,
    /// Of the whole process, at most.
    peak: u64,
    /// For a frame while they are opened.
    opening_ns: f64,
    /// For a frame while all are open, each on another one.
    talking_ns: f64,
}

/// Measures, prints, and writes `target/bench/scale.json`.
pub(crate) fn run(args: &Args) -> Result<()> {
    let scale = workspace::built(&["--example", "scale"])?;
    let mut rows = Vec::new();
    for kind in ["connections", "tunnels", "browsers"] {
        for count in &args.counts {
            rows.push(Row::measure(&scale, kind, *count, args.rounds)?);
        }
    }
    println!(
        "\nopen connections and tunnels (two hops each; those of browsers with their fields and a cookie); the quickest of {} rounds",
        args.rounds
    );
    let title = ["", "count", "bytes each", "MB", "peak MB", "ns a frame, opening", "ns a frame, all open"];
    table(&title, &rows.iter().map(Row::cells).collect::<Vec<_>>());
    figures::save("scale", &rows)
}

impl Row {
    fn measure(scale: &Path, kind: &str, count: u32, rounds: usize) -> Result<Self> {
        let turn = || Ok(serde_json::from_str::<Self>(&output(scale, &[kind, &count.to_string()])?)?);
        let turns = (0..rounds).map(|_| turn()).collect::<Result<Vec<_>>>()?;
        let best = |one: Self, other: Self| Self {
            opening_ns: one.opening_ns.min(other.opening_ns),
            talking_ns: one.talking_ns.min(other.talking_ns),
            ..one
        };
        turns.into_iter().reduce(best).context("there has to be a round")
    }

    #[expect(clippy::cast_precision_loss, reason = "sizes are far below the 52 bits that are exact")]
    fn cells(&self) -> Vec<String> {
        let Self { kind, count, bytes, peak, opening_ns, talking_ns, .. } = self;
        vec![
            kind.clone(),
            count.to_string(),
            format!("{:.0}", *bytes as f64 / f64::from(*count)),
            format!("{:.1}", *bytes as f64 / 1e6),
            format!("{:.1}", *peak as f64 / 1e6),
            format!("{opening_ns:.0}"),
            format!("{talking_ns:.0}"),
        ]
    }
}
