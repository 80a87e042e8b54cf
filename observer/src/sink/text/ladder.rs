//! A broken attempt as a ladder: one lane for the client, each proxy and the origin, requests on their way there and
//! responses on their way back. Where the lanes do not fit side by side they are stacked instead.

use super::{
    compare::{Cell, Mark, Row, rows},
    line::{Line, Tint, cut, width, wrap},
    stack::stacked,
    words::{Words, endpoint, silent, span},
};
use crate::{
    engine::{
        event::{Attempt, Hop, Role},
        time::Timestamp,
    },
    sink::escape::escape,
};

/// Columns left of the first lane.
pub(super) const INDENT: usize = 2;
/// Columns for the marks at the right: ` ◄ replaced`.
pub(super) const MARKS: usize = 11;
/// Columns between lanes: less is not readable, more is waste.
const CELL: std::ops::RangeInclusive<usize> = 26..=46;

/// The ladder of an attempt.
pub(super) fn ladder(words: &Words<'_>, attempt: &Attempt) -> Vec<Line> {
    let hops: Vec<_> = attempt.path().collect();
    let rows = rows(words, &hops);
    let mut lines = match cell(words, &hops) {
        Some(cell) => Side { cell, words, hops: &hops, start: start(&hops) }.lines(&rows),
        None => stacked(words, &hops, &rows, start(&hops)),
    };
    lines.extend(aside(words, attempt));
    let sources = words.sources(attempt).map(|sources| wrap(&sources, words.width - INDENT)).unwrap_or_default();
    lines.extend(sources.into_iter().map(|text| Line::of(Tint::Dim, format!("  {text}"))));
    lines
}

/// All that the hops sent, without arrows and answers.
#[cfg(feature = "tui")]
pub(super) fn requests(words: &Words<'_>, attempt: &Attempt) -> Vec<Line> {
    let hops: Vec<_> = attempt.path().collect();
    let rows = super::compare::every_row(words, &hops);
    match cell(words, &hops) {
        Some(cell) => {
            let side = Side { cell, words, hops: &hops, start: None };
            rows.iter().map(|row| side.row(row)).collect()
        }
        None => super::stack::requests(words, &hops, &rows),
    }
}

/// Columns of a lane, where the lanes fit side by side.
fn cell(words: &Words<'_>, hops: &[&Hop]) -> Option<usize> {
    let room = words.width.saturating_sub(INDENT + MARKS + hops.len() + 1) / hops.len().max(1);
    let cell = room.min(*CELL.end());
    CELL.contains(&cell).then_some(cell)
}

/// Where offsets count from.
fn start(hops: &[&Hop]) -> Option<Timestamp> {
    hops.iter().find_map(|hop| hop.request.as_ref()).map(|request| request.at)
}

/// `#4 +1.2 ms`.
pub(super) fn label(frame: u64, at: Timestamp, start: Option<Timestamp>) -> String {
    format!("#{frame} +{}", span(at.since(start.unwrap_or(at))))
}

/// Lanes side by side.
struct Side<'a> {
    cell: usize,
    words: &'a Words<'a>,
    hops: &'a [&'a Hop],
    start: Option<Timestamp>,
}

