//! Makes characters visible that would act on a terminal or hide in a log: control characters, marks that turn the
//! direction of text, zero-width and other invisible characters. Bytes from the wire pass here before any output.

use std::{borrow::Cow, fmt::Write as _};

/// The text with every acting or invisible character written out, as `\x1b` or `\u{202e}`.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    if is_printable(text) || !text.chars().any(acts) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if acts(character) { write_out(character, &mut out) } else { out.push(character) }
    }
    Cow::Owned(out)
}

/// Whether it is all printable ASCII, as nearly everything is.
fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

fn write_out(character: char, out: &mut String) {
    let number = u32::from(character);
    // Writing to a string cannot fail.
    let _ = if number < 0x100 { write!(out, "\\x{number:02x}") } else { write!(out, "\\u{{{number:x}}}") };
}

/// Whether a character does something else than show itself.
const fn acts(character: char) -> bool {
    matches!(character,
        // C0, DEL and C1
        '\0'..='\x1f' | '\x7f'..='\u{9f}'
        // soft hyphen, Arabic letter mark, Hangul and Khmer fillers, Mongolian vowel separator
        | '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        // zero-width, marks of direction, line and paragraph separators, embeddings and overrides
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        // word joiner, invisible operators, isolates, deprecated formatting
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        // musical and tag controls, supplementary variation selectors, private use
        | '\u{1d173}'..='\u{1d17a}' | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_act_are_written_out() {
        for (raw, shown) in [
            ("plain /ws?x=1", "plain /ws?x=1"),
            ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
            ("a\r\nb\tc\0", "a\\x0d\\x0ab\\x09c\\x00"),
            ("\x7f\u{85}\u{9b}", "\\x7f\\x85\\x9b"),
            ("\u{202e}fdp.exe", "\\u{202e}fdp.exe"),
            ("\u{202a}\u{2066}\u{2069}", "\\u{202a}\\u{2066}\\u{2069}"),
            ("\u{200e}\u{200f}\u{61c}", "\\u{200e}\\u{200f}\\u{61c}"),
            ("\u{200b}\u{200d}\u{feff}", "\\u{200b}\\u{200d}\\u{feff}"),
            ("\u{2028}\u{2029}", "\\u{2028}\\u{2029}"),
            ("\u{e0041}", "\\u{e0041}"),
            ("日本語 é \u{fffd}", "日本語 é \u{fffd}"),
        ] {
            assert_eq!(escape(raw), shown);
        }
    }

    #[test]
    fn what_was_escaped_needs_no_second_time() {
        let every: String = ('\0'..='\u{ffff}').collect();
        let once = escape(&every).into_owned();
        assert_eq!(escape(&once), once);
    }
}
