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
//! # What a bad disk does
//! While the file can't be written, [`Ledger::frozen`] gives why, durable records are refused
//! and the reads of the collector go on. The file is opened anew when the disk lets it. A file
//! whose structure is broken is set aside under another name and a fresh one begun; a chain
//! that is broken is kept as it is, for those who look into it. Either freezes writes until an
//! operator has seen it.

mod chain;
mod error;
mod event;
mod file;
mod open;
mod queue;
#[cfg(test)]
mod tests;
mod verify;

use std::path::Path;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

pub use error::LedgerError;
pub use event::{Document, Event, Outcome, Seq, What, Who};
pub use verify::Verified;

use crate::clock;
use crate::model::Timestamp;
use event::Entry;
use file::AuditFile;
use open::OpenReport;
use queue::{Batch, Queue, Waiting};

/// How long a record that need not be durable at once may wait for others.
const COMMIT_EVERY: Duration = Duration::from_millis(700);
/// The pause before a failed file is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What the ledger shows of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LedgerReport {
    /// The number of the newest record.
    pub newest: Seq,
    /// Bytes of all records.
    pub bytes: u64,
    /// Commits since the start.
    pub commits: u64,
    /// Records lost because they could not be written in time, and not yet counted in one.
    pub lost: u64,
    /// When the last commit was durable.
    pub last_commit: Option<Timestamp>,
    /// Why nothing can be written now, where that is so.
    pub fault: Option<LedgerError>,
    /// Why this file was begun anew, until an operator has seen it.
    pub anew: Option<String>,
    /// The first record that breaks the chain.
    pub first_bad: Option<Seq>,
    /// Why no more will be written until the collector is started again.
    pub given_up: Option<String>,
}

/// The audit of a collector: a queue, the file behind it, and where they stand.
pub struct Ledger {
    queue: Mutex<Queue>,
    wake: Condvar,
    file: AuditFile,
    report: Mutex<LedgerReport>,
}

impl Ledger {
    /// Opens the audit file with mode 0600, or makes a new one.
    ///
    /// A damaged file is set aside as `<name>.bad-<utc>`; the report says so.
    ///
    /// # Errors
    /// The file is open elsewhere, newer than this program, or the disk is full, refuses access
    /// or fails. None of these sets the file aside.
    pub fn open(path: &Path, now: Timestamp) -> Result<Self, LedgerError> {
        let (file, found) = AuditFile::open(path, now)?;
        let ledger =
            Self { queue: Mutex::default(), wake: Condvar::new(), file, report: Mutex::default() };
        ledger.note_opened(&found);
        Ok(ledger)
    }

    fn note_opened(&self, found: &OpenReport) {
        let view = self.file.view();
        let mut report = self.report.lock();
        report.newest = view.head.seq;
        report.anew.clone_from(&found.anew);
        report.first_bad = found.first_bad;
    }

    /// Gives where the ledger stands.
    #[must_use]
    pub fn report(&self) -> LedgerReport {
        let waiting_losses = self.queue.lock().lost();
        let mut report = self.report.lock().clone();
        report.lost = waiting_losses;
        report
    }

    /// Gives why no write to a device may happen now; `None` where the audit is in order.
    #[must_use]
    pub fn frozen(&self) -> Option<String> {
        let report = self.report.lock();
        if let Some(why) = &report.given_up {
            return Some(format!("the audit is not being kept: {why}"));
        }
        if let Some(fault) = &report.fault {
            return Some(fault.to_string());
        }
        if let Some(first) = report.first_bad {
            return Some(format!("the audit is not what was written from record {first} on"));
        }
        report.anew.clone()
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
        let is_first = {
            let mut queue = self.queue.lock();
            queue.push_soon(Entry::now(event, Vec::new()))
        };
        if is_first {
            self.wake.notify_one();
        }
    }

    /// Gives the documents of a kind, by name. Blocks on the disk.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn documents(&self, kind: &str) -> Result<Vec<(String, Vec<u8>)>, LedgerError> {
        let view = self.file.view();
        error::guarded(|| view.documents(kind))
    }

    /// Gives records from a number on, at most so many. Blocks on the disk.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn records(
        &self,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<serde_json::Map<String, serde_json::Value>>, LedgerError> {
        let view = self.file.view();
        error::guarded(|| view.records(from, limit))
    }

    /// Checks the whole chain. Blocks on the disk.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn verify(&self) -> Result<Verified, LedgerError> {
        let view = self.file.view();
        error::guarded(|| verify::walk(&view))
    }

    /// Writes what comes until the ledger is closed: the work of a thread of its own.
    pub fn keep(&self) {
        loop {
            let Some(batch) = self.next_batch() else { return };
            if !self.store(batch) {
                self.rest();
            }
        }
    }

    /// Ends [`Self::keep`] after it has written what waits.
    pub fn close(&self) {
        self.queue.lock().close();
        self.wake.notify_all();
    }

    /// Says that nobody writes any more.
    pub fn give_up(&self, why: &str) {
        self.report.lock().given_up = Some(why.to_owned());
        self.queue.lock().give_up(why);
    }

    /// Waits until something is due. `None` at the end.
    fn next_batch(&self) -> Option<Batch> {
        let mut queue = self.queue.lock();
        loop {
            if let Some(batch) = queue.take_due(COMMIT_EVERY) {
                return Some(batch);
            }
            if queue.is_closed() {
                return None;
            }
            match queue.due_at(COMMIT_EVERY) {
                Some(at) => drop(self.wake.wait_until(&mut queue, at)),
                None => self.wake.wait(&mut queue),
            }
        }
    }

    /// Waits before a failed file is tried again; a caller who needs it now ends the pause.
    fn rest(&self) {
        let until = Instant::now() + RETRY_AFTER;
        let mut queue = self.queue.lock();
        while !queue.has_durable() && !queue.is_closed() {
            if self.wake.wait_until(&mut queue, until).timed_out() {
                return;
            }
        }
    }

    /// Makes a batch durable and tells those who wait. Says whether it worked.
    fn store(&self, batch: Batch) -> bool {
        match self.attempt(&batch) {
            Ok(first) => {
                self.queue.lock().settle();
                let mut report = self.report.lock();
                report.fault = None;
                report.commits += 1;
                report.newest = self.file.view().head.seq;
                report.last_commit = Some(clock::now());
                drop(report);
                batch.tell(first);
                true
            }
            Err((error, attempted)) => {
                let before = self.report.lock().fault.replace(error.clone());
                if before.as_ref() != Some(&error) {
                    tracing::error!("the audit is not being kept: {error}");
                }
                self.queue.lock().fail(batch, &error, attempted);
                false
            }
        }
    }

    /// Opens the file anew where it has failed before, then writes the batch. An error comes
    /// with whether the batch may have been stored all the same.
    fn attempt(&self, batch: &Batch) -> Result<Seq, (LedgerError, bool)> {
        if self.file.is_failed() {
            let found = error::guarded(|| self.file.reopen(clock::now()));
            let found = found.map_err(|error| (error, false))?;
            self.note_opened(&found);
            self.queue.lock().settle_doubt(found.was_stored);
        }
        let entries = batch.entries();
        let stored = self.file.change(|writer| {
            let first = writer.head.seq.saturating_add(1);
            let change = writer.transaction()?;
            let done = writer.append(&change, &entries)?;
            writer.commit(change, done)?;
            Ok(first)
        });
        stored.map_err(|error| (error, true))
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Ledger({} records)", self.report.lock().newest)
    }
}
