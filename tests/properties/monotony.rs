//! More holes never make more certain: what was unknown stays unknown, a cause gives way only to one that needs less to be
//! seen, and nobody is accused for want of something that a hole took away.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicUsize, Ordering},
};

use observer::engine::{
    alert::{Alert, Cause, Details, Level, RuleId},
    time::Timestamp,
};

use crate::{
    hides_answers,
    observe::rank,
    on_all,
    traffic::{
        damage,
        observe::{Seen, observe, observe_lossy},
        random::Random,
        wire::{Owned, Segment},
    },
};

/// How often each capture is tried: with losses that are told, and with each kind of damage taken for a whole capture.
const LOSSES: u64 = 8;
const DAMAGES: u64 = 4;

/// Who of several equal clients owns which hop is a guess; where the heads of the others are lost, nothing shows that it is one.
/// So is what a cut head hid once its frame is lost as well: nothing shows any more that there was one.
const GUESSED: [&str; 4] = ["envoy-proxy-line", "haproxy-sshd", "many-equal-keys-same-path", "varnish-no-pipe"];

/// The causes that are told of attempts without 101, by every hop whose request may be the first that is left.
fn causes(seen: &Seen) -> BTreeMap<String, Cause> {
    let told = seen.alerts.iter().filter_map(|alert| Some((alert, cause(alert)?)));
    let names = |alert: &Alert| -> Vec<_> { (0..alert.attempt.hops.len()).map(|hop| name(alert, hop)).collect() };
    told.flat_map(|(alert, cause)| names(alert).into_iter().map(move |name| (name, cause))).collect()
}

fn cause(alert: &Alert) -> Option<Cause> {
    if let Details::Missing101 { cause, .. } = alert.details { Some(cause) } else { None }
}

/// Who asked for what on a hop.
fn name(alert: &Alert, hop: usize) -> String {
    let hop = &alert.attempt.hops[hop];
    format!("{} {}", hop.client, hop.request.as_ref().map_or("", |request| &request.target))
}

/// Whether an alert says that something did not happen.
fn rests_on_absence(alert: &Alert) -> bool {
    let absent = [Cause::NotForwarded, Cause::UpstreamUnreachable, Cause::UpstreamSilent];
    cause(alert).map_or(matches!(alert.rule, RuleId::IdleClose | RuleId::MassClose), |cause| absent.contains(&cause))
}

/// Whether an alert as grave, by the same rule, was told of the same tunnel or attempt before.
fn was_told(alert: &Alert, before: &Seen) -> bool {
    let first = &alert.attempt.first().client;
    before.alerts.iter().filter(|other| other.rule == alert.rule && other.level > Level::Notice).any(|other| {
        let also = if let Details::MassClose { tunnels, .. } = &other.details { &tunnels[..] } else { &[] };
        [&other.attempt].into_iter().chain(also).any(|attempt| attempt.hops.iter().any(|hop| hop.client == *first))
    })
}

/// What is told for more certain than before.
fn grown(label: &str, before: &Seen, after: &Seen) -> Vec<String> {
    let known = causes(before);
    let accusations = after.alerts.iter().filter(|alert| alert.level > Level::Notice);
    let why = |alert: &Alert| -> Option<String> {
        match (cause(alert), known.get(&name(alert, 0))) {
            (Some(now), Some(then)) => (rank(now) < rank(*then)).then(|| format!("{then:?} became {now:?}")),
            _ => (rests_on_absence(alert) && !was_told(alert, before)).then(|| "appeared".to_owned()),
        }
    };
    accusations.filter_map(|alert| Some(format!("{label}: {}: {}", why(alert)?, alert.message))).collect()
}

#[test]
fn losses_that_are_told_make_nothing_more_certain() {
    on_all(|capture| {
        let frames = capture.frames();
        let whole = observe(&frames);
        let run = |seed| {
            let mut random = Random::new(&format!("losses {}", capture.name), seed);
            let losses: Vec<_> = (0..random.between(1, 3)).map(|_| span(&frames, &mut random)).collect();
            grown(&format!("{} losses seed {seed}", capture.name), &whole, &observe_lossy(&frames, losses))
        };
        (0..LOSSES).flat_map(run).collect()
    });
}

/// From one frame to another.
fn span(frames: &[Owned], random: &mut Random) -> (Timestamp, Timestamp) {
    let from = random.below(frames.len());
    let to = (from + random.below(frames.len() / 2 + 1)).min(frames.len() - 1);
    (frames[from].at, frames[to].at)
}

#[test]
fn more_damage_makes_nothing_more_certain() {
    let tried = AtomicUsize::new(0);
    on_all(|capture| {
        let frames = capture.frames();
        let mut failures = Vec::new();
        if GUESSED.contains(&&*capture.name) {
            return failures;
        }
        for (first, _, damage) in damage::KINDS {
            for seed in 0..DAMAGES {
                let mut random = Random::new(&format!("more {first} {}", capture.name), seed);
                let before = damage(&frames, &mut random);
                let (second, _, again) = damage::KINDS[random.below(damage::KINDS.len())];
                if before.is_empty() || hides_answers(second, &frames) {
                    continue;
                }
                let after = elsewhere(&frames, &before, again(&before, &mut random));
                if !damage::is_traceless(&before, &after) {
                    tried.fetch_add(1, Ordering::Relaxed);
                    let label = format!("{} {first} then {second} seed {seed}", capture.name);
                    failures.extend(grown(&label, &observe(&before), &observe(&after)));
                }
            }
        }
        failures
    });
    let tried = tried.into_inner();
    assert!(tried > 500 || std::env::var("ONLY").is_ok(), "{tried} were tried, which is too few to tell");
}

/// Leaves connections alone of which something is missing already: who loses the rest of one as well loses the traces of its
/// hole, and that cannot be known.
fn elsewhere(whole: &[Owned], before: &[Owned], after: Vec<Owned>) -> Vec<Owned> {
    let name = |frame: &Owned| (frame.interface, frame.number);
    let left: BTreeMap<_, _> = before.iter().map(|frame| (name(frame), frame.bytes.len())).collect();
    let is_hurt = |frame: &&Owned| left.get(&name(frame)) != Some(&frame.bytes.len());
    let connection = |frame: &Owned| Segment::read(frame).map(|segment| segment.connection());
    let hurt: BTreeSet<_> = whole.iter().filter(is_hurt).map(connection).collect();
    let mut kept: Vec<_> = after.into_iter().filter(|frame| !hurt.contains(&connection(frame))).collect();
    kept.extend(before.iter().filter(|frame| hurt.contains(&connection(frame))).cloned());
    let places: BTreeMap<_, _> = before.iter().enumerate().map(|(place, frame)| (name(frame), place)).collect();
    kept.sort_by_key(|frame| places[&name(frame)]);
    kept
}
