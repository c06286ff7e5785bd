//! F2: the audit, in `audit.redb`: what happened, by whom, and how it ended.
//!
//! # How a record is kept
//! Records are numbered without a gap. Each one is the JSON of its [`Event`], and its hash
//! covers that text, its number and the hash before it. Documents (tickets, approvers, whether
//! writes are frozen) change in one transaction with the record of the change, which holds
//! their digest; so the chain vouches for them too.
//!
//! # When a record is safe
//! [`Ledger::append_durable`] answers when the record is on the disk. [`Ledger::append_soon`]
//! hands over to a bounded queue that is written out within a second; what doesn't fit is
//! itself counted in a record. One thread writes; it takes all that waits in one transaction.
//!
//! # What can be proved
//! Every so often the head of the chain is signed with the collector's own key; that checkpoint
//! is a record itself, and goes to wherever the configuration says: a file on another mount,
//! syslog, the journal. A chain alone can't show that its end was cut off; a checkpoint can.
//! Full stretches are sealed, and leave the file only after they were exported.
//!
//! # What a bad disk does
//! While the file can't be written, [`Ledger::frozen`] gives why, durable records are refused
//! and the reads of the collector go on. The file is opened anew when the disk lets it. A file
//! whose structure is broken is set aside under another name and a fresh one begun; a chain
//! that is broken is kept as it is, for those who look into it. Either freezes writes until an
//! operator has seen it.

mod chain;
mod checkpoint;
#[cfg(test)]
mod crash_tests;
mod error;
mod event;
mod export;
mod file;
mod keep;
mod key;
mod open;
mod outlet;
mod queue;
mod repeat;
mod report;
mod tail;
#[cfg(test)]
mod tamper_tests;
#[cfg(test)]
mod tests;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

pub use error::LedgerError;
pub use event::{Document, Event, Outcome, Seq, What, Who};
pub use export::Exported;
pub use outlet::Outlet;
pub use repeat::{RepeatKey, repeat_key};
pub use report::{LedgerReport, OutletReport};
pub use tail::{Tail, Wanted};
pub use verify::Verified;

use crate::clock;
use crate::dbfile;
use crate::model::Timestamp;
use checkpoint::Outside;
use event::Entry;
use file::AuditFile;
use keep::Outbox;
use key::CollectorKey;
use open::OpenReport;
use queue::{Queue, Waiting};

/// How long a record that need not be durable at once may wait for others.
const COMMIT_EVERY: Duration = Duration::from_millis(700);

/// What the configuration says of the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of records that may stand in the file.
    pub max_bytes: u64,
    /// Where checkpoints go, besides the file next to the audit.
    pub outlets: Vec<Outlet>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { max_bytes: 256 * 1024 * 1024, outlets: Vec::new() }
    }
}

/// The audit of a collector: a queue, the file behind it, and where they stand.
pub struct Ledger {
    queue: Mutex<Queue>,
    wake: Condvar,
    file: AuditFile,
    report: Mutex<LedgerReport>,
    settings: Mutex<Settings>,
    key: CollectorKey,
    pointed: Mutex<Pointed>,
    outbox: Outbox,
    dir: PathBuf,
}

/// The newest checkpoint.
#[derive(Debug, Clone, Copy)]
struct Pointed {
    /// The record that holds it.
    seq: Seq,
    at: Instant,
}

