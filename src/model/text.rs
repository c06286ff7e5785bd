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

/// Tells whether a character shows nothing or acts on what is around it: controls, format
/// characters, line and paragraph separators, and what Unicode lets a font ignore
/// (`Default_Ignorable_Code_Point`: fillers, variation selectors, tags), which can hide a message
/// from a reader and not from a model.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || is_format(c)
        || matches!(c,
            '\u{34F}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
            | '\u{180B}'..='\u{180F}' | '\u{2028}'..='\u{2029}' | '\u{2065}' | '\u{3164}'
            | '\u{FE00}'..='\u{FE0F}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFF8}'
            | '\u{E0000}'..='\u{E0FFF}')
}

/// Drops what is hidden, keeping tab and line ends, then cuts to `max`
/// characters: the form of names.
#[must_use]
pub fn sanitize(text: &str, max: usize) -> String {
    let keep = |c: &char| matches!(c, '\t' | '\n' | '\r') || !is_hidden(*c);
    text.chars().filter(keep).take(max).collect()
}

/// Writes what is hidden out as `\u{202e}`, keeping tab and line ends: the form
/// of values, where nothing may be lost.
#[must_use]
pub fn escape(text: &str) -> String {
    let acts = |c: char| is_hidden(c) && !matches!(c, '\t' | '\n' | '\r');
    if !text.chars().any(acts) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if acts(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// Counts in words: `1 tag`, `2 tags`.
#[must_use]
pub fn counted(count: usize, one: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {one}{s}")
}

/// Gives the article of a name as it is spoken: an `mqtt` endpoint, a `modbus` endpoint.
#[must_use]
pub fn with_article(name: &str) -> String {
    // Letters that are spelt out and begin with a vowel: em-see, ess-seven.
    let is_spelt = name.starts_with("mc") || name.starts_with("mq") || name.starts_with("mt");
    let is_spelt = is_spelt || name.starts_with("s7");
    let article = if is_spelt || name.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {name}")
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

    #[test]
    fn every_code_point_is_shown_as_it_is_or_as_its_number() {
        let listed = include_str!("../../tests/golden/unicode_hidden.json");
        let listed: serde_json::Value = serde_json::from_str(listed).unwrap();
        let ranges: Vec<[u32; 2]> = serde_json::from_value(listed["ranges"].clone()).unwrap();
        let (mut hidden, mut shown) = (0, 0);
        // All 1,114,112; the surrogates among them are no characters.
        for c in (0..=0x10_FFFF).filter_map(char::from_u32) {
            let text = format!("a{c}b");
            let is_line = matches!(c, '\t' | '\n' | '\r');
            let point = u32::from(c);
            if ranges.iter().any(|[first, last]| (*first..=*last).contains(&point)) {
                assert!(is_hidden(c), "{point:x}");
            }
            if is_hidden(c) && !is_line {
                hidden += 1;
                assert_eq!(escape(&text), format!("a\\u{{{point:x}}}b"));
                assert_eq!(sanitize(&text, 9), "ab");
            } else {
                shown += 1;
                assert_eq!(escape(&text), text);
                assert_eq!(sanitize(&text, 9), text);
            }
        }
        assert_eq!(hidden + shown, 0x11_0000 - 0x800);
        assert!((4_000..5_000).contains(&hidden), "{hidden}");
    }

    #[test]
    fn names_come_out_as_the_vectors_say() {
        let vectors = include_str!("../../tests/golden/sanitize.json");
        let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
        let vectors = vectors["vectors"].as_array().unwrap();
        assert!(vectors.len() >= 7);
        for vector in vectors {
            let text = vector["input"]["text"].as_str().unwrap_or_default();
            let max = usize::try_from(vector["input"]["max_len"].as_u64().unwrap()).unwrap();
            assert_eq!(sanitize(text, max), vector["expect"].as_str().unwrap(), "{vector}");
        }
    }

    #[test]
    fn counts_and_articles_are_those_of_speech() {
        assert_eq!([0, 1, 2].map(|n| counted(n, "tag")), ["0 tags", "1 tag", "2 tags"]);
        let names = ["opcua", "modbus", "s7", "mc", "mtconnect", "mqtt"].map(with_article);
        assert_eq!(names, ["an opcua", "a modbus", "an s7", "an mc", "an mtconnect", "an mqtt"]);
    }
}
