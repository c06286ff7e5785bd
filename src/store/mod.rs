//! F2: history past the ring, in `samples.redb`.
//!
//! # How a sample is kept
//! Each commit of the historian is one durable transaction. Pages of a scan group become
//! *records* of just under 8 KiB, packed column by column, each with its own hash; never a row
//! per sample. Records that are written together are a *segment*. Pages of few rows first go to
//! a table of *open* segments and are merged into *sealed* ones when enough have come, so a
//! commit every second is as durable as one every ten and most of it is written twice at most.
//!
//! # What the file does over time
//! Retention removes whole segments, oldest first. The pages they leave are used again, so the
//! file stops growing at about `keep_bytes`; it shrinks by itself only at its end, and is
//! compacted at start where it is mostly free.
//!
//! # What a crash or a bad disk does
//! A crash loses what came after the last commit, and the time until the next start is a gap. A
//! record whose hash is wrong is skipped and counted as a gap. A file whose structure is broken
//! is set aside under another name, and a fresh one begun; a full disk, a missing permission or
//! a lock of another process never lead to that.

mod blob;
mod blocks;
mod bytes;
mod column;
mod error;
mod index;
mod ints;
mod merge;
mod names;
mod open;
mod read;
mod record;
mod retain;
mod write;

#[cfg(test)]
mod bad_file_tests;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

pub use error::StoreError;

use crate::dbfile;
use crate::driver::RawBlock;
use crate::model::{EndpointName, Pages, TagId, TagName, Timestamp, Window};
use index::View;
use write::Writer;

/// The history file: one writer, any number of readers that never wait for it.
///
/// All calls block on the disk; call them from a blocking thread.
pub struct SampleStore {
    view: RwLock<Arc<View>>,
    writer: Mutex<Writer>,
}

/// A store with what was found when it was opened.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: SampleStore,
    /// What was found.
    pub report: OpenReport,
}

/// What was found when the file was opened.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OpenReport {
    /// Where a damaged file was set aside to; a fresh one was begun.
    pub quarantined: Option<PathBuf>,
    /// Records and rows with a wrong hash among those checked: the index, all open records and
    /// the newest sealed ones. Older records are checked when they are read.
    pub bad_records: u64,
    /// Records of samples in the file.
    pub pages: u64,
    /// Bytes of the file on disk.
    pub bytes: u64,
    /// The time without history after an unclean stop.
    pub gap: Option<Gap>,
}

/// A stretch of time in which history is known to be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// It begins after this instant.
    pub from: Timestamp,
    /// It ends before this instant.
    pub until: Timestamp,
    /// How many samples are missing, where that is known.
    pub lost: Option<u64>,
    /// Why.
    pub cause: GapCause,
}

/// Why history is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapCause {
    /// Samples were overwritten before they could be stored.
    Overrun,
    /// The collector did not end properly.
    Stopped,
    /// A record on disk was damaged.
    Damaged,
}

/// What one commit did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Committed {
    /// Bytes of records handed to the database; 0 where there was nothing to commit.
    pub bytes: u64,
    /// Samples made durable.
    pub samples: u64,
    /// Values too large to store, kept as null with quality `BadEncodingLimitsExceeded`.
    pub too_large: u64,
    /// Raw blocks written.
    pub blocks: u64,
    /// Raw blocks not kept: of an area that `BlockRef::AREAS` doesn't name, or one place too many.
    pub blocks_refused: u64,
    /// Open records found damaged and left out of a merge; each is a gap.
    pub bad_records: u64,
    /// What was found where a failure before made the store open its file anew.
    pub reopened: Option<OpenReport>,
}

/// One tag's stored history between two instants.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StoredWindow {
    /// The samples, oldest first.
    pub window: Window,
    /// Older samples were left out to stay within the limit.
    pub truncated: bool,
    /// Known gaps that touch the stretch, oldest first.
    pub gaps: Vec<Gap>,
    /// Records with a wrong hash that were skipped; each is a gap too.
    pub bad_records: u64,
}

/// What one call of [`SampleStore::retain`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retained {
    /// Records removed.
    pub pages_removed: u64,
    /// The oldest sample still stored.
    pub oldest: Option<Timestamp>,
    /// Bytes of records still stored; the file is about an eighth larger.
    pub bytes: u64,
    /// More is due than one call removes: call again.
    pub more: bool,
}

impl SampleStore {
    /// Opens the history file with mode 0600, or makes a new one.
    ///
    /// A damaged file is set aside as `<name>.bad-<utc>` and a fresh one begun. Takes well under
    /// 300 ms for tens of megabytes: small files are repaired in full after a crash, larger ones
    /// carry what is needed to skip that.
    ///
    /// # Errors
    /// The file is open elsewhere, newer than this program, or the disk is full, refuses access
    /// or fails. None of these sets the file aside.
    pub fn open(path: &Path, now: Timestamp) -> Result<Opened, StoreError> {
        let (writer, report) = open::open(path, now, open::Start::Run)?;
        let store = Self::with(writer)?;
        Ok(Opened { store, report })
    }

