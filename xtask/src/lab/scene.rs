//! One case from first to last: hosts, origins, proxies, capture, client, and what is kept of it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Lab;
use super::capture::Recording;
use super::case::{Case, Origin};
use super::net::Hosts;
use super::process::{Process, wait_for};
use super::proxy::{self, Running};
use super::write;
use crate::command::quietly;

/// Longest time for a client, in seconds: the idle minute and some more.
const CLIENT_LIMIT: &str = "150";

/// Plays `case` and writes `captures/<name>/`; returns the number of frames.
pub(crate) fn play(case: &Case, lab: &Lab) -> Result<u32> {
    let folder = tempfile::Builder::new().prefix("observer-lab-").tempdir()?;
    let stage = folder.path();
    let hosts = Hosts::build(&case.name, case.network)?;
    if case.tls {
        certificate(stage)?;
    }
    let origins = case.origin.iter().enumerate().map(|(n, origin)| start_origin(n, origin, &hosts, lab, stage));
    let origins = origins.collect::<Result<Vec<_>>>()?;
    let proxies = case.proxy.iter().map(|proxy| proxy::start(proxy, &hosts, &lab.scripts.join("proxy"), stage));
    let proxies = proxies.collect::<Result<Vec<_>>>()?;
    wait_until_listening(case, &hosts, stage)?;
    let recordings = case.capture.iter().map(|capture| Recording::start(capture, &hosts, stage));
    let recordings = recordings.collect::<Result<Vec<_>>>()?;
    run_client(case, &hosts, lab, stage, &proxies, &origins)?;
    let frames = recordings.into_iter().map(Recording::stop).sum::<Result<u32>>()?;
    if frames == 0 {
        bail!("nothing was captured\n{}", all_logs(stage));
    }
    if let Some(finish) = &case.finish {
        quietly(Command::new("bash").args(["-euc", &finish.run]).current_dir(stage)).context("finish")?;
    }
    write::everything(case, lab, stage, &proxies)?;
    Ok(frames)
}

fn certificate(stage: &Path) -> Result<()> {
    let args = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj /CN=chat.test \
                -keyout key.pem -out cert.pem";
    quietly(Command::new("openssl").args(args.split_whitespace()).current_dir(stage))
}

/// An origin is `script.py arguments` or `script.cjs arguments`.
fn start_origin(number: usize, origin: &Origin, hosts: &Hosts, lab: &Lab, stage: &Path) -> Result<Process> {
    let script = origin.run.split_whitespace().next().unwrap_or_default();
    let interpreter =
        if Path::new(script).extension().is_some_and(|it| it == "cjs") { "node" } else { "\"$LAB_PYTHON\"" };
    let mut command = hosts.command("origin", "bash");
    command.arg("-c").arg(format!("exec {interpreter} \"$LAB/\"{}", origin.run));
    Process::start(surround(&mut command, lab, hosts, stage), &stage.join(format!("origin-{number}.log")))
}

fn wait_until_listening(case: &Case, hosts: &Hosts, stage: &Path) -> Result<()> {
    let origins = case.origin.iter().map(|origin| ("origin", origin.port));
    let proxies = case.proxy.iter().flat_map(|proxy| proxy.ports.iter().map(|port| ("proxy", *port)));
    for (role, port) in origins.chain(proxies) {
        if !wait_for(300, || hosts.listens(role, port))? {
            bail!("nothing listens on port {port} of the {role}\n{}", all_logs(stage));
        }
    }
    Ok(())
}

fn run_client(
    case: &Case,
    hosts: &Hosts,
    lab: &Lab,
    stage: &Path,
    proxies: &[Running],
    origins: &[Process],
) -> Result<()> {
    let mut command = hosts.command("client", "timeout");
    let script = format!("source \"$LAB/prelude.sh\"\n{}", case.client.run);
    command.args([CLIENT_LIMIT, "bash", "-c", &script]);
    for proxy in proxies {
        command.env(format!("{}_pid", proxy.name), proxy.process.id().to_string());
    }
    for (number, origin) in origins.iter().enumerate() {
        command.env(format!("origin{number}_pid"), origin.id().to_string());
    }
    let log = stage.join("client.log");
    let mut client = Process::start(surround(&mut command, lab, hosts, stage), &log)?;
    match wait_for(20 * 160, || client.has_ended()) {
        Ok(true) => Ok(()),
        Ok(false) => bail!("the client did not end: {}", fs::read_to_string(&log)?),
        Err(error) => Err(error.context(fs::read_to_string(&log)?)),
    }
}

/// What scripts find in their environment.
fn surround<'a>(command: &'a mut Command, lab: &Lab, hosts: &Hosts, stage: &Path) -> &'a mut Command {
    command
        .env("LAB", &lab.scripts)
        .env("LAB_PYTHON", lab.cache.join("venv/bin/python"))
        .env("NODE_PATH", lab.cache.join("node_modules"))
        .env("PROXY", hosts.proxy_address())
        .env("ON_PROXY", hosts.on_proxy())
        .env("PYTHONUNBUFFERED", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(stage)
}

/// Every log of the stage, for an error message.
fn all_logs(stage: &Path) -> String {
    let list = Command::new("bash").args(["-c", "tail -n 5 *.log */*.log"]).current_dir(stage).output();
    list.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default()
}
