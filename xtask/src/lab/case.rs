//! A case: what to start, what the client does, where to capture, and what is true about it. Read from
//! `xtask/lab/cases/<name>.toml`, top-down: proxies, origins, client, capture, truth.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::product::Product;
use crate::golden::truth::Truth;

/// One case file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    #[serde(skip)]
    pub(crate) name: String,
    pub(crate) title: String,
    /// What it shows, for the README.
    pub(crate) about: String,
    #[serde(default)]
    pub(crate) network: Network,
    /// It waits for a long timer: run it beside the others.
    #[serde(default)]
    pub(crate) slow: bool,
    /// Make `cert.pem` and `key.pem` for the proxy.
    #[serde(default)]
    pub(crate) tls: bool,
    /// Programs that `install` knows, beside those of the proxies: it is skipped where one cannot be had.
    #[serde(default)]
    pub(crate) needs: Vec<String>,
    #[serde(default)]
    pub(crate) proxy: Vec<Proxy>,
    #[serde(default)]
    pub(crate) origin: Vec<Origin>,
    pub(crate) client: Client,
    #[serde(default = "Capture::default_list")]
    pub(crate) capture: Vec<Capture>,
    pub(crate) finish: Option<Finish>,
    /// Extra arguments for `observer read`.
    #[serde(default)]
    pub(crate) args: Vec<String>,
    /// What the configuration and the logs prove; never what `observer` said.
    pub(crate) truth: Truth,
}

/// The namespaces and links of a case; `net` builds them.
#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Network {
    /// Everything on `lo` of one namespace.
    #[default]
    Loopback,
    /// Client 10.0.0.2..9, proxy 10.0.0.1 and 10.0.1.1, origin 10.0.1.2 (and 10.0.1.3): three hosts, two links.
    Three,
    /// Client 10.0.0.2 and origin 10.0.0.3 on bridge `br0` of the proxy 10.0.0.1.
    Bridge,
    /// Docker: the host 10.0.0.1 publishes port 80 of container 172.17.0.2; the origin is container 172.17.0.3.
    Nat,
}

/// One proxy; `config` is put in the frame `xtask/lab/proxy/<product>`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Proxy {
    pub(crate) product: Product,
    /// Only needed where a case has two of one product, and to call a script by.
    name: Option<String>,
    /// Goes to the outermost level of the configuration.
    #[serde(default)]
    pub(crate) main: String,
    pub(crate) config: String,
    /// More arguments for the program.
    #[serde(default)]
    pub(crate) args: Vec<String>,
    /// That an nginx can have at the same time.
    #[serde(default = "Proxy::default_connections")]
    pub(crate) connections: u32,
    #[serde(default = "Proxy::default_ports")]
    pub(crate) ports: Vec<u16>,
}

/// A script of `xtask/lab`, or a program, with its arguments.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Origin {
    pub(crate) run: String,
    /// None where it listens on a unix socket: the client waits for that.
    pub(crate) port: Option<u16>,
}

/// Shell lines; `xtask/lab/prelude.sh` gives them `ws`, `raw`, `socketio` and the pids of the proxies.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Client {
    pub(crate) run: String,
}

/// One tcpdump.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Capture {
    pub(crate) file: String,
    #[serde(default = "Capture::default_interface")]
    pub(crate) interface: String,
    #[serde(default)]
    pub(crate) options: Vec<String>,
    #[serde(default)]
    pub(crate) filter: String,
}

/// Shell lines that turn what was captured into the files of the case.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Finish {
    pub(crate) run: String,
    pub(crate) files: Vec<String>,
}

/// Reads the cases named, or all of them, in the order of their names.
pub(crate) fn load(folder: &Path, names: &[String]) -> Result<Vec<Case>> {
    let names = if names.is_empty() { all_names(folder)? } else { names.to_vec() };
    names.into_iter().map(|name| read(folder, name)).collect()
}

fn all_names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("no cases in {}", folder.display()))? {
        if let Some(name) = entry?.file_name().to_string_lossy().strip_suffix(".toml") {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn read(folder: &Path, name: String) -> Result<Case> {
    let path = folder.join(format!("{name}.toml"));
    let text = fs::read_to_string(&path).with_context(|| format!("no such case: {name}"))?;
    let case: Case = toml::from_str(&text).with_context(|| format!("{name}.toml"))?;
    case.truth.check().with_context(|| format!("{name}.toml"))?;
    if case.capture.is_empty() {
        bail!("{name}.toml captures nothing");
    }
    Ok(Case { name, ..case })
}

impl Case {
    /// The programs without which it cannot be played.
    pub(crate) fn programs(&self) -> impl Iterator<Item = &str> {
        let products = self.proxy.iter().map(|proxy| proxy.product.program().program);
        products.chain(self.needs.iter().map(String::as_str))
    }

    /// The files that `observer read` gets.
    pub(crate) fn files(&self) -> Vec<&str> {
        match &self.finish {
            Some(finish) => finish.files.iter().map(String::as_str).collect(),
            None => self.capture.iter().map(|capture| capture.file.as_str()).collect(),
        }
    }
}

impl Proxy {
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(self.product.program().name)
    }

    fn default_connections() -> u32 {
        4096
    }

    fn default_ports() -> Vec<u16> {
        vec![80]
    }
}

impl Capture {
    fn default_list() -> Vec<Self> {
        let interface = Self::default_interface();
        vec![Self { file: "capture.pcap".into(), interface, options: Vec::new(), filter: String::new() }]
    }

    fn default_interface() -> String {
        "lo".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::alert::RULES;

    #[test]
    fn every_rule_is_fired_by_a_case() {
        let cases = load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("lab/cases"), &[]).unwrap();
        let fired: Vec<_> = cases.iter().flat_map(|case| &case.truth.alerts).map(|alert| alert.rule.as_str()).collect();
        let missing: Vec<_> = RULES.iter().filter(|(rule, _)| !fired.contains(rule)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
