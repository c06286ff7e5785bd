//! Rows as they are copied out of a ring, before their codes are looked up.

use std::ops::Range;

use super::lines::{LINE_ROWS, Sink};
use crate::model::Timestamp;

/// Which rows of a ring are wanted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Span {
    /// The newest so many.
    Last(usize),
    /// Those received from `since`, inclusive, to `until`, exclusive; nanoseconds.
    Between { since: i64, until: i64 },
    /// At most `max` from row `from` on, older than row `before`.
    Rows { from: u64, before: u64, max: usize },
}

/// Says that a sample has no source time.
pub(super) const NO_SOURCE: i64 = i64::MIN;

/// Gives the device's time that a word stands for.
pub(super) fn source_ts(word: i64) -> Option<Timestamp> {
    (word != NO_SOURCE).then(|| Timestamp::from_nanos(word))
}

/// Columns of equal length (`source` may be empty), oldest first; row `first` leads.
#[derive(Debug, Clone, Default)]
pub(super) struct Raw {
    pub(super) first: u64,
    pub(super) times: Vec<i64>,
    pub(super) source: Vec<i64>,
    pub(super) bits: Vec<u64>,
    pub(super) codes: Vec<u8>,
}

impl Raw {
    pub(super) fn clear(&mut self) {
        self.first = 0;
        self.times.clear();
        self.source.clear();
        self.bits.clear();
        self.codes.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.codes.len()
    }

    /// Forgets the rows before `row`.
    pub(super) fn drop_before(&mut self, row: u64) {
        let gone = super::protocol::index(row.saturating_sub(self.first)).min(self.len());
        self.first = self.first.max(row);
        self.keep(gone..self.len());
    }

    /// Keeps what lies between two times: a row that was lapped and copied may lie outside.
    pub(super) fn keep_between(&mut self, since: i64, until: i64) {
        let from = self.times.partition_point(|time| *time < since);
        let to = self.times.partition_point(|time| *time < until).max(from);
        self.first += super::protocol::count(from);
        self.keep(from..to);
    }

    fn keep(&mut self, range: Range<usize>) {
        cut(&mut self.times, &range);
        cut(&mut self.source, &range);
        cut(&mut self.bits, &range);
        cut(&mut self.codes, &range);
    }
}

impl Sink for Raw {
    fn clear(&mut self) {
        Self::clear(self);
    }

    fn line(&mut self, values: &[u64; LINE_ROWS], codes: [u8; LINE_ROWS]) {
        self.bits.extend_from_slice(values);
        self.codes.extend_from_slice(&codes);
    }

    fn sources(&mut self, times: &[i64; LINE_ROWS]) {
        self.source.extend_from_slice(times);
    }

    fn times(&mut self, times: impl Iterator<Item = i64>) {
        self.times.extend(times);
    }

    fn keep(&mut self, skipped: usize, gone: usize, length: usize) {
        let wanted = skipped + gone..skipped + length;
        cut(&mut self.bits, &wanted);
        cut(&mut self.codes, &wanted);
        cut(&mut self.source, &wanted);
        cut(&mut self.times, &(gone..length));
    }
}

/// Keeps a part of a column.
pub(super) fn cut<T>(column: &mut Vec<T>, wanted: &Range<usize>) {
    column.truncate(wanted.end);
    column.drain(..wanted.start.min(column.len()));
}

/// Finds the first row of `rows` for which `before` no longer holds.
pub(super) fn partition(rows: Range<u64>, before: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (rows.start, rows.end);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

impl Span {
    /// Narrows the readable rows to the wanted ones; `time` tells when a row was received.
    pub(super) fn of(self, readable: Range<u64>, time: impl Fn(u64) -> i64) -> Range<u64> {
        use super::protocol::count;
        match self {
            Self::Last(n) => {
                readable.end.saturating_sub(count(n)).max(readable.start)..readable.end
            }
            Self::Between { since, until } => {
                let first = partition(readable.clone(), |row| time(row) < since);
                first..partition(first..readable.end, |row| time(row) < until)
            }
            Self::Rows { from, before, max } => {
                let first = from.max(readable.start).min(readable.end);
                first..readable.end.min(before).min(first.saturating_add(count(max))).max(first)
            }
        }
    }
}