impl Ledger {
    /// Opens `audit.redb` in the state directory with mode 0600, or makes a new one, and the
    /// collector's key beside it.
    ///
    /// A damaged file is set aside as `<name>.bad-<utc>`; the report says so.
    ///
    /// # Errors
    /// The file is open elsewhere, newer than this program, or the disk is full, refuses access
    /// or fails; or the key can't be used. None of these sets the file aside.
    pub fn open(dir: &Path, settings: Settings, now: Timestamp) -> Result<Self, LedgerError> {
        let (key, key_is_new) = CollectorKey::load(&dir.join("audit.key"))?;
        let outside = outside(&key, dir, &settings);
        let (file, mut found) = AuditFile::open(&dir.join("audit.redb"), &outside, now)?;
        if found.fresh && !key_is_new && found.anew.is_none() {
            // A key without its audit: somebody has taken the file away.
            let why = "the audit file was missing, though this collector had kept one".to_owned();
            file.change(|writer| open::note_anew(writer, &why))?;
            found.anew = Some(why);
        }
        let ledger = Self {
            queue: Mutex::default(),
            wake: Condvar::new(),
            file,
            report: Mutex::default(),
            settings: Mutex::new(settings),
            key,
            pointed: Mutex::new(Pointed { seq: 0, at: Instant::now() }),
            outbox: Outbox::default(),
            dir: dir.to_path_buf(),
        };
        ledger.note_opened(&found);
        let open = dbfile::guarded(|| ledger.file.view().inherited())?;
        ledger.queue.lock().inherit(open);
        Ok(ledger)
    }

    /// Takes what the configuration says now.
    pub fn configure(&self, settings: Settings) {
        *self.settings.lock() = settings;
        self.wake.notify_one();
    }

    /// Gives what verification holds the chain against.
    fn outside(&self) -> Outside {
        outside(&self.key, &self.dir, &self.settings.lock().clone())
    }

    fn note_opened(&self, found: &OpenReport) {
        let state = self.file.view().state;
        if found.anew.is_some() && found.fresh {
            let mut event = Event::new(What::BegunAnew);
            event.detail.insert("why".to_owned(), found.anew.clone().into());
            self.append_soon(event);
        }
        let mut report = self.report.lock();
        report.newest = state.head.seq;
        report.bytes = state.bytes();
        report.anew.clone_from(&found.anew);
        report.first_bad = found.verified.first_bad;
    }

    /// Gives where the ledger stands.
    #[must_use]
    pub fn report(&self) -> LedgerReport {
        let lost = self.queue.lock().lost();
        let mut report = self.report.lock().clone();
        report.lost = lost;
        report.max_bytes = self.settings.lock().max_bytes;
        report
    }

    /// Gives why no write to a device may happen now; `None` where the audit is in order.
    #[must_use]
    pub fn frozen(&self) -> Option<String> {
        self.report().frozen()
    }

    /// Takes an operator's word, recorded before, that a broken or missing audit has been looked
    /// into. Blocks on the disk.
    ///
    /// # Errors
    /// It could not be made durable.
    pub fn acknowledge(&self) -> Result<(), LedgerError> {
        self.file.change(open::forget_anew)?;
        let mut report = self.report.lock();
        report.anew = None;
        report.acknowledged = report.first_bad;
        Ok(())
    }

    /// Appends a record and answers when it is durable.
    ///
    /// # Errors
    /// It could not be made durable. Whether it was stored all the same is not known.
    pub async fn append_durable(&self, event: Event) -> Result<Seq, LedgerError> {
        self.put(event, Vec::new()).await
    }

    /// Appends a record and changes documents with it, all or nothing, and answers when they
    /// are durable.
    ///
    /// # Errors
    /// It could not be made durable. Whether it was stored all the same is not known: read the
    /// documents again.
    pub async fn put(&self, event: Event, documents: Vec<Document>) -> Result<Seq, LedgerError> {
        let (told, hears) = oneshot::channel();
        {
            let mut queue = self.queue.lock();
            queue.push_durable(Waiting { entry: Entry::now(event, documents), told })?;
        }
        self.wake.notify_one();
        hears.await.unwrap_or_else(|_| Err(LedgerError::Closed("it ended".to_owned())))
    }

