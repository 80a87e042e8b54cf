//! A ladder laid on its side: hop by hop from the client to the origin, then the responses on their way back. For
//! chains that are too long, and terminals that are too narrow, for lanes side by side.

use super::{
    compare::Row,
    ladder::{INDENT, MARKS, answer, fitted, label, tint, with_mark},
    line::{Line, Tint, cut, width},
    words::Words,
};
use crate::engine::{event::Hop, time::Timestamp};

/// Columns for what a hop sent, before the mark.
const SENT: usize = 44;

/// The ladder, hop by hop.
pub(super) fn stacked(words: &Words<'_>, hops: &[&Hop], rows: &[Row], start: Option<Timestamp>) -> Vec<Line> {
    let lanes = lanes(words, hops);
    let there = |hop: &&Hop| hop.request.as_ref().map_or(String::new(), |head| label(head.frame, head.at, start));
    let back = |hop: &&Hop| hop.response.as_ref().map_or(String::new(), |head| label(head.frame, head.at, start));
    let (there, back): (Vec<_>, Vec<_>) = (hops.iter().map(there).collect(), hops.iter().map(back).collect());
    let column = INDENT + 4 + there.iter().chain(&back).map(|text| width(text)).max().unwrap_or(0);
    let mut lines = Vec::new();
    for (index, label) in there.iter().enumerate() {
        lines.push(lane(words, &lanes[index]));
        lines.extend(sent(words, rows, index, label, column));
    }
    lines.extend(lanes.last().map(|last| lane(words, last)));
    for (index, hop) in hops.iter().enumerate().rev() {
        let (tint, text) = answer(words, hop);
        let mut line = Line::of(Tint::Dim, "  ▲ ").then(Tint::Dim, back[index].clone());
        line.pad(column);
        line.push(tint, cut(&text, 30));
        lines.push(line.then(Tint::Plain, format!(" to {}", cut(&lanes[index].0, 24))));
    }
    lines
}

/// What each hop sent, without the answers.
#[cfg(feature = "tui")]
pub(super) fn requests(words: &Words<'_>, hops: &[&Hop], rows: &[Row]) -> Vec<Line> {
    let lanes = lanes(words, hops);
    let hop = |(index, from): (usize, _)| {
        let mut lines = vec![lane(words, from)];
        lines.extend(sent(words, rows, index, "", INDENT + 4));
        lines
    };
    lanes.iter().take(hops.len()).enumerate().flat_map(hop).collect()
}

/// What one hop sent; beyond the first only what changed is of interest.
fn sent(words: &Words<'_>, rows: &[Row], hop: usize, label: &str, column: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let Some(cell) = row.cells.get(hop).and_then(Option::as_ref) else { continue };
        if hop > 0 && number > 0 && cell.mark.is_none() {
            continue;
        }
        let mut line = match number {
            0 => Line::of(Tint::Dim, format!("  ▼ {label}")),
            _ => Line::of(Tint::Dim, "  │ "),
        };
        line.pad(column);
        line.push(tint(cell), fitted(cell, words.width.saturating_sub(column + MARKS)));
        line.pad((words.width - MARKS).min(column + SENT));
        lines.push(with_mark(line, cell.mark));
    }
    if lines.is_empty() {
        lines.push(Line::of(Tint::Dim, "  ▼"));
    }
    lines
}

/// Name, and endpoint with its process.
fn lanes(words: &Words<'_>, hops: &[&Hop]) -> Vec<(String, String)> {
    let joined =
        |((name, end), process): ((String, String), String)| (name, format!("{end} {process}").trim_end().to_owned());
    words.lanes(hops).into_iter().zip(words.processes(hops)).map(joined).collect()
}

fn lane(words: &Words<'_>, (name, end): &(String, String)) -> Line {
    let name = cut(name, 30);
    let room = words.width.saturating_sub(INDENT + 1 + width(&name));
    Line::of(Tint::Plain, "  ").then(Tint::Strong, name).then(Tint::Plain, format!(" {}", cut(end, room)))
}
