//! How much memory the cache holds, and what each kind of holder may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What memory is held for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Rings, as large as they will be once they are full.
    Rings,
    /// History from before a replan or a restart.
    Pasts,
    /// Values of more than eight bytes.
    Cells,
}

/// Bytes held and their limit, which is shared out so that none of them starves another: half
/// for rings, three eighths for the past, an eighth for cells.
#[derive(Debug)]
pub(super) struct Bytes {
    max: u64,
    held: [AtomicU64; 3],
}

/// Bytes that are given back when this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    bytes: Arc<Bytes>,
    purpose: Purpose,
    amount: u64,
}

impl Bytes {
    pub(super) fn new(max: u64) -> Self {
        Self { max, held: [const { AtomicU64::new(0) }; 3] }
    }

    fn counter(&self, purpose: Purpose) -> &AtomicU64 {
        let [rings, pasts, cells] = &self.held;
        match purpose {
            Purpose::Rings => rings,
            Purpose::Pasts => pasts,
            Purpose::Cells => cells,
        }
    }

    pub(super) fn held(&self, purpose: Purpose) -> u64 {
        self.counter(purpose).load(Ordering::Relaxed)
    }

    /// Gives what may still be taken for a purpose.
    pub(super) fn room(&self, purpose: Purpose) -> u64 {
        let eighths = match purpose {
            Purpose::Rings => 4,
            Purpose::Pasts => 3,
            Purpose::Cells => 1,
        };
        (self.max / 8 * eighths).saturating_sub(self.held(purpose))
    }

    pub(super) fn take(&self, purpose: Purpose, amount: u64) {
        self.counter(purpose).fetch_add(amount, Ordering::Relaxed);
    }

    pub(super) fn give_back(&self, purpose: Purpose, amount: u64) {
        self.counter(purpose).fetch_sub(amount, Ordering::Relaxed);
    }

    pub(super) fn hold(self: &Arc<Self>, purpose: Purpose, amount: u64) -> Held {
        self.take(purpose, amount);
        Held { bytes: Arc::clone(self), purpose, amount }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.bytes.give_back(self.purpose, self.amount);
    }
}
