//! What a case leaves in `captures/<name>/`: the capture, `case.toml`, and a README of how it was made.

use std::collections::BTreeSet;
use std::fmt::{Display, Write as _};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Lab;
use super::case::{Case, Proxy};
use super::product::{Product, Program};
use super::proxy::Running;
use crate::{command::output, golden::truth::Truth};

/// Longest excerpt of one log in a README.
const LOG_LINES: usize = 16;

/// Most letters of a line in it: some clients send requests of many thousands.
const LINE_LETTERS: usize = 600;

/// Writes the directory of a case that was played on `stage`.
pub(crate) fn everything(case: &Case, lab: &Lab, stage: &Path, proxies: &[Running]) -> Result<()> {
    let folder = folder(lab, &case.name);
    fs::create_dir_all(&folder)?;
    for file in case.files() {
        fs::copy(stage.join(file), folder.join(file)).with_context(|| file.to_owned())?;
    }
    fs::write(folder.join("README.md"), readme(case, lab, stage, proxies)?)?;
    truth(case, lab)
}

/// Writes `case.toml` alone, for a case whose capture stays as it is.
pub(crate) fn truth(case: &Case, lab: &Lab) -> Result<()> {
    let path = folder(lab, &case.name).join("case.toml");
    fs::write(&path, case_toml(case, lab)?).with_context(|| path.display().to_string())
}

fn case_toml(case: &Case, lab: &Lab) -> Result<String> {
    let products: Vec<_> = case.proxy.iter().map(|it| version_of(it, case, lab)).collect::<Result<_>>()?;
    let mut text = String::new();
    writeln!(text, "title = {:?}", case.title)?;
    writeln!(text, "proxy = {:?}", products.join(" -> "))?;
    writeln!(text, "files = {:?}", case.files())?;
    writeln!(text, "args = {:?}", case.args)?;
    writeln!(text, "\n{}", truth_toml(&case.truth)?)?;
    Ok(text)
}

fn truth_toml(truth: &Truth) -> Result<String> {
    let mut text = String::from("[truth]\n");
    writeln!(text, "attempts = {}\nupgraded = {}", truth.attempts, truth.upgraded)?;
    if truth.unknown > 0 {
        writeln!(text, "unknown = {}", truth.unknown)?;
    }
    writeln!(text, "alerts = {}", list(&truth.alerts))?;
    writeln!(text, "tunnels = {}", list(&truth.tunnels))?;
    if let Some(notices) = &truth.notices {
        writeln!(text, "notices = {notices:?}")?;
    }
    write!(text, "note = '''\n{}'''", truth.note.trim_start())?;
    Ok(text)
}

/// A row a line.
fn list<T: Display>(rows: &[T]) -> String {
    let rows: String = rows.iter().map(|row| format!("\n    {row},")).collect();
    if rows.is_empty() { "[]".to_owned() } else { format!("[{rows}\n]") }
}

fn readme(case: &Case, lab: &Lab, stage: &Path, proxies: &[Running]) -> Result<String> {
    let mut text = format!("# {}\n\n{}\n", case.title, case.about.trim());
    for proxy in &case.proxy {
        let Program { place, frame, .. } = proxy.product.program();
        let config = [proxy.main.trim(), proxy.config.trim()].join("\n");
        write!(text, "\n## {} ({place} `xtask/lab/proxy/{frame}`)\n\n{}", proxy.name(), block(config.trim()))?;
    }
    let origins: Vec<_> = case.origin.iter().map(|origin| origin.run.as_str()).collect();
    if !origins.is_empty() {
        write!(text, "\n## Origin (scripts in `xtask/lab`)\n\n{}", block(&origins.join("\n")))?;
    }
    write!(text, "\n## Client (`xtask/lab/prelude.sh` explains the words)\n\n{}", block(case.client.run.trim()))?;
    if let Some(finish) = &case.finish {
        write!(text, "\nThen, with the files of tcpdump:\n\n{}", block(finish.run.trim()))?;
    }
    write!(text, "\nIt said:\n\n{}", block(&excerpt(&stage.join("client.log"), stage)))?;
    for proxy in proxies {
        for log in &proxy.logs {
            let said = excerpt(log, stage);
            let name = log.file_name().unwrap_or_default().to_string_lossy();
            if !said.is_empty() {
                write!(text, "\n## {} {name}\n\n{}", proxy.name, block(&said))?;
            }
        }
    }
    write!(text, "\n## Again\n\n{}", block(&format!("cargo xtask lab {}", case.name)))?;
    write!(text, "\n{}\n", versions(case, lab)?)?;
    Ok(text)
}

fn block(text: &str) -> String {
    format!("```\n{text}\n```\n")
}

