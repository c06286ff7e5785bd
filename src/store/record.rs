//! Records: what one row of the database holds, and how columns are packed into them.
//!
//! A record is `hash, base time, section...`. A section is rows of neighbouring columns of one
//! scan group, or the samples of one streamed tag, with their times written once. Sections stand
//! in the order of (group, column), so the record that holds a column is the last one whose key
//! is not beyond it.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::bytes::{Cursor, Malformed, put_count, put_varint, put_zigzag};
use super::column::{Scratch, put_column, skip_column, take_column};
use super::ints::{Layout, put_ints, take_ints};
use crate::model::{Column, Quality, Timestamp, Value};

/// Where a record stands: segment, group of its first section, first column of that section.
pub(super) type Key = (u32, u32, u32);

/// The group that stands for tags which come in on their own; the column is the tag's number.
pub(super) const STREAMS: u32 = 0;

/// A record fills two pages of the database (2 x 4096) less the leaf's own words (8) and the
/// key (12), so that next to nothing of what is written is padding.
pub(super) const RECORD_BYTES_MAX: usize = 2 * 4096 - 8 - 12;
/// Rows of one section; longer pages are cut. It bounds what a decoder sets aside.
pub(super) const ROWS_MAX: usize = 256;
/// Values of one record, so that a few bytes of constants can't unfold without end.
pub(super) const VALUES_MAX: usize = 1 << 17;

const HASH_BYTES: usize = 8;
/// Five varints of a section's head take at most this.
const SECTION_HEAD_BYTES: usize = 25;

/// Hashes what stands at a key; a record that was moved to another key is damaged too.
pub(super) fn hash(key: Key, body: &[u8]) -> u64 {
    let (segment, group, column) = key;
    let place = (u64::from(segment) << 32 | u64::from(group)).rotate_left(17) ^ u64::from(column);
    xxh3_64_with_seed(body, place)
}

/// Borrowed values and qualities of one column.
#[derive(Debug, Clone, Copy)]
pub(super) struct ColumnRef<'a> {
    pub(super) values: &'a [Value],
    pub(super) qualities: &'a [Quality],
}

impl<'a> ColumnRef<'a> {
    fn rows(self, rows: &Range<usize>) -> Self {
        Self {
            values: self.values.get(rows.clone()).unwrap_or_default(),
            qualities: self.qualities.get(rows.clone()).unwrap_or_default(),
        }
    }
}

/// Rows of neighbouring columns that share their times.
#[derive(Debug, Clone)]
pub(super) struct Piece<'a> {
    pub(super) group: u32,
    pub(super) first: u32,
    pub(super) received: &'a [Timestamp],
    /// Empty where no row has a time of the device.
    pub(super) source: &'a [Option<Timestamp>],
    pub(super) columns: Vec<ColumnRef<'a>>,
}

impl Piece<'_> {
    /// Cuts the piece into stretches of at most [`ROWS_MAX`] rows.
    pub(super) fn stretches(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let rows = self.received.len();
        (0..rows).step_by(ROWS_MAX).map(move |from| from..rows.min(from + ROWS_MAX))
    }
}

/// What a segment holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) samples: u64,
    pub(super) bytes: u64,
    pub(super) records: u64,
    /// Ascending; [`STREAMS`] among them where streamed tags are there.
    pub(super) groups: Vec<u32>,
}

impl Summary {
    pub(super) fn add(&mut self, group: u32, received: &[Timestamp], columns: usize) {
        let (Some(min), Some(max)) = (received.iter().min(), received.iter().max()) else {
            return;
        };
        if self.samples == 0 {
            (self.first, self.last) = (*min, *max);
        }
        self.first = self.first.min(*min);
        self.last = self.last.max(*max);
        self.samples += u64::try_from(received.len() * columns).unwrap_or(u64::MAX);
        if self.groups.last() != Some(&group) {
            self.groups.push(group);
        }
    }
}

#[derive(Debug, Default)]
struct Draft {
    group: u32,
    first: u32,
    columns: u32,
    rows: usize,
    body: Vec<u8>,
}

/// Packs pieces, given in the order of (group, first column), into records of one segment.
#[derive(Debug, Default)]
pub(super) struct Packer {
    /// Group and first column of each finished record, and its bytes with room for the hash.
    records: Vec<(u32, u32, Vec<u8>)>,
    place: Option<(u32, u32)>,
    record: Vec<u8>,
    base: i64,
    values: usize,
    draft: Draft,
    column: Vec<u8>,
    ints: Vec<i64>,
    scratch: Scratch,
    summary: Summary,
    too_large: u64,
}

