//! The project's one task runner: `cargo xtask TASK`.

mod lab;

use clap::{Parser, Subcommand};

/// Tasks of the `observer` project.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Start real proxies, misconfigure them, capture both sides into `captures/`.
    Lab(lab::Args),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().task {
        Task::Lab(args) => lab::run(&args),
    }
}
