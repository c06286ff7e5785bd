//! Slots: what the cache knows of each tag, found by its number without a lock on the table.

use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;

use super::group::{Group, Way};
use super::past::Past;
use crate::model::{Tag, TagId};

/// The tops of a table of three storeys that covers all 2^32 ids; ids are dense, so that few of
/// its parts are ever made.
const TOPS: usize = 1 << 10;
/// Parts of a top.
const MIDDLES: usize = 1 << 11;
/// Slots of a part.
const LEAVES: usize = 1 << 11;

/// A tag's rings are left behind at each replan; a cursor older than this many loses its place.
const LEFT_MAX: usize = 4;

/// Where a tag's samples are.
pub(super) struct Place {
    pub(super) group: Arc<Group>,
    pub(super) column: usize,
}

/// A group that a tag was in before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left {
    pub(super) group: u32,
    pub(super) column: usize,
    pub(super) way: Way,
}

/// What is known of one tag.
#[derive(Default)]
pub(super) struct Entry {
    pub(super) tag: Option<Arc<Tag>>,
    pub(super) place: Option<Place>,
    pub(super) past: Option<Arc<Past>>,
    /// Oldest first.
    left: Vec<Left>,
}

/// Held for the moment of one copy, never by a caller of the cache.
pub(super) type Slot = RwLock<Entry>;
type Middle = Box<[OnceLock<Box<[Slot]>>]>;

/// The table.
pub(super) struct Slots {
    tops: Box<[OnceLock<Middle>]>,
}

impl Entry {
    pub(super) fn leave(&mut self, left: Left) {
        if self.left.len() == LEFT_MAX {
            self.left.remove(0);
        }
        self.left.push(left);
    }

    /// Tells whether it may have been in more groups than it remembers.
    pub(super) fn has_forgotten_groups(&self) -> bool {
        self.left.len() == LEFT_MAX
    }

    /// Walks the groups it was in, the newest first.
    pub(super) fn left(&self) -> impl Iterator<Item = Left> + '_ {
        self.left.iter().rev().copied()
    }
}

fn path(id: TagId) -> (usize, usize, usize) {
    let id = usize::try_from(id.0).unwrap_or(usize::MAX);
    (id / LEAVES / MIDDLES % TOPS, id / LEAVES % MIDDLES, id % LEAVES)
}

impl Slots {
    pub(super) fn new() -> Self {
        Self { tops: (0..TOPS).map(|_| OnceLock::new()).collect() }
    }

    /// Gives a tag's slot where the tag was ever heard of, or one near it.
    pub(super) fn get(&self, id: TagId) -> Option<&Slot> {
        let (top, middle, leaf) = path(id);
        self.tops.get(top)?.get()?.get(middle)?.get()?.get(leaf)
    }

    /// Gives a tag's slot, made where need be.
    pub(super) fn make(&self, id: TagId) -> Option<&Slot> {
        let (top, middle, leaf) = path(id);
        let middles =
            self.tops.get(top)?.get_or_init(|| (0..MIDDLES).map(|_| OnceLock::new()).collect());
        let leaves =
            middles.get(middle)?.get_or_init(|| (0..LEAVES).map(|_| Slot::default()).collect());
        leaves.get(leaf)
    }
}