impl Packer {
    pub(super) fn push(&mut self, piece: &Piece<'_>, rows: &Range<usize>) {
        let received = piece.received.get(rows.clone()).unwrap_or_default();
        let source = piece.source.get(rows.clone()).unwrap_or_default();
        self.begin(piece.group, piece.first, received, source);
        for (index, column) in (piece.first..).zip(&piece.columns) {
            let column = column.rows(rows);
            self.column.clear();
            self.too_large +=
                put_column(&mut self.column, column.values, column.qualities, &mut self.scratch);
            let full = self.size() + self.column.len() > RECORD_BYTES_MAX
                || self.values + received.len() > VALUES_MAX;
            if full && (self.place.is_some() || self.draft.columns > 0) {
                self.close();
                self.flush();
                self.begin(piece.group, index, received, source);
            }
            self.draft.body.extend_from_slice(&self.column);
            self.draft.columns += 1;
            self.values += received.len();
        }
        self.close();
        self.summary.add(piece.group, received, piece.columns.len());
    }

    fn size(&self) -> usize {
        self.record.len() + SECTION_HEAD_BYTES + self.draft.body.len()
    }

    fn begin(
        &mut self,
        group: u32,
        first: u32,
        received: &[Timestamp],
        source: &[Option<Timestamp>],
    ) {
        if self.place.is_none() {
            self.base = received.first().map_or(0, |t| t.nanos());
            self.record.clear();
            self.record.extend_from_slice(&[0; HASH_BYTES]);
            put_zigzag(&mut self.record, self.base);
        }
        let draft = &mut self.draft;
        (draft.group, draft.first, draft.columns, draft.rows) = (group, first, 0, received.len());
        draft.body.clear();
        self.ints.clear();
        self.ints.extend(received.iter().map(|t| t.nanos().wrapping_sub(self.base)));
        draft.body.push(0);
        let layout = put_ints(&mut draft.body, &self.ints);
        if let Some(byte) = draft.body.first_mut() {
            *byte = layout.code();
        }
        if source.iter().all(Option::is_none) {
            draft.body.push(0);
        } else {
            draft.body.push(1);
            put_source(&mut draft.body, received, source, &mut self.scratch);
        }
    }

    fn close(&mut self) {
        let draft = &self.draft;
        if draft.columns == 0 {
            return;
        }
        put_varint(&mut self.record, u64::from(draft.group));
        put_varint(&mut self.record, u64::from(draft.first));
        put_varint(&mut self.record, u64::from(draft.columns));
        put_count(&mut self.record, draft.rows);
        put_count(&mut self.record, draft.body.len());
        self.record.extend_from_slice(&draft.body);
        self.place.get_or_insert((draft.group, draft.first));
        self.draft.columns = 0;
        self.draft.body.clear();
    }

    fn flush(&mut self) {
        if let Some((group, first)) = self.place.take() {
            self.summary.bytes += u64::try_from(self.record.len()).unwrap_or(u64::MAX);
            self.summary.records += 1;
            self.records.push((group, first, self.record.clone()));
        }
        self.values = 0;
    }

    /// Tells how many bytes are packed so far.
    pub(super) fn bytes(&self) -> u64 {
        self.summary.bytes + u64::try_from(self.record.len()).unwrap_or(u64::MAX)
    }

    /// Ends the last record and gives all of them, unsealed, with what they hold.
    pub(super) fn finish(mut self) -> Packed {
        self.flush();
        Packed { records: self.records, summary: self.summary, too_large: self.too_large }
    }
}

/// Finished records of one segment.
#[derive(Debug)]
pub(super) struct Packed {
    records: Vec<(u32, u32, Vec<u8>)>,
    pub(super) summary: Summary,
    pub(super) too_large: u64,
}

impl Packed {
    /// Gives each record its key and its hash.
    pub(super) fn sealed(self, segment: u32) -> impl Iterator<Item = (Key, Vec<u8>)> {
        self.records.into_iter().map(move |(group, first, mut bytes)| {
            let key = (segment, group, first);
            let sum = hash(key, bytes.get(HASH_BYTES..).unwrap_or_default());
            if let Some(head) = bytes.first_chunk_mut::<HASH_BYTES>() {
                *head = sum.to_le_bytes();
            }
            (key, bytes)
        })
    }
}

