//! What the kernel tells of running processes.

use std::fs;

use anyhow::{Context, Result};

/// The processes that a process started and that still run.
pub(crate) fn children(pid: u32) -> Result<Vec<u32>> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = fs::read_to_string(&path).context(path)?;
    Ok(text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}

/// Whether a process has anything to do: one of its threads runs, wants to, or waits for a disk.
pub(crate) fn works(pid: u32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    // Whatever is gone by now does not work.
    let mut stats = tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    // After the command's name, which may hold blanks.
    stats.any(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with(['R', 'D'])))
}

/// The names of a process's threads.
pub(crate) fn threads(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.map(|name| name.trim_end().to_owned()).collect()
}

/// Seconds of CPU that a process took so far, its own and the kernel's for it, to 10 ms.
pub(crate) fn cpu(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).context(path)?;
    // After the command's name, which may hold blanks: fields 14 and 15 are ticks of 10 ms.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / 100.0)
}

/// That of a process and of all that it started and that still run.
pub(crate) fn cpu_of_all(pid: u32) -> Result<f64> {
    let of_children = children(pid)?.into_iter().map(cpu_of_all).sum::<Result<f64>>()?;
    Ok(cpu(pid)? + of_children)
}
