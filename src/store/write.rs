//! Writing: one durable transaction per commit.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use redb::{Database, ReadableDatabase, WriteTransaction};

use super::blocks::Blocks;
use super::error::StoreError;
use super::index::{
    GAPS, GROUPS, Index, META, Place, SEGMENTS, Segment, View, put_gap, put_group, put_summary,
};
use super::merge::{self, Merged};
use super::open::{self, Run, Start, put_run};
use super::record::{ColumnRef, Packed, Packer, Piece, STREAMS};
use super::{Committed, Gap, GapCause, OpenReport};
use crate::dbfile;
use crate::driver::RawBlock;
use crate::model::{EndpointName, Pages, ScanPage, StreamPage, TagId, TagName, Timestamp};

/// Pages of this many rows are worth sealing; shorter ones are gathered first.
pub(super) const ROWS_SEALED_MIN: usize = 8;
/// A commit of fewer bytes is gathered too, whatever its rows, so that a small plant doesn't
/// make a segment of its own every few seconds.
const SEALED_BYTES_MIN: u64 = 64 * 1024;
/// Gathered bytes that are merged: 50 rows of 10 000 tags, and some 150 ms of work.
const OPEN_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// Gathered segments that are merged: a reader looks into each of them.
const OPEN_SEGMENTS_MAX: usize = 1024;
/// From this size on, commits carry what makes the start after a crash quick. It costs 20 KiB a
/// commit here, and 140 KiB at 1 GiB; a smaller file is repaired in some 200 ms without.
const QUICK_REPAIR_FROM_BYTES: u64 = 32 * 1024 * 1024;
/// Opening anew writes some tens of KiB; with less than this it would fail as well.
const REOPEN_FREE_BYTES_MIN: u64 = 1024 * 1024;
/// Gaps kept; beyond it the oldest goes.
const GAPS_MAX: usize = 4096;
/// Groups kept at once; a reload that changes a scan group makes a new one.
const GROUPS_MAX: usize = 65_536;

/// The one writer, with all that it knows by heart.
#[derive(Debug)]
pub(super) struct Writer {
    /// `None` only while the file is opened anew.
    db: Option<Database>,
    /// A change has failed: what is known by heart may no longer be what is on disk.
    failed: bool,
    /// It failed for want of space.
    full: bool,
    pub(super) file: Option<PathBuf>,
    /// A change has found the file damaged.
    distrusted: bool,
    pub(super) open_segments_max: usize,
    pub(super) index: Index,
    next_segment: u32,
    next_group: u32,
    next_gap: u32,
    pub(super) blocks: Blocks,
    pub(super) names: HashMap<TagName, TagId>,
    pub(super) next_tag: u32,
    /// When the last commit was, or the start.
    committed: Timestamp,
}

