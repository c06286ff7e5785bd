//! The file: appending, documents, and reading beside the writer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction,
};
use serde_json::{Map, Value};

use super::chain::{self, ChainId, Head};
use super::checkpoint::{Checkpoint, Outside};
use super::error::LedgerError;
use super::event::{Entry, Seq};
use super::open::{self, OpenReport};
use crate::dbfile::{self, guarded};
use crate::model::{Timestamp, hex};

/// Number -> hash and body.
pub(super) const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");
/// Kind and name -> the number of the record that put it, and the document.
pub(super) const DOCUMENTS: TableDefinition<'_, (&str, &str), &[u8]> =
    TableDefinition::new("documents");
/// Records that still count repeats, by the number of their group.
pub(super) const OPEN: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("open");
/// `format`, `chain`, `base`, `state`, `anew`.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// A larger file carries what is needed to open it fast after a crash.
const QUICK_REPAIR_FROM_BYTES: u64 = 8 * 1024 * 1024;
/// Space that has to be free before a full disk is tried again.
const REOPEN_FREE_BYTES_MIN: u64 = 2 * 1024 * 1024;

/// What readers see: one state of the file, whole.
pub(super) struct View {
    pub(super) snapshot: ReadTransaction,
    pub(super) chain: ChainId,
    /// What the oldest record still here follows, signed where records went before it.
    pub(super) base: Base,
    pub(super) state: State,
}

/// What the oldest record still here follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Base {
    pub(super) head: Head,
    /// The signature under it; none where it is the chain's beginning.
    pub(super) seal: Option<Checkpoint>,
}

/// Where the chain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    pub(super) head: Head,
    /// Bytes of all records ever written.
    pub(super) written: u64,
    /// Bytes of those that were released.
    pub(super) removed: u64,
    /// The last record of the newest sealed stretch.
    pub(super) sealed: Seq,
    /// What was written up to that.
    pub(super) sealed_written: u64,
}

impl State {
    pub(super) const fn begin(head: Head) -> Self {
        Self { head, written: 0, removed: 0, sealed: 0, sealed_written: 0 }
    }

    /// Gives the bytes of the records still here.
    pub(super) const fn bytes(&self) -> u64 {
        self.written.saturating_sub(self.removed)
    }

    /// Gives the bytes of the stretch that is not sealed yet.
    pub(super) const fn unsealed(&self) -> u64 {
        self.written.saturating_sub(self.sealed_written)
    }

