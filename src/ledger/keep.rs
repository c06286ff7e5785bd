//! The work of the ledger's two threads: one writes records, one sends checkpoints out.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::checkpoint::Checkpoint;
use super::error::LedgerError;
use super::event::{Entry, Event, Seq, What};
use super::file::Writer;
use super::outlet;
use super::queue::Batch;
use super::report::OutletReport;
use super::{CHECKPOINTS, COMMIT_EVERY, Ledger, Pointed};
use crate::clock;
use crate::dbfile;

/// The pause before a failed file is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// So many records, or so long, may lie between two checkpoints.
const POINT_RECORDS: u64 = 256;
const POINT_EVERY: Duration = Duration::from_secs(60);
/// A sealed stretch is this part of what may stand in the file.
const STRETCHES: u64 = 16;
/// What durable records may take beyond the limit: the export that makes room is one of them.
const RESERVE_BYTES: u64 = 1024 * 1024;
/// Checkpoints that wait for an outlet; a newer one vouches for all before it.
const OUTBOX_MAX: usize = 16;

/// Checkpoints on their way out.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: Mutex<Points>,
    wake: Condvar,
}

#[derive(Default)]
struct Points {
    points: VecDeque<Checkpoint>,
    closed: bool,
}

impl Outbox {
    fn push(&self, point: Checkpoint) {
        let mut waiting = self.waiting.lock();
        if waiting.points.len() >= OUTBOX_MAX {
            waiting.points.pop_front();
        }
        waiting.points.push_back(point);
        self.wake.notify_one();
    }

    fn close(&self) {
        self.waiting.lock().closed = true;
        self.wake.notify_one();
    }

    /// Waits for the next one; `None` at the end.
    fn next(&self) -> Option<Checkpoint> {
        let mut waiting = self.waiting.lock();
        loop {
            if let Some(point) = waiting.points.pop_front() {
                return Some(point);
            }
            if waiting.closed {
                return None;
            }
            self.wake.wait(&mut waiting);
        }
    }
}

impl Ledger {
    /// Writes what comes until the ledger is closed: the work of a thread of its own.
    pub fn keep(&self) {
        while let Some(batch) = self.next_batch() {
            if batch.as_ref().is_some_and(|batch| !batch.is_empty()) || self.file.is_failed() {
                let stored = batch.is_none_or(|batch| self.store(batch));
                if !stored && self.queue.lock().is_closed() {
                    // Nobody will try again: what waits is lost with this run.
                    tracing::error!("the newest audit records could not be written");
                    break;
                }
                if !stored {
                    self.rest();
                }
            } else if let Some(batch) = batch {
                batch.tell(0);
            }
            self.point_when_due(false);
        }
        self.point_when_due(true);
        self.outbox.close();
    }

