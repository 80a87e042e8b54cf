//! A list with a selected row and a window on it: what the three panes share.

use super::super::keys::Step;

/// The rows of a pane, from the top.
pub(in crate::tui) trait Rows {
    fn len(&self) -> usize;

    /// The place of the selected row.
    fn position(&self) -> usize;

    /// Selects the row at a place that exists.
    fn select(&mut self, position: usize);
}

/// Which part of the rows is on the screen.
#[derive(Clone, Copy, Default, Debug)]
pub(in crate::tui) struct Window {
    /// The first row shown.
    pub(in crate::tui) top: usize,
    /// How many rows there is room for, as last drawn.
    pub(in crate::tui) page: usize,
}

impl Window {
    /// Makes room for so many rows, and moves until the selected one is among them.
    pub(in crate::tui) fn fit(&mut self, page: usize, rows: &impl Rows) {
        self.page = page;
        let position = rows.position();
        self.top = self.top.min(position).max((position + 1).saturating_sub(page));
        self.top = self.top.min(rows.len().saturating_sub(page));
    }
}

/// Moves the selection.
pub(super) fn step(rows: &mut impl Rows, step: Step, page: usize) {
    let Some(last) = rows.len().checked_sub(1) else { return };
    rows.select(moved(rows.position(), step, page, last));
}

/// A place after a move, in 0 to `last`.
pub(super) fn moved(at: usize, step: Step, page: usize, last: usize) -> usize {
    let page = page.saturating_sub(1).max(1);
    match step {
        Step::Up => at.saturating_sub(1),
        Step::Down => at + 1,
        Step::PageUp => at.saturating_sub(page),
        Step::PageDown => at + page,
        Step::First => 0,
        Step::Last => last,
    }
    .min(last)
}
