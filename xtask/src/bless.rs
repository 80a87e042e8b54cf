//! `cargo xtask bless`: takes what the observer says about the captures as what is expected, unless it is untrue.

use std::{fs, path::Path};

use anyhow::{Result, bail};

use crate::{
    golden::{self, Case, difference},
    workspace,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Cases to bless (all, when none is named).
    cases: Vec<String>,
    /// Bless even what contradicts the truth of `case.toml`.
    #[arg(long)]
    force: bool,
}

/// Rewrites `expected.jsonl` where it changed.
pub(crate) fn run(args: &Args) -> Result<()> {
    let binary = workspace::observer()?;
    let cases = golden::cases(&workspace::captures(), &args.cases)?;
    let (mut blessed, mut refused) = (0, 0);
    for case in &cases {
        match bless(case, &binary, args.force) {
            Ok(changed) => blessed += usize::from(changed),
            Err(error) => {
                println!("{}: REFUSED: {error:#}", case.name);
                refused += 1;
            }
        }
    }
    println!("{} cases: {blessed} changed, {refused} refused", cases.len());
    if refused > 0 { bail!("mend the engine or case.toml, or bless with --force") } else { Ok(()) }
}

fn bless(case: &Case, binary: &Path, force: bool) -> Result<bool> {
    let output = case.golden(binary)?;
    let lies = case.lies(&golden::events(&output)?, false);
    if !lies.is_empty() && !force {
        bail!("{}", lies.join("; "));
    }
    let change = match case.expected()? {
        Some(expected) if expected == output => return Ok(false),
        Some(expected) => difference::between(&expected, &output).join("\n    "),
        None => format!("new, {} lines", output.lines().count()),
    };
    fs::write(case.expected_path(), output)?;
    println!("{}:\n    {change}", case.name);
    Ok(true)
}
