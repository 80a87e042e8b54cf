//! The panes as a person sees them on a terminal of 80 by 24, from events made by hand. `cargo test panes` with
//! `OBSERVER_BLESS=1` writes them anew; look at what changed.

use std::{fs, path::Path, sync::Arc, time::Duration};

use ratatui::{Terminal, backend::TestBackend};

use super::draw;
use crate::{
    engine::{
        event::{Event, OpenTunnel, Traffic},
        sample,
    },
    tui::{
        feed::Snapshot,
        keys::{Action, Pane},
        look::Look,
        state::State,
    },
};

fn state() -> State {
    let mut state = State::new("captures/sample/capture.pcap".to_owned(), false, false);
    sample::all().iter().for_each(|event| state.apply(event));
    let tunnels = vec![open(7, 79_000, None), open(8, 20_500, None), open(9, 76_500, Some(5)), open(10, 5_000, None)];
    state.tick(Snapshot { stats: sample::stats(), tunnels, progress: Some((1, Some(2))), ..Snapshot::default() });
    state
}

/// A tunnel whose last byte came so many milliseconds after the start.
fn open(id: u64, last: u32, timer: Option<u64>) -> OpenTunnel {
    OpenTunnel {
        attempt: Arc::new(sample::upgraded(id)),
        opened_at: sample::at(1024.1),
        last_at: sample::at(f64::from(last)),
        last_heartbeat_at: id.is_multiple_of(2).then(|| sample::at(f64::from(last))),
        bytes: Traffic { to_server: 1204, to_client: 88_213 },
        frames: Traffic { to_server: 12, to_client: 140 },
        idle_timer: timer.map(Duration::from_secs),
    }
}

fn shown(state: &mut State, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    state.settle();
    terminal.draw(|frame| draw(frame, state, Look { color: true })).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    let rows: Vec<_> = (0..height).map(row).collect();
    rows.join("\n") + "\n"
}

fn check(name: &str, shown: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tui/view/snapshots").join(format!("{name}.txt"));
    if std::env::var_os("OBSERVER_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, shown).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == shown, "{name} changed; it is now\n{shown}");
}

#[test]
fn panes() {
    let mut state = state();
    check("attempts", &shown(&mut state, 80, 24));
    state.show_detail(1);
    check("detail", &shown(&mut state, 80, 24));
    state.act(Action::Back);
    state.act(Action::Show(Pane::Alerts));
    check("alerts", &shown(&mut state, 80, 24));
    state.act(Action::Show(Pane::Tunnels));
    check("tunnels", &shown(&mut state, 80, 24));
    state.act(Action::Help);
    check("help", &shown(&mut state, 80, 24));
}

#[test]
fn wide() {
    let mut state = state();
    check("wide", &shown(&mut state, 200, 50));
}

#[test]
fn small_is_told_politely() {
    assert!(shown(&mut state(), 59, 24).contains("make it larger"));
    assert!(shown(&mut state(), 80, 14).contains("make it larger"));
}

#[test]
fn no_size_panics() {
    let mut state = state();
    for pane in Pane::ALL {
        state.act(Action::Show(pane));
        for width in (1..230).step_by(7) {
            for height in (1..70).step_by(5) {
                shown(&mut state, width, height);
            }
        }
    }
}

#[test]
fn no_secret_and_no_control_character_is_shown() {
    let mut state = State::new("a\x1b[31m.pcap".to_owned(), false, false);
    let mut attempt = sample::bare(1, 4, "/ws\x1b]0;x\x07\u{202e}?token=s3cr3t", "10.0.0.7:53012");
    attempt.hops[0].request.as_mut().unwrap().fields[0].value = "host\x07?s3cr3t=1".into();
    let attempt = Arc::new(attempt);
    state.apply(&Event::Attempt(Arc::clone(&attempt)));
    sample::bare_alerts(&attempt).iter().for_each(|alert| state.apply(alert));
    for pane in Pane::ALL {
        state.act(Action::Show(pane));
        let text = shown(&mut state, 200, 60);
        assert!(!text.contains("s3cr3t"), "{text}");
        assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text}");
    }
}

#[test]
fn without_colour_there_is_none() {
    let mut terminal = Terminal::new(TestBackend::new(120, 40)).unwrap();
    let mut state = state();
    terminal.draw(|frame| draw(frame, &mut state, Look { color: false })).unwrap();
    let buffer = terminal.backend().buffer();
    let reset = ratatui::style::Color::Reset;
    assert!(buffer.content().iter().all(|cell| cell.fg == reset && cell.bg == reset));
}
