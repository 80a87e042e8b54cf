//! All about the selected attempt: the report's own ladder, alerts and fix, and every field; scrolls.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::Line,
    widgets::{Block, Borders, Paragraph},
};

use super::scrollbar;
use crate::{
    sink::text::shared::{Tint, Words, detail},
    tui::{look::Look, state::State},
};

/// The report's lines are made for these widths.
const COLUMNS: std::ops::RangeInclusive<usize> = 58..=120;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &mut State, look: Look) {
    let title = if state.in_detail { Tint::Strong } else { Tint::Dim };
    let block = Block::new().borders(Borders::TOP).border_style(look.style(title)).title(" Attempt ");
    let [text, bar] = Layout::horizontal([Constraint::Fill(1), Constraint::Length(1)]).areas(block.inner(area));
    frame.render_widget(block, area);
    let Some(row) = state.attempts.selected() else { return };
    let width = usize::from(text.width.saturating_sub(1)).clamp(*COLUMNS.start(), *COLUMNS.end());
    let words = Words { redactor: state.redactor, interfaces: &state.shown.interfaces, width };
    let lines = detail(&words, &row.attempt, &row.alerts, row.tunnel.as_deref());
    let page = usize::from(text.height);
    state.detail_lines = lines.len();
    state.detail.page = page;
    state.detail.top = state.detail.top.min(lines.len().saturating_sub(page));
    let visible = lines.iter().skip(state.detail.top).take(page);
    let visible: Vec<Line<'_>> = visible.map(|line| look.line(line)).collect();
    frame.render_widget(Paragraph::new(visible), text);
    scrollbar(frame, bar, state.detail, lines.len(), look);
}
