//! Rows and columns, laid out to fit.

use comfy_table::{Cell, Color, ColumnConstraint, ContentArrangement, Table, Width, presets};

use super::look::{Look, Paint};

/// Columns whose text has places to break it are narrowed down to this, others never.
const COLUMN_CHARS_MIN: u16 = 24;
/// A table of fewer columns is none: its items are shown one below the other.
const COLUMNS_MIN: usize = 2;
/// A wider column of a table that doesn't fit goes below its rows, and so do its last columns.
const NOTE_CHARS_MIN: u16 = 40;
/// On the narrowest terminals a value still gets this.
const VALUE_CHARS_MIN: u16 = 10;
/// A cell's own space: one character left and one right.
const PADDING: u16 = 2;

/// One cell.
#[derive(Debug, Clone, Default)]
pub(super) struct Slot {
    pub(super) text: String,
    pub(super) colour: Option<Color>,
}

/// Rows of cells under their headings, all of one length.
#[derive(Debug, Default)]
pub(super) struct Grid {
    pub(super) heads: Vec<String>,
    pub(super) rows: Vec<Vec<Slot>>,
}

impl Grid {
    /// Tells whether each row fits on a line.
    pub(super) fn fits(&self, look: Look) -> bool {
        look.columns.is_none_or(|columns| total(&self.widths()) <= columns)
    }

    /// Writes the table as lines; `None` where it is too wide for a table.
    pub(super) fn lines(self, look: Look) -> Option<Vec<String>> {
        let widths = self.widths();
        let Some(columns) = look.columns.filter(|columns| total(&widths) > *columns) else {
            return Some(self.write(&widths, look, &Self::default()));
        };
        if let Some(widths) = last_narrowed(&widths, columns) {
            return Some(self.write(&widths, look, &Self::default()));
        }
        let mut kept: Vec<bool> = widths.iter().map(|width| *width <= NOTE_CHARS_MIN).collect();
        if let Some(key) = kept.first_mut() {
            *key = true;
        }
        loop {
            let (table, notes) = self.parted(&kept);
            if let Some(widths) = table.fitted(columns) {
                return Some(table.write(&widths, look, &notes));
            }
            // Tools define what matters most first.
            let last = kept.iter_mut().rev().find(|is_kept| **is_kept)?;
            *last = false;
            if kept.iter().filter(|is_kept| **is_kept).count() < COLUMNS_MIN {
                return None;
            }
        }
    }

    fn write(&self, widths: &[u16], look: Look, notes: &Self) -> Vec<String> {
        let heads = self.heads.iter().map(|head| Slot { text: head.to_uppercase(), colour: None });
        let mut lines = laid(&heads.collect::<Vec<_>>(), widths, look);
        for (at, row) in self.rows.iter().enumerate() {
            lines.extend(laid(row, widths, look));
            let slots = notes.rows.get(at).map(Vec::as_slice).unwrap_or_default();
            let told = notes.heads.iter().zip(slots).filter(|(_, slot)| !slot.text.is_empty());
            let told = told.map(|(head, slot)| format!("{head}: {}", slot.text));
            let told = joined(told, "   ", look.indented(4));
            lines.extend(told.into_iter().map(|line| format!("    {line}")));
        }
        lines
    }

    /// Narrows the widest columns alike until all fit; `None` where they can't.
    fn fitted(&self, columns: u16) -> Option<Vec<u16>> {
        let widths = self.widths();
        let breaks = |at: usize| {
            let mut texts = self.rows.iter().filter_map(|row| row.get(at));
            texts.any(|slot| slot.text.contains(BREAKS))
        };
        let breaking: Vec<bool> = (0..widths.len()).map(breaks).collect();
        let widest = widths.iter().copied().max().unwrap_or_default();
        let narrowed = |cap: u16| -> Vec<u16> {
            let one = |(width, breaks): (&u16, &bool)| match *breaks {
                true => (*width).min(cap),
                false => *width,
            };
            widths.iter().zip(&breaking).map(one).collect()
        };
        let narrower = (COLUMN_CHARS_MIN..widest).rev().map(narrowed);
        std::iter::once(widths.clone()).chain(narrower).find(|widths| total(widths) <= columns)
    }

    /// Parts the columns that are kept from the others.
    fn parted(&self, kept: &[bool]) -> (Self, Self) {
        fn chosen<T: Clone>(items: &[T], kept: &[bool], wanted: bool) -> Vec<T> {
            let pairs = items.iter().zip(kept);
            pairs.filter(|(_, is_kept)| **is_kept == wanted).map(|(item, _)| item.clone()).collect()
        }
        let part = |wanted| Self {
            heads: chosen(&self.heads, kept, wanted),
            rows: self.rows.iter().map(|row| chosen(row, kept, wanted)).collect(),
        };
        (part(true), part(false))
    }

