//! What the store knows by heart: the tables, the segments, the groups, the gaps.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use redb::{ReadTransaction, TableDefinition};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::bytes::{Cursor, Malformed, put_count, put_varint, put_zigzag};
use super::record::{Key, Summary};
use super::{Gap, GapCause};
use crate::model::{TagId, Timestamp};

/// Records that are final.
pub(super) const SEALED: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("pages");
/// Records of few rows, merged into final ones when enough have come.
pub(super) const OPEN: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("open");
/// What each sealed segment holds.
pub(super) const SEGMENTS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("segments");
/// The tags of each scan group; never changed.
pub(super) const GROUPS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("groups");
/// The number of each tag's name.
pub(super) const NAMES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("names");
/// Known gaps.
pub(super) const GAPS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("gaps");
/// The newest raw block by endpoint, unit, area, section and address.
pub(super) const BLOCKS: TableDefinition<'_, (&str, u8, &str, u16, u32), &[u8]> =
    TableDefinition::new("areas");
/// The format, the state of the run, the next tag number.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// Whether a segment's records are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Sealed,
    Open,
}

impl Place {
    pub(super) fn table(self) -> TableDefinition<'static, Key, &'static [u8]> {
        match self {
            Self::Sealed => SEALED,
            Self::Open => OPEN,
        }
    }
}

/// Records that were written together.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) id: u32,
    pub(super) place: Place,
    pub(super) held: Summary,
}

/// Which tags are scanned together, and where each tag's columns stand.
#[derive(Debug, Clone, Default)]
pub(super) struct Groups {
    pub(super) tags: BTreeMap<u32, Arc<[TagId]>>,
    numbers: HashMap<Arc<[TagId]>, u32>,
    columns: HashMap<TagId, Vec<(u32, u32)>>,
}

impl Groups {
    pub(super) fn add(&mut self, group: u32, tags: &Arc<[TagId]>) {
        for (column, tag) in (0_u32..).zip(tags.iter()) {
            self.columns.entry(*tag).or_default().push((group, column));
        }
        self.numbers.insert(Arc::clone(tags), group);
        self.tags.insert(group, Arc::clone(tags));
    }

    pub(super) fn remove(&mut self, group: u32) {
        let Some(tags) = self.tags.remove(&group) else { return };
        self.numbers.remove(&tags);
        for tag in tags.iter() {
            if let Some(columns) = self.columns.get_mut(tag) {
                columns.retain(|(number, _)| *number != group);
            }
        }
    }

    pub(super) fn number(&self, tags: &[TagId]) -> Option<u32> {
        self.numbers.get(tags).copied()
    }

    /// Gives the groups a tag has been scanned in, each with its column.
    pub(super) fn columns(&self, tag: TagId) -> &[(u32, u32)] {
        self.columns.get(&tag).map_or(&[], Vec::as_slice)
    }
}

/// Everything readers need besides the database itself; a clone is cheap.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    pub(super) sealed: Arc<Vec<Arc<Segment>>>,
    pub(super) open: Arc<Vec<Arc<Segment>>>,
    pub(super) groups: Arc<Groups>,
    /// Each with the number of its row, oldest row first.
    pub(super) gaps: Arc<Vec<(u32, Gap)>>,
}

impl Index {
    pub(super) fn segments(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.sealed.iter().chain(self.open.iter())
    }

    pub(super) fn bytes(&self) -> u64 {
        self.segments().map(|segment| segment.held.bytes).sum()
    }

    /// Gives the newest instant that is stored.
    pub(super) fn last(&self) -> Option<Timestamp> {
        self.segments().map(|segment| segment.held.last).max()
    }
}

/// One consistent state of the store: readers never wait for a commit, nor a commit for them.
pub(super) struct View {
    pub(super) snapshot: ReadTransaction,
    pub(super) index: Index,
}

/// Puts a hash before a small row.
pub(super) fn seal(seed: u64, payload: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(8 + payload.len());
    row.extend_from_slice(&xxh3_64_with_seed(payload, seed).to_le_bytes());
    row.extend_from_slice(payload);
    row
}

/// Gives a small row's contents where its hash is right.
pub(super) fn unseal(seed: u64, row: &[u8]) -> Result<&[u8], Malformed> {
    let (head, payload) = row.split_first_chunk::<8>().ok_or(Malformed)?;
    let sum = xxh3_64_with_seed(payload, seed);
    if u64::from_le_bytes(*head) == sum { Ok(payload) } else { Err(Malformed) }
}

pub(super) fn seed_of(text: &str) -> u64 {
    xxh3_64_with_seed(text.as_bytes(), 0)
}

