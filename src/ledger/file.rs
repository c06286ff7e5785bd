//! The file: appending, documents, and reading beside the writer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use redb::{Database, ReadTransaction, ReadableDatabase, TableDefinition, WriteTransaction};
use serde_json::{Map, Value};

use super::chain::{self, ChainId, Head};
use super::error::{LedgerError, guarded};
use super::event::{Entry, Seq};
use super::open::{self, OpenReport};
use crate::model::{Timestamp, hex};

/// Number -> hash and body.
pub(super) const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");
/// Kind and name -> the number of the record that put it, and the document.
pub(super) const DOCUMENTS: TableDefinition<'_, (&str, &str), &[u8]> =
    TableDefinition::new("documents");
/// Records that still count repeats, by the number of their group.
pub(super) const OPEN: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("open");
/// `format`, `chain`, `base`, `head`, `bytes`, `anew`.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// A larger file carries what is needed to open it fast after a crash.
const QUICK_REPAIR_FROM_BYTES: u64 = 8 * 1024 * 1024;
/// Space that has to be free before a full disk is tried again.
const REOPEN_FREE_BYTES_MIN: u64 = 2 * 1024 * 1024;

/// What readers see: one state of the file, whole.
pub(super) struct View {
    pub(super) snapshot: ReadTransaction,
    pub(super) chain: ChainId,
    /// What the oldest record still here follows.
    pub(super) base: Head,
    pub(super) head: Head,
}

/// The audit file: one writer, any number of readers that never wait for it.
///
/// All calls block on the disk.
pub(super) struct AuditFile {
    view: RwLock<Arc<View>>,
    writer: Mutex<Writer>,
}

impl AuditFile {
    /// Opens the file with mode 0600, or makes a new one; sets a damaged one aside.
    pub(super) fn open(path: &Path, now: Timestamp) -> Result<(Self, OpenReport), LedgerError> {
        let (writer, report) = open::open(path, now)?;
        Ok((Self::with(writer)?, report))
    }

    pub(super) fn with(writer: Writer) -> Result<Self, LedgerError> {
        let view = Arc::new(writer.view()?);
        Ok(Self { view: RwLock::new(view), writer: Mutex::new(writer) })
    }

    pub(super) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read())
    }

    /// Runs one change and shows its outcome to readers; after a failure nothing is written
    /// until [`Self::reopen`].
    pub(super) fn change<T>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let mut writer = self.writer.lock();
        let done = guarded(|| {
            let done = work(&mut writer)?;
            let view = writer.view()?;
            Ok((done, view))
        });
        match done {
            Ok((done, view)) => {
                *self.view.write() = Arc::new(view);
                Ok(done)
            }
            Err(error) => {
                if error.ends_the_session() {
                    writer.abandon(&error);
                }
                Err(error)
            }
        }
    }

    /// Tells whether the file can't be written as it is open now.
    pub(super) fn is_failed(&self) -> bool {
        self.writer.lock().failed
    }

    /// Opens the file anew, with nothing remembered of what stood in it.
    pub(super) fn reopen(&self, now: Timestamp) -> Result<OpenReport, LedgerError> {
        let mut writer = self.writer.lock();
        let report = writer.reopen(now)?;
        *self.view.write() = Arc::new(writer.view()?);
        Ok(report)
    }
}

/// The writing half.
pub(super) struct Writer {
    pub(super) db: Option<Database>,
    path: Option<PathBuf>,
    failed: bool,
    /// It failed for want of space.
    full: bool,
    /// The file was found damaged.
    distrusted: bool,
    pub(super) chain: ChainId,
    pub(super) base: Head,
    pub(super) head: Head,
    /// Bytes of all records still here.
    pub(super) bytes: u64,
    /// Where the chain would stand if the change that failed last had been stored.
    attempted: Option<Head>,
}

impl Writer {
    pub(super) fn new(db: Database, path: Option<PathBuf>) -> Self {
        let genesis = Head::genesis(&ChainId::default());
        Self {
            db: Some(db),
            path,
            failed: false,
            full: false,
            distrusted: false,
            chain: ChainId::default(),
            base: genesis,
            head: genesis,
            bytes: 0,
            attempted: None,
        }
    }

    pub(super) fn database(&self) -> Result<&Database, LedgerError> {
        self.db.as_ref().ok_or_else(closed)
    }

    pub(super) fn database_mut(&mut self) -> Result<&mut Database, LedgerError> {
        self.db.as_mut().ok_or_else(closed)
    }

    pub(super) fn view(&self) -> Result<View, LedgerError> {
        let snapshot = self.database()?.begin_read()?;
        Ok(View { snapshot, chain: self.chain, base: self.base, head: self.head })
    }

    /// Begins a change. Two phases: redb's own checksum is no defence against somebody who
    /// chooses what is written and when the power goes.
    pub(super) fn transaction(&self) -> Result<WriteTransaction, LedgerError> {
        if self.failed {
            return Err(closed());
        }
        let mut change = self.database()?.begin_write()?;
        change.set_two_phase_commit(true);
        change.set_quick_repair(self.bytes >= QUICK_REPAIR_FROM_BYTES);
        Ok(change)
    }

