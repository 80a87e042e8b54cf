//! The state driven by keys and events alone, as a person and a capture would.

use std::{sync::Arc, time::Duration};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::*;
use crate::{
    engine::{
        event::{OpenTunnel, Traffic},
        sample,
    },
    tui::keys::action,
};

fn state(events: &[Event]) -> State {
    let mut state = State::new("a.pcap".to_owned(), false, false);
    events.iter().for_each(|event| state.apply(event));
    state.settle();
    state
}

/// Types keys: characters, or names in angle brackets.
fn press(state: &mut State, keys: &str) -> Option<Effect> {
    let mut effect = None;
    let mut rest = keys;
    while let Some(character) = rest.chars().next() {
        let (code, length) = match rest.find('>').filter(|_| character == '<') {
            Some(end) => (named(&rest[1..end]), end + 1),
            None => (KeyCode::Char(character), character.len_utf8()),
        };
        rest = &rest[length..];
        let action = action(state.mode(), KeyEvent::new(code, KeyModifiers::NONE));
        effect = action.and_then(|action| state.act(action));
    }
    effect
}

fn named(name: &str) -> KeyCode {
    match name {
        "enter" => KeyCode::Enter,
        "esc" => KeyCode::Esc,
        "tab" => KeyCode::Tab,
        "down" => KeyCode::Down,
        "backspace" => KeyCode::Backspace,
        other => panic!("{other}"),
    }
}

fn selected(state: &State) -> u64 {
    state.attempts.selected().unwrap().attempt.id.0
}

/// The attempt of an idle close.
const IDLE: u64 = 5;

#[test]
fn a_person_walks_through_the_list() {
    let mut state = state(&sample::all());
    let newest = selected(&state);
    press(&mut state, "j");
    assert_ne!(selected(&state), newest);
    press(&mut state, "G");
    assert_eq!(selected(&state), 1);
    press(&mut state, "g");
    assert_eq!(selected(&state), newest);
    press(&mut state, "<enter>");
    assert!(state.in_detail);
    press(&mut state, "<esc>");
    assert!(!state.in_detail);
    assert!(matches!(press(&mut state, "q"), Some(Effect::Quit)));
}

#[test]
fn a_filter_works_as_it_is_typed() {
    let mut state = state(&sample::all());
    let all = state.attempts.len();
    press(&mut state, "/rule:idle");
    assert_eq!((state.attempts.len(), selected(&state)), (1, IDLE));
    press(&mut state, "<enter>");
    assert_eq!((state.mode(), state.attempts.len()), (Mode::Browse, 1));
    press(&mut state, "/<backspace><backspace><backspace><backspace>");
    assert!(state.attempts.len() > 1, "{}", state.attempts.filter_text());
    press(&mut state, "<esc>");
    assert_eq!((state.mode(), state.attempts.len()), (Mode::Browse, all));
}

#[test]
fn an_alert_leads_to_its_first_example() {
    let mut events = sample::idle();
    for id in 10..13 {
        let attempt = Arc::new(sample::bare(id, id * 10, "/ws", "10.0.0.7:53012"));
        events.push(Event::Attempt(Arc::clone(&attempt)));
        events.extend(sample::bare_alerts(&attempt));
    }
    let mut state = state(&events);
    press(&mut state, "/idle<enter>2");
    assert_eq!((state.pane, state.alerts.len(), state.alerts.selected().unwrap().count), (Pane::Alerts, 4, 3));
    press(&mut state, "<enter>");
    assert_eq!((state.pane, selected(&state), state.in_detail), (Pane::Attempts, 10, true));
    assert!(!state.attempts.is_filtered(), "the filter would have hidden it");
}

fn snapshot(at: f64, tunnels: Vec<OpenTunnel>) -> Snapshot {
    let stats = crate::engine::event::Stats { at: sample::at(at), frames: 100, ..sample::stats() };
    Snapshot { stats, tunnels, elapsed: Duration::from_secs_f64(at / 1000.0), ..Snapshot::default() }
}

fn open(id: u64) -> OpenTunnel {
    OpenTunnel {
        attempt: Arc::new(sample::upgraded(id)),
        opened_at: sample::at(0.0),
        last_at: sample::at(0.0),
        last_heartbeat_at: None,
        bytes: Traffic::default(),
        frames: Traffic::default(),
        idle_timer: None,
    }
}

#[test]
fn a_tunnel_leads_to_its_attempt() {
    let mut state = state(&sample::idle());
    state.tick(snapshot(1000.0, vec![open(99), open(IDLE)]));
    press(&mut state, "3j<enter>");
    assert!(state.message.is_some() || selected(&state) == IDLE);
    press(&mut state, "3g<enter>");
    assert_eq!(state.pane, if state.message.is_some() { Pane::Tunnels } else { Pane::Attempts });
}

#[test]
fn pause_freezes_what_is_shown_and_counts_what_comes() {
    let mut state = state(&sample::idle());
    state.tick(snapshot(1000.0, vec![open(IDLE)]));
    let (attempts, alerts) = (state.attempts.len(), state.alerts.total());
    press(&mut state, "p");
    let attempt = Arc::new(sample::bare(50, 4, "/ws", "10.0.0.7:53012"));
    state.apply(&Event::Attempt(Arc::clone(&attempt)));
    sample::bare_alerts(&attempt).iter().for_each(|alert| state.apply(alert));
    state.tick(snapshot(2000.0, Vec::new()));
    state.settle();
    assert_eq!((state.attempts.len(), state.alerts.total(), state.tunnels.len()), (attempts, alerts, 1));
    assert_eq!((state.shown.stats.at, state.unseen()), (sample::at(1000.0), (1, 3)));
    press(&mut state, "p");
    state.tick(snapshot(3000.0, Vec::new()));
    state.settle();
    assert_eq!((state.attempts.len(), state.alerts.total(), state.tunnels.len()), (attempts + 1, alerts + 3, 0));
}

#[test]
fn frames_are_counted_by_the_second() {
    let mut state = state(&[]);
    for (second, frames) in [(0.0, 0), (0.5, 100), (1.0, 200)] {
        let stats = crate::engine::event::Stats { frames, ..Default::default() };
        state.tick(Snapshot { stats, elapsed: Duration::from_secs_f64(second), ..Snapshot::default() });
    }
    assert!((state.rate - 200.0).abs() < 0.1);
}

/// What a new attempt, a move and a redraw cost must not depend on how many there are; this only shows that a hundred
/// thousand are no matter at all.
#[test]
fn a_hundred_thousand_attempts() {
    let mut state = state(&[]);
    let one = sample::bare(1, 4, "/ws", "10.0.0.7:53012");
    for id in 0..100_000 {
        let mut attempt = one.clone();
        attempt.id = AttemptId(id);
        attempt.hops.truncate(1);
        attempt.hops[0].request.as_mut().unwrap().fields.truncate(1);
        state.apply(&Event::Attempt(Arc::new(attempt)));
    }
    assert_eq!(state.attempts.len(), 100_000);
    press(&mut state, "G");
    assert_eq!(selected(&state), 0);
    press(&mut state, "/ws 426<enter>");
    assert_eq!((state.attempts.len(), selected(&state)), (100_000, 0));
}
