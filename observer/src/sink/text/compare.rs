//! What the hops of an attempt asked, compared: rows with one cell for each hop, and what became of it on the way.

use super::{line::Tint, words::Words};
use crate::{
    engine::event::{Fields, Hop, HttpVersion, Request},
    sink::escape::escape,
};

/// What the hops sent under one name.
pub(super) struct Row {
    /// One for each hop: what stands there, or `None` where there is nothing.
    pub(super) cells: Vec<Option<Cell>>,
    /// What became of it, for the hop that changed it last.
    pub(super) mark: Option<Mark>,
}

/// What one hop sent.
#[derive(Clone)]
pub(super) struct Cell {
    pub(super) text: String,
    /// Cut here rather than at the end, so that what follows stays in sight.
    pub(super) tail: String,
    /// What became of it on the way to this hop.
    pub(super) mark: Option<Mark>,
}

/// What became of a field on the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    pub(super) word: &'static str,
    pub(super) tint: Tint,
}

const fn bad(word: &'static str) -> Mark {
    Mark { word, tint: Tint::Bad }
}

const fn odd(word: &'static str) -> Mark {
    Mark { word, tint: Tint::Doubt }
}

const fn normal(word: &'static str) -> Mark {
    Mark { word, tint: Tint::Dim }
}

/// Shown always.
const ALWAYS: [&str; 3] = ["Host", "Upgrade", "Connection"];

/// Shown where they differ.
const WHERE_CHANGED: [&str; 8] = [
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Version",
    "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Extensions",
    "Origin",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "Forwarded",
];

/// Shown too where a server declined what no proxy had spoilt: it may be about one of them.
const WHERE_DECLINED: [&str; 3] = ["Origin", "Sec-WebSocket-Protocol", "Sec-WebSocket-Version"];

/// The rows that matter, and one that counts the rest.
pub(super) fn rows(words: &Words<'_>, hops: &[&Hop]) -> Vec<Row> {
    let mut rows = vec![request_line(words, hops)];
    for name in ALWAYS {
        let row = field(words, hops, name);
        if row.cells.iter().any(Option::is_some) {
            rows.push(row);
        }
    }
    let mut shown = ALWAYS.to_vec();
    let is_bad = |row: &Row| row.mark.is_some_and(|mark| mark.tint == Tint::Bad);
    let status = hops.last().and_then(|hop| hop.response.as_ref()).map(|response| response.status);
    let declined = matches!(status, Some(400..=499)) && !rows.iter().any(is_bad);
    for name in WHERE_CHANGED {
        let row = field(words, hops, name);
        let matters = declined && WHERE_DECLINED.contains(&name) && row.cells.iter().any(Option::is_some);
        if row.mark.is_some() || matters {
            rows.push(row);
            shown.push(name);
        }
    }
    rows.extend(rest(hops, &shown));
    rows
}

fn request_line(words: &Words<'_>, hops: &[&Hop]) -> Row {
    let mut before: Option<&Request> = None;
    let cells = hops.iter().map(|hop| {
        let request = hop.request.as_ref()?;
        let mark = before.and_then(|before| line_mark(before, request));
        before = Some(request);
        Some(Cell {
            text: format!("{} {}", escape(&request.method), words.redactor.target(&request.target)),
            tail: format!(" HTTP/{}", request.version),
            mark,
        })
    });
    with_last_mark(cells.collect())
}

fn line_mark(before: &Request, request: &Request) -> Option<Mark> {
    if before.version == HttpVersion::Http11 && request.version == HttpVersion::Http10 {
        return Some(bad("HTTP/1.0"));
    }
    if before.method != request.method {
        return Some(odd("method"));
    }
    (before.target != request.target).then_some(normal("rewritten"))
}

/// Every field that any hop sent, in the order in which they first appear, and what became of it.
#[cfg(feature = "tui")]
pub(super) fn every_row(words: &Words<'_>, hops: &[&Hop]) -> Vec<Row> {
    let mut names: Vec<&str> = Vec::new();
    for line in hops.iter().filter_map(|hop| hop.request.as_ref()).flat_map(|request| &request.fields) {
        let mut known = ALWAYS.into_iter().chain(WHERE_CHANGED);
        let name = known.find(|name| name.eq_ignore_ascii_case(&line.name)).unwrap_or(&line.name);
        if !names.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            names.push(name);
        }
    }
    std::iter::once(request_line(words, hops)).chain(names.iter().map(|name| field(words, hops, name))).collect()
}