impl Writer {
    pub(super) fn new(db: Database, file: Option<PathBuf>, now: Timestamp) -> Self {
        Self {
            db: Some(db),
            failed: false,
            full: false,
            file,
            distrusted: false,
            open_segments_max: OPEN_SEGMENTS_MAX,
            index: Index::default(),
            next_segment: 1,
            next_group: STREAMS + 1,
            next_gap: 0,
            blocks: Blocks::default(),
            names: HashMap::new(),
            next_tag: 0,
            committed: now,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.db.is_some() && !self.failed
    }

    pub(super) fn database(&self) -> Result<&Database, StoreError> {
        self.db.as_ref().ok_or_else(closed)
    }

    pub(super) fn database_mut(&mut self) -> Result<&mut Database, StoreError> {
        self.db.as_mut().ok_or_else(closed)
    }

    pub(super) fn view(&self) -> Result<View, StoreError> {
        Ok(View { snapshot: self.database()?.begin_read()?, index: self.index.clone() })
    }

    /// Gives what the file takes on disk, or the size of the records where there is no file.
    pub(super) fn file_bytes(&self) -> Result<u64, StoreError> {
        match &self.file {
            // The database doubles the file's length when it needs more; what was never written
            // takes no space. POSIX counts blocks of 512 bytes.
            Some(path) => Ok(std::fs::metadata(path)?.blocks().saturating_mul(512)),
            None => Ok(self.index.bytes()),
        }
    }

    pub(super) fn transaction(&self) -> Result<WriteTransaction, StoreError> {
        let mut change = self.database()?.begin_write()?;
        change.set_quick_repair(self.file_bytes()? >= QUICK_REPAIR_FROM_BYTES);
        Ok(change)
    }

    /// Numbers new things after everything that the index knows.
    pub(super) fn count_on_from_index(&mut self) {
        let index = &self.index;
        let segment = index.segments().map(|segment| segment.id).max().unwrap_or_default();
        let stored = index.segments().filter_map(|s| s.held.groups.last().copied()).max();
        let known = index.groups.tags.keys().next_back().copied();
        let gap = index.gaps.iter().map(|(id, _)| *id).max();
        self.next_segment = segment.saturating_add(1);
        self.next_group = stored.max(known).unwrap_or(STREAMS).saturating_add(1);
        self.next_gap = gap.map_or(0, |id| id.saturating_add(1));
    }

    /// Writes no more after a failure until the file is opened anew, a damaged one set aside.
    /// Readers go on meanwhile.
    pub(super) fn abandon(&mut self, error: &StoreError) {
        self.failed = true;
        self.full = matches!(error, StoreError::Full);
        self.distrusted |= error.is_damage();
    }

    /// Opens the file anew; the tags keep their numbers even in a fresh one.
    pub(super) fn reopen(&mut self, now: Timestamp) -> Result<OpenReport, StoreError> {
        let path = self.file.clone().ok_or_else(closed)?;
        // While the disk is full, the old handle at least serves readers.
        if self.full && dbfile::free_bytes(&path)? < REOPEN_FREE_BYTES_MIN {
            return Err(StoreError::Full);
        }
        // The lock goes with the old handle.
        self.db = None;
        let aside = if self.distrusted { Some(dbfile::set_aside(&path, now)?) } else { None };
        self.distrusted = false;
        let (mut writer, mut report) = open::open(&path, now, Start::Again)?;
        report.quarantined = aside.or(report.quarantined);
        writer.names = std::mem::take(&mut self.names);
        writer.next_tag = writer.next_tag.max(self.next_tag);
        writer.committed = self.committed;
        *self = writer;
        if report.quarantined.is_some() {
            self.put_all_names()?;
        }
        Ok(report)
    }

    pub(super) fn commit(
        &mut self,
        pages: &Pages,
        blocks: &[(EndpointName, RawBlock)],
        now: Timestamp,
    ) -> Result<Committed, StoreError> {
        check(pages)?;
        let mut done = Committed::default();
        self.blocks.offer(blocks);
        done.blocks_refused = self.blocks.take_refused();
        let due = self.blocks.due(now);
        let streams_lost: u64 = pages.streams.iter().map(|stream| stream.window.lost).sum();
        let lost = pages.lost.saturating_add(streams_lost);
        if pages.scans.is_empty() && pages.streams.is_empty() && lost == 0 && due.is_empty() {
            return Ok(done);
        }
        let change = self.transaction()?;
        if self.merge_is_due() {
            self.merge(&change, &mut done)?;
        }
        self.store_pages(&change, pages, &mut done)?;
        if lost > 0 {
            let gap = Gap {
                from: self.committed.min(now),
                until: now,
                lost: Some(lost),
                cause: GapCause::Overrun,
            };
            self.put_gap(&change, gap)?;
        }
        done.blocks = self.blocks.put(&change, due, now)?;
        change.commit()?;
        self.committed = now;
        Ok(done)
    }

    fn store_pages(
        &mut self,
        change: &WriteTransaction,
        pages: &Pages,
        done: &mut Committed,
    ) -> Result<(), StoreError> {
        let mut pieces = Vec::with_capacity(pages.scans.len() + pages.streams.len());
        for page in pages.scans.iter().filter(|page| !page.received.is_empty()) {
            let group = self.group(change, page)?;
            pieces.push(scan_piece(group, page));
        }
        let streams = pages.streams.iter().filter(|stream| !stream.window.is_empty());
        pieces.extend(streams.map(stream_piece));
        pieces.sort_by_key(|piece| (piece.group, piece.first, piece.received.first().copied()));
        let (mut long, mut short) = (Layers::default(), Layers::default());
        for piece in &pieces {
            let many = piece.received.len() >= ROWS_SEALED_MIN;
            if many { long.push(piece) } else { short.push(piece) }
        }
        let place = if long.bytes() >= SEALED_BYTES_MIN { Place::Sealed } else { Place::Open };
        self.put_segments(change, place, long, Some(done))?;
        self.put_segments(change, Place::Open, short, Some(done))
    }

    /// Finds or makes the group of a page.
    fn group(&mut self, change: &WriteTransaction, page: &ScanPage) -> Result<u32, StoreError> {
        if let Some(group) = self.index.groups.number(&page.tags) {
            return Ok(group);
        }
        if self.index.groups.tags.len() >= GROUPS_MAX {
            return Err(too_many("scan groups", GROUPS_MAX));
        }
        let group = self.next_group;
        self.next_group = next(group, "scan groups")?;
        change.open_table(GROUPS)?.insert(group, put_group(group, &page.tags).as_slice())?;
        Arc::make_mut(&mut self.index.groups).add(group, &page.tags);
        Ok(group)
    }

    fn put_segments(
        &mut self,
        change: &WriteTransaction,
        place: Place,
        layers: Layers,
        mut done: Option<&mut Committed>,
    ) -> Result<(), StoreError> {
        for packed in layers.finish() {
            let id = self.next_segment;
            self.next_segment = next(id, "segments")?;
            let held = packed.summary.clone();
            if let Some(done) = done.as_deref_mut() {
                done.bytes += held.bytes;
                done.samples += held.samples;
                done.too_large += packed.too_large;
            }
            let mut records = change.open_table(place.table())?;
            for (key, bytes) in packed.sealed(id) {
                records.insert(key, bytes.as_slice())?;
            }
            let list = match place {
                Place::Sealed => {
                    let mut segments = change.open_table(SEGMENTS)?;
                    segments.insert(id, put_summary(id, &held).as_slice())?;
                    &mut self.index.sealed
                }
                Place::Open => &mut self.index.open,
            };
            Arc::make_mut(list).push(Arc::new(Segment { id, place, held }));
        }
        Ok(())
    }

    fn merge_is_due(&self) -> bool {
        let open = &self.index.open;
        let bytes: u64 = open.iter().map(|segment| segment.held.bytes).sum();
        bytes >= OPEN_BYTES_MAX || open.len() >= self.open_segments_max
    }

    /// Merges what has been gathered; what still has too few rows is gathered on.
    fn merge(&mut self, change: &WriteTransaction, done: &mut Committed) -> Result<(), StoreError> {
        let Merged { long, short, damaged } = merge::merge(change, &self.index)?;
        Arc::make_mut(&mut self.index.open).clear();
        self.put_segments(change, Place::Sealed, long, None)?;
        // Slow tags alone must not be carried from merge to merge.
        let keep = short.bytes() < OPEN_BYTES_MAX / 2;
        let place = if keep { Place::Open } else { Place::Sealed };
        self.put_segments(change, place, short, None)?;
        done.bad_records = u64::try_from(damaged.len()).unwrap_or(u64::MAX);
        for gap in damaged {
            self.put_gap(change, gap)?;
        }
        Ok(())
    }

    pub(super) fn note_gap(&mut self, gap: Gap) -> Result<(), StoreError> {
        let change = self.transaction()?;
        self.put_gap(&change, gap)?;
        Ok(change.commit()?)
    }

    /// Records a gap; one that goes on where the last ended makes that one longer.
    fn put_gap(&mut self, change: &WriteTransaction, gap: Gap) -> Result<(), StoreError> {
        let mut table = change.open_table(GAPS)?;
        let gaps = Arc::make_mut(&mut self.index.gaps);
        let goes_on = |last: &Gap| last.until == gap.from && last.cause == gap.cause;
        if let Some((id, last)) = gaps.last_mut().filter(|(_, last)| goes_on(last)) {
            last.until = gap.until;
            last.lost = last.lost.zip(gap.lost).map(|(a, b)| a.saturating_add(b));
            table.insert(*id, put_gap(*id, last).as_slice())?;
            return Ok(());
        }
        let id = self.next_gap;
        self.next_gap = next(id, "gaps")?;
        table.insert(id, put_gap(id, &gap).as_slice())?;
        gaps.push((id, gap));
        if gaps.len() > GAPS_MAX {
            let (oldest, _) = gaps.remove(0);
            table.remove(oldest)?;
        }
        Ok(())
    }

    /// Writes down that a run has begun or ended, and the gap before it.
    pub(super) fn mark_run(
        &mut self,
        run: Run,
        at: Timestamp,
        gap: Option<Gap>,
    ) -> Result<(), StoreError> {
        let change = self.transaction()?;
        if let Some(gap) = gap {
            self.put_gap(&change, gap)?;
        }
        change.open_table(META)?.insert("run", put_run(run, at).as_slice())?;
        Ok(change.commit()?)
    }

    pub(super) fn close_clean(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let pending = self.blocks.pending();
        let change = self.transaction()?;
        self.blocks.put(&change, pending, now)?;
        change.open_table(META)?.insert("run", put_run(Run::Ended, now).as_slice())?;
        Ok(change.commit()?)
    }
}

fn closed() -> StoreError {
    StoreError::Io("it was closed after a failure".to_owned())
}

pub(super) fn too_many(what: &'static str, limit: usize) -> StoreError {
    StoreError::TooMany { what, limit: u64::try_from(limit).unwrap_or(u64::MAX) }
}

/// Counts on; 2^32 of anything take a century at one a second.
pub(super) fn next(number: u32, what: &'static str) -> Result<u32, StoreError> {
    number.checked_add(1).ok_or(StoreError::TooMany { what, limit: u64::from(u32::MAX) })
}

fn check(pages: &Pages) -> Result<(), StoreError> {
    let scans_fit = pages.scans.iter().all(|page| {
        let rows = page.received.len();
        page.tags.len() == page.columns.len()
            && page.columns.iter().all(|c| c.values.len() == rows && c.qualities.len() == rows)
    });
    let streams_fit = pages.streams.iter().all(|stream| {
        let window = &stream.window;
        let rows = window.received.len();
        window.values.len() == rows
            && window.qualities.len() == rows
            && (window.source.is_empty() || window.source.len() == rows)
    });
    if scans_fit && streams_fit { Ok(()) } else { Err(StoreError::Uneven) }
}

fn scan_piece(group: u32, page: &ScanPage) -> Piece<'_> {
    let columns = page.columns.iter();
    Piece {
        group,
        first: 0,
        received: &page.received,
        source: &[],
        columns: columns
            .map(|c| ColumnRef { values: &c.values, qualities: &c.qualities })
            .collect(),
    }
}