    fn with(writer: Writer) -> Result<Self, StoreError> {
        let view = Arc::new(writer.view()?);
        Ok(Self { view: RwLock::new(view), writer: Mutex::new(writer) })
    }

    /// Gives each tag its number, the same at every start; a renamed tag keeps its own.
    ///
    /// Each tag comes with the names it had before. The ids are in the order asked.
    ///
    /// # Errors
    /// The file can't be read or written, or there would be too many tags.
    pub fn intern(&self, tags: &[(TagName, Vec<TagName>)]) -> Result<Vec<TagId>, StoreError> {
        self.change(None, |writer| writer.intern(tags)).map(|(ids, _)| ids)
    }

    /// Makes everything given durable in one transaction at `now`.
    ///
    /// `lost` of the pages and of each streamed window is recorded as a gap since the commit
    /// before. A raw block is written where it changed, at most every ten seconds, and once a
    /// minute where it did not; [`Self::close_clean`] writes the rest. After an error nothing of
    /// the call is stored, and the next call opens the file anew.
    ///
    /// # Errors
    /// The file can't be written, or a page's columns differ in length.
    pub fn commit(
        &self,
        pages: &Pages,
        blocks: &[(EndpointName, RawBlock)],
        now: Timestamp,
    ) -> Result<Committed, StoreError> {
        let (mut done, reopened) =
            self.change(Some(now), |writer| writer.commit(pages, blocks, now))?;
        done.reopened = reopened;
        Ok(done)
    }

    /// Records a gap that the caller knows of.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn note_gap(&self, gap: Gap) -> Result<(), StoreError> {
        self.change(None, |writer| writer.note_gap(gap)).map(|((), _)| ())
    }

    /// Marks the end of a proper run, so that the next start sees no gap.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn close_clean(&self, now: Timestamp) -> Result<(), StoreError> {
        self.change(None, |writer| writer.close_clean(now)).map(|((), _)| ())
    }

    /// Gives the newest samples of each tag that has any, at most `samples` each, oldest first.
    ///
    /// # Errors
    /// The file can't be read. Damaged records are skipped.
    pub fn tail(&self, ids: &[TagId], samples: usize) -> Result<Vec<(TagId, Window)>, StoreError> {
        let view = self.view();
        dbfile::guarded(|| read::tail(&view, ids, samples))
    }

    /// Gives the newest raw block of each place, in the order of endpoint, unit, area, address.
    ///
    /// # Errors
    /// The file can't be read. Damaged blocks are skipped.
    pub fn blocks(&self) -> Result<Vec<(EndpointName, RawBlock)>, StoreError> {
        let view = self.view();
        dbfile::guarded(|| blocks::read(&view))
    }

    /// Gives a tag's samples from `since` up to and with `until`, the newest `samples_max`.
    ///
    /// # Errors
    /// The file can't be read. Damaged records are skipped and listed as gaps.
    pub fn window(
        &self,
        id: TagId,
        since: Timestamp,
        until: Timestamp,
        samples_max: usize,
    ) -> Result<StoredWindow, StoreError> {
        let view = self.view();
        dbfile::guarded(|| read::window(&view, id, since, until, samples_max))
    }

    /// Removes what is older than `keep_days`, and the oldest beyond `keep_bytes` of file.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn retain(
        &self,
        now: Timestamp,
        keep_days: u32,
        keep_bytes: u64,
    ) -> Result<Retained, StoreError> {
        self.change(None, |writer| writer.retain(now, keep_days, keep_bytes)).map(|(done, _)| done)
    }

    /// Gives the bytes of the file on disk.
    ///
    /// # Errors
    /// The file's size can't be read.
    pub fn size(&self) -> Result<u64, StoreError> {
        self.writer.lock().file_bytes()
    }

    fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read())
    }

    /// Runs one change and shows its outcome to readers; after a failure the next one reopens.
    fn change<T>(
        &self,
        reopen_at: Option<Timestamp>,
        work: impl FnOnce(&mut Writer) -> Result<T, StoreError>,
    ) -> Result<(T, Option<OpenReport>), StoreError> {
        let mut writer = self.writer.lock();
        let reopened = if writer.is_open() {
            None
        } else {
            let report = writer.reopen(reopen_at.unwrap_or_else(crate::clock::now))?;
            *self.view.write() = Arc::new(writer.view()?);
            Some(report)
        };
        let done: Result<_, StoreError> = dbfile::guarded(|| {
            let done = work(&mut writer)?;
            let view = writer.view()?;
            Ok((done, view))
        });
        match done {
            Ok((done, view)) => {
                *self.view.write() = Arc::new(view);
                Ok((done, reopened))
            }
            Err(error) => {
                if error.ends_the_session() {
                    writer.abandon(&error);
                }
                Err(error)
            }
        }
    }
}

impl std::fmt::Debug for SampleStore {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let index = &self.view().index;
        write!(out, "SampleStore({} sealed, {} open)", index.sealed.len(), index.open.len())
    }
}
