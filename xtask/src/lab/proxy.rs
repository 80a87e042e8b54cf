//! A proxy: configured and started in a folder of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Lab;
use super::case::Proxy;
use super::net::Hosts;
use super::process::Process;

/// A running proxy, in a folder of its own.
pub(crate) struct Running {
    pub(crate) name: String,
    pub(crate) process: Process,
    pub(crate) logs: Vec<PathBuf>,
}

/// Writes the configuration of `proxy`, with `config` for its own, into its folder and starts it there.
pub(crate) fn start(proxy: &Proxy, config: &str, hosts: &Hosts, lab: &Lab, case_folder: &Path) -> Result<Running> {
    let program = proxy.product.program();
    let folder = case_folder.join(proxy.name());
    fs::create_dir_all(&folder)?;
    // Squid gives up root before it opens its logs.
    for (path, mode) in [(case_folder, 0o711), (&*folder, 0o777)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    let frame = lab.scripts.join("proxy").join(program.frame);
    let frame = fs::read_to_string(&frame).with_context(|| frame.display().to_string())?;
    let path = folder.join("config").with_extension(Path::new(program.frame).extension().unwrap_or_default());
    let frame = frame.replace("@MAIN@", &proxy.main).replace("@CONNECTIONS@", &proxy.connections.to_string());
    let port = proxy.ports.first().map_or_else(String::new, u16::to_string);
    let frame = frame.replace("@PORT@", &port);
    fs::write(&path, frame.replace("@CASE@", config))?;
    for secret in ["cert.pem", "key.pem", "both.pem"] {
        if case_folder.join(secret).exists() {
            fs::copy(case_folder.join(secret), folder.join(secret))?;
        }
    }
    let mut command = hosts.command("proxy", program.program);
    command.args(program.args(&folder, &path)).args(&proxy.args).current_dir(&folder);
    command.env("HOME", &folder).env("XDG_CONFIG_HOME", &folder).env("XDG_DATA_HOME", &folder);
    let process = Process::start(lab.surround(&mut command), &folder.join("output.log"))?;
    Ok(Running { name: proxy.name().to_owned(), process, logs: program.logs(&folder) })
}
