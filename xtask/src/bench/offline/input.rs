//! What is read: captures of a real nginx under load, in three shapes, with WebSocket failures inside. Made once, and kept.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::Args;
use crate::{
    bench::figures,
    lab::{
        Lab,
        capture::Recording,
        case::{Capture, Case, Network},
        process::wait_for,
        scene::Stage,
    },
};

/// What the frames hold.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum, Debug)]
pub(super) enum Shape {
    /// Small requests on connections that are kept.
    Small,
    /// Large bodies in segments that the kernel leaves to the network card.
    Large,
    /// Many tunnels with small messages.
    Tunnels,
}

/// Upgrades that fail, in each act of the clients.
const UPGRADES: u64 = 20;
/// Messages on each tunnel, and their bytes.
const MESSAGES: u64 = 40;
const LENGTH: u64 = 200;
/// The longest that one act may take, in seconds.
const PATIENCE: u32 = 240;
/// tcpdump's room for frames, so that it loses none: in KiB.
const ROOM: &str = "262144";

/// A capture, and what is in it.
#[derive(Serialize, Deserialize)]
pub(super) struct Input {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) frames: u32,
    /// Upgrades that failed.
    pub(super) refused: u64,
    /// Tunnels that were opened.
    pub(super) tunnels: u64,
}

impl Shape {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Small => "small requests",
            Self::Large => "large bodies",
            Self::Tunnels => "many tunnels",
        }
    }

    /// The capture of this shape, made where there is none of this size.
    pub(super) fn input(self, args: &Args, lab: &Lab) -> Result<Input> {
        let name = format!("{}-{}", format!("{self:?}").to_lowercase(), args.scale);
        let path = figures::folder()?.join(format!("{name}.pcap"));
        let facts = path.with_extension("facts.json");
        if let Ok(text) = fs::read_to_string(&facts) {
            return serde_json::from_str(&text).with_context(|| facts.display().to_string());
        }
        println!("making {}", path.display());
        let input = self.make(args, lab, path)?;
        fs::write(&facts, serde_json::to_string(&input)?)?;
        Ok(input)
    }

    fn make(self, args: &Args, lab: &Lab, path: PathBuf) -> Result<Input> {
        let mut case = lab.load("bench")?;
        if self == Self::Tunnels {
            let open = args.tunnels;
            case.client.run = format!(
                "touch go\n\
                 \"$LAB_PYTHON\" \"$LAB/knock.py\" 80 \"$LOAD_UPGRADES\" /bare &\n\
                 node \"$LAB/stream.cjs\" ask 80 {open} {MESSAGES} {LENGTH} 15\n\
                 wait"
            );
        }
        let stage = Stage::set("bench", &case, Network::Loopback, lab)?;
        let pages = stage.folder().join("nginx/pages");
        fs::create_dir_all(&pages)?;
        fs::write(pages.join("large"), vec![b'x'; 1_000_000])?;
        let file = path.to_str().context("the path of the workspace is not UTF-8")?.to_owned();
        let options = vec!["-B".to_owned(), ROOM.to_owned()];
        let capture = Capture { file, interface: "lo".to_owned(), options, filter: "tcp".to_owned() };
        let recording = Recording::start(&capture, &stage.hosts, stage.folder())?;
        let size = || Ok::<_, anyhow::Error>(fs::metadata(&path)?.len());
        let mut acts = 0;
        while size()? < args.scale * 1_000_000 {
            self.act(&stage, &case, lab)?;
            acts += 1;
        }
        let frames = recording.stop(&stage.hosts)?;
        let tunnels = if self == Self::Tunnels { acts * args.tunnels } else { 0 };
        Ok(Input { bytes: size()?, path, frames, refused: acts * UPGRADES, tunnels })
    }

    /// Some seconds of it.
    fn act(self, stage: &Stage, case: &Case, lab: &Lab) -> Result<()> {
        let page = if self == Self::Large { "large" } else { "page" };
        let variables = [
            ("LOAD_PAGE", page.to_owned()),
            ("LOAD_SECONDS", "3".to_owned()),
            ("LOAD_CONNECTIONS", "8".to_owned()),
            ("LOAD_UPGRADES", UPGRADES.to_string()),
        ];
        let mut client = stage.start_client(case, lab, PATIENCE, &variables)?;
        if !wait_for(20 * PATIENCE, || client.has_ended()).with_context(|| stage.client_said())? {
            bail!("the clients do not end: {}", stage.client_said());
        }
        Ok(())
    }
}