    /// Gives what each column needs, in terminal cells.
    fn widths(&self) -> Vec<u16> {
        let mut probe = Table::new();
        probe.set_header(&self.heads);
        for row in &self.rows {
            probe.add_row(row.iter().map(|slot| &slot.text));
        }
        probe.column_max_content_widths()
    }
}

/// Narrows the last column alone, where the others leave it enough: its text goes on under itself.
fn last_narrowed(widths: &[u16], columns: u16) -> Option<Vec<u16>> {
    let (last, others) = widths.split_last()?;
    let room = columns.checked_sub(total(others) + PADDING)?;
    let is_short = others.iter().all(|width| *width <= NOTE_CHARS_MIN);
    (is_short && (NOTE_CHARS_MIN..*last).contains(&room)).then(|| [others, &[room]].concat())
}

/// Facts that are a command to be copied: in one line, however long.
const COPIED: &[&str] = &["enrol"];

/// Writes names and values below each other; long values wrap beside their name.
pub(super) fn pairs(rows: &[Vec<Slot>], look: Look) -> Vec<String> {
    let grid = Grid { heads: Vec::new(), rows: rows.to_vec() };
    let mut widths = grid.widths();
    if let (Some(columns), [name, value]) = (look.columns, widths.as_mut_slice()) {
        let room = columns.saturating_sub(*name + 2 * PADDING);
        *value = (*value).min(room.max(VALUE_CHARS_MIN));
    }
    let name_width = usize::from(widths.first().copied().unwrap_or_default());
    let line = |row: &Vec<Slot>| match row.as_slice() {
        [name, value] if COPIED.contains(&name.text.as_str()) => {
            vec![format!(" {:name_width$}  {}", name.text, value.text)]
        }
        row => laid(row, &widths, look),
    };
    rows.iter().flat_map(line).collect()
}

/// Joins texts to lines that fit; a text longer than a line wraps between its words.
pub(super) fn joined(
    texts: impl Iterator<Item = String>,
    between: &str,
    look: Look,
) -> Vec<String> {
    let room = look.columns.map_or(usize::MAX, usize::from);
    let mut lines: Vec<String> = Vec::new();
    for text in texts {
        match lines.last_mut() {
            Some(line) if line.chars().count() + between.len() + text.chars().count() <= room => {
                line.push_str(between);
                line.push_str(&text);
            }
            _ if text.chars().count() > room => {
                let width = u16::try_from(room).unwrap_or(u16::MAX).saturating_sub(PADDING);
                let slot = Slot { text, colour: None };
                let plain = Look { paint: Paint::Plain, ..look };
                let wrapped = laid(&[slot], &[width.max(VALUE_CHARS_MIN)], plain);
                lines.extend(wrapped.iter().map(|line| line.trim().to_owned()));
            }
            _ => lines.push(text),
        }
    }
    lines
}

fn total(widths: &[u16]) -> u16 {
    widths.iter().fold(0, |sum: u16, width| sum.saturating_add(width.saturating_add(PADDING)))
}

/// Where a text may go on in the next line.
const BREAKS: [char; 5] = [' ', '/', '_', ';', '.'];

/// Breaks a text into lines of a width, after a place to break where there is one.
fn broken(text: &str, width: u16) -> String {
    let mut lines = String::new();
    let mut rest = text;
    while let Some((end, _)) = rest.char_indices().nth(usize::from(width.max(1))) {
        // A space may stand at the very edge: it is not written.
        let edge = rest.get(end..).is_some_and(|after| after.starts_with(' '));
        let line = rest.get(..end).unwrap_or_default();
        // Between words where that leaves half a line: a number or a name stays whole.
        let word = line.rfind(' ').filter(|at| *at >= line.len() / 2);
        let may = word.or_else(|| line.rfind(BREAKS));
        let at = if edge { end } else { may.map_or(end, |at| at + 1) };
        let (line, after) = rest.split_at(at);
        lines.push_str(line.trim_end());
        lines.push('\n');
        rest = after.trim_start();
    }
    lines + rest
}

