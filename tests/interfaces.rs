//! The tap in the kernel on real interfaces of every kind: what comes in and goes out, with tags, without a link layer,
//! by either version of IP.
#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod scene;

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use scene::{Scene, end, possible, run, wait_for};
use serde_json::Value;

/// A proxy's host, and a client's.
struct Hosts {
    proxy: Scene,
    client: Scene,
    cables: Vec<Child>,
}

impl Hosts {
    fn new() -> Self {
        Self { proxy: Scene::new(), client: Scene::empty(), cables: Vec::new() }
    }

    /// Joined by Ethernet, `front` to `eth0`.
    fn ethernet() -> Self {
        let hosts = Self::new();
        let peer = ["peer", "name", "eth0", "netns", hosts.client.name()];
        ip(&hosts.proxy, &[&["link", "add", "front", "type", "veth"][..], &peer].concat());
        hosts.up("front", "eth0");
        hosts
    }

    fn up(&self, front: &str, back: &str) {
        ip(&self.proxy, &["link", "set", front, "up"]);
        ip(&self.client, &["link", "set", back, "up"]);
    }

    /// Joined by a link without a link layer, `tun0` to `tun0`.
    fn bare() -> Self {
        let mut hosts = Self::new();
        let ends = [hosts.proxy.path("one"), hosts.proxy.path("two")];
        hosts.cables.push(cable(&hosts.proxy, "tun0", [&ends[0], &ends[1]], None));
        hosts.cables.push(cable(&hosts.client, "tun0", [&ends[1], &ends[0]], None));
        hosts.up("tun0", "tun0");
        hosts
    }

    /// Gives both ends an address.
    fn address(&self, [front, back]: [&str; 2], [proxy, client]: [&str; 2]) {
        let more: &[&str] = if proxy.contains(':') { &["nodad"] } else { &[] };
        ip(&self.proxy, &[&["addr", "add", proxy, "dev", front][..], more].concat());
        ip(&self.client, &[&["addr", "add", client, "dev", back][..], more].concat());
    }

    /// A client asks for pages and tries the bare location.
    fn try_bare(&self, proxy: &str) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../xtask/lab/raw.py");
        let steps = ["get:/page", "response", "get:/page", "response", "upgrade:/bare", "response", "fin"];
        let mut client = self.client.command("python3");
        client.arg(script).arg("8080").args(steps).env("PROXY", proxy).stdout(Stdio::piped());
        let output = client.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// The same, watched on the proxy's host: the addresses of both ends of both hops that are accused.
    fn watch(&self, interface: &str, proxy: &str) -> Vec<[String; 2]> {
        let observer = observer(&self.proxy, &["-i", "lo", "-i", interface]);
        self.try_bare(proxy);
        accused(&self.proxy, observer, "upgrade-headers-dropped")
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for cable in &mut self.cables {
            let _ = Command::new("kill").arg(cable.id().to_string()).status();
            let _ = cable.wait();
        }
    }
}

/// Starts one end of a cable: its socket, and the other end's.
fn cable(host: &Scene, device: &str, [own, other]: [&str; 2], tags: Option<&str>) -> Child {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/scene/cable.py");
    let arguments: Vec<_> = [script, device, own, other].into_iter().chain(tags).collect();
    let child = host.start(device, "python3", &arguments);
    wait_for("the cable", || Path::new(own).exists());
    child
}

fn observer(host: &Scene, interfaces: &[&str]) -> Child {
    host.observer("out", &[&["--tap", "ebpf", "--format", "json", "--ordinary", "0"], interfaces].concat())
}

/// Ends an observer once it has told of `rule`: the addresses of both ends of each hop.
fn accused(host: &Scene, observer: Child, rule: &str) -> Vec<[String; 2]> {
    host.wait_told("out.out", "the alert", |text| text.contains(rule));
    assert_eq!(end(observer, "-TERM").0, Some(0));
    assert_eq!(host.told("out.err"), "");
    let told: Vec<Value> = host.told("out.out").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let stats = &told.last().unwrap()["details"];
    assert_eq!((&stats["gaps"], &stats["drops"], &stats["anomalies"]), (&0.into(), &0.into(), &0.into()), "{stats}");
    let alert = told.iter().find(|line| line["rule"]["id"] == rule).unwrap();
    let hops = alert["attempt"]["hops"].as_array().unwrap();
    let ip = |hop: &Value, end: &str| hop[end]["ip"].as_str().unwrap().to_owned();
    hops.iter().map(|hop| ["client", "server"].map(|end| ip(hop, end))).collect()
}

fn ip(host: &Scene, arguments: &[&str]) {
    run(host.command("ip").args(arguments));
}

const UPSTREAM: [&str; 2] = ["127.0.0.1", "127.0.0.1"];

#[test]
fn what_comes_in_and_goes_out() {
    if possible() {
        let hosts = Hosts::ethernet();
        hosts.address(["front", "eth0"], ["10.9.0.1/24", "10.9.0.2/24"]);
        assert_eq!(hosts.watch("front", "10.9.0.1"), [["10.9.0.2", "10.9.0.1"], UPSTREAM]);
    }
}

#[test]
fn ip_version_6() {
    if possible() {
        let hosts = Hosts::ethernet();
        hosts.address(["front", "eth0"], ["fd00:9::1/64", "fd00:9::2/64"]);
        assert_eq!(hosts.watch("front", "fd00:9::1"), [["fd00:9::2", "fd00:9::1"], UPSTREAM]);
    }
}

/// Frames that a bridge passes on: the kernel keeps the outer tag beside the frame, the others stand in it.
#[test]
fn behind_tags() {
    if !possible() {
        return;
    }
    for tags in ["0", "1", "2", "3"] {
        let (mut hosts, bridge) = (Hosts::new(), Scene::empty());
        let path = |end: &str| bridge.path(end);
        for (host, device, port) in [(&hosts.client, "eth0", "left"), (&hosts.proxy, "front", "right")] {
            let (near, far) = (path(device), path(port));
            hosts.cables.push(cable(host, device, [&near, &far], Some("0")));
            hosts.cables.push(cable(&bridge, port, [&far, &near], Some(tags)));
        }
        ip(&bridge, &["link", "add", "bridge", "type", "bridge"]);
        for port in ["left", "right"] {
            ip(&bridge, &["link", "set", port, "master", "bridge"]);
            ip(&bridge, &["link", "set", port, "up"]);
        }
        ip(&bridge, &["link", "set", "bridge", "up"]);
        hosts.up("front", "eth0");
        hosts.address(["front", "eth0"], ["10.9.2.1/24", "10.9.2.2/24"]);
        let observer = observer(&bridge, &["-i", "left"]);
        hosts.try_bare("10.9.2.1");
        // Only the client's side passes here.
        assert_eq!(accused(&bridge, observer, "missing-101"), [["10.9.2.2", "10.9.2.1"]], "{tags} tags");
    }
}

#[test]
fn without_a_link_layer() {
    if possible() {
        let hosts = Hosts::bare();
        hosts.address(["tun0", "tun0"], ["10.9.1.1/24", "10.9.1.2/24"]);
        hosts.address(["tun0", "tun0"], ["fd00:9:1::1/64", "fd00:9:1::2/64"]);
        assert_eq!(hosts.watch("tun0", "10.9.1.1"), [["10.9.1.2", "10.9.1.1"], UPSTREAM]);
        assert_eq!(hosts.watch("tun0", "fd00:9:1::1"), [["fd00:9:1::2", "fd00:9:1::1"], UPSTREAM]);
    }
}