fn stream_piece(stream: &StreamPage) -> Piece<'_> {
    let window = &stream.window;
    Piece {
        group: STREAMS,
        first: stream.tag.0,
        received: &window.received,
        source: &window.source,
        columns: vec![ColumnRef { values: &window.values, qualities: &window.qualities }],
    }
}

/// Segments in the making. Within one, every column stands once; what comes again goes into
/// the next.
#[derive(Debug, Default)]
pub(super) struct Layers {
    /// Each with the group and column that its last piece ends before.
    packers: Vec<(Packer, (u32, u32))>,
}

impl Layers {
    pub(super) fn push(&mut self, piece: &Piece<'_>) {
        let columns = u32::try_from(piece.columns.len()).unwrap_or(u32::MAX);
        let begin = (piece.group, piece.first);
        let end = (piece.group, piece.first.saturating_add(columns));
        for rows in piece.stretches() {
            let free = self.packers.iter().position(|(_, last)| *last <= begin);
            if free.is_none() {
                self.packers.push((Packer::default(), (0, 0)));
            }
            let at = free.unwrap_or(self.packers.len() - 1);
            if let Some((packer, last)) = self.packers.get_mut(at) {
                packer.push(piece, &rows);
                *last = end;
            }
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.packers.iter().map(|(packer, _)| packer.bytes()).sum()
    }

    fn finish(self) -> impl Iterator<Item = Packed> {
        self.packers.into_iter().map(|(packer, _)| packer.finish())
    }
}
