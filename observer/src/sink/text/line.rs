//! Lines for a terminal: parts of one tint each, measured in columns (wide glyphs take two), cut and wrapped safely.
//! Whatever stands in a line was escaped before.

use anstyle::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What a part means; how that looks is decided here alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tint {
    Plain,
    Dim,
    Strong,
    Bad,
    Doubt,
    Good,
    Code,
}

impl Tint {
    const fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Dim => Style::new().dimmed(),
            Self::Strong => Style::new().bold(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Doubt => AnsiColor::Yellow.on_default(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Code => AnsiColor::Cyan.on_default(),
        }
    }
}

/// One line.
#[derive(Clone, Default, Debug)]
pub(crate) struct Line {
    parts: Vec<(Tint, String)>,
    width: usize,
}

impl Line {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A line of one tint.
    pub(crate) fn of(tint: Tint, text: impl Into<String>) -> Self {
        Self::new().then(tint, text)
    }

    /// Adds a part.
    pub(crate) fn then(mut self, tint: Tint, text: impl Into<String>) -> Self {
        self.push(tint, text);
        self
    }

    /// Adds a part.
    pub(crate) fn push(&mut self, tint: Tint, text: impl Into<String>) {
        let text = text.into();
        self.width += width(&text);
        self.parts.push((tint, text));
    }

    /// Adds blanks up to a column.
    pub(crate) fn pad(&mut self, column: usize) {
        if column > self.width {
            self.push(Tint::Plain, " ".repeat(column - self.width));
        }
    }

    /// Columns taken.
    pub(crate) const fn width(&self) -> usize {
        self.width
    }

    /// Its parts.
    #[cfg(feature = "tui")]
    pub(crate) fn parts(&self) -> &[(Tint, String)] {
        &self.parts
    }

    /// Appends the line to what is printed, without blanks at its end.
    pub(super) fn print(&self, color: bool, out: &mut String) {
        let start = out.len();
        for (tint, text) in &self.parts {
            let style = tint.style();
            if color && *tint != Tint::Plain && !text.trim().is_empty() {
                out.push_str(&format!("{style}{text}{style:#}"));
            } else {
                out.push_str(text);
            }
        }
        out.truncate(out[start..].trim_end_matches(' ').len() + start);
        out.push('\n');
    }
}

/// Columns that a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// A text that takes no more than these columns, with `…` where it was cut.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let (head, _) = split(text, columns.saturating_sub(1));
    format!("{head}…")
}

/// The part that fits, and the rest; never within a glyph.
fn split(text: &str, columns: usize) -> (&str, &str) {
    let mut taken = 0;
    for (at, glyph) in text.char_indices() {
        taken += glyph.width().unwrap_or(0);
        if taken > columns {
            return text.split_at(at);
        }
    }
    (text, "")
}

/// Lines of no more than these columns, broken between words; a word that is longer is broken within.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(8);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let mut word = word;
        if !line.is_empty() && width(&line) + 1 + width(word) > columns {
            lines.push(std::mem::take(&mut line));
        }
        while width(word) > columns {
            let (head, rest) = split(word, columns);
            lines.push(head.to_owned());
            word = rest;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// Lines of no more than these columns, broken anywhere: for paths, which have no words.
pub(super) fn chop(text: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (head, tail) = split(rest, columns.max(8));
        lines.push(head.to_owned());
        rest = tail;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_by_columns() {
        for (text, columns, shown) in [
            ("websocket", 9, "websocket"),
            ("websocket", 8, "websock…"),
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("é", 1, "é"),
            ("ab", 1, "…"),
        ] {
            assert_eq!(cut(text, columns), shown);
            assert!(width(&cut(text, columns)) <= columns);
        }
    }

    #[test]
    fn sentences_are_wrapped() {
        assert_eq!(wrap("one two three four", 8), ["one two", "three", "four"]);
        assert_eq!(wrap("a 0123456789", 8), ["a", "01234567", "89"]);
        assert!(wrap("", 8).is_empty());
    }

    #[test]
    fn colour_is_there_only_when_asked_for() {
        let mut line = Line::of(Tint::Bad, "x");
        line.pad(4);
        let (mut plain, mut coloured) = (String::new(), String::new());
        line.print(false, &mut plain);
        line.print(true, &mut coloured);
        assert_eq!(plain, "x\n");
        assert!(coloured.starts_with("\x1b[") && coloured.contains("\x1b[0m"));
    }
}
