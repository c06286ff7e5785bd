//! Merging: the rows of many small segments become few long pages.

use std::collections::{BTreeMap, BTreeSet};

use redb::{ReadableTable, WriteTransaction};

use super::column::Scratch;
use super::error::StoreError;
use super::index::{Index, OPEN, Segment};
use super::record::{ColumnRef, Piece, STREAMS, Sections, Times};
use super::write::{Layers, ROWS_SEALED_MIN};
use super::{Gap, GapCause};
use crate::model::Column;

/// What a merge gives.
#[derive(Debug)]
pub(super) struct Merged {
    /// Pages worth sealing.
    pub(super) long: Layers,
    /// Pages that still have too few rows.
    pub(super) short: Layers,
    /// A gap for each record that was damaged.
    pub(super) damaged: Vec<Gap>,
}

/// Rows of neighbouring columns, taken out of their records.
#[derive(Debug, Default)]
struct Rows {
    times: Times,
    columns: Vec<Column>,
}

impl Rows {
    fn append(&mut self, other: Self) {
        if !other.times.source.is_empty() || !self.times.source.is_empty() {
            self.times.source.resize(self.times.received.len(), None);
            self.times.source.extend(other.times.source);
        }
        self.times.received.extend(other.times.received);
        self.times
            .source
            .resize(if self.times.source.is_empty() { 0 } else { self.times.received.len() }, None);
        if self.columns.is_empty() {
            self.columns = other.columns;
            return;
        }
        for (column, more) in self.columns.iter_mut().zip(other.columns) {
            column.values.extend(more.values);
            column.qualities.extend(more.qualities);
        }
    }

    fn piece(&self, group: u32, first: u32) -> Piece<'_> {
        let columns = self.columns.iter();
        Piece {
            group,
            first,
            received: &self.times.received,
            source: &self.times.source,
            columns: columns
                .map(|c| ColumnRef { values: &c.values, qualities: &c.qualities })
                .collect(),
        }
    }
}

/// Takes all open segments out of the database and merges their rows, group by group.
pub(super) fn merge(change: &WriteTransaction, index: &Index) -> Result<Merged, StoreError> {
    let mut merged =
        Merged { long: Layers::default(), short: Layers::default(), damaged: Vec::new() };
    let groups: BTreeSet<u32> =
        index.open.iter().flat_map(|segment| segment.held.groups.iter().copied()).collect();
    {
        let open = change.open_table(OPEN)?;
        merged.damaged = damaged(&open, index)?;
        for group in groups {
            // Times before the rows themselves, so that equal keys are packed oldest first.
            for ((first, _), rows) in gather(&open, index, group)? {
                let piece = rows.piece(group, first);
                let long = rows.times.received.len() >= ROWS_SEALED_MIN;
                if long { merged.long.push(&piece) } else { merged.short.push(&piece) }
            }
        }
    }
    // Dropping the table frees its pages without rewriting any.
    change.delete_table(OPEN)?;
    change.open_table(OPEN)?;
    Ok(merged)
}

type Records<'a> = redb::Table<'a, super::record::Key, &'static [u8]>;

fn damaged(open: &Records<'_>, index: &Index) -> Result<Vec<Gap>, StoreError> {
    let mut gaps = Vec::new();
    for row in open.iter()? {
        let (key, bytes) = row?;
        let key = key.value();
        if super::record::verify(key, bytes.value()).is_err() {
            gaps.push(gap_of(index.open.iter().find(|segment| segment.id == key.0)));
        }
    }
    Ok(gaps)
}

fn gap_of(segment: Option<&std::sync::Arc<Segment>>) -> Gap {
    let (from, until) =
        segment.map(|segment| (segment.held.first, segment.held.last)).unwrap_or_default();
    Gap { from, until, lost: None, cause: GapCause::Damaged }
}

/// Gives the rows of one group by first column; the second number tells apart rows that could
/// not be joined because a record among them was damaged.
fn gather(
    open: &Records<'_>,
    index: &Index,
    group: u32,
) -> Result<BTreeMap<(u32, u32), Rows>, StoreError> {
    let tags = index.groups.tags.get(&group);
    let width = tags.map_or(0, |tags| u32::try_from(tags.len()).unwrap_or(u32::MAX));
    let mut gathered: BTreeMap<(u32, u32), Rows> = BTreeMap::new();
    for segment in index.open.iter().filter(|s| s.held.groups.binary_search(&group).is_ok()) {
        let parts = parts(open, segment.id, group)?;
        if group == STREAMS {
            for (first, rows) in parts {
                gathered.entry((first, 0)).or_default().append(rows);
            }
            continue;
        }
        let joined: u32 = parts.iter().map(|(_, rows)| columns(rows)).sum();
        if joined == width {
            let mut whole = Rows::default();
            for (_, rows) in parts {
                whole.times = rows.times;
                whole.columns.extend(rows.columns);
            }
            gathered.entry((0, 0)).or_default().append(whole);
        } else {
            for (first, rows) in parts {
                gathered.insert((first, segment.id), rows);
            }
        }
    }
    Ok(gathered)
}

fn columns(rows: &Rows) -> u32 {
    u32::try_from(rows.columns.len()).unwrap_or(u32::MAX)
}

/// Reads the sections of one group in one segment; damaged records give none.
fn parts(open: &Records<'_>, id: u32, group: u32) -> Result<Vec<(u32, Rows)>, StoreError> {
    // The group may begin inside the record that stands before its first key.
    let before = open.range((id, 0, 0)..(id, group, 0))?.next_back().transpose()?;
    let from = before.map_or((id, group, 0), |(key, _)| key.value());
    let mut scratch = Scratch::default();
    let mut found = Vec::new();
    for row in open.range(from..=(id, group, u32::MAX))? {
        let (key, bytes) = row?;
        let Ok(mut sections) = Sections::open(key.value(), bytes.value()) else { continue };
        while let Some(mut section) = sections.next()? {
            if section.group != group {
                continue;
            }
            let mut rows = Rows { times: section.times(&mut scratch)?, columns: Vec::new() };
            for _ in 0..section.columns {
                rows.columns.push(section.column(&mut scratch)?);
            }
            found.push((section.first, rows));
        }
    }
    Ok(found)
}
