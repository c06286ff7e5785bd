//! What waits to be written: bounded, in order, with a count of what did not fit.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::error::LedgerError;
use super::event::{Entry, Event, Seq, What};
use super::repeat::{RepeatKey, Repeats};

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
    /// The open record that this one ends.
    closes: Option<u64>,
}

impl Item {
    const fn unwaited(entry: Entry, closes: Option<u64>) -> Self {
        Self { entry, told: None, closes }
    }
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
    doubtful: Vec<Item>,
    /// Records that still count repeats.
    repeats: Repeats,
    /// When the oldest count came that is not on the disk.
    counted_since: Option<Instant>,
    /// Those who wait until what is here now is on the disk.
    flushes: Vec<oneshot::Sender<()>>,
    /// Records out of the queue whose fate is not told yet.
    in_flight: u64,
    closed: bool,
    given_up: Option<String>,
}

/// Whether a repeat was counted, and is the first since the counts were written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    pub(super) counted: bool,
    pub(super) is_first: bool,
}

/// What is written in one transaction.
pub(super) struct Batch {
    items: Vec<Item>,
    /// Records that still count, as they stand.
    pub(super) open: Vec<(u64, Entry)>,
    /// Those who wait for everything before.
    flushes: Vec<oneshot::Sender<()>>,
}

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
        self.items.push_back(Item { entry: waiting.entry, told: Some(waiting.told), closes: None });
        Ok(())
    }

    /// Takes a record, or counts it as lost. Says whether it is the first to wait.
    pub(super) fn push_soon(&mut self, entry: Entry) -> bool {
        self.push_unwaited(Item::unwaited(entry, None))
    }

    /// Counts one more of an open record, where there is one.
    pub(super) fn again(&mut self, key: RepeatKey, device_requests: u64) -> Counted {
        let counted = self.repeats.again(key, device_requests);
        let is_first = counted && self.counted_since.is_none();
        if counted {
            self.counted_since.get_or_insert_with(Instant::now);
        }
        Counted { counted, is_first }
    }

    /// Opens a record that counts.
    pub(super) fn open(&mut self, key: RepeatKey, entry: Entry) {
        if let Some((before, closes)) = self.repeats.open(key, entry) {
            self.push_unwaited(Item::unwaited(before, closes));
        }
        self.counted_since.get_or_insert_with(Instant::now);
    }

    /// Takes over the open records of a run before, which ends them.
    pub(super) fn inherit(&mut self, open: Vec<(u64, Entry)>) {
        for (id, entry) in open {
            self.repeats.count_on_from(id.saturating_add(1));
            self.push_unwaited(Item::unwaited(entry, Some(id)));
        }
    }

    fn push_unwaited(&mut self, item: Item) -> bool {
        if self.items.len() - self.durable >= SOON_MAX || self.given_up.is_some() {
            self.lost += 1;
            self.wait_on();
            return false;
        }
        self.items.push_back(item);
        let is_first = self.since.is_none();
        self.since.get_or_insert_with(Instant::now);
        is_first
    }

    /// Asks for what is here to be written now; `None` where nobody writes.
    pub(super) fn flush(&mut self) -> Option<oneshot::Receiver<()>> {
        if self.closed || self.given_up.is_some() || self.flushes.len() >= DURABLE_MAX {
            return None;
        }
        let (told, hears) = oneshot::channel();
        self.flushes.push(told);
        Some(hears)
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
        flushed(std::mem::take(&mut self.flushes));
        for item in std::mem::take(&mut self.items) {
            match item.told {
                Some(told) => answer(told, Err(LedgerError::Closed(why.to_owned()))),
                None => self.lost += 1,
            }
        }
        self.durable = 0;
    }

    /// Gives when something will be due that nobody waits for.
    pub(super) fn due_at(&self, every: Duration) -> Option<Instant> {
        let soon = self.since.into_iter().chain(self.counted_since).min();
        soon.map(|since| since + every).into_iter().chain(self.repeats.first_over()).min()
    }

    /// Takes everything where something is due: all in one transaction, in order. At the limit
    /// of the file, only what somebody waits for; the rest is counted as lost.
    pub(super) fn take_due(&mut self, every: Duration, is_at_limit: bool) -> Option<Batch> {
        let is_due = self.durable > 0
            || !self.flushes.is_empty()
            || self.due_at(every).is_some_and(|at| self.closed || at <= Instant::now());
        if !is_due {
            return None;
        }
        for (entry, id) in self.repeats.take_over(self.closed) {
            self.items.push_back(Item::unwaited(entry, Some(id)));
        }
        let mut items: Vec<Item> = std::mem::take(&mut self.items).into();
        if is_at_limit {
            let before = items.len();
            items.retain(|item| item.told.is_some() || item.closes.is_some());
            let dropped = u64::try_from(before - items.len()).unwrap_or(u64::MAX);
            self.lost = self.lost.saturating_add(dropped);
        }
        // What a panic took out of the queue has no other trace.
        self.lost = self.lost.saturating_add(std::mem::take(&mut self.in_flight));
        let unwaited = items.iter().filter(|item| item.told.is_none()).count();
        self.in_flight = u64::try_from(unwaited).unwrap_or(u64::MAX);
        if self.lost > 0 && !is_at_limit {
            let mut event = Event::new(What::Lost);
            event.count = std::mem::take(&mut self.lost);
            items.push(Item::unwaited(Entry::now(event, Vec::new()), None));
        }
        self.durable = 0;
        self.since = None;
        self.counted_since = None;
        let open = self.repeats.changed();
        Some(Batch { items, open, flushes: std::mem::take(&mut self.flushes) })
    }

    /// Notes that a batch was stored.
    pub(super) fn settle(&mut self, batch: &Batch) {
        self.in_flight = 0;
        self.repeats.note_stored(&batch.open);
    }

    /// Refuses those who wait for a batch that failed, and keeps the rest for the next try;
    /// `attempted` where it may have been stored all the same.
    pub(super) fn fail(&mut self, batch: Batch, error: &LedgerError, attempted: bool) {
        self.in_flight = 0;
        flushed(batch.flushes);
        for mut item in batch.items.into_iter().rev() {
            let is_count = item.entry.event.what == What::Lost;
            match item.told.take() {
                Some(told) => answer(told, Err(error.clone())),
                None if attempted => self.doubtful.push(item),
                None if is_count => self.lost = self.lost.saturating_add(item.entry.event.count),
                None => self.push_back_in_front(item),
            }
        }
        if !batch.open.is_empty() {
            self.counted_since.get_or_insert_with(Instant::now);
        }
        self.wait_on();
    }

    /// Takes back the records in doubt once it is known whether they were stored.
    pub(super) fn settle_doubt(&mut self, was_stored: bool) {
        for item in std::mem::take(&mut self.doubtful) {
            if !was_stored {
                self.push_back_in_front(item);
            }
        }
        self.wait_on();
    }

    fn push_back_in_front(&mut self, item: Item) {
        if self.items.len() - self.durable < SOON_MAX {
            self.items.push_front(item);
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
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.open.is_empty()
    }

    pub(super) fn entries(&self) -> Vec<&Entry> {
        self.items.iter().map(|item| &item.entry).collect()
    }

    /// Gives the open records that end with this batch.
    pub(super) fn closed(&self) -> impl Iterator<Item = u64> {
        self.items.iter().filter_map(|item| item.closes)
    }

    /// Tells those who wait; `first` is the number of the first record.
    pub(super) fn tell(self, first: Seq) {
        flushed(self.flushes);
        for (seq, item) in (first..).zip(self.items) {
            if let Some(told) = item.told {
                answer(told, Ok(seq));
            }
        }
    }
}

fn flushed(waiting: Vec<oneshot::Sender<()>>) {
    for told in waiting {
        if told.send(()).is_err() {
            tracing::debug!("nobody waits for the ledger to be flushed any more");
        }
    }
}

fn answer(told: oneshot::Sender<Result<Seq, LedgerError>>, result: Result<Seq, LedgerError>) {
    if told.send(result).is_err() {
        tracing::debug!("nobody waits for an audit record any more");
    }
}
