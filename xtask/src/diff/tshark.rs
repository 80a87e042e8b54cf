//! What tshark sees in a capture.

use std::{path::Path, process::Command};

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use super::sight::{Connection, Head, Sight, plain};

/// HTTP by its looks on any port, also where the client's happens to be another protocol's; segments put in order first.
const OPTIONS: [&str; 10] = [
    "-n",
    "-o",
    "tcp.desegment_tcp_streams:TRUE",
    "-o",
    "tcp.reassemble_out_of_order:TRUE",
    "-o",
    "tcp.try_heuristic_first:TRUE",
    "--enable-heuristic",
    "http_tcp",
    "--no-duplicate-keys",
];

const HEADS: &str = "http.upgrade || http.sec_websocket_key || http.response.code == 101";

/// Runs tshark; nothing when it cannot read such a file at all.
pub(super) fn read(file: &Path) -> Result<Option<Sight>> {
    let mut command = Command::new("tshark");
    command.args(OPTIONS).args(["-Y", HEADS, "-T", "json", "-r"]).arg(file);
    // The preferences of who runs this are none of ours.
    let out = command.env("WIRESHARK_CONFIG_DIR", "/nonexistent").output().context("tshark")?;
    let text = String::from_utf8_lossy(&out.stdout);
    if text.trim().is_empty() {
        return Ok(None);
    }
    // Where a file ends within a frame, so does the list.
    let parsed = serde_json::from_str(&text).or_else(|_| serde_json::from_str(&format!("{text}]")));
    let frames: Vec<Value> = parsed.with_context(|| format!("tshark -T json -r {}", file.display()))?;
    let mut sight = Sight::default();
    for frame in &frames {
        note(&frame["_source"]["layers"], &mut sight);
    }
    sight.forget_unasked();
    Ok(Some(sight))
}

/// Notes the heads of one frame, of which there may be several.
fn note(layers: &Value, sight: &mut Sight) -> Option<()> {
    let frame = layers["frame"]["frame.number"].as_str()?.parse().ok()?;
    let tcp = innermost(&layers["tcp"]);
    let end = |side: &str, port: &str| {
        let ip = innermost(&layers["ip"]).get(format!("ip.{side}")).and_then(Value::as_str);
        let ip = ip.or_else(|| innermost(&layers["ipv6"]).get(format!("ipv6.{side}"))?.as_str())?;
        Some(if ip.contains(':') {
            format!("[{ip}]:{}", tcp[port].as_str()?)
        } else {
            format!("{ip}:{}", tcp[port].as_str()?)
        })
    };
    let (from, to) = (end("src", "tcp.srcport")?, end("dst", "tcp.dstport")?);
    for http in every(&layers["http"]).filter_map(Value::as_object) {
        let text = |name| find(http, name).unwrap_or_default();
        if text("http.response.code") == "101" {
            sight.note(Connection { client: to.clone(), server: from.clone() }, Head::Switch, frame);
        }
        let asks = find(http, "http.upgrade").or_else(|| find(http, "http.sec_websocket_key")).is_some();
        if let Some(method) = find(http, "http.request.method").filter(|_| asks) {
            let (target, upgrade) = (text("http.request.uri"), plain(&text("http.upgrade")));
            let connection = Connection { client: from.clone(), server: to.clone() };
            sight.note(connection, Head::Request { method, target, upgrade }, frame);
        }
    }
    Some(())
}

/// A layer, or the layers where there are several.
fn every(layer: &Value) -> impl Iterator<Item = &Value> {
    layer.as_array().map_or(std::slice::from_ref(layer), Vec::as_slice).iter()
}

/// In a tunnel, the packet within.
fn innermost(layer: &Value) -> &Value {
    every(layer).last().unwrap_or(layer)
}

/// A field of a layer, at whatever depth; repeated ones joined as a list.
fn find(layer: &Map<String, Value>, name: &str) -> Option<String> {
    match layer.get(name) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Array(list)) => Some(list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")),
        _ => layer.values().filter_map(Value::as_object).find_map(|part| find(part, name)),
    }
}
