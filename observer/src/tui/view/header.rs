//! The top: what is watched and how it goes, the counters, and the tabs.

use ratatui::{
    Frame,
    layout::{Alignment, Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::{Paragraph, Tabs},
};

use unicode_width::UnicodeWidthStr;

use super::words::compact;
use crate::{
    engine::event::Stats,
    sink::{
        escape::escape,
        text::shared::{Tint, count, cut, grouped},
    },
    tui::{
        keys::Pane,
        look::Look,
        state::{Rows, State},
    },
};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, look: Look) {
    let [first, second] = Layout::vertical([Constraint::Length(1), Constraint::Length(1)]).areas(area);
    let (tint, phase) = phase(state);
    let phase = Line::from(look.span(tint, phase));
    let room = usize::from(area.width).saturating_sub(phase.width() + 12);
    let name = look.span(Tint::Strong, "observer  ");
    let source = look.span(Tint::Plain, tail(&escape(&state.source), room));
    frame.render_widget(Paragraph::new(Line::from(vec![name, source])), first);
    frame.render_widget(Paragraph::new(phase).alignment(Alignment::Right), first);
    let counters = Line::from(counters(state, look));
    // Trouble goes before memory where there is no room for both.
    let room = usize::from(second.width).saturating_sub(counters.width() + 2);
    let trouble =
        [true, false].map(|memory| trouble(state, memory, look)).into_iter().find(|line| line.width() <= room);
    frame.render_widget(Paragraph::new(counters), second);
    frame.render_widget(Paragraph::new(trouble.unwrap_or_default()).alignment(Alignment::Right), second);
}

/// What goes on, in few words.
fn phase(state: &State) -> (Tint, String) {
    if state.paused {
        let (attempts, alerts) = state.unseen();
        let text = format!("PAUSED, since then {}, {}", count(attempts, "attempt"), count(alerts, "alert"));
        return (Tint::Doubt, text);
    }
    match state.shown.progress {
        _ if state.finished => (Tint::Dim, format!("all read, {}", count(state.shown.stats.frames, "frame"))),
        Some((read, Some(size))) if size > 0 => (Tint::Good, format!("reading {} %", read * 100 / size)),
        Some((read, _)) => (Tint::Good, format!("reading, {}B so far", compact(read))),
        None if state.shown.stats.frames == 0 => (Tint::Dim, "waiting for the first frame".to_owned()),
        None => (Tint::Good, "live".to_owned()),
    }
}

/// Attempts by outcome and what passes by.
fn counters(state: &State, look: Look) -> Vec<Span<'static>> {
    let Stats { upgraded, refused, failed, unknown, tunnels_open, .. } = state.shown.stats;
    let tinted = |tint, number| if number == 0 { Tint::Dim } else { tint };
    let mut spans = vec![
        look.span(tinted(Tint::Good, upgraded), format!("✓ {}", grouped(upgraded))),
        look.span(tinted(Tint::Bad, refused + failed), format!("  ✗ {}", grouped(refused + failed))),
        look.span(tinted(Tint::Doubt, unknown), format!("  ? {}", grouped(unknown))),
    ];
    let open = if state.finished { state.tunnels.len() as u64 } else { tunnels_open };
    spans.push(look.span(Tint::Plain, format!("   {} open", grouped(open))));
    if !state.finished {
        spans.push(look.span(Tint::Plain, format!("   {:.0} frames/s", state.rate)));
    }
    spans
}

/// What stands in the way of seeing all, and the memory.
fn trouble(state: &State, with_memory: bool, look: Look) -> Line<'static> {
    let Stats { drops, gaps, evictions, memory, .. } = state.shown.stats;
    let mut spans = Vec::new();
    let mut tell = |number: u64, what: &str| {
        let tint = if number == 0 { Tint::Dim } else { Tint::Bad };
        spans.push(look.span(tint, format!("  {} {what}", grouped(number))));
    };
    tell(drops, "drops");
    tell(gaps, "gaps");
    if evictions > 0 {
        tell(evictions, "evicted");
    }
    if state.lost > 0 {
        tell(state.lost, "not shown");
    }
    if with_memory {
        spans.push(look.span(Tint::Dim, format!("  memory {}B", compact(memory))));
    }
    Line::from(spans)
}

/// The end of a text that is too long: of a path, that tells more.
fn tail(text: &str, columns: usize) -> String {
    let mut rest = text.chars();
    while rest.as_str().width() > columns.saturating_sub(1) && text.width() > columns {
        rest.next();
    }
    if rest.as_str().len() == text.len() { text.to_owned() } else { format!("…{}", rest.as_str()) }
}

/// The panes with what they hold, and the filter.
pub(super) fn tabs(frame: &mut Frame<'_>, area: Rect, state: &State, look: Look) {
    let titles = Pane::ALL.map(|pane| match pane {
        Pane::Attempts => format!("1 Attempts {}", grouped(state.attempts.held() as u64)),
        Pane::Alerts => format!("2 Alerts {}", grouped(state.alerts.total())),
        Pane::Tunnels => format!("3 Tunnels {}", grouped(state.tunnels.len() as u64)),
    });
    let taken = titles.iter().map(|title| title.len() + 3).sum::<usize>();
    let tabs =
        Tabs::new(titles).select(state.pane as usize).divider(" │ ").padding("", "").highlight_style(look.selected());
    frame.render_widget(tabs, area);
    let room = usize::from(area.width).saturating_sub(taken + 2);
    let note = look.span(Tint::Code, cut(&note(state), room));
    frame.render_widget(Paragraph::new(Line::from(note)).alignment(Alignment::Right), area);
}

fn note(state: &State) -> String {
    if state.attempts.is_filtered() {
        let (shown, text) = (grouped(state.attempts.len() as u64), state.attempts.filter_text());
        return format!("{shown} match {}", escape(text));
    }
    match state.attempts.forgotten() {
        0 => String::new(),
        number => format!("{} older forgotten", grouped(number)),
    }
}