/// Lays one row over as many lines as its tallest cell needs.
fn laid(row: &[Slot], widths: &[u16], look: Look) -> Vec<String> {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.add_row(row.iter().zip(widths).map(|(slot, width)| {
        let cell = Cell::new(broken(&slot.text, *width));
        match slot.colour {
            Some(colour) => cell.fg(colour),
            None => cell,
        }
    }));
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(u16::MAX);
    let fixed = |width: &u16| ColumnConstraint::Absolute(Width::Fixed(width + PADDING));
    table.set_constraints(widths.iter().map(fixed));
    match look.paint {
        Paint::Coloured => table.enforce_styling(),
        Paint::Plain => table.force_no_tty(),
    };
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(columns: u16) -> Look {
        Look { columns: Some(columns), paint: Paint::Plain }
    }

    fn grid(rows: &[&[&str]]) -> Grid {
        let slot = |text: &&str| Slot { text: (*text).to_owned(), colour: None };
        let rows: Vec<Vec<Slot>> = rows.iter().map(|row| row.iter().map(slot).collect()).collect();
        let heads = ["a", "b", "c"].map(str::to_owned);
        Grid { heads: heads.into_iter().take(rows[0].len()).collect(), rows }
    }

    #[test]
    fn what_fits_is_one_line_a_row() {
        let lines = grid(&[&["1", "x y", "z"], &["22", "", "w"]]).lines(look(20)).unwrap();
        assert_eq!(lines, [" A   B    C", " 1   x y  z", " 22       w"]);
    }

    #[test]
    fn long_texts_go_below_their_row_when_the_table_does_not_fit() {
        let long = "word ".repeat(12);
        let rows: &[&[&str]] = &[&["1", long.trim(), "z"], &["2", "", "w"]];
        let lines = grid(rows).lines(look(40)).unwrap();
        assert_eq!(lines.first().unwrap(), " A  C");
        assert_eq!(lines.get(1).unwrap(), " 1  z");
        assert!(lines.get(2).unwrap().starts_with("    b: word word"), "{lines:?}");
        assert_eq!(lines.last().unwrap(), " 2  w");
        assert!(lines.iter().all(|line| line.chars().count() <= 40), "{lines:?}");
        assert_eq!(lines.join(" ").matches("word").count(), 12);
        assert_eq!(grid(rows).lines(Look::PLAIN).unwrap().len(), 3);
    }

    #[test]
    fn a_command_to_be_copied_stays_in_one_line() {
        let slot = |text: &str| Slot { text: text.to_owned(), colour: None };
        let long = "word ".repeat(12);
        let rows = [["enrol", long.trim()], ["policy", long.trim()]];
        let lines = pairs(&rows.map(|row| row.map(slot).to_vec()), look(40));
        assert_eq!(lines.first().unwrap(), &format!(" enrol   {}", long.trim()));
        assert!(lines.len() > 2 && lines[1].starts_with(" policy  word"), "{lines:?}");
    }

    #[test]
    fn a_long_last_column_goes_on_under_itself() {
        let long = "word ".repeat(12);
        let lines = grid(&[&["1", "x", long.trim()], &["2", "y", "w"]]).lines(look(56)).unwrap();
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(lines[1].starts_with(" 1  x  word word"), "{lines:?}");
        assert!(lines[2].starts_with("       word"), "{lines:?}");
        assert!(lines.iter().all(|line| line.chars().count() <= 56), "{lines:?}");
    }

    #[test]
    fn texts_with_breaks_give_way_first_then_the_last_columns() {
        let word = "x".repeat(30);
        assert_eq!(grid(&[&[&word, &word]]).fitted(60), None);
        let path = "site/line1/filler/motor_temperature";
        assert_eq!(grid(&[&[path, &word]]).fitted(60).unwrap(), [26, 30]);
        let rows: &[&[&str]] = &[&[&word, "12345", "6789"]];
        let lines = grid(rows).lines(look(41)).unwrap();
        assert_eq!(lines.get(1).unwrap(), &format!(" {word}  12345"));
        assert_eq!(lines.get(2).unwrap(), "    c: 6789");
        assert_eq!(grid(rows).lines(look(30)), None);
    }

    #[test]
    fn texts_break_where_they_may_and_lose_nothing_but_spaces() {
        assert_eq!(broken("site/line1/filler/speed", 20), "site/line1/filler/\nspeed");
        assert_eq!(broken("a word or two", 6), "a word\nor two");
        assert_eq!(broken("the bound is 3.0206", 16), "the bound is\n3.0206");
        assert_eq!(broken("hold_temperature", 8), "hold_\ntemperat\nure");
        assert_eq!(broken("", 5), "");
    }
}
