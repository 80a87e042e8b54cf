//! Small requests on connections that are kept, as many as nginx answers, and upgrades that fail among them.

use std::fs;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::{
    Args,
    watcher::{Left, Watcher},
};
use crate::{
    bench::figures::{median, percentile, table},
    lab::{Lab, case::Network, process::wait_for, scene::Stage},
    watch::{Tap, Told},
    workspace,
};

/// In the order of the first round; each round begins with the next.
const WATCHERS: [Watcher; 5] =
    [Watcher::Nobody, Watcher::Observer(Tap::Ebpf), Watcher::Observer(Tap::Pcap), Watcher::Tcpdump, Watcher::Tshark];

/// One watcher in all rounds.
#[derive(Serialize)]
pub(super) struct Row {
    watcher: &'static str,
    requests_per_second: Vec<f64>,
    /// Against nothing in the same round, as machines are busier in one round than in another; in the middle.
    ratio: f64,
    p99_ms: Vec<f64>,
    cpu_seconds: Vec<f64>,
    drops: u64,
    upgrades_failed: u32,
    /// An observer's `missing-101`.
    alerts: usize,
    /// From the frame that proves it.
    alert_delay_ms: Vec<f64>,
}

impl Row {
    fn new(watcher: Watcher) -> Self {
        Self {
            watcher: watcher.name(),
            requests_per_second: Vec::new(),
            ratio: 1.0,
            p99_ms: Vec::new(),
            cpu_seconds: Vec::new(),
            drops: 0,
            upgrades_failed: 0,
            alerts: 0,
            alert_delay_ms: Vec::new(),
        }
    }
}

/// All watchers, turn by turn.
pub(super) fn measure(args: &Args, lab: &Lab) -> Result<Vec<Row>> {
    let observer = workspace::observer()?;
    let case = lab.load("bench")?;
    let stage = Stage::set("bench", &case, Network::Loopback, lab)?;
    let mut rows: Vec<_> = WATCHERS.iter().map(|watcher| Row::new(*watcher)).collect();
    for round in 0..args.rounds {
        for place in 0..WATCHERS.len() {
            let which = (place + round) % WATCHERS.len();
            let watching = WATCHERS[which].start(&stage, &observer).context(WATCHERS[which].name())?;
            let before = watching.cpu()?;
            let variables = [
                ("LOAD_PAGE", "page".to_owned()),
                ("LOAD_SECONDS", args.seconds.to_string()),
                ("LOAD_CONNECTIONS", args.connections.to_string()),
                ("LOAD_UPGRADES", args.upgrades.to_string()),
            ];
            let mut client = stage.start_client(&case, lab, 100, &variables)?;
            if !wait_for(20 * 100, || client.has_ended())? {
                bail!("the load does not end: {}", stage.client_said());
            }
            let cpu = watching.cpu()? - before;
            let left = watching.stop().context(WATCHERS[which].name())?;
            let load = Load::parse(&fs::read_to_string(stage.folder().join("wrk.log"))?)?;
            println!(
                "round {}, {:24} {:>8.0} requests/s, p99 {:.2} ms, {cpu:.2} s of CPU",
                round + 1,
                WATCHERS[which].name(),
                load.requests_per_second,
                load.p99_ms
            );
            rows[which].add(args, &load, cpu, &left);
        }
    }
    let bare = rows[0].requests_per_second.clone();
    for row in &mut rows {
        let ratios = row.requests_per_second.iter().zip(&bare).map(|(rate, bare)| rate / bare);
        row.ratio = median(&ratios.collect::<Vec<_>>());
    }
    Ok(rows)
}

impl Row {
    fn add(&mut self, args: &Args, load: &Load, cpu: f64, left: &Left) {
        self.requests_per_second.push(load.requests_per_second);
        self.p99_ms.push(load.p99_ms);
        self.cpu_seconds.push(cpu);
        self.drops += left.drops;
        self.upgrades_failed += args.upgrades;
        let alerts: Vec<_> = left.told.iter().filter(|told| told.record["rule"]["id"] == "missing-101").collect();
        self.alerts += alerts.len();
        #[expect(clippy::cast_precision_loss, reason = "a delay is far below the 52 bits that are exact")]
        self.alert_delay_ms.extend(alerts.into_iter().filter_map(Told::delay).map(|delay| delay as f64 / 1e6));
    }

    fn cells(&self) -> Vec<String> {
        let is_observer = self.watcher.starts_with("observer");
        let delay = |percent| match self.alert_delay_ms.is_empty() {
            true => "-".to_owned(),
            false => format!("{:.0}", percentile(&self.alert_delay_ms, percent)),
        };
        vec![
            self.watcher.to_owned(),
            format!("{:.0}", median(&self.requests_per_second)),
            format!("{:.3}", self.ratio),
            format!("{:.2}", median(&self.p99_ms)),
            format!("{:.2}", median(&self.cpu_seconds)),
            self.drops.to_string(),
            if is_observer { format!("{}/{}", self.alerts, self.upgrades_failed) } else { "-".to_owned() },
            delay(50),
            delay(99),
        ]
    }
}

/// Prints the medians.
pub(super) fn print(args: &Args, rows: &[Row]) {
    println!(
        "\nnginx under wrk: {} connections, {} s, {} rounds; medians",
        args.connections, args.seconds, args.rounds
    );
    let title = ["watched by", "requests/s", "ratio", "p99 ms", "cpu s", "drops", "alerts", "delay p50 ms", "p99 ms"];
    table(&title, &rows.iter().map(Row::cells).collect::<Vec<_>>());
}

/// What wrk says.
struct Load {
    requests_per_second: f64,
    p99_ms: f64,
}

impl Load {
    fn parse(said: &str) -> Result<Self> {
        if said.contains("Socket errors") || said.contains("Non-2xx") {
            bail!("nginx did not answer every request: {said}");
        }
        let after = |name: &str| said.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
        let rate = after("Requests/sec:").and_then(|rate| rate.parse().ok());
        let p99 = after("99%").and_then(milliseconds);
        rate.zip(p99)
            .map(|(requests_per_second, p99_ms)| Self { requests_per_second, p99_ms })
            .with_context(|| format!("wrk said: {said}"))
    }
}

/// `12.00us`, `1.20ms` or `1.20s`.
fn milliseconds(time: &str) -> Option<f64> {
    let units = [("us", 1e-3), ("ms", 1.0), ("s", 1e3)];
    units.iter().find_map(|(unit, factor)| Some(time.strip_suffix(unit)?.parse::<f64>().ok()? * factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "
  Latency Distribution
     50%  372.00us
     99%    1.25ms
  103416 requests in 2.00s, 18.05MB read
Requests/sec:  51692.66
";

    #[test]
    fn what_wrk_says_is_read() {
        let load = Load::parse(SAID).unwrap();
        assert_eq!((load.requests_per_second, load.p99_ms), (51692.66, 1.25));
        assert!(Load::parse(&format!("{SAID}Non-2xx or 3xx responses: 3")).is_err());
    }

    #[test]
    fn wrk_has_three_units() {
        assert_eq!(["500.00us", "2.00ms", "1.50s"].map(milliseconds), [Some(0.5), Some(2.0), Some(1500.0)]);
    }
}
