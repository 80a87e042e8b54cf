//! Alerts by cause, and what the selected one says.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::Line,
    widgets::{Block, Borders, Paragraph, Row},
};

use super::{
    nothing, scrollbar, split_list, table,
    words::{compact, time},
};
use crate::{
    sink::text::shared::{Tint, cut, paragraph},
    tui::{
        keys::Pane,
        look::{self, Look},
        state::{Group, Rows, State},
    },
};

/// Rows below the list for the selected group.
const PANEL: u16 = 5;
/// The longest rule id.
const RULE: u16 = 23;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &mut State, look: Look) {
    let [list, panel] = Layout::vertical([Constraint::Fill(1), Constraint::Length(PANEL)]).areas(area);
    let (list, bar, page) = split_list(list);
    let window = &mut state.windows[Pane::Alerts as usize];
    window.fit(page, &state.alerts);
    let window = *window;
    if state.alerts.len() == 0 {
        let text = if state.finished { "No rule fired." } else { "No rule fired so far." };
        return nothing(frame, area, look, text);
    }
    let roomy = list.width >= 110;
    let time = if roomy { 12 } else { 8 };
    let count = if roomy { 9 } else { 5 };
    let rest = list.width.saturating_sub(1 + count + RULE + 2 * time + 6);
    let path = rest * 36 / 100;
    let widths = [1, count, RULE, rest - path, path, time, time].map(Constraint::Length);
    let position = state.alerts.position();
    let visible = state.alerts.listed().iter().enumerate().skip(window.top).take(page);
    let rows = visible.map(|(at, group)| {
        let row = row(state, group, (rest - path, path), roomy, look);
        if at == position { row.style(look.selected()) } else { row }
    });
    let heads = vec!["", "count", "rule", "by or why", "path", "first", "last"];
    table(frame, list, look, heads, rows.collect(), &widths);
    scrollbar(frame, bar, window, state.alerts.len(), look);
    if let Some(group) = state.alerts.selected() {
        told(frame, panel, group, look);
    }
}

fn row(state: &State, group: &Group, (by, path): (u16, u16), roomy: bool, look: Look) -> Row<'static> {
    let (tint, symbol) = look::level(group.cause.level);
    let at = |at| Line::from(look.span(Tint::Dim, time(at, state.origin(), roomy)));
    Row::new([
        Line::from(look.span(tint, symbol)),
        Line::from(compact(group.count)).right_aligned(),
        Line::from(look.span(tint, group.cause.rule.as_str())),
        Line::from(cut(&short(&group.cause.by, roomy), usize::from(by))),
        Line::from(cut(&group.cause.path, usize::from(path))),
        at(group.first_at),
        at(group.last_at),
    ])
}

/// Without the version, where there is no room for it.
fn short(by: &str, roomy: bool) -> String {
    let (name, place) = by.split_once(' ').unwrap_or((by, ""));
    let name = if roomy { name } else { name.split('/').next().unwrap_or(name) };
    format!("{name} {place}").trim_end().to_owned()
}

/// What the first alert of the group said, and by whom it was.
fn told(frame: &mut Frame<'_>, area: Rect, group: &Group, look: Look) {
    let block = Block::new().borders(Borders::TOP).border_style(look.style(Tint::Dim));
    let inner = block.inner(area);
    let columns = usize::from(inner.width).saturating_sub(2);
    let mut lines = paragraph(Tint::Plain, &group.message, columns);
    lines.truncate(usize::from(inner.height).saturating_sub(1));
    let mut lines: Vec<_> = lines.iter().map(|line| look.line(line)).collect();
    let place = format!("{}  on {}", group.cause.by, group.cause.path);
    lines.push(Line::from(look.span(Tint::Dim, cut(&place, columns))));
    frame.render_widget(Paragraph::new(lines).block(block), area);
}
