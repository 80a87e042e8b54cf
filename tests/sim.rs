//! A seeded simulation: clients, chains of proxies and origins on a virtual clock, over a wire that captures all they say
//! in any order and number, or not all of it. It knows what is due, and holds the engine to it: of a complete capture
//! nothing is missed, of others no more than must be, and never is anybody accused falsely.
//!
//! `cargo xtask sim` plays others than the usual seeds, or shows one.
#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]
#![allow(missing_docs, unreachable_pub, reason = "nobody else uses a test")]

#[path = "sim/crowd.rs"]
mod crowd;
#[path = "sim/floors.rs"]
mod floors;
#[path = "sim/judge.rs"]
mod judge;
#[path = "sim/noise.rs"]
mod noise;
#[path = "sim/onward.rs"]
mod onward;
#[path = "sim/plan.rs"]
mod plan;
#[path = "sim/play.rs"]
mod play;
#[path = "sim/scene.rs"]
mod scene;
#[path = "sim/tally.rs"]
mod tally;
#[path = "sim/tap.rs"]
mod tap;
mod traffic;
#[path = "sim/truth.rs"]
mod truth;
#[path = "sim/tunnel.rs"]
mod tunnel;

use std::{fs, sync::Mutex};

use observer::engine::{Config, clocks::Clocks};

use self::{
    judge::{Verdict, judge},
    play::Play,
    tally::Tally,
    tap::{COMPLETE, Capture, FOREIGN_GAP, WHOLE},
    traffic::{
        message, net,
        observe::{Seen, config, observe_with},
        pcap,
        random::Random,
    },
};

/// Seeds that every run of the tests tries.
const USUAL: u64 = 3000;
/// Others that failed once, in lines of any number: every run tries them, too.
const FAILED: &str = include_str!("sim/failed.txt");
/// Failures that are shown in full.
const SHOWN: usize = 2000;

/// Of so many worlds in a hundred, a third capture lacks bytes of strangers only.
const FOREIGN_GAPS: usize = 25;

/// One seed's world, captured in two or three ways.
struct Run {
    play: Play,
    captured: Vec<Captured>,
}

/// One capture, and what the engine made of it.
struct Captured {
    kind: &'static str,
    capture: Capture,
    seen: Seen,
    verdict: Verdict,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut play = Play::new(seed);
        play.run();
        let mut noise = noise::beside(&play, seed);
        let complete = tap::complete(&play, &noise, &mut Random::new("complete", seed));
        let (damaged, kind) = tap::damaged(&play, &noise, &mut Random::new("damaged", seed));
        let mut captured = vec![Captured::new(&play, COMPLETE, complete), Captured::new(&play, kind, damaged)];
        let mut random = Random::new("foreign-gap", seed);
        if random.chance(FOREIGN_GAPS)
            && let Some(capture) = tap::foreign_gap(&play, &mut noise, &mut random)
        {
            captured.push(Captured::new(&play, FOREIGN_GAP, capture));
        }
        Self { play, captured }
    }

    fn failures(&self, seed: u64) -> Vec<String> {
        let replay = format!("seed {seed} (cargo xtask sim --seed {seed}), {}:", self.play.world.traits());
        let failures = |Captured { kind, capture, verdict, .. }: &Captured| -> Vec<_> {
            let all = if *kind == WHOLE { &[][..] } else { &verdict.failures };
            all.iter().map(|failure| format!("{replay} {kind} {:?}: {failure}", capture.ways)).collect()
        };
        self.captured.iter().flat_map(failures).collect()
    }
}

impl Captured {
    fn new(play: &Play, kind: &'static str, mut capture: Capture) -> Self {
        let skewed = capture.ways.contains(&"skew");
        let clocks = if skewed { tap::by_one_clock(&mut capture) } else { Clocks::default() };
        let seen = observe_with(&capture.frames, Config { clocks, ..config() });
        let verdict = judge(play, &capture, &seen, matches!(kind, COMPLETE | FOREIGN_GAP));
        Self { kind, capture, seen, verdict }
    }
}

fn var(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

#[test]
fn every_alert_that_is_due_is_told_and_no_other() {
    let from = var("SIM_FROM").unwrap_or(0);
    let to = from + var("SIM_SEEDS").unwrap_or(USUAL);
    let failed = if var("SIM_SEEDS").is_some() { "" } else { FAILED };
    let seeds = (from..to).chain(failed.split_whitespace().map(|seed| seed.parse().unwrap()));
    let (seeds, tally, failures) = (Mutex::new(seeds), Mutex::new(Tally::default()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                let mut own = Tally::default();
                loop {
                    let Some(seed) = seeds.lock().unwrap().next() else { break };
                    let run = Run::new(seed);
                    run.captured.iter().for_each(|captured| own.count(captured.kind, seed, &captured.verdict));
                    failures.lock().unwrap().extend(run.failures(seed));
                }
                tally.lock().unwrap().add(own);
            });
        }
    });
    let (tally, mut failures) = (tally.into_inner().unwrap(), failures.into_inner().unwrap());
    println!("seeds {from} to {}\n{tally}", to - 1);
    failures.sort();
    failures.extend(tally.silences());
    let shown = failures.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} failures:\n{shown}", failures.len());
}

#[test]
#[ignore = "a tool, not a test: cargo xtask sim --seed"]
fn replay() {
    let seed = var("SIM_SEED").unwrap();
    let run = Run::new(seed);
    println!("{:#?}", run.play.world);
    for (place, story) in run.play.truth.stories.iter().enumerate() {
        println!("story {place}: {} got {:?}, from {} to {:?}", story.title, story.got, story.asked_at, story.ended_at);
        for (id, at) in &story.hops {
            let connection = &run.play.net.connections[*id];
            println!("    {} > {} at {at}", connection.client, connection.server);
        }
    }
    run.play.truth.due.iter().for_each(|due| println!("due {due:?}"));
    for Captured { kind, capture, seen, verdict } in &run.captured {
        println!("== {kind} {:?}, {} frames", capture.ways, capture.frames.len());
        println!("{} gaps, {} connections", seen.stats.gaps, seen.stats.connections);
        seen.attempts.iter().for_each(|attempt| println!("{:?}{}", attempt.outcome, judge::hops(attempt)));
        seen.alerts.iter().for_each(|alert| println!("{}", judge::line(alert)));
        verdict.failures.iter().for_each(|failure| println!("!! {failure}"));
        let missed = verdict.recalled.iter().filter(|recalled| !recalled.told || recalled.explained == Some(false));
        missed.for_each(|recalled| println!("missed {:?}", recalled.due));
    }
    if let Ok(path) = std::env::var("SIM_PCAP") {
        for (captured, end) in run.captured.iter().zip(["", ".damaged", ".foreign-gap"]) {
            fs::write(format!("{path}{end}"), pcap::file(&captured.capture.frames)).unwrap();
        }
    }
}
