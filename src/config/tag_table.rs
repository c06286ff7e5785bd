//! Tags from a CSV file, as a spreadsheet saves it.

use std::path::Path;
use std::sync::Arc;

use super::endpoint::Defaults;
use super::file;
use super::load::Loader;
use super::node::{At, Entry, Kind, Node};
use super::problem::Desk;
use super::section::{Section, unknown_key};
use super::tag::KEYS;
use crate::model::{Tag, TagName};

/// 64 MiB hold half a million tags.
const TABLE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Tags of one endpoint: ten times the largest plants seen behind one connection.
const ROWS_MAX: usize = 1_000_000;

/// The columns that make up `scale`, in its order.
const SCALE: [&str; 4] = ["scale_raw_min", "scale_raw_max", "scale_eu_min", "scale_eu_max"];

/// The rows of a tag table.
pub(super) struct Rows {
    file: Arc<Path>,
    rows: Vec<Row>,
}

/// One row: like a tag's own table, or why not.
struct Row {
    at: At,
    name: Option<TagName>,
    cells: Result<Vec<Entry>, Fault>,
}

/// Why a row is no tag: what is wrong, and what to do about it.
type Fault = (String, &'static str);

impl Loader<'_> {
    /// Reads the endpoint's CSV file, where it names one. A fault of the file as a whole is an
    /// error of the endpoint.
    pub(super) fn tag_table(&mut self, section: Section<'_>) -> Option<Rows> {
        let name = section.text("tags_csv", &mut self.desk)?;
        let path = self.dir.join(name.as_ref());
        let text = match file::read_text(&path, TABLE_BYTES_MAX) {
            Ok(text) => text,
            Err(fault) => {
                let place = match fault.at {
                    At::NONE => String::new(),
                    at => format!(" in line {}", at.line),
                };
                let message = format!("`tags_csv` {} {}{place}", path.display(), fault.message);
                self.desk.error(section.place("tags_csv"), "tags_csv", message, fault.hint);
                return None;
            }
        };
        let file: Arc<Path> = path.into();
        let before = self.desk.turn_to(file.clone());
        let rows = rows(&text, &mut self.desk);
        self.desk.turn_to(before);
        Some(Rows { file, rows })
    }

    /// Makes tags of the rows.
    pub(super) fn table_tags(&mut self, rows: Option<Rows>, defaults: &Defaults<'_>) -> Vec<Tag> {
        let Some(Rows { file, rows }) = rows else { return Vec::new() };
        let before = self.desk.turn_to(file);
        let tags = rows.into_iter().filter_map(|row| self.table_tag(row, defaults)).collect();
        self.desk.turn_to(before);
        tags
    }

    fn table_tag(&mut self, row: Row, defaults: &Defaults<'_>) -> Option<Tag> {
        match row.cells {
            Ok(cells) => self.tag(Section::of_row(row.at, &cells), defaults),
            Err((message, hint)) => {
                self.desk.on_tag(row.name.clone());
                self.desk.error(row.at, "", message, hint);
                self.desk.on_tag(None);
                self.leave_out_tag(defaults.endpoint.clone(), row.name);
                None
            }
        }
    }
}

