//! What the lab's proxies are: one row a product. How one is started is its `args`; the rest is where its files are.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::Lab;

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Product {
    Nginx,
    Haproxy,
    Apache,
    Caddy,
    Envoy,
    Varnish,
    Lighttpd,
    Squid,
    Tinyproxy,
    Nghttpx,
    /// Shell lines that start a proxy of another kind: its configuration is its command line or a script of `xtask/lab`.
    Script,
}

/// How a product is started, and what it leaves.
pub(crate) struct Program {
    /// As it is called in `case.toml`.
    pub(crate) name: &'static str,
    pub(crate) program: &'static str,
    /// The file of `xtask/lab/proxy` that a case's configuration is put in, and how it is named in the proxy's folder.
    pub(crate) frame: &'static str,
    /// Where in the frame it goes, for the README.
    pub(crate) place: &'static str,
    /// The arguments, `CONFIG` for the path of the configuration, `FOLDER` for that of the proxy's own folder, and `NAME` for a name that
    /// nobody else has.
    args: &'static [&'static str],
    version: &'static str,
    logs: &'static [&'static str],
}

impl Product {
    #[rustfmt::skip]
    pub(crate) fn program(self) -> Program {
        let row = |name, program, frame, args, version, logs| {
            Program { name, program, frame, place: "below", args, version, logs }
        };
        match self {
            Self::Nginx => Program {
                place: "`http { }` of",
                ..row("nginx", "nginx", "nginx.conf", &["-p", "FOLDER", "-c", "CONFIG", "-e", "error.log"], "-v", FILES)
            },
            Self::Haproxy => row("haproxy", "haproxy", "haproxy.cfg", &["-db", "-f", "CONFIG"], "-v", OUTPUT),
            Self::Apache => {
                row("apache", "apache2", "apache.conf", &["-DFOREGROUND", "-d", "FOLDER", "-f", "CONFIG"], "-v", FILES)
            }
            Self::Caddy => {
                row("caddy", "caddy", "Caddyfile", &["run", "--adapter", "caddyfile", "--config", "CONFIG"], "version", OUTPUT)
            }
            Self::Envoy => row("envoy", "envoy", "envoy.yaml",
                &["--use-dynamic-base-id", "--disable-hot-restart", "--concurrency", "1", "-l", "warn",
                    "--file-flush-interval-msec", "50", "-c", "CONFIG"],
                "--version", OUTPUT),
            Self::Varnish => row("varnish", "varnishd", "varnish.vcl",
                &["-F", "-j", "none", "-a", ":80", "-n", "FOLDER/work", "-s", "malloc,8M", "-f", "CONFIG"], "-V", OUTPUT),
            Self::Lighttpd => row("lighttpd", "lighttpd", "lighttpd.conf", &["-D", "-f", "CONFIG"], "-v", FILES),
            Self::Squid => row("squid", "squid", "squid.conf", &["-N", "-n", "NAME", "-f", "CONFIG"], "-v", &["access.log"]),
            Self::Tinyproxy => row("tinyproxy", "tinyproxy", "tinyproxy.conf", &["-d", "-c", "CONFIG"], "-v", OUTPUT),
            Self::Nghttpx => row("nghttpx", "nghttpx", "nghttpx.conf", &["--conf", "CONFIG"], "-v", FILES),
            Self::Script => row("script", "bash", "script.sh", &["CONFIG"], "--version", OUTPUT),
        }
    }
}

const FILES: &[&str] = &["access.log", "error.log"];
const OUTPUT: &[&str] = &["output.log"];

impl Program {
    pub(crate) fn args(&self, folder: &Path, config: &Path) -> Vec<String> {
        let [folder, config] = [folder, config].map(|path| path.display().to_string());
        let name: String = folder.chars().filter(char::is_ascii_alphanumeric).collect();
        let fill = |arg: &&str| arg.replace("FOLDER", &folder).replace("CONFIG", &config).replace("NAME", &name);
        self.args.iter().map(fill).collect()
    }

    pub(crate) fn logs(&self, folder: &Path) -> Vec<PathBuf> {
        self.logs.iter().map(|name| folder.join(name)).collect()
    }

    /// `nginx/1.22.1` and the like.
    pub(crate) fn version(&self, lab: &Lab) -> Result<String> {
        let mut command = Command::new(self.program);
        let out = lab.surround(command.arg(self.version)).output().with_context(|| self.program.to_owned())?;
        let text = [out.stdout, out.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let starts_with_digit = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
        let number = text.split([' ', '/', '\n', '-']).find(starts_with_digit).unwrap_or("unknown");
        Ok(format!("{}/{number}", self.name))
    }
}
