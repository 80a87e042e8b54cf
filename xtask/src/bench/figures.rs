//! Figures: in the middle, in a table, and in a file.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::workspace;

/// Where measurements leave what they found, and what they measured on.
pub(crate) fn folder() -> Result<PathBuf> {
    let folder = workspace::root().join("target/bench");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}

/// Writes `figures` as JSON to `target/bench/NAME.json`, and says so.
pub(crate) fn save(name: &str, figures: &impl Serialize) -> Result<()> {
    let path = folder()?.join(format!("{name}.json"));
    fs::write(&path, serde_json::to_string_pretty(figures)? + "\n").with_context(|| path.display().to_string())?;
    println!("written to {}", path.display());
    Ok(())
}

/// The value below which `percent` of all lie; of none, zero.
pub(crate) fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
}

/// The value in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    percentile(values, 50)
}

/// Prints rows under a title, the first column to the left and the others to the right.
pub(crate) fn table(title: &[&str], rows: &[Vec<String>]) {
    let title: Vec<_> = title.iter().map(|&word| word.to_owned()).collect();
    let all: Vec<_> = std::iter::once(&title).chain(rows).collect();
    let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<_> = (0..title.len()).map(width).collect();
    for row in all {
        let cells = row.iter().zip(&widths).enumerate().map(|(number, (cell, &width))| match number {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        println!("{}", cells.collect::<Vec<_>>().join("  "));
    }
}
