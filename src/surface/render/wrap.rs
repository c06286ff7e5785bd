//! Sentences in the lines of a terminal.

use super::look::Look;

/// Breaks a line between its words where it is longer than the terminal is wide; what follows
/// stands `indent` further right. A word that is longer than a line stays whole, so that a path
/// can be copied.
pub(crate) fn wrapped(text: &str, look: Look, indent: usize) -> String {
    let Some(columns) = look.columns.map(usize::from) else { return text.to_owned() };
    let mut out = String::with_capacity(text.len());
    let (mut used, mut gap) = (0, 0);
    for word in text.split(' ') {
        let width = word.chars().count();
        if width > 0 {
            if used + gap + width > columns && used > indent {
                out.push('\n');
                out.push_str(&" ".repeat(indent));
                used = indent;
            } else {
                out.push_str(&" ".repeat(gap));
                used += gap;
            }
            out.push_str(word);
            used += width;
            gap = 0;
        }
        gap += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::look::Paint;
    use super::*;

    #[test]
    fn lines_end_between_words_and_lose_nothing() {
        let look = Look { columns: Some(12), paint: Paint::Plain };
        assert_eq!(wrapped("hint: see a long one", look, 2), "hint: see a\n  long one");
        assert_eq!(wrapped("a  b", look, 2), "a  b");
        assert_eq!(wrapped("/a/path/of/many/parts is", look, 2), "/a/path/of/many/parts\n  is");
        assert_eq!(wrapped("see /a/path/of/many", look, 2), "see\n  /a/path/of/many");
        assert_eq!(wrapped("a long text for a pipe", Look::PLAIN, 2), "a long text for a pipe");
    }
}
