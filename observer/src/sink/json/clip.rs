//! How much of an event fits in one line. A line stays under 16 KiB: what is too long is cut and marked with `…`, what
//! is too much is left out and counted.

use std::cell::Cell;

/// The length that a line stays under, its newline included.
pub(super) const LINE: usize = 16 << 10;

/// What is kept of one event.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// Bytes of one value.
    pub(super) value: usize,
    /// Field lines of one head.
    pub(super) fields: usize,
    /// Hops of an attempt.
    pub(super) hops: usize,
    /// Members of any other list.
    pub(super) list: usize,
    /// Whether anything was cut or left out.
    pub(super) truncated: Cell<bool>,
}

impl Limits {
    /// From generous to tight. By the last, the longest line there can be fits.
    pub(super) fn ladder() -> impl Iterator<Item = Self> {
        [(1024, 64, 32, 256), (256, 40, 12, 64), (128, 24, 8, 32), (96, 12, 6, 16), (48, 0, 4, 8)]
            .into_iter()
            .map(|(value, fields, hops, list)| Self { value, fields, hops, list, truncated: Cell::new(false) })
    }

    /// A value, cut where it is too long.
    pub(super) fn value(&self, text: String) -> String {
        self.cut(text, self.value)
    }

    /// A sentence for people, which is given more room.
    pub(super) fn sentence(&self, text: String) -> String {
        self.cut(text, self.value * 4)
    }

    /// How many of `length` things are kept, and how many that leaves out.
    pub(super) fn keep(&self, length: usize, limit: usize) -> (usize, Option<usize>) {
        if length <= limit {
            return (length, None);
        }
        self.truncated.set(true);
        (limit, Some(length - limit))
    }

    fn cut(&self, mut text: String, limit: usize) -> String {
        if encoded(&text) <= limit {
            return text;
        }
        let mut room = limit;
        let end = text.char_indices().find_map(|(at, character)| {
            let length = cost(character);
            if length > room {
                return Some(at);
            }
            room -= length;
            None
        });
        text.truncate(end.unwrap_or(text.len()));
        text.push('…');
        self.truncated.set(true);
        text
    }
}

/// Bytes of a character in a JSON string. Control characters were written out before.
const fn cost(character: char) -> usize {
    if matches!(character, '"' | '\\') { 2 } else { character.len_utf8() }
}

fn encoded(text: &str) -> usize {
    text.chars().map(cost).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_cut_between_characters() {
        let limits = Limits { value: 8, fields: 1, hops: 1, list: 1, truncated: Cell::new(false) };
        for (text, cut) in [
            ("12345678", "12345678"),
            ("123456789", "12345678…"),
            ("ééééé", "éééé…"),
            ("\"\"\"\"\"", "\"\"\"\"…"),
            ("", ""),
        ] {
            assert_eq!(limits.value(text.to_owned()), cut);
        }
        assert!(limits.truncated.get());
    }
}
