//! `cargo xtask test`: every check, in the order in which they are quick to fail; the first that fails ends it. What was
//! skipped is listed at the end.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::{
    bench::instructions,
    command::openly,
    diff, ebpf, hostile, purity, scenes,
    setup::{self, Purpose},
    skips, soak, supply,
    workspace::{cargo, with_features},
};

/// A name and what is done under it.
type Step = (&'static str, fn() -> Result<()>);

/// The engine's own tests come last: whoever reads only the end of the output sees how many passed.
const STEPS: [Step; 15] = [
    ("setup", || setup::prepare(Purpose::Test)),
    ("format", || openly(&mut cargo(&["fmt", "--all", "--check"]))),
    ("the engine is pure", purity::check),
    ("what is unsafe has its reason", supply::unsafe_code),
    ("what it is made of is known", supply::deny),
    ("the kernel program is what its source gives", ebpf::check),
    ("clippy", || {
        openly(with_features(&["clippy", "--quiet", "--workspace", "--all-targets"]).args(["--", "-D", "warnings"]))
    }),
    ("documentation", || {
        openly(with_features(&["doc", "--quiet", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
    }),
    ("tests", || skips::of_tests(&mut with_features(&["test", "--workspace"]))),
    ("tshark sees the same", diff::captures),
    ("reading takes no more instructions", instructions::check),
    ("hostile traffic does no harm", hostile::check),
    ("live sees the same", scenes::check),
    ("nginx's logs prove what is told", soak::check),
    ("the engine alone", || openly(&mut cargo(&["test", "--package", "observer", "--lib", "--no-default-features"]))),
];

/// Runs the steps, and lists what was skipped.
pub(crate) fn run() -> Result<()> {
    let outcome = steps();
    println!();
    skips::list().iter().for_each(|line| println!("{line}"));
    println!("== {}", outcome?);
    Ok(())
}

/// Runs the steps. Says how long each of them took.
#[expect(clippy::disallowed_methods, reason = "a person waits for these steps and wants to know for how long")]
fn steps() -> Result<String> {
    let start = Instant::now();
    let mut times = Vec::new();
    for (name, step) in STEPS {
        println!("\n== {name}");
        let begin = Instant::now();
        step().with_context(|| format!("failed: {name}"))?;
        println!("== {name}: done in {:.1} s", begin.elapsed().as_secs_f32());
        times.push(format!("{name} {:.0} s", begin.elapsed().as_secs_f32()));
    }
    Ok(format!("all passed in {:.0} s: {}", start.elapsed().as_secs_f32(), times.join(", ")))
}
