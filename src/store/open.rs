//! Opening: the index, the checks of what is newest, and a damaged file that is set aside.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable};

use super::bytes::{Cursor, put_zigzag};
use super::column::Scratch;
use super::error::StoreError;
use super::index::{
    BLOCKS, GAPS, GROUPS, Groups, Index, META, NAMES, OPEN, Place, SEALED, SEGMENTS, Segment, seal,
    seed_of, take_gap, take_group, take_summary, unseal,
};
use super::record::{Sections, Summary, verify};
use super::write::Writer;
use super::{Gap, GapCause, OpenReport};
use crate::dbfile::{self, guarded};
use crate::model::Timestamp;

/// The format that this program writes.
const FORMAT: u32 = 1;
/// Memory the database may use for its own pages; the rings are what readers want fast.
const CACHE_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of the newest sealed records whose hashes are checked at start: some 20 ms of work.
const VERIFY_BYTES: u64 = 32 * 1024 * 1024;
/// A smaller file isn't worth the time of compacting it.
const COMPACT_FROM_BYTES: u64 = 64 * 1024 * 1024;
/// More live data than this would make the start slow.
const COMPACT_LIVE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Why the file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// A run begins: an unclean end of the one before is a gap.
    Run,
    /// The run goes on after a failure: the caller still holds what was not stored.
    Again,
}

/// Opens the file; sets a damaged one aside and begins anew.
pub(super) fn open(
    path: &Path,
    now: Timestamp,
    start: Start,
) -> Result<(Writer, OpenReport), StoreError> {
    match guarded(|| attempt(path, now, start)) {
        Err(error) if error.is_damage() => {
            let aside = dbfile::set_aside(path, now)?;
            tracing::warn!(%error, aside = %aside.display(), "history file set aside");
            let (writer, mut report) = attempt(path, now, start)?;
            report.quarantined = Some(aside);
            Ok((writer, report))
        }
        other => other,
    }
}

fn attempt(path: &Path, now: Timestamp, start: Start) -> Result<(Writer, OpenReport), StoreError> {
    dbfile::open(path, CACHE_BYTES, |db| load(db, Some(path), now, start))
}

/// Reads the index, checks what is newest, and marks the run as begun.
pub(super) fn load(
    db: Database,
    path: Option<&Path>,
    now: Timestamp,
    start: Start,
) -> Result<(Writer, OpenReport), StoreError> {
    let mut report = OpenReport::default();
    let mut writer = Writer::new(db, path.map(Path::to_path_buf), now);
    let snapshot = writer.database()?.begin_read()?;
    if dbfile::is_fresh(&snapshot, META)? {
        drop(snapshot);
        begin(&writer)?;
    } else {
        dbfile::check_format(&snapshot, META, FORMAT)?;
        writer.index = read_index(&snapshot, &mut report)?;
        check_newest(&snapshot, &writer.index, &mut report)?;
        writer.count_on_from_index();
        writer.load_names(&snapshot, &mut report)?;
        if start == Start::Run {
            report.gap = unclean(&snapshot, &writer.index, now)?;
        }
        drop(snapshot);
        let file_bytes = writer.file_bytes()?;
        let live_bytes = writer.index.bytes();
        if file_bytes >= COMPACT_FROM_BYTES
            && live_bytes <= COMPACT_LIVE_BYTES_MAX
            && live_bytes.saturating_mul(4) <= file_bytes
        {
            writer.database_mut()?.compact()?;
        }
    }
    writer.mark_run(Run::Going, now, report.gap)?;
    report.pages = writer.index.segments().map(|segment| segment.held.records).sum();
    report.bytes = writer.file_bytes()?;
    Ok((writer, report))
}

/// Makes every table, so that none can be missing later.
fn begin(writer: &Writer) -> Result<(), StoreError> {
    let change = writer.transaction()?;
    change.open_table(SEALED)?;
    change.open_table(OPEN)?;
    change.open_table(SEGMENTS)?;
    change.open_table(GROUPS)?;
    change.open_table(NAMES)?;
    change.open_table(GAPS)?;
    change.open_table(BLOCKS)?;
    change.open_table(META)?.insert("format", FORMAT.to_le_bytes().as_slice())?;
    Ok(change.commit()?)
}

