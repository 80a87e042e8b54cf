//! Golden captures: a case of `captures/` and what the binary says about it, held against the truth and against what
//! was blessed. Shared, as source, by `cargo xtask bless` and the test `tests/captures.rs`.

pub(crate) mod alert;
pub(crate) mod difference;
pub(crate) mod truth;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

/// What the golden output holds: everything.
const ALL_KINDS: &str = "alert,attempt,tunnel,anomaly,stats";

/// One directory of `captures/`.
pub(crate) struct Case {
    pub(crate) name: String,
    folder: PathBuf,
    spec: Spec,
}

/// `case.toml`.
#[derive(Deserialize)]
struct Spec {
    /// The proxies on the way, as `haproxy/2.6.12 -> nginx/1.22.1`.
    proxy: String,
    files: Vec<String>,
    #[serde(default)]
    args: Vec<String>,
    truth: truth::Truth,
}

/// The cases named, or all of them, by name.
pub(crate) fn cases(captures: &Path, names: &[String]) -> Result<Vec<Case>> {
    if !names.is_empty() {
        return names.iter().map(|name| Case::load(captures, name)).collect();
    }
    let mut cases = BTreeMap::new();
    for entry in fs::read_dir(captures).with_context(|| captures.display().to_string())? {
        let entry = entry?;
        if entry.path().join("case.toml").exists() {
            let name = entry.file_name().to_string_lossy().into_owned();
            cases.insert(name.clone(), Case::load(captures, &name)?);
        }
    }
    Ok(cases.into_values().collect())
}

impl Case {
    fn load(captures: &Path, name: &str) -> Result<Self> {
        let folder = captures.join(name);
        let text = fs::read_to_string(folder.join("case.toml")).with_context(|| format!("there is no case {name}"))?;
        let spec: Spec = toml::from_str(&text).with_context(|| format!("{name}/case.toml"))?;
        spec.truth.check().with_context(|| format!("{name}/case.toml"))?;
        Ok(Self { name: name.to_owned(), folder, spec })
    }

    /// The golden output of `binary`, which must read the case without complaint.
    pub(crate) fn golden(&self, binary: &Path) -> Result<String> {
        self.read(binary, &["--format", "json", "--emit", ALL_KINDS])
    }

    /// What `binary` prints with `args`. It runs in the case's own folder, so that no path of this machine is printed.
    pub(crate) fn read(&self, binary: &Path, args: &[&str]) -> Result<String> {
        let mut command = Command::new(binary);
        command.arg("read").args(args).args(&self.spec.args).args(&self.spec.files);
        command.current_dir(&self.folder).env("NO_COLOR", "1").stdin(Stdio::null());
        let Output { status, stdout, stderr } = command.output().with_context(|| binary.display().to_string())?;
        let problems = String::from_utf8_lossy(&stderr);
        if !status.success() || !problems.is_empty() {
            bail!("{status}: {}", problems.trim());
        }
        String::from_utf8(stdout).context("the output is not UTF-8")
    }

    /// What was blessed, if ever.
    pub(crate) fn expected(&self) -> Result<Option<String>> {
        match fs::read_to_string(self.expected_path()) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| self.expected_path().display().to_string()),
        }
    }

    /// Where it is kept.
    pub(crate) fn expected_path(&self) -> PathBuf {
        self.folder.join("expected.jsonl")
    }

    /// Hops at which `events` name another product than the one that was there, one line each.
    fn other_products(&self, events: &[Value]) -> Vec<String> {
        let real: Vec<_> =
            self.spec.proxy.split("->").map(|proxy| proxy.trim().split('/').next().unwrap_or("")).collect();
        let mut lines = Vec::new();
        for event in of(events, "observer.attempt") {
            let hops = event.pointer("/attempt/hops").and_then(Value::as_array).into_iter().flatten();
            let is_on_path = |hop: &&Value| !matches!(text(hop, "/role"), Some("retry" | "side"));
            for (place, hop) in hops.filter(is_on_path).enumerate() {
                let there = |name: &str| match text(hop, "/role") {
                    Some("only") => real.iter().any(|real| real.eq_ignore_ascii_case(name)),
                    _ => real.get(place).is_some_and(|real| real.eq_ignore_ascii_case(name)),
                };
                let candidates = hop.pointer("/product_candidates").and_then(Value::as_array);
                let named = text(hop, "/product/name").is_some_and(|name| !there(name));
                let excluded = candidates.is_some_and(|all| !all.iter().filter_map(Value::as_str).any(there));
                if named || excluded {
                    lines.push(format!("hop {place} is {}, not {:?}", self.spec.proxy, hop.pointer("/product")));
                }
            }
        }
        lines
    }

    /// Where `events` contradict what is known to have happened, one line each. Where the case was played on another
    /// network, its addresses are `moved`.
    pub(crate) fn lies(&self, events: &[Value], moved: bool) -> Vec<String> {
        let mut lies = self.spec.truth.contradictions(events, moved);
        lies.extend(self.other_products(events));
        lies
    }
}

/// The lines of an output.
pub(crate) fn events(output: &str) -> Result<Vec<Value>> {
    output.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

/// Those of a kind.
fn of<'a>(events: &'a [Value], dataset: &str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| text(event, "/event/dataset") == Some(dataset))
}

fn text<'a>(event: &'a Value, pointer: &str) -> Option<&'a str> {
    event.pointer(pointer)?.as_str()
}