/// Cuts a table into rows of cells; an empty cell is not given.
fn rows(text: &str, desk: &mut Desk) -> Vec<Row> {
    let head = text.lines().next().unwrap_or_default();
    let delimiter = if head.matches(';').count() > head.matches(',').count() { b';' } else { b',' };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut records = reader.records();
    let columns: Vec<Arc<str>> = match records.next() {
        Some(Ok(header)) => header.iter().map(Arc::from).collect(),
        _ => Vec::new(),
    };
    if !header_is_sound(&columns, desk) {
        return Vec::new();
    }
    let named = columns.iter().position(|column| column.as_ref() == "name");
    let mut out = Vec::new();
    for record in records {
        let record = match record {
            Ok(record) => record,
            Err(fault) => {
                let at = place(fault.position().map_or(0, csv::Position::line), 1);
                let fault = ("is no row of a CSV file".to_owned(), "");
                out.push(Row { at, name: None, cells: Err(fault) });
                continue;
            }
        };
        let at = place(line(&record, text), 1);
        if out.len() >= ROWS_MAX {
            desk.error(at, "", format!("more than {ROWS_MAX} tags"), "");
            break;
        }
        let cells = if record.len() == columns.len() {
            cells(at, &record, &columns)
        } else {
            let message =
                format!("has {} cells, and the first line {}", record.len(), columns.len());
            Err((message, "a decimal comma splits a number in two: write decimal points"))
        };
        let name = named.and_then(|column| record.get(column)).filter(|name| !name.is_empty());
        out.push(Row { at, name: name.map(Arc::from), cells });
    }
    out
}

/// Checks the first line, which names the columns.
fn header_is_sound(columns: &[Arc<str>], desk: &mut Desk) -> bool {
    let before = desk.errors();
    let known: Vec<&str> =
        KEYS.iter().filter(|key| **key != "scale").chain(&SCALE).copied().collect();
    for (i, column) in columns.iter().enumerate() {
        let at = place(1, i + 1);
        if !known.contains(&column.as_ref()) {
            unknown_key(at, column, &known, "the first line of a tag table", desk);
        } else if columns.iter().take(i).any(|other| other == column) {
            desk.error(at, column, format!("the column `{column}` stands twice"), "");
        }
    }
    if columns.is_empty() {
        let hint = "its first line names the columns, such as name,ref,type,scan_ms";
        desk.error(At::NONE, "", "is an empty tag table".into(), hint);
    }
    desk.errors() == before
}

/// Gives the line a record stands in: the reader's own count stops before empty lines.
fn line(record: &csv::StringRecord, text: &str) -> u64 {
    let Some(position) = record.position() else { return 0 };
    let start = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let rest = text.as_bytes().get(start..).unwrap_or_default();
    let skipped = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    skipped.filter(|byte| **byte == b'\n').fold(position.line(), |line, _| line + 1)
}

fn cells(row: At, record: &csv::StringRecord, columns: &[Arc<str>]) -> Result<Vec<Entry>, Fault> {
    let mut out = Vec::new();
    let mut scale: [Option<Node>; 4] = Default::default();
    for (i, (cell, column)) in record.iter().zip(columns).enumerate() {
        if cell.is_empty() {
            continue;
        }
        let at = At { column: narrow(i + 1), ..row };
        let node = Node::of_text(at, cell);
        let slot = SCALE.iter().position(|key| *key == column.as_ref());
        match slot.and_then(|slot| scale.get_mut(slot)) {
            Some(slot) => *slot = Some(node),
            None => out.push(Entry { key: column.clone(), at, value: node }),
        }
    }
    match scale {
        [None, None, None, None] => {}
        [Some(raw_min), Some(raw_max), Some(eu_min), Some(eu_max)] => {
            let at = raw_min.at;
            let side = |key: &str, ends| Entry {
                key: key.into(),
                at,
                value: Node::new(at, Kind::List(ends), ""),
            };
            let sides = vec![side("raw", vec![raw_min, raw_max]), side("eu", vec![eu_min, eu_max])];
            let value = Node::new(at, Kind::Table(sides), "");
            out.push(Entry { key: "scale".into(), at, value });
        }
        _ => {
            let message = format!("sets some of {}", SCALE.join(", "));
            return Err((message, "set all four, or none"));
        }
    }
    Ok(out)
}

/// A cell's place: the line of the file, and the number of the cell.
fn place(line: u64, cell: usize) -> At {
    At { line: u32::try_from(line).unwrap_or(u32::MAX), column: narrow(cell) }
}

fn narrow(cell: usize) -> u32 {
    u32::try_from(cell).unwrap_or(u32::MAX)
}
