//! Network namespaces: the hosts of a case and the links between them. Names carry our pid, so that what a
//! killed run left behind is found and removed by the next one; nothing outside these namespaces is touched.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use super::case::Network;
use super::process::{PATIENCE, wait_for};
use crate::{command::output, proc};

const PREFIX: &str = "observer-lab";

/// How often, one look after the other, everybody has to be seen at rest: no look sees all of them at once.
const LOOKS: u32 = 3;

/// The hosts of one case; they vanish with this value, and every process in them.
pub(crate) struct Hosts {
    case: String,
    network: Network,
}

impl Hosts {
    /// Makes the namespaces of `network` and connects them.
    pub(crate) fn build(case: &str, network: Network) -> Result<Self> {
        let hosts = Self { case: case.to_owned(), network };
        for role in hosts.roles() {
            output("ip", &["netns", "add", &hosts.name_of(role)])?;
            hosts.ip(role, "link set lo up")?;
        }
        match network {
            Network::Loopback => {}
            Network::Three => hosts.link_three()?,
            Network::Bridge => hosts.link_bridge()?,
            Network::Nat => hosts.link_nat()?,
        }
        Ok(hosts)
    }

    fn roles(&self) -> &'static [&'static str] {
        match self.network {
            Network::Loopback => &["proxy"],
            Network::Three | Network::Bridge => &["client", "proxy", "origin"],
            Network::Nat => &["client", "host", "proxy", "origin"],
        }
    }

    /// The host that captures: the one the proxy runs on, or the Docker host.
    pub(crate) fn tap(&self) -> &'static str {
        if self.network == Network::Nat { "host" } else { "proxy" }
    }

    /// Where the client finds the proxy.
    pub(crate) fn proxy_address(&self) -> &'static str {
        if self.network == Network::Loopback { "127.0.0.1" } else { "10.0.0.1" }
    }

    /// The words before a command that make it run on the host of `role`.
    pub(crate) fn on(&self, role: &str) -> String {
        format!("ip netns exec {}", self.name_of(role))
    }

    /// A command that runs on the host of `role`.
    pub(crate) fn command(&self, role: &str, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name_of(role)]).arg(program.as_ref());
        command
    }

    /// Whether something listens on `port` there; looked up, not tried, so that no frame is made.
    pub(crate) fn listens(&self, role: &str, port: u16) -> Result<bool> {
        let filter = format!("sport = :{port}");
        Ok(!output("ip", &["netns", "exec", &self.name_of(role), "ss", "-Hltn", &filter])?.trim().is_empty())
    }

    /// Waits until nobody on any of them has anything to do. Between them nothing is under way for longer than a look takes,
    /// so what comes after that waits for somebody's timer.
    pub(crate) fn wait_for_rest(&self) -> Result<()> {
        let mut looks = 0;
        let rest = wait_for(PATIENCE, || {
            looks = if self.rest()? { looks + 1 } else { 0 };
            Ok(looks == LOOKS)
        })?;
        if rest { Ok(()) } else { bail!("somebody on the hosts of {} never rests", self.case) }
    }

    fn rest(&self) -> Result<bool> {
        for role in self.roles() {
            let pids = output("ip", &["netns", "pids", &self.name_of(role)])?;
            if pids.split_whitespace().filter_map(|pid| pid.parse().ok()).any(proc::works) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn name_of(&self, role: &str) -> String {
        let role = if self.network == Network::Loopback { "proxy" } else { role };
        format!("{PREFIX}-{}-{}-{role}", std::process::id(), self.case)
    }

    fn ip(&self, role: &str, words: &str) -> Result<()> {
        let name = self.name_of(role);
        let args: Vec<_> = ["-n", name.as_str()].into_iter().chain(words.split_whitespace()).collect();
        output("ip", &args).map(drop)
    }

    /// A link between two hosts: interface `left` on one, `right` on the other.
    fn veth(&self, (one, left): (&str, &str), (two, right): (&str, &str)) -> Result<()> {
        let peer = self.name_of(two);
        self.ip(one, &format!("link add name {left} type veth peer name {right} netns {peer}"))?;
        self.ip(one, &format!("link set {left} up"))?;
        self.ip(two, &format!("link set {right} up"))
    }

    fn link_three(&self) -> Result<()> {
        self.veth(("proxy", "front"), ("client", "eth0"))?;
        self.veth(("proxy", "back"), ("origin", "eth0"))?;
        self.ip("proxy", "addr add 10.0.0.1/24 dev front")?;
        self.ip("proxy", "addr add 10.0.1.1/24 dev back")?;
        (2..=9).try_for_each(|n| self.ip("client", &format!("addr add 10.0.0.{n}/24 dev eth0")))?;
        (2..=3).try_for_each(|n| self.ip("origin", &format!("addr add 10.0.1.{n}/24 dev eth0")))
    }

    fn link_bridge(&self) -> Result<()> {
        self.bridge("proxy", "br0", "10.0.0.1/24", &["client", "origin"])?;
        self.ip("client", "addr add 10.0.0.2/24 dev eth0")?;
        self.ip("origin", "addr add 10.0.0.3/24 dev eth0")
    }

    /// A bridge on host `on` with one port `veth-<role>` to each of `ports`.
    fn bridge(&self, on: &str, name: &str, address: &str, ports: &[&str]) -> Result<()> {
        self.ip(on, &format!("link add name {name} type bridge"))?;
        self.ip(on, &format!("addr add {address} dev {name}"))?;
        self.ip(on, &format!("link set {name} up"))?;
        for role in ports {
            self.veth((on, &format!("veth-{role}")), (role, "eth0"))?;
            self.ip(on, &format!("link set veth-{role} master {name}"))?;
        }
        Ok(())
    }

    fn link_nat(&self) -> Result<()> {
        self.veth(("host", "front"), ("client", "eth0"))?;
        self.ip("host", "addr add 10.0.0.1/24 dev front")?;
        self.ip("client", "addr add 10.0.0.2/24 dev eth0")?;
        self.bridge("host", "docker0", "172.17.0.1/16", &["proxy", "origin"])?;
        for (role, address) in [("proxy", "172.17.0.2"), ("origin", "172.17.0.3")] {
            self.ip(role, &format!("addr add {address}/16 dev eth0"))?;
            self.ip(role, "route add default via 172.17.0.1")?;
        }
        let host = self.name_of("host");
        let inside = |words: &str| {
            let args: Vec<_> = ["netns", "exec", &host].into_iter().chain(words.split_whitespace()).collect();
            output("ip", &args).map(drop)
        };
        inside("sysctl -qw net.ipv4.ip_forward=1")?;
        inside("iptables -t nat -A PREROUTING -d 10.0.0.1 -p tcp --dport 80 -j DNAT --to-destination 172.17.0.2:80")
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        self.roles().iter().for_each(|role| remove(&self.name_of(role)));
    }
}

/// Removes the namespaces of runs that no longer live.
pub(crate) fn sweep_dead() -> Result<()> {
    for (name, pid) in ours()? {
        if !Path::new("/proc").join(&pid).exists() {
            remove(&name);
        }
    }
    Ok(())
}

/// Removes the namespaces of this run; for a signal that ends it.
pub(crate) fn sweep_own() {
    let own = std::process::id().to_string();
    let names = ours().unwrap_or_default();
    names.iter().filter(|(_, pid)| *pid == own).for_each(|(name, _)| remove(name));
}

/// Namespaces of the lab with the pid of the run that made them.
fn ours() -> Result<Vec<(String, String)>> {
    let list = output("ip", &["netns", "list"])?;
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    let split = |name: &str| Some((name.to_owned(), name.strip_prefix(PREFIX)?.split('-').nth(1)?.to_owned()));
    Ok(names.filter_map(split).collect())
}

/// Ends the processes in a namespace, which only the lab can have started, then the namespace.
fn remove(name: &str) {
    let _ = wait_for(20, || {
        let pids = output("ip", &["netns", "pids", name])?;
        if pids.trim().is_empty() {
            return Ok(true);
        }
        Command::new("kill").arg("-KILL").args(pids.split_whitespace()).output()?;
        Ok(false)
    });
    if let Err(error) = output("ip", &["netns", "del", name]) {
        eprintln!("namespace {name} is left: {error:#}");
    }
}
