//! What fuzzers run, without a fuzzer: on every capture, on what a few changes make of it, and on all that fuzzers found.
#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

#[path = "../fuzz/src/mod.rs"]
#[allow(dead_code, missing_docs, unreachable_pub, reason = "it is the fuzz targets' as well")]
mod bodies;

use std::{fs, panic, path::Path};

/// Changed copies of each seed.
const COPIES: u64 = 4;

/// Runs a body; says on what it failed.
fn run((name, body): bodies::Body, of: &str, bytes: &[u8]) {
    let run = panic::catch_unwind(|| body(bytes));
    assert!(run.is_ok(), "{name} on {of}: {}", bytes.escape_ascii());
}

/// A copy with a few bytes changed, taken out, or said twice.
fn changed(bytes: &[u8], seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 8).unwrap() % below.max(1)
    };
    let mut bytes = bytes.to_vec();
    for _ in 0..=random(6) {
        let at = random(bytes.len());
        match random(3) {
            0 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'\r', b'\n', 0x1b][random(8)],
            1 => drop(bytes.drain(at..(at + random(64)).min(bytes.len()))),
            _ => bytes.extend_from_within(at..(at + random(64)).min(bytes.len())),
        }
        if bytes.is_empty() {
            bytes.push(0);
        }
    }
    bytes
}

#[test]
fn captures_and_what_is_like_them_do_no_harm() {
    let captures = bodies::seeds::captures(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../captures"))).unwrap();
    let mut runs = 0;
    for capture in captures {
        let of = capture.display().to_string();
        for seed in bodies::seeds::of(&capture).unwrap() {
            let body = *bodies::BODIES.iter().find(|(name, _)| *name == seed.body).unwrap();
            run(body, &of, &seed.bytes);
            (1..=COPIES).for_each(|copy| run(body, &of, &changed(&seed.bytes, runs * COPIES + copy)));
            runs += 1;
        }
    }
    assert!(runs > 500, "{runs} seeds");
}

#[test]
#[ignore = "`cargo xtask fuzz` begins with it"]
fn seeds_are_written() {
    let corpus = std::env::var_os("FUZZ_CORPUS").expect("FUZZ_CORPUS is a folder");
    for capture in bodies::seeds::captures(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../captures"))).unwrap() {
        let case = capture.parent().and_then(Path::file_name).unwrap().to_string_lossy();
        for (number, seed) in bodies::seeds::of(&capture).unwrap().into_iter().enumerate() {
            let folder = Path::new(&corpus).join(seed.body);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(format!("{case}-{number}")), seed.bytes).unwrap();
        }
    }
}

#[test]
fn what_was_found_is_mended() {
    for body in bodies::BODIES {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/found")).join(body.0);
        for file in fs::read_dir(folder).into_iter().flatten() {
            let path = file.unwrap().path();
            run(body, &path.display().to_string(), &fs::read(&path).unwrap());
        }
    }
}
