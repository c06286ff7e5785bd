//! Text that came from a device: bounded, and with nothing in it that acts on a reader.

/// Tells whether a character is invisible or acts on the text around it: Unicode category Cf,
/// which holds the bidirectional controls and zero-width characters.
fn is_format(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{600}'..='\u{605}' | '\u{61C}' | '\u{6DD}' | '\u{70F}'
        | '\u{890}'..='\u{891}' | '\u{8E2}' | '\u{180E}' | '\u{200B}'..='\u{200F}'
        | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206F}'
        | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{110BD}' | '\u{110CD}'
        | '\u{13430}'..='\u{1343F}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0001}' | '\u{E0020}'..='\u{E007F}')
}

/// Drops control and format characters, keeping tab and line ends, then cuts to `max`
/// characters: the form of names.
#[must_use]
pub fn sanitize(text: &str, max: usize) -> String {
    let keep = |c: &char| matches!(c, '\t' | '\n' | '\r') || !(c.is_control() || is_format(*c));
    text.chars().filter(keep).take(max).collect()
}

/// Writes control and format characters out as `\u{202e}`, keeping tab and line ends: the form
/// of values, where nothing may be lost.
#[must_use]
pub fn escape(text: &str) -> String {
    let acts = |c: char| (c.is_control() && !matches!(c, '\t' | '\n' | '\r')) || is_format(c);
    if !text.chars().any(acts) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if acts(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_what_acts_on_a_reader_and_values_show_it() {
        assert_eq!(sanitize("a\u{202e}b\u{0}c\n", 10), "abc\n");
        assert_eq!(sanitize("abcdef", 3), "abc");
        assert_eq!(escape("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(escape("Gr\u{fc}\u{df}e"), "Gr\u{fc}\u{df}e");
    }
}
