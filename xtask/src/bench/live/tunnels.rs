//! Many open tunnels with bytes in them: what it takes to watch those, by each tap.

use std::fs;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::{Args, watcher::Watcher};
use crate::{
    bench::figures::{median, table},
    lab::{Lab, case::Network, process::wait_for, scene::Stage},
    watch::Tap,
    workspace,
};

const TAPS: [Tap; 2] = [Tap::Ebpf, Tap::Pcap];
/// Longest time for the clients to open their tunnels, beside the time that they talk, in seconds.
const GRACE: u32 = 60;

/// One tap in all rounds.
#[derive(Serialize)]
pub(super) struct Row {
    watcher: &'static str,
    /// While the tunnels are opened.
    cpu_opening: Vec<f64>,
    /// While they talk.
    cpu_talking: Vec<f64>,
    /// Frames that reached user space.
    frames: Vec<f64>,
    drops: u64,
    tunnels: Vec<f64>,
}

/// Both taps, turn by turn.
pub(super) fn measure(args: &Args, lab: &Lab) -> Result<Vec<Row>> {
    let mut rows = TAPS.map(|tap| Row {
        watcher: Watcher::Observer(tap).name(),
        cpu_opening: Vec::new(),
        cpu_talking: Vec::new(),
        frames: Vec::new(),
        drops: 0,
        tunnels: Vec::new(),
    });
    for round in 0..args.tunnel_rounds {
        for place in 0..TAPS.len() {
            let which = (place + round) % TAPS.len();
            rows[which].take_turn(args, TAPS[which], lab).context(Watcher::Observer(TAPS[which]).name())?;
        }
    }
    Ok(rows.into())
}

impl Row {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below the 52 bits that are exact")]
    fn take_turn(&mut self, args: &Args, tap: Tap, lab: &Lab) -> Result<()> {
        let mut case = lab.load("bench")?;
        let messages = (args.megabytes * 1_000_000 / args.length / args.tunnels).max(1);
        let Args { tunnels, length, tunnel_seconds, .. } = args;
        case.client.run = format!("node \"$LAB/stream.cjs\" ask 80 {tunnels} {messages} {length} {tunnel_seconds}");
        let stage = Stage::set("bench", &case, Network::Loopback, lab)?;
        let watching = Watcher::Observer(tap).start(&stage, &workspace::observer()?)?;
        let start = watching.cpu()?;
        let mut client = stage.start_client(&case, lab, tunnel_seconds + 2 * GRACE, &[])?;
        if !wait_for(20 * GRACE, || Ok(client.has_ended()? || stage.client_said().contains("open")))? {
            bail!("the tunnels do not open: {}", stage.client_said());
        }
        let opened = watching.cpu()?;
        fs::write(stage.folder().join("go"), "")?;
        if !wait_for(20 * (tunnel_seconds + GRACE), || client.has_ended())? {
            bail!("the clients do not end: {}", stage.client_said());
        }
        let talked = watching.cpu()?;
        let left = watching.stop()?;
        let came: Option<u64> = stage.client_said().lines().last().and_then(|line| line.parse().ok());
        if came != Some(messages * length * tunnels) {
            bail!("not all bytes came: {}", stage.client_said());
        }
        self.cpu_opening.push(opened - start);
        self.cpu_talking.push(talked - opened);
        self.frames.push(left.count("frames") as f64);
        self.tunnels.push(left.count("tunnels") as f64);
        self.drops += left.drops;
        Ok(())
    }

    fn cells(&self) -> Vec<String> {
        let whole = |values| format!("{:.0}", median(values));
        vec![
            self.watcher.to_owned(),
            format!("{:.2}", median(&self.cpu_opening)),
            format!("{:.2}", median(&self.cpu_talking)),
            whole(&self.frames),
            whole(&self.tunnels),
            self.drops.to_string(),
        ]
    }
}

/// Prints the medians.
pub(super) fn print(args: &Args, rows: &[Row]) {
    let Args { tunnels, megabytes, length, tunnel_seconds, tunnel_rounds, .. } = args;
    println!(
        "\n{tunnels} tunnels through nginx that move {megabytes} MB in messages of {length} bytes in {tunnel_seconds} s; \
         medians of {tunnel_rounds} rounds"
    );
    let title = ["watched by", "cpu s, opening", "cpu s, talking", "frames seen", "tunnels seen", "drops"];
    table(&title, &rows.iter().map(Row::cells).collect::<Vec<_>>());
    let [ebpf, pcap] = [&rows[0], &rows[1]].map(|row| median(&row.cpu_talking));
    println!("while they talk, ebpf takes {:.3} of what pcap takes", ebpf / pcap);
}
