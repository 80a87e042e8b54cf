//! Every capture of a real proxy: the output is the one that was blessed, obeys the schema, tells the truth, and
//! gives no secret away.
#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

#[path = "../xtask/src/golden/mod.rs"]
mod golden;

use std::{
    path::Path,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use golden::Case;

/// Every secret of the captures named `secrets-*` holds this word.
const SECRET: &str = "hunter2";

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_observer"))
}

/// Runs `check` on every case whose name begins with `prefix`, and fails with all that it complains about.
fn every_case(prefix: &str, check: impl Fn(&Case) -> anyhow::Result<Vec<String>> + Sync) {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures");
    let mut cases = golden::cases(&captures, &[]).unwrap();
    cases.retain(|case| case.name.starts_with(prefix));
    assert!(!cases.is_empty(), "no case {prefix}*");
    let (next, complaints) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let lines = check(case).unwrap_or_else(|error| vec![format!("{error:#}")]);
                    complaints.lock().unwrap().extend(lines.into_iter().map(|line| format!("{}: {line}", case.name)));
                }
            });
        }
    });
    let mut complaints = complaints.into_inner().unwrap();
    complaints.sort();
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn output_is_as_blessed() {
    every_case("", |case| {
        Ok(match case.expected()? {
            Some(expected) => golden::difference::between(&expected, &case.golden(binary())?),
            None => vec![format!("was never blessed: cargo xtask bless {}", case.name)],
        })
    });
}

/// The output of the cases in `captures/open` is not right yet. When one becomes right, it moves one folder up.
#[test]
fn open_cases_are_still_open() {
    let open = Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures/open");
    let right = golden::cases(&open, &[]).unwrap().into_iter().filter(|case| {
        let output = case.golden(binary()).unwrap();
        case.lies(&golden::events(&output).unwrap(), false).is_empty()
    });
    let right: Vec<_> = right.map(|case| case.name).collect();
    assert!(right.is_empty(), "right now, so `git mv captures/open/NAME captures/NAME`: {right:?}");
}

#[test]
fn output_is_true() {
    every_case("", |case| Ok(case.lies(&golden::events(&case.golden(binary())?)?, false)));
}

#[test]
fn output_obeys_the_schema() {
    let schema = Command::new(binary()).arg("schema").output().unwrap();
    assert!(schema.status.success(), "{schema:?}");
    let validator = jsonschema::validator_for(&serde_json::from_slice(&schema.stdout).unwrap()).unwrap();
    every_case("", |case| {
        let output = case.golden(binary())?;
        let complaints = (1..).zip(golden::events(&output)?).filter_map(|(number, event)| {
            let error = validator.validate(&event).err()?;
            Some(format!("line {number}: {} {error:.200}", error.instance_path()))
        });
        let long = output.lines().filter(|line| line.len() >= 16 << 10);
        Ok(complaints.chain(long.map(|line| format!("a line of {} bytes", line.len()))).collect())
    });
}

#[test]
fn control_characters_are_never_printed_raw() {
    every_case("", |case| {
        let outputs = [case.golden(binary())?, case.read(binary(), &[])?];
        let raw = outputs.iter().flat_map(|text| text.chars()).filter(|c| c.is_control() && *c != '\n');
        Ok(raw.map(|c| format!("prints {c:?}")).collect())
    });
}

#[test]
fn secrets_are_printed_only_on_demand() {
    every_case("secrets-", |case| {
        let mut complaints = Vec::new();
        for format in ["text", "json"] {
            if case.read(binary(), &["--format", format])?.contains(SECRET) {
                complaints.push(format!("{format} gives a secret away"));
            }
        }
        if !case.read(binary(), &["--format", "json", "--show-secrets"])?.contains(SECRET) {
            complaints.push("--show-secrets shows none".to_owned());
        }
        Ok(complaints)
    });
}