fn put_source(
    out: &mut Vec<u8>,
    received: &[Timestamp],
    source: &[Option<Timestamp>],
    scratch: &mut Scratch,
) {
    let behind: Vec<Value> = received
        .iter()
        .enumerate()
        .map(|(row, at)| match source.get(row).copied().flatten() {
            Some(given) => Value::I64(given.nanos().wrapping_sub(at.nanos())),
            None => Value::Null,
        })
        .collect();
    put_column(out, &behind, &vec![Quality::GOOD; behind.len()], scratch);
}

/// Walks the sections of a record after checking its hash.
#[derive(Debug)]
pub(super) struct Sections<'a> {
    from: Cursor<'a>,
    base: i64,
    values: usize,
}

/// Checks the hash alone.
pub(super) fn verify(key: Key, bytes: &[u8]) -> Result<(), Malformed> {
    let (head, body) = bytes.split_first_chunk::<HASH_BYTES>().ok_or(Malformed)?;
    if u64::from_le_bytes(*head) == hash(key, body) { Ok(()) } else { Err(Malformed) }
}

impl<'a> Sections<'a> {
    pub(super) fn open(key: Key, bytes: &'a [u8]) -> Result<Self, Malformed> {
        verify(key, bytes)?;
        Self::of_body(bytes.get(HASH_BYTES..).ok_or(Malformed)?)
    }

    fn of_body(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut from = Cursor::new(body);
        let base = from.zigzag()?;
        Ok(Self { from, base, values: 0 })
    }

    pub(super) fn next(&mut self) -> Result<Option<Section<'a>>, Malformed> {
        if self.from.left() == 0 {
            return Ok(None);
        }
        let group = self.from.u32()?;
        let first = self.from.u32()?;
        let columns = self.from.count(self.from.left())?;
        let rows = self.from.count(ROWS_MAX)?;
        let len = self.from.count(self.from.left())?;
        self.values = self.values.saturating_add(rows.saturating_mul(columns));
        if rows == 0 || columns == 0 || self.values > VALUES_MAX {
            return Err(Malformed);
        }
        let columns = u32::try_from(columns).map_err(|_| Malformed)?;
        first.checked_add(columns).ok_or(Malformed)?;
        let body = Cursor::new(self.from.take(len)?);
        Ok(Some(Section { group, first, columns, rows, base: self.base, body }))
    }
}

/// Rows of neighbouring columns, still encoded.
#[derive(Debug)]
pub(super) struct Section<'a> {
    pub(super) group: u32,
    pub(super) first: u32,
    pub(super) columns: u32,
    pub(super) rows: usize,
    base: i64,
    body: Cursor<'a>,
}

/// When the rows of a section were received, and the device's own times.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Times {
    pub(super) received: Vec<Timestamp>,
    pub(super) source: Vec<Option<Timestamp>>,
}

impl Section<'_> {
    pub(super) fn holds(&self, group: u32, column: u32) -> bool {
        self.group == group && column >= self.first && column - self.first < self.columns
    }

    /// Reads the times; they stand before the columns.
    pub(super) fn times(&mut self, scratch: &mut Scratch) -> Result<Times, Malformed> {
        let layout = Layout::from_code(self.body.byte()?)?;
        let mut ints = Vec::with_capacity(self.rows);
        take_ints(&mut self.body, layout, self.rows, &mut ints)?;
        let received: Vec<Timestamp> =
            ints.iter().map(|t| Timestamp::from_nanos(t.wrapping_add(self.base))).collect();
        let source = match self.body.byte()? {
            0 => Vec::new(),
            1 => {
                let behind = take_column(&mut self.body, self.rows, scratch)?;
                let given = received.iter().zip(&behind.values).map(|(at, value)| match value {
                    Value::I64(i) => Some(Timestamp::from_nanos(at.nanos().wrapping_add(*i))),
                    _ => None,
                });
                given.collect()
            }
            _ => return Err(Malformed),
        };
        Ok(Times { received, source })
    }

    /// Reads the next column.
    pub(super) fn column(&mut self, scratch: &mut Scratch) -> Result<Column, Malformed> {
        take_column(&mut self.body, self.rows, scratch)
    }

    /// Passes over the next column.
    pub(super) fn skip(&mut self, scratch: &mut Scratch) -> Result<(), Malformed> {
        skip_column(&mut self.body, self.rows, scratch)
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