    /// Sends checkpoints out until [`Self::keep`] has ended: the work of another thread, since
    /// an outlet may hang.
    pub fn send_out(&self) {
        while let Some(point) = self.outbox.next() {
            let beside = self.dir.join(CHECKPOINTS);
            if let Err(error) = outlet::keep(&beside, &point) {
                tracing::warn!(%error, "a checkpoint was not written beside the audit");
            }
            let outlets = self.settings.lock().outlets.clone();
            let mut reports = Vec::new();
            for outlet in outlets {
                let name = outlet.name();
                let fault = outlet.send(&point).err().map(|error| error.to_string());
                let before = self.report.lock().outlets.iter().find(|r| r.name == name).cloned();
                let before = before.unwrap_or_default();
                if let Some(fault) = fault.as_ref().filter(|_| fault != before.fault) {
                    tracing::error!("a checkpoint did not leave by {name}: {fault}");
                }
                let sent = if fault.is_none() { point.seq } else { before.sent };
                reports.push(OutletReport { name, sent, fault });
            }
            self.report.lock().outlets = reports;
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
        self.outbox.close();
    }

    /// Waits until something is due, a batch or a checkpoint. `None` at the end.
    fn next_batch(&self) -> Option<Option<Batch>> {
        let mut queue = self.queue.lock();
        loop {
            if let Some(batch) = queue.take_due(COMMIT_EVERY, self.is_at_limit()) {
                return Some(Some(batch));
            }
            if queue.is_closed() {
                return None;
            }
            let point_at = self.point_due_at();
            if point_at.is_some_and(|at| at <= Instant::now()) {
                return Some(None);
            }
            match queue.due_at(COMMIT_EVERY).into_iter().chain(point_at).min() {
                Some(at) => drop(self.wake.wait_until(&mut queue, at)),
                None => self.wake.wait(&mut queue),
            }
        }
    }

    fn is_at_limit(&self) -> bool {
        self.file.view().state.bytes() >= self.settings.lock().max_bytes
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
                self.queue.lock().settle(&batch);
                self.note_stored();
                batch.tell(first);
                true
            }
            Err((error, attempted)) => {
                // The limit is no fault of the file: reports speak of it by its bytes.
                if error.ends_the_session() {
                    let before = self.report.lock().fault.replace(error.clone());
                    if before.as_ref() != Some(&error) {
                        tracing::error!("the audit is not being kept: {error}");
                    }
                }
                self.queue.lock().fail(batch, &error, attempted);
                false
            }
        }
    }

    pub(super) fn note_stored(&self) {
        let state = self.file.view().state;
        let mut report = self.report.lock();
        report.fault = None;
        report.commits += 1;
        report.newest = state.head.seq;
        report.bytes = state.bytes();
        report.last_commit = Some(clock::now());
    }

    /// Opens the file anew where it has failed before, then writes the batch. An error comes
    /// with whether the batch may have been stored all the same.
    fn attempt(&self, batch: &Batch) -> Result<Seq, (LedgerError, bool)> {
        if self.file.is_failed() {
            let outside = self.outside();
            let found = dbfile::guarded(|| self.file.reopen(&outside, clock::now()));
            let found = found.map_err(|error| (error, false))?;
            self.note_opened(&found);
            self.queue.lock().settle_doubt(found.was_stored);
        }
        let entries = batch.entries();
        let limit = self.settings.lock().max_bytes.saturating_add(RESERVE_BYTES);
        let stored = self.file.change(|writer| {
            if writer.state.bytes() >= limit {
                return Err(LedgerError::AtLimit);
            }
            let first = writer.state.head.seq.saturating_add(1);
            let change = writer.transaction()?;
            let state = Writer::append(&change, writer.state, &entries)?;
            Writer::put_open(&change, &batch.open, batch.closed())?;
            writer.commit(change, state)?;
            Ok(first)
        });
        stored.map_err(|error| {
            let in_doubt = error.ends_the_session();
            (error, in_doubt)
        })
    }

    /// Gives when the next checkpoint is due by its time; `None` while there is nothing new.
    fn point_due_at(&self) -> Option<Instant> {
        let pointed = *self.pointed.lock();
        let newest = self.file.view().state.head.seq;
        (newest > pointed.seq && !self.file.is_failed()).then(|| pointed.at + POINT_EVERY)
    }

    /// Signs the head where that is due, or at the end, and seals the stretch where it is full.
    fn point_when_due(&self, at_end: bool) {
        let pointed = *self.pointed.lock();
        let state = self.file.view().state;
        let stretch = self.settings.lock().max_bytes / STRETCHES;
        let is_full = state.unsealed() >= stretch;
        let is_due = state.head.seq >= pointed.seq.saturating_add(POINT_RECORDS)
            || self.point_due_at().is_some_and(|at| at_end || at <= Instant::now());
        if !is_due && !is_full {
            return;
        }
        if let Err(error) = self.point(is_full) {
            tracing::error!("no checkpoint could be made: {error}");
            // Not again at once.
            self.pointed.lock().at = Instant::now();
        }
    }

    /// Signs the head, records the signature and sends it out.
    pub(super) fn point(&self, seals: bool) -> Result<Checkpoint, LedgerError> {
        let now = clock::now();
        let point = self.file.change(|writer| {
            let mut state = writer.state;
            let point = Checkpoint::sign(&self.key, &writer.chain, &state.head, now);
            let told = serde_json::to_value(&point);
            let told = told.map_err(|error| LedgerError::Unfit(error.to_string()))?;
            let what = if seals { What::Sealed } else { What::Checkpoint };
            let mut event = Event::new(what).with("checkpoint", told);
            if seals {
                event = event.with("first", state.sealed.saturating_add(1));
            }
            let entry = Entry::now(event, Vec::new());
            let change = writer.transaction()?;
            if seals {
                (state.sealed, state.sealed_written) = (state.head.seq, state.written);
            }
            let state = Writer::append(&change, state, &[&entry])?;
            writer.commit(change, state)?;
            Ok(point)
        })?;
        self.note_stored();
        *self.pointed.lock() = Pointed { seq: self.file.view().state.head.seq, at: Instant::now() };
        self.outbox.push(point.clone());
        Ok(point)
    }
}