fn field(words: &Words<'_>, hops: &[&Hop], name: &str) -> Row {
    let mut before: Option<(Option<String>, usize)> = None;
    let cells = hops.iter().map(|hop| {
        let request = hop.request.as_ref()?;
        let value = request.joined(name);
        let sent = || request.fields.iter().filter(|line| line.name.eq_ignore_ascii_case(name));
        let lines = sent().count();
        let cut = value.is_none() && !request.complete;
        let mark = match &before {
            Some((_, 1)) if lines > 1 => Some(bad("doubled")),
            Some((before, _)) if !cut => field_mark(name, before.as_deref(), value.as_deref()),
            _ => None,
        };
        if !cut {
            before = Some((value.clone(), lines));
        }
        // In the sender's spelling: some servers care.
        let shown = escape(sent().next().map_or(name, |line| &line.name));
        let text = match value {
            Some(value) => format!("{shown}: {}", words.redactor.field(name, &value)),
            None if cut => format!("{shown}: not captured"),
            None => match mark {
                Some(_) => format!("{shown}: –"),
                None => return None,
            },
        };
        Some(Cell { text, tail: String::new(), mark })
    });
    with_last_mark(cells.collect())
}

fn field_mark(name: &str, before: Option<&str>, after: Option<&str>) -> Option<Mark> {
    let pair = matches!(name, "Upgrade" | "Connection");
    match (before, after) {
        (None, None) => None,
        (Some(before), None) if pair && !is_upgrade(name, before) => Some(normal("dropped")),
        (Some(_), None) if pair => Some(bad("dropped")),
        (Some(_), None) if name.starts_with("Sec-") => Some(odd("dropped")),
        (Some(_), None) => Some(normal("dropped")),
        (None, Some(after)) if pair && is_upgrade(name, after) => Some(odd("added")),
        (None, Some(_)) => Some(normal("added")),
        (Some(before), Some(after)) if before == after => None,
        (Some(before), Some(after)) if pair => match (is_upgrade(name, before), is_upgrade(name, after)) {
            _ if before.eq_ignore_ascii_case(after) => None,
            // nginx and others send their own Connection field: as good as the client's.
            (true, true) if name == "Connection" => None,
            (true, false) => Some(bad("replaced")),
            _ => Some(odd("replaced")),
        },
        (Some(_), Some(_)) if name.starts_with("Sec-") => Some(odd("replaced")),
        (Some(_), Some(_)) => Some(normal("replaced")),
    }
}

/// Whether this value asks for an upgrade.
fn is_upgrade(name: &str, value: &str) -> bool {
    name == "Upgrade" || value.split(',').any(|member| member.trim().eq_ignore_ascii_case("upgrade"))
}

/// How many other field lines there are.
fn rest(hops: &[&Hop], shown: &[&str]) -> Option<Row> {
    let shown = |name: &str| shown.iter().any(|shown| name.eq_ignore_ascii_case(shown));
    let others = |request: &Request| request.fields.iter().filter(|line| !shown(&line.name)).count();
    let cells: Vec<_> = hops
        .iter()
        .map(|hop| {
            let request = hop.request.as_ref()?;
            let number = others(request);
            let more = if request.complete { "" } else { ", then cut off" };
            let text = match number {
                0 if request.complete => return None,
                1 => format!("1 more field{more}"),
                _ => format!("{number} more fields{more}"),
            };
            Some(Cell { text, tail: String::new(), mark: None })
        })
        .collect();
    cells.iter().any(Option::is_some).then_some(Row { cells, mark: None })
}

/// The mark that matters most stands at the row's end.
fn with_last_mark(cells: Vec<Option<Cell>>) -> Row {
    let weight = |mark: &Mark| match mark.tint {
        Tint::Bad => 2,
        Tint::Doubt => 1,
        _ => 0,
    };
    let mark = cells.iter().flatten().filter_map(|cell| cell.mark).max_by_key(weight);
    Row { cells, mark }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named() {
        for (name, before, after, word) in [
            ("Upgrade", Some("websocket"), None, Some("dropped")),
            ("Upgrade", Some("websocket"), Some("WebSocket"), None),
            ("Upgrade", None, Some("websocket"), Some("added")),
            ("Connection", Some("keep-alive, Upgrade"), Some("upgrade"), None),
            ("Connection", Some("Upgrade"), Some("close"), Some("replaced")),
            ("Host", Some("a"), Some("b"), Some("replaced")),
            ("X-Forwarded-For", None, Some("10.0.0.7"), Some("added")),
            ("Host", None, None, None),
        ] {
            assert_eq!(field_mark(name, before, after).map(|mark| mark.word), word, "{name} {before:?} {after:?}");
        }
        assert_eq!(field_mark("Connection", Some("Upgrade"), Some("close")).unwrap().tint, Tint::Bad);
        assert_eq!(field_mark("Host", Some("a"), Some("b")).unwrap().tint, Tint::Dim);
    }
}