    fn to_bytes(self) -> Vec<u8> {
        let mut out = self.head.to_bytes().to_vec();
        for number in [self.written, self.removed, self.sealed, self.sealed_written] {
            out.extend(number.to_be_bytes());
        }
        out
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (head, mut rest) = bytes.split_at_checked(40)?;
        let mut next = || {
            let (number, after) = rest.split_at_checked(8)?;
            rest = after;
            Some(u64::from_be_bytes(number.try_into().ok()?))
        };
        let state = Self {
            head: Head::from_bytes(head)?,
            written: next()?,
            removed: next()?,
            sealed: next()?,
            sealed_written: next()?,
        };
        rest.is_empty().then_some(state)
    }
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
    pub(super) fn open(
        path: &Path,
        outside: &Outside,
        now: Timestamp,
    ) -> Result<(Self, OpenReport), LedgerError> {
        let (writer, report) = open::open(path, outside, now)?;
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
        let done: Result<_, LedgerError> = guarded(|| {
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
    pub(super) fn reopen(
        &self,
        outside: &Outside,
        now: Timestamp,
    ) -> Result<OpenReport, LedgerError> {
        let mut writer = self.writer.lock();
        let report = writer.reopen(outside, now)?;
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
    pub(super) base: Base,
    pub(super) state: State,
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
            base: Base { head: genesis, seal: None },
            state: State::begin(genesis),
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
        Ok(View { snapshot, chain: self.chain, base: self.base.clone(), state: self.state })
    }

    /// Begins a change. Two phases: redb's own checksum is no defence against somebody who
    /// chooses what is written and when the power goes.
    pub(super) fn transaction(&self) -> Result<WriteTransaction, LedgerError> {
        if self.failed {
            return Err(closed());
        }
        let mut change = self.database()?.begin_write()?;
        change.set_two_phase_commit(true);
        change.set_quick_repair(self.state.bytes() >= QUICK_REPAIR_FROM_BYTES);
        Ok(change)
    }

    /// Writes no more after a failure until the file is opened anew. Readers go on meanwhile.
    pub(super) fn abandon(&mut self, error: &LedgerError) {
        self.failed = true;
        self.full = matches!(error, LedgerError::Full);
        self.distrusted |= error.is_damage();
    }

    fn reopen(&mut self, outside: &Outside, now: Timestamp) -> Result<OpenReport, LedgerError> {
        let path = self.path.clone().ok_or_else(closed)?;
        // While the disk is full, the old handle at least serves readers.
        if self.full && dbfile::free_bytes(&path)? < REOPEN_FREE_BYTES_MIN {
            return Err(LedgerError::Full);
        }
        // The lock goes with the old handle.
        self.db = None;
        self.failed = true;
        if self.distrusted {
            let aside = dbfile::set_aside(&path, now)?;
            self.distrusted = false;
            let (writer, mut report) = open::begin_anew(&path, now, &aside)?;
            report.quarantined = Some(aside);
            *self = writer;
            return Ok(report);
        }
        let attempted = self.attempted;
        let (writer, mut report) = open::open(&path, outside, now)?;
        report.was_stored = attempted.is_some_and(|head| head == writer.state.head);
        *self = writer;
        Ok(report)
    }

    /// Appends entries and changes their documents, all or nothing. Gives where the chain then
    /// stands, which is not written down yet.
    pub(super) fn append(
        change: &WriteTransaction,
        mut state: State,
        entries: &[&Entry],
    ) -> Result<State, LedgerError> {
        let mut records = change.open_table(RECORDS)?;
        for entry in entries {
            let (next, row) = state.head.link(&encode(entry)?);
            records.insert(next.seq, row.as_slice())?;
            state.head = next;
            state.written = state.written.saturating_add(length(&row));
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
        Ok(state)
    }

    /// Writes open records as they stand, and removes those that have ended.
    pub(super) fn put_open(
        change: &WriteTransaction,
        open: &[(u64, Entry)],
        closed: impl Iterator<Item = u64>,
    ) -> Result<(), LedgerError> {
        let mut table = change.open_table(OPEN)?;
        for (id, entry) in open {
            table.insert(*id, chain::open_row(*id, &encode(entry)?).as_slice())?;
        }
        for id in closed {
            table.remove(id)?;
        }
        Ok(())
    }

    /// Makes a change durable; only then is it what this writer goes on from.
    pub(super) fn commit(
        &mut self,
        change: WriteTransaction,
        state: State,
    ) -> Result<(), LedgerError> {
        put_state(&change, &state)?;
        self.attempted = Some(state.head);
        change.commit()?;
        self.attempted = None;
        self.state = state;
        Ok(())
    }
}

fn encode(entry: &Entry) -> Result<Vec<u8>, LedgerError> {
    chain::encode(entry).map_err(|error| LedgerError::Unfit(error.to_string()))
}

/// Writes down where the chain stands.
pub(super) fn put_state(change: &WriteTransaction, state: &State) -> Result<(), LedgerError> {
    change.open_table(META)?.insert("state", state.to_bytes().as_slice())?;
    Ok(())
}

/// Writes down what the oldest record follows.
pub(super) fn put_base(change: &WriteTransaction, base: &Base) -> Result<(), LedgerError> {
    let seal = base.seal.as_ref().map(serde_json::to_vec).transpose();
    let seal = seal.map_err(|error| LedgerError::Unfit(error.to_string()))?;
    let value = [base.head.to_bytes().to_vec(), seal.unwrap_or_default()].concat();
    change.open_table(META)?.insert("base", value.as_slice())?;
    Ok(())
}

impl View {
    /// Gives a record as JSON: with its number and hash, or with neither while it counts.
    pub(super) fn record(seq: Option<Seq>, row: &[u8]) -> Map<String, Value> {
        let mut out = Map::new();
        out.insert("seq".to_owned(), Value::from(seq));
        match chain::decode(chain::body(row)) {
            Some(fields) => out.extend(fields),
            None => drop(out.insert("unreadable".to_owned(), Value::Bool(true))),
        }
        let hash = seq.and_then(|seq| Head::claimed(seq, row)).map(|head| hex(&head.hash));
        out.insert("hash".to_owned(), Value::from(hash));
        out
    }

    /// Gives the records that a run before left open.
    pub(super) fn inherited(&self) -> Result<Vec<(u64, Entry)>, LedgerError> {
        let mut out = Vec::new();
        for row in self.snapshot.open_table(OPEN)?.iter()? {
            let (id, row) = row?;
            if let Some(entry) = chain::reopen(id.value(), row.value()) {
                out.push((id.value(), entry));
            }
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

fn closed() -> LedgerError {
    LedgerError::Io("it was closed after a failure".to_owned())
}