pub(super) fn put_summary(id: u32, held: &Summary) -> Vec<u8> {
    let mut out = Vec::new();
    put_zigzag(&mut out, held.first.nanos());
    put_zigzag(&mut out, held.last.nanos());
    put_varint(&mut out, held.samples);
    put_varint(&mut out, held.bytes);
    put_varint(&mut out, held.records);
    put_numbers(&mut out, held.groups.iter().copied());
    seal(u64::from(id), &out)
}

pub(super) fn take_summary(id: u32, row: &[u8]) -> Result<Summary, Malformed> {
    let mut from = Cursor::new(unseal(u64::from(id), row)?);
    Ok(Summary {
        first: Timestamp::from_nanos(from.zigzag()?),
        last: Timestamp::from_nanos(from.zigzag()?),
        samples: from.varint()?,
        bytes: from.varint()?,
        records: from.varint()?,
        groups: take_numbers(&mut from)?,
    })
}

pub(super) fn put_group(group: u32, tags: &[TagId]) -> Vec<u8> {
    let mut out = Vec::new();
    put_numbers(&mut out, tags.iter().map(|tag| tag.0));
    seal(u64::from(group), &out)
}

pub(super) fn take_group(group: u32, row: &[u8]) -> Result<Arc<[TagId]>, Malformed> {
    let numbers = take_numbers(&mut Cursor::new(unseal(u64::from(group), row)?))?;
    Ok(numbers.into_iter().map(TagId).collect())
}

/// Numbers that mostly count up: each as its difference from the one before.
fn put_numbers(out: &mut Vec<u8>, numbers: impl ExactSizeIterator<Item = u32>) {
    put_count(out, numbers.len());
    let mut last = 0;
    for number in numbers {
        put_zigzag(out, i64::from(number) - last);
        last = i64::from(number);
    }
}

fn take_numbers(from: &mut Cursor<'_>) -> Result<Vec<u32>, Malformed> {
    let count = from.count(from.left())?;
    let mut numbers = Vec::with_capacity(count);
    let mut last = 0_i64;
    for _ in 0..count {
        last = last.checked_add(from.zigzag()?).ok_or(Malformed)?;
        numbers.push(u32::try_from(last).map_err(|_| Malformed)?);
    }
    Ok(numbers)
}

pub(super) fn put_gap(id: u32, gap: &Gap) -> Vec<u8> {
    let mut out = Vec::new();
    put_zigzag(&mut out, gap.from.nanos());
    put_zigzag(&mut out, gap.until.nanos());
    out.push(match gap.cause {
        GapCause::Overrun => 0,
        GapCause::Stopped => 1,
        GapCause::Damaged => 2,
    });
    match gap.lost {
        Some(lost) => {
            out.push(1);
            put_varint(&mut out, lost);
        }
        None => out.push(0),
    }
    seal(u64::from(id), &out)
}

pub(super) fn take_gap(id: u32, row: &[u8]) -> Result<Gap, Malformed> {
    let mut from = Cursor::new(unseal(u64::from(id), row)?);
    let start = Timestamp::from_nanos(from.zigzag()?);
    let until = Timestamp::from_nanos(from.zigzag()?);
    let cause = match from.byte()? {
        0 => GapCause::Overrun,
        1 => GapCause::Stopped,
        2 => GapCause::Damaged,
        _ => return Err(Malformed),
    };
    let lost = if from.byte()? == 0 { None } else { Some(from.varint()?) };
    Ok(Gap { from: start, until, lost, cause })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_rows_come_back_and_a_flipped_bit_is_seen() {
        let gap = Gap {
            from: Timestamp::from_nanos(i64::MIN),
            until: Timestamp::from_nanos(7),
            lost: Some(9),
            cause: GapCause::Damaged,
        };
        let row = put_gap(3, &gap);
        assert_eq!(take_gap(3, &row), Ok(gap));
        assert_eq!(take_gap(4, &row), Err(Malformed));
        let tags: Arc<[TagId]> = [5, 6, 7, 2, u32::MAX].map(TagId).into();
        let mut row = put_group(1, &tags);
        assert_eq!(take_group(1, &row), Ok(tags));
        row[10] ^= 4;
        assert_eq!(take_group(1, &row), Err(Malformed));
    }

    #[test]
    fn a_group_that_goes_takes_its_columns_along() {
        let mut groups = Groups::default();
        groups.add(1, &[TagId(4), TagId(5)].into());
        groups.add(2, &[TagId(5)].into());
        assert_eq!(groups.columns(TagId(5)), [(1, 1), (2, 0)]);
        groups.remove(1);
        assert_eq!(groups.columns(TagId(5)), [(2, 0)]);
        assert_eq!(groups.number(&[TagId(4), TagId(5)]), None);
    }
}