    /// Puts documents, and then does what they record even where the caller leaves meanwhile: what
    /// is recorded and what is so must not part.
    ///
    /// # Errors
    /// As for [`Self::put`]; nothing is done then.
    pub async fn put_then<T: Send + 'static>(
        self: &Arc<Self>,
        event: Event,
        documents: Vec<Document>,
        then: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, LedgerError> {
        let ledger = Arc::clone(self);
        let put = tokio::spawn(async move {
            ledger.put(event, documents).await?;
            Ok(then())
        });
        put.await.unwrap_or_else(|error| Err(LedgerError::Closed(error.to_string())))
    }

    /// Puts one document together with the record of why.
    ///
    /// # Errors
    /// As for [`Self::put`].
    pub async fn put_document(
        &self,
        kind: &str,
        id: &str,
        bytes: Vec<u8>,
        event: Event,
    ) -> Result<Seq, LedgerError> {
        let document = Document { kind: kind.to_owned(), id: id.to_owned(), bytes: Some(bytes) };
        self.put(event, vec![document]).await
    }

    /// Appends a record within a second. What finds the queue full is counted as lost.
    pub fn append_soon(&self, event: Event) {
        let entry = Entry::now(event, Vec::new());
        if self.queue.lock().push_soon(entry) {
            self.wake.notify_one();
        }
    }

    /// Counts one more of a record that is open under this key. Says whether there was one.
    #[must_use]
    pub fn again(&self, key: RepeatKey, device_requests: u64) -> bool {
        let counted = self.queue.lock().again(key, device_requests);
        if counted.is_first {
            self.wake.notify_one();
        }
        counted.counted
    }

    /// Appends a record that counts its repeats for a minute, kept within a second.
    pub fn append_counting(&self, key: RepeatKey, event: Event) {
        let entry = Entry::now(event, Vec::new());
        self.queue.lock().open(key, entry);
        self.wake.notify_one();
    }

    /// Waits until what came before is on the disk, or can't be written.
    pub async fn flush(&self) {
        let Some(hears) = self.queue.lock().flush() else { return };
        self.wake.notify_one();
        if hears.await.is_err() {
            tracing::debug!("the ledger ended before it was flushed");
        }
    }

    /// Gives the documents of a kind, by name. Blocks on the disk.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn documents(&self, kind: &str) -> Result<Vec<(String, Vec<u8>)>, LedgerError> {
        let view = self.file.view();
        dbfile::guarded(|| view.documents(kind))
    }

    /// Gives the newest records that are wanted, oldest first. Blocks on the disk.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn tail(&self, wanted: &Wanted) -> Result<Tail, LedgerError> {
        let view = self.file.view();
        dbfile::guarded(|| view.tail(wanted))
    }

    /// Reads the file from the disk again and checks every record, document and checkpoint.
    /// Blocks, and holds up writers meanwhile.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn verify(&self) -> Result<Verified, LedgerError> {
        let outside = self.outside();
        match dbfile::guarded(|| self.file.reopen(&outside, clock::now())) {
            Ok(found) => {
                self.queue.lock().settle_doubt(found.was_stored);
                self.note_opened(&found);
                Ok(Verified { anew: found.anew, ..found.verified })
            }
            // What was read before is all there is to check.
            Err(LedgerError::Full) => {
                let view = self.file.view();
                dbfile::guarded(|| verify::walk(&view, &outside))
            }
            Err(error) => Err(error),
        }
    }
}

/// Gives what a chain is held against: the key, and every checkpoint that can be read here.
fn outside(key: &CollectorKey, dir: &Path, settings: &Settings) -> Outside {
    let beside = dir.join(CHECKPOINTS);
    let mut files = vec![beside.as_path()];
    files.extend(settings.outlets.iter().filter_map(|outlet| match outlet {
        Outlet::File(path) => Some(path.as_path()),
        _ => None,
    }));
    Outside::read(&key.public(), &files)
}

/// The file of checkpoints beside the audit.
const CHECKPOINTS: &str = "audit.checkpoints.jsonl";

impl std::fmt::Debug for Ledger {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Ledger({} records)", self.report.lock().newest)
    }
}
