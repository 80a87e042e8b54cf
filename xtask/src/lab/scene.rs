//! One case on its stage: hosts, origins and proxies that run, and the client that walks on.

use std::{ffi::OsStr, fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::{
    Lab,
    capture::Recording,
    case::{Case, Network, Origin, Proxy},
    net::Hosts,
    process::{PATIENCE, Process, wait_for},
    proxy::{self, Running},
    write,
};
use crate::command::quietly;

/// Longest time for a client, in seconds: the idle minute and some more.
const CLIENT_LIMIT: u32 = 150;

/// What a client prints goes here.
const CLIENT_LOG: &str = "client.log";

/// Where the origin is when it has a host of its own.
const ORIGIN_APART: &str = "10.0.1.2";

/// Plays `case` and writes `captures/<name>/`; returns the number of frames.
pub(crate) fn play(case: &Case, lab: &Lab) -> Result<u32> {
    let stage = Stage::set(&case.name, case, case.network, lab)?;
    let recordings = case.capture.iter().map(|capture| Recording::start(capture, &stage.hosts, stage.folder()));
    let recordings = recordings.collect::<Result<Vec<_>>>()?;
    stage.act(case, lab)?;
    let frames = recordings.into_iter().map(|recording| recording.stop(&stage.hosts)).sum::<Result<u32>>()?;
    if frames == 0 {
        bail!("nothing was captured\n{}", stage.all_logs());
    }
    if let Some(finish) = &case.finish {
        quietly(Command::new("bash").args(["-euc", &finish.run]).current_dir(stage.folder())).context("finish")?;
    }
    write::everything(case, lab, stage.folder(), &stage.proxies)?;
    Ok(frames)
}

/// Everything of a case but its client. It ends with this value: first the processes, then the hosts, then the folder.
pub(crate) struct Stage {
    pub(crate) proxies: Vec<Running>,
    origins: Vec<Process>,
    pub(crate) hosts: Hosts,
    folder: TempDir,
}

impl Stage {
    /// Starts all of it, and returns when everyone listens. On another network than its own, a case of one host is
    /// played by three.
    pub(crate) fn set(name: &str, case: &Case, network: Network, lab: &Lab) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("observer-lab-").tempdir()?;
        let hosts = Hosts::build(name, network)?;
        let mut stage = Self { proxies: Vec::new(), origins: Vec::new(), hosts, folder };
        if case.tls {
            certificate(stage.folder())?;
        }
        for (number, origin) in case.origin.iter().enumerate() {
            stage.origins.push(stage.start_origin(number, origin, lab)?);
        }
        for proxy in &case.proxy {
            let config = if network == case.network { proxy.config.clone() } else { apart(proxy, &case.origin) };
            let running = proxy::start(proxy, &config, &stage.hosts, lab, stage.folder())?;
            stage.proxies.push(running);
        }
        stage.wait_until_listening(case)?;
        Ok(stage)
    }

    /// Its files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Copies its files to `target`.
    pub(crate) fn keep(&self, target: &Path) -> Result<()> {
        fs::create_dir_all(target)?;
        quietly(Command::new("cp").arg("-rT").arg(self.folder()).arg(target))
    }

    /// The client, to its end.
    pub(crate) fn act(&self, case: &Case, lab: &Lab) -> Result<()> {
        let mut client = self.start_client(case, lab, CLIENT_LIMIT, &[])?;
        // It is ended after its limit: what takes longer hangs.
        match wait_for(20 * CLIENT_LIMIT + PATIENCE, || client.has_ended()) {
            Ok(true) => Ok(()),
            Ok(false) => bail!("the client did not end: {}", self.client_said()),
            Err(error) => Err(error.context(self.client_said())),
        }
    }

    /// Starts the client, with `variables` in its environment. It may run for `limit` seconds.
    pub(crate) fn start_client(
        &self,
        case: &Case,
        lab: &Lab,
        limit: u32,
        variables: &[(&str, String)],
    ) -> Result<Process> {
        let mut command = self.hosts.command("client", "timeout");
        let script = format!("source \"$LAB/prelude.sh\"\n{}", case.client.run);
        command.args([&limit.to_string(), "bash", "-c", &script]).envs(variables.iter().cloned());
        for proxy in &self.proxies {
            command.env(format!("{}_pid", proxy.name), proxy.process.id().to_string());
        }
        for (number, origin) in self.origins.iter().enumerate() {
            command.env(format!("origin{number}_pid"), origin.id().to_string());
        }
        Process::start(self.surround(&mut command, lab), &self.folder().join(CLIENT_LOG))
    }

    /// What the client printed.
    pub(crate) fn client_said(&self) -> String {
        fs::read_to_string(self.folder().join(CLIENT_LOG)).unwrap_or_default()
    }

    /// An origin is `script.py arguments`, `script.cjs arguments` or a program and its arguments.
    fn start_origin(&self, number: usize, origin: &Origin, lab: &Lab) -> Result<Process> {
        let script = Path::new(origin.run.split_whitespace().next().unwrap_or_default());
        let interpreter = match script.extension().and_then(OsStr::to_str) {
            Some("cjs") => "node \"$LAB/\"",
            Some("py") => "\"$LAB_PYTHON\" \"$LAB/\"",
            _ => "",
        };
        let mut command = self.hosts.command("origin", "bash");
        command.arg("-c").arg(format!("exec {interpreter}{}", origin.run));
        Process::start(self.surround(&mut command, lab), &self.folder().join(format!("origin-{number}.log")))
    }

    fn wait_until_listening(&self, case: &Case) -> Result<()> {
        let origins = case.origin.iter().filter_map(|origin| Some(("origin", origin.port?)));
        let proxies = case.proxy.iter().flat_map(|proxy| proxy.ports.iter().map(|port| ("proxy", *port)));
        for (role, port) in origins.chain(proxies) {
            if !wait_for(PATIENCE, || self.hosts.listens(role, port))? {
                bail!("nothing listens on port {port} of the {role}\n{}", self.all_logs());
            }
        }
        Ok(())
    }

    /// What scripts find in their environment.
    fn surround<'a>(&self, command: &'a mut Command, lab: &Lab) -> &'a mut Command {
        lab.surround(command)
            .env("PROXY", self.hosts.proxy_address())
            .env("ON_PROXY", self.hosts.on("proxy"))
            .env("ON_ORIGIN", self.hosts.on("origin"))
            .current_dir(self.folder())
    }

    /// Every log of the stage, for an error message.
    fn all_logs(&self) -> String {
        let list = Command::new("bash").args(["-c", "tail -n 5 *.log */*.log"]).current_dir(self.folder()).output();
        list.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default()
    }
}

/// A configuration for one host, with the origins on a host of their own.
fn apart(proxy: &Proxy, origins: &[Origin]) -> String {
    origins.iter().filter_map(|origin| origin.port).fold(proxy.config.clone(), |config, port| {
        config.replace(&format!("127.0.0.1:{port}"), &format!("{ORIGIN_APART}:{port}"))
    })
}

fn certificate(stage: &Path) -> Result<()> {
    let args = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj /CN=chat.test \
                -keyout key.pem -out cert.pem";
    quietly(Command::new("openssl").args(args.split_whitespace()).current_dir(stage))?;
    // HAProxy wants them in one file.
    let both = [fs::read(stage.join("cert.pem"))?, fs::read(stage.join("key.pem"))?].concat();
    Ok(fs::write(stage.join("both.pem"), both)?)
}
