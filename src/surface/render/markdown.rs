//! A page of Markdown as plain text: what a protocol's page uses of it, and no more.

use super::grid::{Grid, Slot, joined};
use super::look::Look;
use super::wrap::wrapped;

/// How far code stands to the right.
const CODE_INDENT: &str = "    ";

/// Writes a page as wide as the terminal: headings, paragraphs, lists, tables and code, without
/// their marks.
pub(crate) fn markdown(text: &str, look: Look) -> String {
    let mut page = Page { look, out: Vec::new(), open: String::new(), indent: 0, rows: Vec::new() };
    let mut is_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            page.close();
            is_code = !is_code;
        } else if is_code {
            page.out.push(format!("{CODE_INDENT}{line}"));
        } else {
            page.line(line);
        }
    }
    page.close();
    page.out.into_iter().map(|line| line + "\n").collect()
}

struct Page {
    look: Look,
    out: Vec<String>,
    /// The paragraph or list item that goes on.
    open: String,
    /// How far its further lines stand to the right.
    indent: usize,
    /// The table that goes on.
    rows: Vec<Vec<String>>,
}

impl Page {
    fn line(&mut self, line: &str) {
        let text = line.trim();
        if let Some(row) = text.strip_prefix('|') {
            self.close_paragraph();
            let row = row.strip_suffix('|').unwrap_or(row);
            let is_rule = row.chars().all(|c| "-|: ".contains(c));
            if !is_rule {
                self.rows.push(cells(row));
            }
            return;
        }
        self.close_table();
        if text.is_empty() {
            self.close_paragraph();
            self.out.push(String::new());
        } else if text.starts_with('#') {
            self.close_paragraph();
            self.out.push(unmarked(text.trim_start_matches('#').trim()).to_uppercase());
        } else if let Some(indent) = item(text) {
            self.close_paragraph();
            let left = line.len() - line.trim_start().len();
            self.open = format!("{}{text}", " ".repeat(left));
            self.indent = left + indent;
        } else {
            if !self.open.is_empty() {
                self.open.push(' ');
            }
            self.open.push_str(text);
        }
    }

    fn close(&mut self) {
        self.close_paragraph();
        self.close_table();
    }

    fn close_paragraph(&mut self) {
        let open = std::mem::take(&mut self.open);
        if !open.is_empty() {
            let lines = wrapped(&unmarked(&open), self.look, self.indent);
            self.out.extend(lines.lines().map(str::to_owned));
        }
        self.indent = 0;
    }

    fn close_table(&mut self) {
        let mut rows = std::mem::take(&mut self.rows).into_iter();
        let Some(heads) = rows.next() else { return };
        let slot = |text: String| Slot { text, colour: None };
        let row = |mut row: Vec<String>| {
            row.resize(heads.len(), String::new());
            row.into_iter().map(slot).collect::<Vec<_>>()
        };
        let rows: Vec<Vec<Slot>> = rows.map(row).collect();
        let grid = Grid { heads: heads.clone(), rows: rows.clone() };
        let one_by_one = || -> Vec<String> {
            let facts = |row: Vec<Slot>| row.into_iter().map(|slot| slot.text);
            rows.into_iter().flat_map(|row| joined(facts(row), "  ", self.look)).collect()
        };
        self.out.extend(grid.lines(self.look).unwrap_or_else(one_by_one));
    }
}

/// Tells how far the text of a list's item stands behind its mark; `None` where it is none.
fn item(text: &str) -> Option<usize> {
    if text.starts_with("- ") {
        return Some(2);
    }
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let is_numbered = digits > 0 && text.get(digits..)?.starts_with(". ");
    is_numbered.then_some(digits + 2)
}

/// Cuts a row at the bars that are no part of code.
fn cells(row: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let (mut is_code, mut is_escaped) = (false, false);
    for c in row.chars() {
        is_code ^= c == '`';
        if c == '|' && is_escaped {
            // The bar takes the place of its mark.
            if let Some(cell) = cells.last_mut() {
                cell.pop();
                cell.push(c);
            }
        } else if c == '|' && !is_code {
            cells.push(String::new());
        } else if let Some(cell) = cells.last_mut() {
            cell.push(c);
        }
        is_escaped = c == '\\';
    }
    cells.iter().map(|cell| unmarked(cell.trim())).collect()
}

/// Takes the marks of code, emphasis and links out of a text.
fn unmarked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut is_code = false;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        rest = after;
        match c {
            '`' => is_code = !is_code,
            // A star between spaces is a star.
            '*' if !(is_code || out.ends_with(' ') && after.starts_with(' ')) => {}
            '[' if !is_code => match link(after) {
                Some((name, target, behind)) => {
                    out.push_str(&format!("{} ({target})", unmarked(name)));
                    rest = behind;
                }
                None => out.push(c),
            },
            c => out.push(c),
        }
    }
    out
}

/// Parts `name](target)` from what follows it.
fn link(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.split_once("](")?;
    let (target, behind) = rest.split_once(')')?;
    (!name.contains('[')).then_some((name, target, behind))
}

#[cfg(test)]
mod tests {
    use super::super::look::Paint;
    use super::*;

    const TEXT: &str = "# A *page*\nOne `a*b` and\n**two** [three](t.md), 2 * 3.\n\n\
        - an item that\n  goes on\n1. first\n\n| key | |\n|---|---|\n| `a|b` | x |\n\n\
        ```toml\n# kept   as it is, however long it may be\n```\n";

    #[test]
    fn a_page_has_no_marks_and_fits_the_terminal() {
        let look = Look { columns: Some(20), paint: Paint::Plain };
        let want = "A PAGE\nOne a*b and two\nthree (t.md), 2 * 3.\n\n- an item that goes\n  on\n\
            1. first\n\n KEY\n a|b  x\n\n    # kept   as it is, however long it may be\n";
        assert_eq!(markdown(TEXT, look), want);
    }

    #[test]
    fn the_pages_of_the_protocols_fit() {
        let look = Look { columns: Some(60), paint: Paint::Plain };
        for protocol in crate::protocols::PROTOCOLS {
            let page = markdown(protocol.readme, look);
            assert!(!page.contains("](") && !page.contains("|--"), "{page}");
            let is_long = |line: &&str| line.chars().count() > 60;
            // Code stays as it is, and a word that is longer than a line.
            let is_whole = |line: &str| line.starts_with(CODE_INDENT) || !line.trim().contains(' ');
            let long: Vec<_> = page.lines().filter(is_long).filter(|l| !is_whole(l)).collect();
            assert!(long.is_empty(), "{}: {long:#?}", protocol.name);
        }
    }
}
