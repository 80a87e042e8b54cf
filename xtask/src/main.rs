//! The project's one task runner: `cargo xtask TASK`.

mod bench;
mod bless;
mod command;
mod demo;
mod diff;
mod ebpf;
mod fuzz;
mod golden;
mod hostile;
mod lab;
mod proc;
mod purity;
mod scenes;
mod setup;
mod sim;
mod skips;
mod soak;
mod supply;
mod test;
mod watch;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of the `observer` project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what is missing, with the system's package manager.
    Setup(setup::Args),
    /// Install what is missing, build, and show the verdict on a bundled capture.
    Demo,
    /// Install what is missing, and run every check; the same as CI does.
    #[command(visible_alias = "ci")]
    Test,
    /// Build the kernel program that the observer embeds, as it is committed.
    BuildEbpf(ebpf::Args),
    /// Take what the observer says about the captures as what is expected.
    Bless(bless::Args),
    /// Hold the observer against tshark: the same upgrade requests, the same 101s; and its time and memory.
    Diff(diff::Args),
    /// Start real proxies, misconfigure them, capture both sides into `captures/`.
    Lab(lab::Args),
    /// Play cases of the lab before `observer live`: it must tell the truth, and what `observer read` tells.
    Scenes(scenes::Args),
    /// Simulate clients, proxies and origins over a wire that loses and mixes up frames; the engine must tell the truth.
    Sim(sim::Args),
    /// Measure a budget.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Run the fuzz targets.
    Fuzz(fuzz::Args),
    /// Play traffic that is made to fill, slow down or fool the observer.
    Hostile(hostile::Args),
    /// Leave `observer live` on a busy nginx for minutes: flat memory, and nothing told that nginx's logs do not prove.
    Soak(soak::Args),
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<()> {
    match task {
        Task::Setup(args) => setup::run(&args),
        Task::Demo => demo::run(),
        Task::Test => test::run(),
        Task::BuildEbpf(args) => ebpf::run(&args),
        Task::Bless(args) => bless::run(&args),
        Task::Diff(args) => diff::run(&args),
        Task::Lab(args) => lab::run(&args),
        Task::Scenes(args) => scenes::run(&args),
        Task::Sim(args) => sim::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Hostile(args) => hostile::run(&args),
        Task::Soak(args) => soak::run(&args),
        Task::Bench(bench) => bench::run(&bench),
    }
}
