//! What is drawn: header, tabs, one pane, footer, and the help above all. One file for each part. Drawing tells the
//! state only how much room there was.

mod alerts;
mod attempts;
mod detail;
mod footer;
mod header;
mod help;
mod tunnels;
mod words;

#[cfg(test)]
mod tests;

use ratatui::{
    Frame,
    layout::{Alignment, Constraint, Layout, Rect},
    text::Line,
    widgets::{Paragraph, Row, Scrollbar, ScrollbarOrientation, ScrollbarState, Table, Wrap},
};

use super::{
    keys::Pane,
    look::Look,
    state::{State, Window},
};
use crate::sink::text::shared::Tint;

/// Less than this is not readable.
const LEAST: (u16, u16) = (60, 15);
/// From these sizes on, list and detail stand side by side, or one above the other.
const SIDE_BY_SIDE: u16 = 160;
const ABOVE: u16 = 36;
/// Columns of the detail beside the list: what the ladder makes use of.
const DETAIL: u16 = 104;

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, state: &mut State, look: Look) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        return too_small(frame, area);
    }
    let [top, tabs, body, bottom] =
        Layout::vertical([Constraint::Length(2), Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)])
            .areas(area);
    header::draw(frame, top, state, look);
    header::tabs(frame, tabs, state, look);
    match state.pane {
        Pane::Attempts => attempts_and_detail(frame, body, state, look),
        Pane::Alerts => alerts::draw(frame, body, state, look),
        Pane::Tunnels => tunnels::draw(frame, body, state, look),
    }
    footer::draw(frame, bottom, state, look);
    if state.help {
        help::draw(frame, body, look);
    }
}

fn too_small(frame: &mut Frame<'_>, area: Rect) {
    let text = format!(
        "This window has {} × {} cells; observer needs {} × {}. Please make it larger. q quits.",
        area.width, area.height, LEAST.0, LEAST.1
    );
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
}

/// The list, the detail, or both, as there is room.
fn attempts_and_detail(frame: &mut Frame<'_>, body: Rect, state: &mut State, look: Look) {
    let areas = if body.width >= SIDE_BY_SIDE {
        Some(Layout::horizontal([Constraint::Fill(1), Constraint::Length(DETAIL)]).spacing(2).areas::<2>(body))
    } else if frame.area().height >= ABOVE {
        Some(Layout::vertical([Constraint::Percentage(38), Constraint::Fill(1)]).areas(body))
    } else {
        None
    };
    match areas {
        Some([list, beside]) => {
            attempts::draw(frame, list, state, look);
            detail::draw(frame, beside, state, look);
        }
        None if state.in_detail => detail::draw(frame, body, state, look),
        None => attempts::draw(frame, body, state, look),
    }
}

/// A table with its heads, of which only the visible rows were made.
fn table(
    frame: &mut Frame<'_>,
    area: Rect,
    look: Look,
    heads: Vec<&'static str>,
    rows: Vec<Row<'_>>,
    widths: &[Constraint],
) {
    let heads = Row::new(heads).style(look.style(Tint::Dim));
    frame.render_widget(Table::new(rows, widths.iter().copied()).header(heads).column_spacing(1), area);
}

/// A bar at the right, where there is more than fits.
fn scrollbar(frame: &mut Frame<'_>, area: Rect, window: Window, length: usize, look: Look) {
    if length <= window.page {
        return;
    }
    let mut state = ScrollbarState::new(length - window.page).position(window.top).viewport_content_length(window.page);
    let bar = Scrollbar::new(ScrollbarOrientation::VerticalRight)
        .begin_symbol(None)
        .end_symbol(None)
        .track_symbol(Some("│"))
        .thumb_symbol("┃")
        .track_style(look.style(Tint::Dim));
    frame.render_stateful_widget(bar, area, &mut state);
}

/// One sentence where there is nothing to list.
fn nothing(frame: &mut Frame<'_>, area: Rect, look: Look, text: &str) {
    let place = Rect { y: area.y + area.height / 3, height: area.height - area.height / 3, ..area };
    let text = Line::from(look.span(Tint::Dim, text));
    frame.render_widget(Paragraph::new(text).alignment(Alignment::Center).wrap(Wrap { trim: true }), place);
}

/// A list's area: its rows, the column of its scroll bar, and how many rows fit below the heads.
fn split_list(area: Rect) -> (Rect, Rect, usize) {
    let [rows, bar] = Layout::horizontal([Constraint::Fill(1), Constraint::Length(1)]).areas(area);
    let bar = Rect { y: bar.y + 1, height: bar.height.saturating_sub(1), ..bar };
    (rows, bar, usize::from(area.height.saturating_sub(1)))
}
