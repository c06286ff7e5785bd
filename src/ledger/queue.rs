//! What waits to be written: bounded, in order, with a count of what did not fit.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::error::LedgerError;
use super::event::{Entry, Event, Seq, What};

/// Records that may wait without anybody waiting for them: minutes of an agent's reads.
const SOON_MAX: usize = 4096;
/// Records that somebody waits for.
const DURABLE_MAX: usize = 512;

/// A record with whoever waits for it.
pub(super) struct Waiting {
    pub(super) entry: Entry,
    pub(super) told: oneshot::Sender<Result<Seq, LedgerError>>,
}

struct Item {
    entry: Entry,
    told: Option<oneshot::Sender<Result<Seq, LedgerError>>>,
}

/// The queue.
#[derive(Default)]
pub(super) struct Queue {
    items: VecDeque<Item>,
    durable: usize,
    /// When the oldest record came that nobody waits for.
    since: Option<Instant>,
    /// Records that did not fit.
    lost: u64,
    /// Records of a write that failed halfway: whether they were stored shows when the file is
    /// opened anew.
    doubtful: Vec<Entry>,
    /// Records out of the queue whose fate is not told yet.
    in_flight: u64,
    closed: bool,
    given_up: Option<String>,
}

/// What is written in one transaction.
pub(super) struct Batch(Vec<Item>);

impl Queue {
    pub(super) fn push_durable(&mut self, waiting: Waiting) -> Result<(), LedgerError> {
        if let Some(why) = &self.given_up {
            return Err(LedgerError::Closed(why.clone()));
        }
        if self.closed {
            return Err(LedgerError::Closed("the collector is ending".to_owned()));
        }
        if self.durable >= DURABLE_MAX {
            return Err(LedgerError::Busy);
        }
        self.durable += 1;
        self.items.push_back(Item { entry: waiting.entry, told: Some(waiting.told) });
        Ok(())
    }

    /// Takes a record, or counts it as lost. Says whether it is the first to wait.
    pub(super) fn push_soon(&mut self, entry: Entry) -> bool {
        if self.items.len() - self.durable >= SOON_MAX || self.given_up.is_some() {
            self.lost += 1;
            self.wait_on();
            return false;
        }
        self.items.push_back(Item { entry, told: None });
        let is_first = self.since.is_none();
        self.since.get_or_insert_with(Instant::now);
        is_first
    }

    /// Gives how many records were lost and not yet counted in one.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    pub(super) fn has_durable(&self) -> bool {
        self.durable > 0
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Refuses what waits and what comes.
    pub(super) fn give_up(&mut self, why: &str) {
        self.given_up = Some(why.to_owned());
        for item in std::mem::take(&mut self.items) {
            match item.told {
                Some(told) => answer(told, Err(LedgerError::Closed(why.to_owned()))),
                None => self.lost += 1,
            }
        }
        self.durable = 0;
    }

    pub(super) fn due_at(&self, every: Duration) -> Option<Instant> {
        self.since.map(|since| since + every)
    }

    /// Takes everything where something is due: all in one transaction, in order.
    pub(super) fn take_due(&mut self, every: Duration) -> Option<Batch> {
        let is_due = self.durable > 0
            || self.since.is_some_and(|since| self.closed || since.elapsed() >= every);
        if !is_due {
            return None;
        }
        let mut items: Vec<Item> = std::mem::take(&mut self.items).into();
        // What a panic took out of the queue has no other trace.
        self.lost = self.lost.saturating_add(std::mem::take(&mut self.in_flight));
        let unwaited = items.iter().filter(|item| item.told.is_none()).count();
        self.in_flight = u64::try_from(unwaited).unwrap_or(u64::MAX);
        if self.lost > 0 {
            let mut event = Event::new(What::Lost);
            event.count = std::mem::take(&mut self.lost);
            items.push(Item { entry: Entry::now(event, Vec::new()), told: None });
        }
        self.durable = 0;
        self.since = None;
        Some(Batch(items))
    }

    /// Notes that a batch was stored.
    pub(super) fn settle(&mut self) {
        self.in_flight = 0;
    }

    /// Refuses those who wait for a batch that failed, and keeps the rest for the next try;
    /// `attempted` where it may have been stored all the same.
    pub(super) fn fail(&mut self, batch: Batch, error: &LedgerError, attempted: bool) {
        self.in_flight = 0;
        for item in batch.0.into_iter().rev() {
            let is_count = item.entry.event.what == What::Lost;
            match item.told {
                Some(told) => answer(told, Err(error.clone())),
                None if attempted => self.doubtful.push(item.entry),
                None if is_count => self.lost = self.lost.saturating_add(item.entry.event.count),
                None => self.push_back_in_front(item.entry),
            }
        }
        self.wait_on();
    }

    /// Takes back the records in doubt once it is known whether they were stored.
    pub(super) fn settle_doubt(&mut self, was_stored: bool) {
        for entry in std::mem::take(&mut self.doubtful) {
            if !was_stored {
                self.push_back_in_front(entry);
            }
        }
        self.wait_on();
    }

    fn push_back_in_front(&mut self, entry: Entry) {
        if self.items.len() - self.durable < SOON_MAX {
            self.items.push_front(Item { entry, told: None });
        } else {
            self.lost = self.lost.saturating_add(1);
        }
    }

    fn wait_on(&mut self) {
        if self.items.len() > self.durable || self.lost > 0 {
            self.since.get_or_insert_with(Instant::now);
        }
    }
}

impl Batch {
    pub(super) fn entries(&self) -> Vec<&Entry> {
        self.0.iter().map(|item| &item.entry).collect()
    }

    /// Tells those who wait; `first` is the number of the first record.
    pub(super) fn tell(self, first: Seq) {
        for (seq, item) in (first..).zip(self.0) {
            if let Some(told) = item.told {
                answer(told, Ok(seq));
            }
        }
    }
}

fn answer(told: oneshot::Sender<Result<Seq, LedgerError>>, result: Result<Seq, LedgerError>) {
    if told.send(result).is_err() {
        tracing::debug!("nobody waits for an audit record any more");
    }
}