impl Side<'_> {
    fn lines(&self, rows: &[Row]) -> Vec<Line> {
        let mut lines = self.heads();
        lines.push(self.requests());
        lines.extend(rows.iter().map(|row| self.row(row)));
        lines.push(self.statuses());
        lines.push(self.responses());
        lines
    }

    fn column(&self, lane: usize) -> usize {
        INDENT + lane * (self.cell + 1)
    }

    /// Names above endpoints above processes; where they do not fit, one lane is told below the other.
    fn heads(&self) -> Vec<Line> {
        let (names, ends): (Vec<_>, Vec<_>) = self.words.lanes(self.hops).into_iter().unzip();
        let processes = self.words.processes(self.hops);
        let mut heads = vec![self.spread(&names, Tint::Strong), self.spread(&ends, Tint::Plain)];
        if processes.iter().any(|process| !process.is_empty()) {
            heads.push(self.spread(&processes, Tint::Plain));
        }
        if heads.iter().all(Option::is_some) {
            return heads.into_iter().flatten().collect();
        }
        let longest = names.iter().map(|name| width(name)).max().unwrap_or(0).min(24);
        let room = self.words.width.saturating_sub(INDENT + longest + 2);
        let mut lines: Vec<_> = (0..names.len())
            .map(|lane| {
                let mut line = Line::of(Tint::Plain, "  ").then(Tint::Strong, cut(&names[lane], longest));
                line.pad(INDENT + longest + 2);
                let end = format!("{} {}", ends[lane], processes[lane]);
                line.then(Tint::Plain, cut(end.trim_end(), room))
            })
            .collect();
        lines.extend(heads.into_iter().next().flatten());
        lines
    }

    /// One text above each lane; the last may reach to the left. `None` where they would touch.
    fn spread(&self, texts: &[String], tint: Tint) -> Option<Line> {
        let mut line = Line::new();
        for (lane, text) in texts.iter().enumerate() {
            let mut column = self.column(lane);
            if lane + 1 == texts.len() {
                column = column.min(self.words.width.saturating_sub(width(text)));
            }
            if lane > 0 && line.width() + 2 > column {
                return None;
            }
            line.pad(column);
            line.push(tint, text.clone());
        }
        Some(line)
    }

    fn requests(&self) -> Line {
        let mut line = Line::of(Tint::Plain, "  ");
        for hop in self.hops {
            match &hop.request {
                Some(request) => {
                    let label = cut(&label(request.frame, request.at, self.start), self.cell - 6);
                    let rest = self.cell - 4 - width(&label);
                    line.push(Tint::Dim, "├─ ");
                    line.push(Tint::Plain, label);
                    line.push(Tint::Dim, format!(" {}►", "─".repeat(rest)));
                }
                None => line.push(Tint::Dim, format!("│{}", " ".repeat(self.cell))),
            }
        }
        line.then(Tint::Dim, "│")
    }

    fn row(&self, row: &Row) -> Line {
        let mut line = Line::of(Tint::Plain, "  ");
        for cell in &row.cells {
            line.push(Tint::Dim, "│");
            let column = line.width() + self.cell;
            if let Some(cell) = cell {
                line.push(Tint::Plain, " ");
                line.push(tint(cell), fitted(cell, self.cell - 2));
            }
            line.pad(column);
        }
        line.push(Tint::Dim, "│");
        with_mark(line, row.mark)
    }

    fn statuses(&self) -> Line {
        let mut line = Line::of(Tint::Plain, "  ");
        for hop in self.hops {
            line.push(Tint::Dim, "│");
            let column = line.width() + self.cell;
            let (tint, text) = answer(self.words, hop);
            let text = cut(&text, self.cell - 2);
            line.pad(column - 1 - width(&text));
            line.push(tint, text);
            line.pad(column);
        }
        line.then(Tint::Dim, "│")
    }

    fn responses(&self) -> Line {
        let mut line = Line::of(Tint::Plain, "  ");
        for (index, hop) in self.hops.iter().enumerate() {
            if index == 0 || self.hops[index - 1].response.is_none() {
                line.push(Tint::Dim, "│");
            }
            match &hop.response {
                Some(response) => {
                    let label = cut(&label(response.frame, response.at, self.start), self.cell - 6);
                    let rest = self.cell - 4 - width(&label);
                    line.push(Tint::Dim, format!("◄{} ", "─".repeat(rest)));
                    line.push(Tint::Plain, label);
                    line.push(Tint::Dim, " ─┤");
                }
                None => {
                    line.push(Tint::Plain, " ".repeat(self.cell));
                    if index + 1 == self.hops.len() {
                        line.push(Tint::Dim, "│");
                    }
                }
            }
        }
        line
    }
}

pub(super) fn tint(cell: &Cell) -> Tint {
    match cell.mark {
        Some(Mark { tint: Tint::Bad, .. }) => Tint::Bad,
        _ => Tint::Plain,
    }
}

/// The text of a cell, cut before its tail.
pub(super) fn fitted(cell: &Cell, columns: usize) -> String {
    let room = columns.saturating_sub(width(&cell.tail));
    format!("{}{}", cut(&cell.text, room), cell.tail)
}

pub(super) fn with_mark(line: Line, mark: Option<Mark>) -> Line {
    match mark {
        Some(mark) => line.then(mark.tint, format!(" ◄ {}", mark.word)),
        None => line,
    }
}

/// What came back on a hop.
pub(super) fn answer(words: &Words<'_>, hop: &Hop) -> (Tint, String) {
    match (&hop.response, hop.silence) {
        (Some(response), _) => {
            let reason = words.text(&response.reason);
            let tint = if response.status == 101 { Tint::Good } else { Tint::Strong };
            (tint, format!("{} {reason}", response.status).trim_end().to_owned())
        }
        (None, Some(silence)) => (Tint::Bad, format!("✗ {}", silent(silence))),
        (None, None) => (Tint::Dim, "no answer seen".to_owned()),
    }
}

/// Earlier tries and side requests, one line each.
fn aside(words: &Words<'_>, attempt: &Attempt) -> Vec<Line> {
    const MOST: usize = 4;
    let others: Vec<_> = attempt.hops.iter().filter(|hop| matches!(hop.role, Role::Retry | Role::Side)).collect();
    let mut lines: Vec<_> = others.iter().take(MOST).map(|hop| aside_line(words, hop)).collect();
    if others.len() > MOST {
        lines.push(Line::of(Tint::Dim, format!("  and {} more tries or side requests", others.len() - MOST)));
    }
    lines
}

fn aside_line(words: &Words<'_>, hop: &Hop) -> Line {
    let kind = if hop.role == Role::Retry { "earlier try at" } else { "side request to" };
    let mut text = format!("  {kind} {}", endpoint(&hop.server));
    if let Some(request) = &hop.request {
        let target = cut(&words.redactor.target(&request.target), 30);
        text.push_str(&format!(", #{} {} {target}", request.frame, escape(&request.method)));
    }
    text.push_str(&format!(": {}", answer(words, hop).1.trim_start_matches("✗ ")));
    Line::of(Tint::Dim, cut(&text, words.width))
}
