//! Cells: the values that don't fit into eight bytes, found by the row that points to them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::bytes::{Bytes, Purpose};
use super::protocol::count;
use crate::model::{Quality, Timestamp, Value};

/// One tag keeps at most this much, so that one long list can't push everybody's values out:
/// the newest is always kept, then as many before it as fit.
const COLUMN_BYTES_MAX: u64 = 1 << 20;

/// What a cell says of its sample.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Content {
    pub(super) value: Value,
    pub(super) quality: Quality,
    pub(super) source: Option<Timestamp>,
}

struct Cell {
    row: u64,
    content: Content,
    bytes: u64,
}

#[derive(Default)]
struct Column {
    cells: VecDeque<Cell>,
    bytes: u64,
}

/// The cells of one group, a queue per column.
pub(super) struct Cells {
    any: AtomicBool,
    columns: Mutex<HashMap<usize, Column>>,
    bytes: Arc<Bytes>,
}

impl Column {
    fn pop(&mut self, bytes: &Bytes) {
        if let Some(cell) = self.cells.pop_front() {
            self.bytes = self.bytes.saturating_sub(cell.bytes);
            bytes.give_back(Purpose::Cells, cell.bytes);
        }
    }

    fn pop_before(&mut self, row: u64, bytes: &Bytes) {
        while self.cells.front().is_some_and(|cell| cell.row < row) {
            self.pop(bytes);
        }
    }
}

impl Cells {
    pub(super) fn new(bytes: Arc<Bytes>) -> Self {
        Self { any: AtomicBool::new(false), columns: Mutex::default(), bytes }
    }

    /// Keeps the content of a row that is about to be published, and frees what its ring has
    /// overwritten: the rows before `oldest`.
    pub(super) fn put(&self, column: usize, row: u64, oldest: u64, mut content: Content) {
        let mut columns = self.columns.lock();
        self.any.store(true, Ordering::Relaxed);
        let column = columns.entry(column).or_default();
        column.pop_before(oldest, &self.bytes);
        let mut taken = count(size_of::<Cell>());
        let whole = taken + weight(&content.value);
        match column.cells.back_mut() {
            // A text that stays the same is held, and charged, once: by the newest.
            Some(last) if last.content.value == content.value => {
                content.value = last.content.value.clone();
                let moved = last.bytes - taken;
                last.bytes = taken;
                taken += moved;
                column.bytes -= moved;
                self.bytes.give_back(Purpose::Cells, moved);
            }
            _ => taken = whole,
        }
        column.bytes += taken;
        self.bytes.take(Purpose::Cells, taken);
        column.cells.push_back(Cell { row, content, bytes: taken });
        while column.cells.len() > 1
            && (column.bytes > COLUMN_BYTES_MAX || self.bytes.room(Purpose::Cells) == 0)
        {
            column.pop(&self.bytes);
        }
    }

    /// Gives what a row points to; `None` once it is freed.
    pub(super) fn get(&self, column: usize, row: u64) -> Option<Content> {
        let columns = self.columns.lock();
        let cells = &columns.get(&column)?.cells;
        let at = cells.binary_search_by_key(&row, |cell| cell.row).ok()?;
        cells.get(at).map(|cell| cell.content.clone())
    }

    /// Frees what the rings have overwritten in columns that hold no such values any more.
    pub(super) fn sweep(&self, oldest: impl Fn(usize) -> u64) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        let mut columns = self.columns.lock();
        columns.retain(|nth, column| {
            column.pop_before(oldest(*nth), &self.bytes);
            !column.cells.is_empty()
        });
        self.any.store(!columns.is_empty(), Ordering::Relaxed);
    }
}

impl Drop for Cells {
    fn drop(&mut self) {
        for column in self.columns.get_mut().values() {
            self.bytes.give_back(Purpose::Cells, column.bytes);
        }
    }
}

/// Estimates the bytes that hang from a value.
pub(super) fn weight(value: &Value) -> u64 {
    match value {
        Value::Text(text) => count(text.len()),
        Value::Bytes(bytes) => count(bytes.len()),
        Value::List(items) => {
            items.iter().map(|item| count(size_of::<Value>()) + weight(item)).sum()
        }
        Value::Map(fields) => fields
            .iter()
            .map(|(name, item)| count(size_of::<(Arc<str>, Value)>() + name.len()) + weight(item))
            .sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Content {
        Content { value: Value::text(text), quality: Quality::GOOD, source: None }
    }

    #[test]
    fn what_the_ring_overwrote_is_freed_and_given_back() {
        let bytes = Arc::new(Bytes::new(1 << 30));
        let cells = Cells::new(Arc::clone(&bytes));
        for row in 0..10 {
            cells.put(0, row, row.saturating_sub(3), text(&format!("state {row}")));
        }
        assert_eq!(cells.get(0, 5), None);
        assert_eq!(cells.get(0, 6), Some(text("state 6")));
        cells.sweep(|_| 100);
        assert_eq!((cells.get(0, 9), bytes.held(Purpose::Cells)), (None, 0));
        cells.put(1, 0, 0, text("x"));
        drop(cells);
        assert_eq!(bytes.held(Purpose::Cells), 0);
    }

    #[test]
    fn a_text_that_stays_the_same_is_held_once() {
        let bytes = Arc::new(Bytes::new(1 << 30));
        let cells = Cells::new(Arc::clone(&bytes));
        let long = "x".repeat(10_000);
        (0..100).for_each(|row| cells.put(0, row, 0, text(&long)));
        assert!(bytes.held(Purpose::Cells) < 10_000 + 100 * 200);
        cells.sweep(|_| 99);
        assert!(bytes.held(Purpose::Cells) >= 10_000, "the newest carries the charge");
    }

    #[test]
    fn one_tag_of_long_values_keeps_to_its_share_and_keeps_the_newest() {
        let bytes = Arc::new(Bytes::new(1 << 30));
        let cells = Cells::new(Arc::clone(&bytes));
        for row in 0..1000 {
            cells.put(0, row, 0, text(&format!("{row}{}", "x".repeat(10_000))));
        }
        assert!(bytes.held(Purpose::Cells) <= COLUMN_BYTES_MAX);
        assert!(cells.get(0, 999).is_some() && cells.get(0, 0).is_none());
    }
}
