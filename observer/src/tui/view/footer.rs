//! The last line: the filter while it is typed, the last message, or the keys.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};
use tui_input::Input;

use crate::{
    sink::text::shared::{Tint, cut},
    tui::{keys::Pane, look::Look, state::State},
};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, look: Look) {
    if let Some(input) = &state.typing {
        return filter(frame, area, input, look);
    }
    let line = match &state.message {
        Some((tint, text)) => Line::from(look.span(*tint, cut(text, usize::from(area.width)))),
        None => keys(state, usize::from(area.width), look),
    };
    frame.render_widget(Paragraph::new(line), area);
}

fn filter(frame: &mut Frame<'_>, area: Rect, input: &Input, look: Look) {
    const HINT: &str = "Enter keeps, Esc drops   status:426 rule:idle -host:x ";
    let room = usize::from(area.width).saturating_sub(3);
    let scroll = input.visual_scroll(room);
    let shown: String = input.value().chars().skip(scroll).collect();
    let prompt = look.span(Tint::Strong, "/");
    let line = Line::from(vec![prompt, Span::raw(shown)]);
    let free = usize::from(area.width).saturating_sub(line.width() + 2);
    frame.render_widget(Paragraph::new(line), area);
    if free > HINT.len() {
        let hint = Line::from(look.span(Tint::Dim, HINT));
        frame.render_widget(Paragraph::new(hint).right_aligned(), area);
    }
    let column = input.visual_cursor().saturating_sub(scroll).min(room);
    frame.set_cursor_position((area.x + 1 + u16::try_from(column).unwrap_or(0), area.y));
}

/// Columns of a key, its meaning and the blanks after it.
fn taken((key, meaning): (&str, &str)) -> usize {
    key.chars().count() + meaning.len() + 3
}

/// The keys that matter here, as many as fit.
fn keys(state: &State, width: usize, look: Look) -> Line<'static> {
    let pause = if state.paused { "go on" } else { "pause" };
    let here: &[(&str, &str)] = match (state.pane, state.in_detail) {
        (Pane::Attempts, true) => &[("↑↓", "scroll"), ("Esc", "back"), ("y", "copy"), ("e", "export")],
        (Pane::Attempts, false) => &[("Enter", "detail"), ("/", "filter"), ("y", "copy"), ("e", "export")],
        (Pane::Alerts, _) => &[("Enter", "first example"), ("y", "copy"), ("e", "export")],
        (Pane::Tunnels, _) => &[("Enter", "attempt"), ("y", "copy")],
    };
    let last = [("?", "help"), ("q", "quit")];
    let needed = |keys: &[(&str, &str)]| keys.iter().map(|key| taken(*key)).sum::<usize>();
    let room = width.saturating_sub(needed(&last));
    let mut keys: Vec<_> = here.iter().copied().chain([("tab", "pane"), ("p", pause)]).collect();
    // One blank less: nothing follows the last key.
    while needed(&keys) > room + 2 {
        keys.pop();
    }
    let mut line = Line::default();
    for (key, meaning) in keys.into_iter().chain(last) {
        line.push_span(look.span(Tint::Strong, key));
        line.push_span(look.span(Tint::Dim, format!(" {meaning}  ")));
    }
    line
}
