//! One writer, many readers, no lock: the order in which a ring's words are stored and loaded.
//!
//! The head counts the rows ever published. A writer publishes row `n` by storing `n + 1`, and
//! overwrites the slot of row `n + 1 - slots` next. So a reader that loads a head, copies, and
//! loads the head again knows which of its copies may have been overwritten meanwhile.
//!
//! The rings are generic over [`Memory`], so that the very same code runs on loom's atomics.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// How often a reader starts again when the writer laps it; then it takes what is still valid.
pub(super) const ATTEMPTS: usize = 4;

/// One atomic word of a ring.
pub(super) trait Word: Send + Sync {
    fn new(value: u64) -> Self;
    fn load(&self, order: Ordering) -> u64;
    fn store(&self, value: u64, order: Ordering);
}

/// The atomics and fences a ring is built on.
pub(super) trait Memory: Send + Sync + 'static {
    type Word: Word;

    /// The order of the store that publishes a row.
    const PUBLISH: Ordering = Ordering::Release;

    /// Stands between the head of the row before and the first store of a row: who sees any of
    /// these stores and then passes [`Memory::after_loads`] sees that head too.
    fn before_stores();

    /// Stands between the last load of a row and the second look at the head.
    fn after_loads();
}

/// The machine's own atomics.
pub(super) enum Native {}

impl Word for AtomicU64 {
    fn new(value: u64) -> Self {
        Self::new(value)
    }

    fn load(&self, order: Ordering) -> u64 {
        self.load(order)
    }

    fn store(&self, value: u64, order: Ordering) {
        self.store(value, order);
    }
}

impl Memory for Native {
    type Word = AtomicU64;

    fn before_stores() {
        fence(Ordering::Release);
    }

    fn after_loads() {
        fence(Ordering::Acquire);
    }
}

/// How many rows a ring has published, and which of them can still be read.
pub(super) struct Head<M: Memory> {
    next: M::Word,
    slots: u64,
}

impl<M: Memory> Head<M> {
    /// Makes the head of an empty ring of `slots` slots.
    pub(super) fn new(slots: u64) -> Self {
        Self { next: M::Word::new(0), slots }
    }

    /// Gives the number of slots.
    pub(super) fn slots(&self) -> u64 {
        self.slots
    }

    /// Gives the row the writer will append next. For the writer alone.
    pub(super) fn next_row(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Opens the next row for the relaxed stores that follow. For the writer alone.
    pub(super) fn begin(&self) -> u64 {
        let row = self.next_row();
        M::before_stores();
        row
    }

    /// Makes `row` readable. For the writer alone.
    pub(super) fn publish(&self, row: u64) {
        self.next.store(row + 1, M::PUBLISH);
    }

    /// Gives the rows that can be read now.
    pub(super) fn readable(&self) -> Range<u64> {
        let next = self.next.load(Ordering::Acquire);
        self.oldest(next)..next
    }

    /// Gives the newest row.
    pub(super) fn newest(&self) -> Option<u64> {
        self.next.load(Ordering::Acquire).checked_sub(1)
    }

    /// Gives the oldest row whose copy, made before this call, is whole.
    pub(super) fn valid_from(&self) -> u64 {
        M::after_loads();
        self.oldest(self.next.load(Ordering::Relaxed))
    }

    /// The slot of row `next` may be under the writer's pen, so the row it held is gone.
    fn oldest(&self, next: u64) -> u64 {
        (next + 1).saturating_sub(self.slots)
    }
}

/// Turns a count that is known to fit into an index.
pub(super) fn index(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Turns an index into a count.
pub(super) fn count(index: usize) -> u64 {
    u64::try_from(index).unwrap_or(u64::MAX)
}
