//! The keys, above everything else.

use ratatui::{
    Frame,
    layout::Rect,
    text::Line,
    widgets::{Block, Clear, Padding, Paragraph},
};

use crate::{
    sink::text::shared::Tint,
    tui::{keys::KEYS, look::Look},
};

/// Columns of the keys.
const KEY: usize = 14;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, look: Look) {
    let mut lines: Vec<_> = KEYS
        .iter()
        .map(|(key, meaning)| Line::from(vec![look.span(Tint::Strong, format!("{key:KEY$}")), (*meaning).into()]))
        .collect();
    lines.push(Line::default());
    lines.push(Line::from(vec![
        look.span(Tint::Strong, format!("{:KEY$}", "✓ ✗ … ?")),
        "upgraded, not upgraded, still waiting, not captured".into(),
    ]));
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX);
    let place = area.centered(
        ratatui::layout::Constraint::Length(area.width.min(80)),
        ratatui::layout::Constraint::Length(height.min(area.height)),
    );
    let block = Block::bordered().title(" Keys ").padding(Padding::horizontal(1));
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).block(block), place);
}
