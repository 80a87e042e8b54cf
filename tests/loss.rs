//! Losses that the tap knows of: what would be judged from something absent is unknown, what was seen stays as it is.
#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use observer::{
    engine::{
        Config, Engine,
        alert::{Alert, Cause, Details, RuleId},
        event::{Event, Stats},
        time::Timestamp,
    },
    tap::{
        SharedInterfaces,
        file::{FileTap, Input},
    },
};

fn captures() -> Vec<PathBuf> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../captures");
    let files = fs::read_dir(root).unwrap().flat_map(|case| fs::read_dir(case.unwrap().path()).into_iter().flatten());
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "pcap" || end == "pcapng"));
    files.sort();
    files
}

/// What a capture comes to, with or without a loss that lasts all the time.
fn judge(path: &Path, lossy: bool) -> (Vec<Alert>, Stats) {
    let mut engine = Engine::new(Config { settle: Duration::from_secs(1), ..Config::default() });
    let inputs = [Input::Path(path.to_owned())];
    let (mut tap, errors) = FileTap::open(&inputs, &SharedInterfaces::default(), Arc::default());
    assert!(errors.is_empty());
    if lossy {
        engine.handle_loss(7, Timestamp::MIN, Timestamp::MAX);
    }
    while let Ok(Some(frame)) = tap.next_frame() {
        engine.handle_frame(&frame);
    }
    engine.finish();
    let mut alerts = Vec::new();
    while let Some(event) = engine.poll_event() {
        if let Event::Alert(alert) = event {
            alerts.push(*alert);
        }
    }
    (alerts, engine.stats())
}

/// Whether an alert rests on what was not seen.
fn rests_on_absence(alert: &Alert) -> bool {
    match alert.details {
        Details::Missing101 { cause, .. } => {
            matches!(cause, Cause::NotForwarded | Cause::UpstreamUnreachable | Cause::UpstreamSilent)
        }
        _ => matches!(alert.rule, RuleId::IdleClose | RuleId::MassClose),
    }
}

#[test]
fn nothing_is_concluded_from_absence() {
    let mut rules: BTreeMap<bool, usize> = BTreeMap::new();
    for path in captures() {
        let (whole, _) = judge(&path, false);
        let (lossy, stats) = judge(&path, true);
        assert_eq!(stats.drops, 7);
        for alert in &lossy {
            assert!(!rests_on_absence(alert), "{}: {alert:?}", path.display());
        }
        let seen = |alerts: &[Alert], rule| alerts.iter().filter(|alert| alert.rule == rule).count();
        for rule in [RuleId::UpgradeHeadersDropped, RuleId::Http10Upstream, RuleId::AcceptMismatch] {
            assert_eq!(seen(&lossy, rule), seen(&whole, rule), "{}: {rule:?}", path.display());
        }
        whole.iter().for_each(|alert| *rules.entry(rests_on_absence(alert)).or_default() += 1);
    }
    assert!(rules[&true] > 10 && rules[&false] > 10, "{rules:?}");
}