/// The telling lines of a log, verbatim except that the stage's own path and control characters are cut away.
fn excerpt(log: &Path, stage: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).replace(&format!("{}/", stage.display()), "");
    let text = text.replace(|glyph: char| glyph.is_control() && glyph != '\n', "");
    let short = |line: &str| line.chars().take(LINE_LETTERS).collect::<String>();
    let telling: Vec<_> = text.lines().filter(|line| !is_routine(line)).map(short).collect();
    let mut lines = telling[..telling.len().min(LOG_LINES)].join("\n");
    if telling.len() > LOG_LINES {
        let _ = write!(lines, "\n({} more lines)", telling.len() - LOG_LINES);
    }
    lines
}

/// Lines of starting and stopping, which say nothing about the traffic.
fn is_routine(line: &str) -> bool {
    let nginx = ["[notice]", "closed keepalive connection"];
    let apache = ["[ssl:info]", "[ssl:warn]", "AH00489", "AH00490", "AH00094", "AH00492"];
    let caddy = ["using provided configuration", "not formatted", "automatic HTTPS", "autosaved", "serving initial"];
    let envoy = ["There is no configured limit"];
    let varnish = ["Debug: ", "Child launched OK", "Child starts"];
    let tinyproxy = ["NOTICE   ", "INFO     "];
    let noise =
        [&nginx[..], &apache, &caddy, &["\"logger\":\"admin", "\"logger\":\"tls"], &envoy, &varnish, &tinyproxy]
            .concat();
    line.is_empty() || noise.iter().any(|word| line.contains(word))
}

/// One line with the versions of everything that took part.
fn versions(case: &Case, lab: &Lab) -> Result<String> {
    let mut list = BTreeSet::new();
    for proxy in &case.proxy {
        list.insert(version_of(proxy, case, lab)?);
    }
    let scripts: String =
        case.origin.iter().map(|origin| origin.run.as_str()).chain([case.client.run.as_str()]).collect();
    for name in ["ws", "express", "socket.io"] {
        if scripts.contains(&format!("{}.cjs", name.replace('.', ""))) {
            list.insert(format!("node {name} {}", node_version(lab, name)?));
        }
    }
    let pip = lab.cache.join("venv/bin/pip").display().to_string();
    let packages = output(&pip, &["list", "--format=freeze"])?;
    if let Some(version) = packages.lines().find_map(|line| line.strip_prefix("websockets==")) {
        list.insert(format!("Python websockets {version}"));
    }
    let tcpdump = output("tcpdump", &["--version"])?;
    list.insert(tcpdump.lines().next().unwrap_or_default().replace(" version", ""));
    Ok(format!("Versions: {}.", list.into_iter().collect::<Vec<_>>().join(", ")))
}

/// `nginx/1.22.1` and the like; a script has the version of the package it is called by, or none.
fn version_of(proxy: &Proxy, case: &Case, lab: &Lab) -> Result<String> {
    if proxy.product != Product::Script {
        return proxy.product.program().version(lab);
    }
    let name = proxy.name();
    // The development servers of node all forward by the library of this name.
    if let Ok(version) = node_version(lab, name) {
        return Ok(format!("node http-proxy/{name}-{version}"));
    }
    let ask = format!("import importlib.metadata as it; print(it.version({name:?}))");
    let program = case.needs.first().map_or(name, String::as_str);
    let version = output(lab.python_of(program), &["-c", &ask]);
    Ok(version.map_or_else(|_| name.to_owned(), |version| format!("{name}/{}", version.trim())))
}

fn node_version(lab: &Lab, name: &str) -> Result<String> {
    let package = lab.node_modules().find_map(|folder| fs::read_to_string(folder.join(name).join("package.json")).ok());
    let package = package.with_context(|| format!("{name} is no node package"))?;
    let line = package.lines().find_map(|line| line.trim().strip_prefix("\"version\": \""));
    Ok(line.and_then(|rest| rest.split('"').next()).unwrap_or("unknown").to_owned())
}

/// Where a case's capture stands: among the open ones, where it is one of them.
fn folder(lab: &Lab, name: &str) -> PathBuf {
    let open = lab.captures.join("open").join(name);
    if open.exists() { open } else { lab.captures.join(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_capture_has_the_truth_of_its_case() {
        let lab = Lab::locate().unwrap();
        for case in lab.cases(&[]).unwrap() {
            let text = fs::read_to_string(folder(&lab, &case.name).join("case.toml")).unwrap();
            assert!(
                text.ends_with(&(truth_toml(&case.truth).unwrap() + "\n")),
                "{}: `cargo xtask lab --truth`",
                case.name
            );
        }
    }
}
