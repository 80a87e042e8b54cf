//! `cargo xtask bench offline`: how quickly captures are read, beside tcpdump, tshark, tcpflow and the floor: reading the
//! file at all, and walking over its records. In turn, several times, on the same files in the same run.

mod chart;
mod contestant;
mod input;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::Value;

use self::{
    contestant::{Contestant, Turn},
    input::{Input, Shape},
};
use super::figures::{self, median, table};
use crate::{
    command::{output, quietly},
    golden,
    lab::Lab,
    setup, workspace,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Measure only these.
    shapes: Vec<Shape>,
    /// The size of each capture, in millions of bytes.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    scale: u64,
    /// Turns of each program.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Tunnels that are open at the same time, when the captures are made.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..=8000))]
    tunnels: u64,
    /// How much of a capture those read that are too slow for all of it, in frames.
    #[arg(long, default_value_t = 100_000)]
    part: u32,
}

/// One program on one shape.
#[derive(Serialize)]
struct Row {
    name: &'static str,
    turns: Vec<Turn>,
    /// Medians, for the whole file: where it read a part, by the bytes.
    seconds: f64,
    cpu_seconds: f64,
    memory: u64,
    /// Of the first one's.
    ratio: f64,
}

/// One shape.
#[derive(Serialize)]
struct Table {
    shape: &'static str,
    megabytes: f64,
    frames: u32,
    rows: Vec<Row>,
}

/// Measures, prints, and writes `target/bench/offline.json` and `offline.svg`.
pub(crate) fn run(args: &Args) -> Result<()> {
    let lab = Lab::locate()?;
    lab.prepare()?;
    if !setup::is_installed("tcpflow") {
        setup::install(&["tcpflow"])?;
    }
    let all = [Shape::Small, Shape::Large, Shape::Tunnels];
    let shapes = if args.shapes.is_empty() { &all[..] } else { &args.shapes };
    let inputs = shapes.iter().map(|shape| Ok((*shape, shape.input(args, &lab)?))).collect::<Result<Vec<_>>>()?;
    let contestants = contestant::all()?;
    let mut tables = Vec::new();
    for (shape, input) in &inputs {
        check(input)?;
        let table = measure(args, *shape, input, &contestants)?;
        table.print(args);
        tables.push(table);
    }
    figures::save("offline", &tables)?;
    chart::draw(&figures::folder()?.join("offline.svg"), &tables)
}

/// The observer has to find what is there.
fn check(input: &Input) -> Result<()> {
    let path = input.path.to_str().context("the path is not UTF-8")?;
    let said = output(workspace::observer()?, &["read", "--format", "json", "--emit", "stats", path])?;
    let stats = golden::events(&said)?.pop().context("it told nothing")?;
    let counts = ["/details/attempts/refused", "/details/tunnels", "/details/frames"];
    let found = counts.map(|place| stats.pointer(place).and_then(Value::as_u64).unwrap_or_default());
    let expected = [input.refused, input.tunnels, input.frames.into()];
    if found != expected {
        bail!("{path}: refused, tunnels and frames are {expected:?}, the observer found {found:?}");
    }
    Ok(())
}

fn measure(args: &Args, shape: Shape, input: &Input, contestants: &[Contestant]) -> Result<Table> {
    let part = part(&input.path, args.part)?;
    let mut rows: Vec<_> = contestants.iter().map(|contestant| Row::new(contestant.name)).collect();
    for round in 0..args.rounds {
        for (row, contestant) in rows.iter_mut().zip(contestants) {
            if contestant.slow && round > 0 {
                continue;
            }
            row.turns.push(contestant.read(if contestant.slow { &part } else { &input.path })?);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "sizes are far below the 52 bits that are exact")]
    let bytes = |path: &Path| Ok::<_, anyhow::Error>(std::fs::metadata(path)?.len() as f64);
    let whole = bytes(&input.path)?;
    let scale = whole / bytes(&part)?;
    std::fs::remove_file(part)?;
    for (row, contestant) in rows.iter_mut().zip(contestants) {
        row.summarize(if contestant.slow { scale } else { 1.0 });
    }
    let first = rows[0].seconds;
    rows.iter_mut().for_each(|row| row.ratio = row.seconds / first);
    Ok(Table { shape: shape.name(), megabytes: whole / 1e6, frames: input.frames, rows })
}

/// The first frames of a capture.
fn part(path: &Path, frames: u32) -> Result<PathBuf> {
    let part = path.with_extension("part.pcap");
    let mut cut = std::process::Command::new("tcpdump");
    cut.args(["-Z", "root", "-c", &frames.to_string(), "-r"]).arg(path).arg("-w").arg(&part);
    quietly(&mut cut)?;
    Ok(part)
}

impl Row {
    fn new(name: &'static str) -> Self {
        Self { name, turns: Vec::new(), seconds: 0.0, cpu_seconds: 0.0, memory: 0, ratio: 1.0 }
    }

    fn summarize(&mut self, scale: f64) {
        let middle = |of: fn(&Turn) -> f64| scale * median(&self.turns.iter().map(of).collect::<Vec<_>>());
        (self.seconds, self.cpu_seconds) = (middle(|turn| turn.seconds), middle(|turn| turn.cpu_seconds));
        self.memory = self.turns.iter().map(|turn| turn.memory).max().unwrap_or_default();
    }

    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    fn cells(&self) -> Vec<String> {
        vec![
            self.name.to_owned(),
            format!("{:.3}", self.seconds),
            format!("{:.2}", self.ratio),
            format!("{:.3}", self.cpu_seconds),
            format!("{:.1}", self.memory as f64 / 1e6),
        ]
    }
}

impl Table {
    fn print(&self, args: &Args) {
        let Self { shape, megabytes, frames, rows } = self;
        println!("\n{shape}: {megabytes:.0} MB, {frames} frames; medians of {} rounds", args.rounds);
        table(&["", "seconds", "ratio", "cpu s", "MB"], &rows.iter().map(Row::cells).collect::<Vec<_>>());
    }
}