fn read_index(snapshot: &ReadTransaction, report: &mut OpenReport) -> Result<Index, StoreError> {
    let mut groups = Groups::default();
    for row in snapshot.open_table(GROUPS)?.iter()? {
        let (group, tags) = row?;
        match take_group(group.value(), tags.value()) {
            Ok(tags) => groups.add(group.value(), &tags),
            Err(_) => report.bad_records += 1,
        }
    }
    let mut sealed = Vec::new();
    for row in snapshot.open_table(SEGMENTS)?.iter()? {
        let (id, held) = row?;
        let id = id.value();
        let held = if let Ok(held) = take_summary(id, held.value()) {
            held
        } else {
            report.bad_records += 1;
            let rows = (id, 0, 0)..=(id, u32::MAX, u32::MAX);
            summarise(snapshot, Place::Sealed, rows, report)?.remove(&id).unwrap_or_default()
        };
        sealed.push(Segment { id, place: Place::Sealed, held });
    }
    let all = (0, 0, 0)..=(u32::MAX, u32::MAX, u32::MAX);
    let open = summarise(snapshot, Place::Open, all, report)?;
    let open = open.into_iter().map(|(id, held)| Segment { id, place: Place::Open, held });
    let mut gaps = Vec::new();
    for row in snapshot.open_table(GAPS)?.iter()? {
        let (id, gap) = row?;
        match take_gap(id.value(), gap.value()) {
            Ok(gap) => gaps.push((id.value(), gap)),
            Err(_) => report.bad_records += 1,
        }
    }
    Ok(Index {
        sealed: Arc::new(dated(sealed)),
        open: Arc::new(dated(open.collect())),
        groups: Arc::new(groups),
        gaps: Arc::new(gaps),
    })
}

/// Dates segments of which no record could be read: they lie after the one before.
fn dated(mut segments: Vec<Segment>) -> Vec<Arc<Segment>> {
    let mut last = segments.iter().find(|s| s.held.samples > 0).map(|s| s.held.first);
    for segment in &mut segments {
        if segment.held.samples == 0 {
            segment.held.first = last.unwrap_or_default();
            segment.held.last = last.unwrap_or_default();
        }
        last = Some(segment.held.last);
    }
    segments.into_iter().map(Arc::new).collect()
}

/// Works out from the records themselves what segments hold.
fn summarise(
    snapshot: &ReadTransaction,
    place: Place,
    rows: std::ops::RangeInclusive<(u32, u32, u32)>,
    report: &mut OpenReport,
) -> Result<BTreeMap<u32, Summary>, StoreError> {
    let mut found: BTreeMap<u32, Summary> = BTreeMap::new();
    let mut scratch = Scratch::default();
    for row in snapshot.open_table(place.table())?.range(rows)? {
        let (key, bytes) = row?;
        let (key, bytes) = (key.value(), bytes.value());
        let held = found.entry(key.0).or_default();
        held.records += 1;
        held.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let read = Sections::open(key, bytes).and_then(|mut sections| {
            while let Some(mut section) = sections.next()? {
                let times = section.times(&mut scratch)?;
                let columns = usize::try_from(section.columns).unwrap_or(usize::MAX);
                held.add(section.group, &times.received, columns);
            }
            Ok(())
        });
        if read.is_err() {
            report.bad_records += 1;
            // The groups of a damaged record are unknown but for the first.
            if held.groups.last().is_none_or(|last| *last < key.1) {
                held.groups.push(key.1);
            }
        }
    }
    Ok(found)
}

/// Checks the hashes of the newest sealed records; those of open ones are checked already.
fn check_newest(
    snapshot: &ReadTransaction,
    index: &Index,
    report: &mut OpenReport,
) -> Result<(), StoreError> {
    let mut bytes = 0;
    let records = snapshot.open_table(SEALED)?;
    for row in records.iter()?.rev() {
        let (key, record) = row?;
        bytes += u64::try_from(record.value().len()).unwrap_or(u64::MAX);
        if bytes > VERIFY_BYTES {
            break;
        }
        if verify(key.value(), record.value()).is_err() {
            report.bad_records += 1;
        }
        // Records and segments are written together; one without the other is broken structure.
        let id = key.value().0;
        if index.sealed.binary_search_by_key(&id, |segment| segment.id).is_err() {
            return Err(StoreError::Damaged("a record stands outside the index".to_owned()));
        }
    }
    Ok(())
}

/// Whether the run that wrote last has ended properly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Run {
    Going,
    Ended,
}

pub(super) fn put_run(run: Run, at: Timestamp) -> Vec<u8> {
    let mut out = vec![u8::from(run == Run::Ended)];
    put_zigzag(&mut out, at.nanos());
    seal(seed_of("run"), &out)
}

/// Gives the gap that an unclean stop has left.
fn unclean(
    snapshot: &ReadTransaction,
    index: &Index,
    now: Timestamp,
) -> Result<Option<Gap>, StoreError> {
    let meta = snapshot.open_table(META)?;
    let row = meta.get("run")?;
    let (mut ended, mut from) = (false, index.last());
    // Where the mark itself is damaged, the run counts as broken off.
    if let Some(Ok(payload)) = row.as_ref().map(|row| unseal(seed_of("run"), row.value())) {
        let mut cursor = Cursor::new(payload);
        ended = cursor.byte()? == 1;
        let at = Timestamp::from_nanos(cursor.zigzag()?);
        from = Some(from.map_or(at, |last| last.max(at)));
    }
    if ended {
        return Ok(None);
    }
    let from = from.unwrap_or(now).min(now);
    Ok(Some(Gap { from, until: now, lost: None, cause: GapCause::Stopped }))
}
