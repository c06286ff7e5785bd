//! Text from elsewhere, made safe to show.

use std::fmt::Write;

use crate::model::is_hidden;

/// Replaces what could steer a terminal, turn the reading order or hide: line ends too, so that
/// the text stays in its line.
#[must_use]
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_hidden(c) => {
                if write!(out, "\\u{{{:04x}}}", u32::from(c)).is_err() {
                    out.push('?');
                }
            }
            c => out.push(c),
        }
    }
    out
}

/// Escapes text and cuts it to a number of characters.
#[must_use]
pub(crate) fn bounded(text: &str, chars_max: usize) -> String {
    let escaped = escaped(text);
    match escaped.char_indices().nth(chars_max) {
        None => escaped,
        Some((at, _)) => format!("{}...", escaped.get(..at).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_shown_and_letters_of_any_script_stay() {
        assert_eq!(escaped("a\u{1b}[31m\nb\u{202e}c"), "a\\u{001b}[31m\\nb\\u{202e}c");
        assert_eq!(escaped("Dr\u{fc}ck \u{672a}\u{7ecf}"), "Dr\u{fc}ck \u{672a}\u{7ecf}");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(bounded("\u{fc}\u{fc}\u{fc}", 2), "\u{fc}\u{fc}...");
        assert_eq!(bounded("abc", 3), "abc");
    }

    #[test]
    fn no_code_point_acts_on_a_reader() {
        for c in (0..=0x10_FFFF).filter_map(char::from_u32) {
            assert!(!escaped(&format!("a{c}b")).chars().any(is_hidden), "{c:?}");
        }
    }
}