    /// Writes no more after a failure until the file is opened anew. Readers go on meanwhile.
    pub(super) fn abandon(&mut self, error: &LedgerError) {
        self.failed = true;
        self.full = matches!(error, LedgerError::Full);
        self.distrusted |= error.is_damage();
    }

    fn reopen(&mut self, now: Timestamp) -> Result<OpenReport, LedgerError> {
        let path = self.path.clone().ok_or_else(closed)?;
        // While the disk is full, the old handle at least serves readers.
        if self.full && free_bytes(&path)? < REOPEN_FREE_BYTES_MIN {
            return Err(LedgerError::Full);
        }
        // The lock goes with the old handle.
        self.db = None;
        self.failed = true;
        if self.distrusted {
            let aside = open::set_aside(&path, now)?;
            self.distrusted = false;
            let (writer, mut report) = open::begin_anew(&path, now, &aside)?;
            report.quarantined = Some(aside);
            *self = writer;
            return Ok(report);
        }
        let attempted = self.attempted.take();
        let (writer, mut report) = open::open(&path, now)?;
        report.was_stored = attempted.is_some_and(|head| head == writer.head);
        *self = writer;
        Ok(report)
    }

    /// Appends entries and changes their documents, all or nothing. Gives the first number.
    pub(super) fn append(
        &mut self,
        change: &WriteTransaction,
        entries: &[&Entry],
    ) -> Result<Appended, LedgerError> {
        let mut done = Appended { head: self.head, bytes: self.bytes };
        let mut records = change.open_table(RECORDS)?;
        for entry in entries {
            let body = chain::encode(entry).map_err(|e| LedgerError::Unfit(e.to_string()))?;
            let (next, row) = done.head.link(&body);
            records.insert(next.seq, row.as_slice())?;
            done.head = next;
            done.bytes = done.bytes.saturating_add(length(&row));
            if entry.documents.is_empty() {
                continue;
            }
            let mut documents = change.open_table(DOCUMENTS)?;
            for document in &entry.documents {
                let key = (document.kind.as_str(), document.id.as_str());
                match &document.bytes {
                    Some(bytes) => {
                        let value = [&next.seq.to_be_bytes(), bytes.as_slice()].concat();
                        documents.insert(key, value.as_slice())?;
                    }
                    None => drop(documents.remove(key)?),
                }
            }
        }
        put_state(change, &done)?;
        Ok(done)
    }

    /// Makes a change durable; only then is it what this writer goes on from.
    pub(super) fn commit(
        &mut self,
        change: WriteTransaction,
        done: Appended,
    ) -> Result<(), LedgerError> {
        self.attempted = Some(done.head);
        change.commit()?;
        self.attempted = None;
        (self.head, self.bytes) = (done.head, done.bytes);
        Ok(())
    }
}

/// Where the chain stands after a change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Appended {
    pub(super) head: Head,
    pub(super) bytes: u64,
}

/// Writes down where the chain stands.
pub(super) fn put_state(change: &WriteTransaction, done: &Appended) -> Result<(), LedgerError> {
    let mut meta = change.open_table(META)?;
    meta.insert("head", done.head.to_bytes().as_slice())?;
    meta.insert("bytes", done.bytes.to_be_bytes().as_slice())?;
    Ok(())
}

impl View {
    /// Gives a record as JSON with its number and hash; `None` where it can't be read.
    fn record(seq: Seq, row: &[u8]) -> Map<String, Value> {
        let mut out = Map::new();
        out.insert("seq".to_owned(), Value::from(seq));
        match chain::decode(chain::body(row)) {
            Some(fields) => out.extend(fields),
            None => drop(out.insert("unreadable".to_owned(), Value::Bool(true))),
        }
        let hash = Head::claimed(seq, row).map(|head| hex(&head.hash));
        out.insert("hash".to_owned(), Value::from(hash));
        out
    }

    /// Gives records from `from` on, at most so many.
    pub(super) fn records(
        &self,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Map<String, Value>>, LedgerError> {
        let table = self.snapshot.open_table(RECORDS)?;
        let mut out = Vec::new();
        for row in table.range(from..)?.take(limit) {
            let (seq, bytes) = row?;
            out.push(Self::record(seq.value(), bytes.value()));
        }
        Ok(out)
    }

    /// Gives the documents of a kind, in the order of their names.
    pub(super) fn documents(&self, kind: &str) -> Result<Vec<(String, Vec<u8>)>, LedgerError> {
        let table = self.snapshot.open_table(DOCUMENTS)?;
        let mut out = Vec::new();
        for row in table.range((kind, "")..)? {
            let (key, value) = row?;
            let (of, id) = key.value();
            if of != kind {
                break;
            }
            let bytes = value.value().get(8..).unwrap_or_default();
            out.push((id.to_owned(), bytes.to_vec()));
        }
        Ok(out)
    }
}

pub(super) fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn free_bytes(path: &Path) -> Result<u64, LedgerError> {
    let disk = rustix::fs::statvfs(path).map_err(std::io::Error::from)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn closed() -> LedgerError {
    LedgerError::Io("it was closed after a failure".to_owned())
}
