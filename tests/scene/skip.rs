//! A test that cannot run here says so where a person sees it: `cargo xtask test` names a file, lists at its end what was
//! put there, and decides what CI may go without.

use std::{env, fs::File, io::Write, thread};

/// Where to put it.
const FILE: &str = "OBSERVER_SKIPPED";

/// Says why the test on this thread is skipped, or a part of it.
pub(crate) fn skip(reason: &str) {
    let line = format!("{}::{}: {reason}\n", env!("CARGO_CRATE_NAME"), thread::current().name().unwrap_or("main"));
    print!("skipped: {line}");
    let Some(file) = env::var_os(FILE) else {
        assert_ne!(env::var("CI").as_deref(), Ok("true"), "in CI only `cargo xtask test` may skip: {line}");
        return;
    };
    // One write each: tests of several threads and programs share the file.
    File::options().append(true).open(file).unwrap().write_all(line.as_bytes()).unwrap();
}
