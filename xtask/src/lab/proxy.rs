//! The four proxies: how each is configured, started and asked for its version, and which logs it writes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::case::{Product, Proxy};
use super::net::Hosts;
use super::process::Process;

/// A running proxy, in a folder of its own.
pub(crate) struct Running {
    pub(crate) name: String,
    pub(crate) process: Process,
    pub(crate) logs: Vec<PathBuf>,
}

/// Writes the configuration of `proxy`, with `config` for its own, into its folder and starts it there.
pub(crate) fn start(proxy: &Proxy, config: &str, hosts: &Hosts, frames: &Path, case_folder: &Path) -> Result<Running> {
    let folder = case_folder.join(proxy.name());
    fs::create_dir_all(&folder)?;
    let frame = frames.join(frame_of(proxy.product));
    let frame = fs::read_to_string(&frame).with_context(|| frame.display().to_string())?;
    let path = folder.join("config");
    let frame = frame.replace("@MAIN@", &proxy.main).replace("@CONNECTIONS@", &proxy.connections.to_string());
    fs::write(&path, frame.replace("@CASE@", config))?;
    for secret in ["cert.pem", "key.pem"] {
        if case_folder.join(secret).exists() {
            fs::copy(case_folder.join(secret), folder.join(secret))?;
        }
    }
    let log = folder.join("output.log");
    let process = Process::start(&mut command(proxy.product, hosts, &folder, &path), &log)?;
    Ok(Running { name: proxy.name().to_owned(), process, logs: logs_of(proxy.product, &folder) })
}

fn frame_of(product: Product) -> &'static str {
    match product {
        Product::Nginx => "nginx.conf",
        Product::Haproxy => "haproxy.cfg",
        Product::Apache => "apache.conf",
        Product::Caddy => "Caddyfile",
    }
}

fn command(product: Product, hosts: &Hosts, folder: &Path, config: &Path) -> Command {
    let on_proxy = |program| hosts.command("proxy", program);
    let mut command = match product {
        Product::Nginx => on_proxy("nginx"),
        Product::Haproxy => on_proxy("haproxy"),
        Product::Apache => on_proxy("apache2"),
        Product::Caddy => on_proxy("caddy"),
    };
    match product {
        Product::Nginx => command.arg("-p").arg(folder).arg("-c").arg(config).args(["-e", "error.log"]),
        Product::Haproxy => command.arg("-db").arg("-f").arg(config),
        Product::Apache => command.arg("-DFOREGROUND").arg("-d").arg(folder).arg("-f").arg(config),
        Product::Caddy => command.args(["run", "--adapter", "caddyfile", "--config"]).arg(config),
    };
    command.current_dir(folder).env("HOME", folder).env("XDG_CONFIG_HOME", folder).env("XDG_DATA_HOME", folder);
    command
}

fn logs_of(product: Product, folder: &Path) -> Vec<PathBuf> {
    let names: &[&str] = match product {
        Product::Nginx | Product::Apache => &["access.log", "error.log"],
        Product::Haproxy | Product::Caddy => &["output.log"],
    };
    names.iter().map(|name| folder.join(name)).collect()
}

/// `nginx/1.22.1` and the like.
pub(crate) fn version(product: Product) -> Result<String> {
    let (program, flag) = match product {
        Product::Nginx => ("nginx", "-v"),
        Product::Haproxy => ("haproxy", "-v"),
        Product::Apache => ("apache2", "-v"),
        Product::Caddy => ("caddy", "version"),
    };
    let out = Command::new(program).arg(flag).output().with_context(|| program.to_owned())?;
    let text = [out.stdout, out.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let starts_with_digit = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit());
    let number = text.split([' ', '/', '\n', '-']).find(starts_with_digit).unwrap_or("unknown");
    Ok(format!("{}/{number}", product.name()))
}
