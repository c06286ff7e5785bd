//! F2: the tag cache, a place where pollers write and everyone else pulls.
//!
//! Tags that are scanned together share a ring of rows ([`ScanWriter`]); a tag that streams has
//! a ring of its own ([`StreamWriter`]). Each ring has one writer, which never waits, and any
//! number of readers, which copy and never hold anything. What a ring overwrites before a
//! reader comes is counted, never passed over in silence.
//!
//! Beside the rings: the newest raw blocks, the answers to demands and the conditions of each
//! endpoint.

mod bytes;
mod cells;
mod codes;
mod cursor;
mod endpoint;
mod gather;
mod group;
mod groups;
mod history;
mod lines;
#[cfg(test)]
mod model_check;
mod numbers;
mod pages;
mod past;
mod positions;
#[cfg(test)]
mod properties;
mod protocol;
mod raw;
mod read;
mod slots;
mod stream;
mod tags;
#[cfg(test)]
mod threads;
mod write;

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use dashmap::DashMap;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

pub use cursor::Since;
pub use endpoint::{FoundBlock, FoundReply};
pub use numbers::Numbers;
pub use pages::TakenUpTo;
pub use positions::{POSITION_GROUPS_MAX, POSITIONS_BYTES_MAX, Positions, PositionsError};
pub use read::Latest;
pub use write::{LastValue, ScanWriter, StreamWriter};

use bytes::{Bytes, Purpose};
use codes::Codes;
use endpoint::Shelf;
use groups::Groups;
use slots::Slots;

use crate::model::{EndpointName, TagId, TagName};

/// How much the cache may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// Rows of a scan group: eight minutes and a half at one a second.
    pub rows_per_group: usize,
    /// Samples of a streamed tag.
    pub samples_per_stream: usize,
    /// Bytes of samples; rings get shorter for new groups when they would pass it.
    pub bytes_max: u64,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self { rows_per_group: 512, samples_per_stream: 512, bytes_max: 512 << 20 }
    }
}

/// The newest samples of every tag, and what else was read of each endpoint.
///
/// Shared as `Arc<TagCache>`. No lock outlives a call.
pub struct TagCache {
    limits: CacheLimits,
    /// Tells cursors of this run from those of another.
    run: u64,
    names: DashMap<TagName, TagId>,
    /// The definitions sorted by name, until the next change.
    sorted: Mutex<Option<tags::Sorted>>,
    slots: Slots,
    /// Tags that have a past and no group.
    unplaced: Mutex<BTreeSet<TagId>>,
    /// The times of the tag restored last: tags that were scanned together share them.
    alike: Mutex<Arc<[i64]>>,
    groups: RwLock<Groups>,
    /// Counts the changes of the groups' directory, from the run on: no other cache has these
    /// numbers.
    epoch: AtomicU64,
    codes: Codes,
    bytes: Arc<Bytes>,
    changed: Notify,
    shelves: DashMap<EndpointName, Arc<Shelf>>,
}

impl TagCache {
    /// Makes an empty cache.
    #[must_use]
    pub fn new(limits: CacheLimits) -> Arc<Self> {
        // The hasher's keys are random for each.
        let run = RandomState::new().hash_one(0_u8);
        Arc::new(Self {
            limits,
            run,
            names: DashMap::new(),
            sorted: Mutex::default(),
            slots: Slots::new(),
            unplaced: Mutex::default(),
            alike: Mutex::new(Arc::from([])),
            groups: RwLock::default(),
            epoch: AtomicU64::new(run),
            codes: Codes::new(),
            bytes: Arc::new(Bytes::new(limits.bytes_max)),
            changed: Notify::new(),
            shelves: DashMap::new(),
        })
    }

    /// Gives what is notified at each append, for long polls: take `notified()`, then read,
    /// then await it.
    #[must_use]
    pub fn changed(&self) -> &Notify {
        &self.changed
    }

    /// Gives the bytes that samples take now.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let rings: u64 = self.groups.read().all().map(|group| group.bytes()).sum();
        rings + self.bytes.held(Purpose::Pasts) + self.bytes.held(Purpose::Cells)
    }
}

impl std::fmt::Debug for TagCache {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("TagCache").field("limits", &self.limits).finish_non_exhaustive()
    }
}
