//! `cargo xtask demo`: from a bare machine to the verdict on a capture of a real nginx that drops the headers.

use std::{path::Path, process::Command};

use anyhow::Result;

use crate::{
    command::{describe, openly},
    setup::{self, Purpose},
    workspace,
};

/// The capture that is read, from the root of the workspace.
const CAPTURE: &str = "captures/nginx-bare/capture.pcap";

/// Installs, builds, reads.
pub(crate) fn run() -> Result<()> {
    setup::prepare(Purpose::Demo)?;
    let binary = workspace::observer()?;
    let program = binary.strip_prefix(workspace::root()).unwrap_or(&binary);
    let mut read = Command::new(Path::new(".").join(program));
    read.args(["read", CAPTURE]).current_dir(workspace::root());
    println!("\nA WebSocket client behind an nginx that has nothing but `proxy_pass`, captured on the proxy's host:\n");
    println!("$ {}\n", describe(&read).trim_start_matches("./"));
    openly(&mut read)
}
