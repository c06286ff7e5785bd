//! Slots: what the cache knows of each tag, found by its number without a lock on the table.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{RwLock, RwLockReadGuard};

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

/// Where a tag's samples are, in one word that is read without a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) group: u32,
    pub(super) column: usize,
}

/// The word of a tag whose samples are not all in one ring: its slot tells more.
const ELSEWHERE: u64 = u64::MAX;

/// Eight bytes a tag lie together: a lock beside them would cost a read its second cache miss.
struct Leaf {
    spots: Box<[AtomicU64]>,
    slots: Box<[RwLock<Entry>]>,
}

type Middle = Box<[OnceLock<Leaf>]>;

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

    fn spot(&self) -> u64 {
        match &self.place {
            Some(Place { group, column }) if self.past.is_none() => {
                let column = u32::try_from(*column).unwrap_or(u32::MAX);
                u64::from(group.id) << 32 | u64::from(column)
            }
            _ => ELSEWHERE,
        }
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

    fn leaf(&self, id: TagId) -> Option<(&Leaf, usize)> {
        let (top, middle, leaf) = path(id);
        Some((self.tops.get(top)?.get()?.get(middle)?.get()?, leaf))
    }

    /// Tells which ring has all of a tag's samples, if one has.
    pub(super) fn spot(&self, id: TagId) -> Option<Spot> {
        let (leaf, at) = self.leaf(id)?;
        let spot = leaf.spots.get(at)?.load(Ordering::Acquire);
        if spot == ELSEWHERE {
            return None;
        }
        let [a, b, c, d, e, f, g, h] = spot.to_be_bytes();
        let column = usize::try_from(u32::from_be_bytes([e, f, g, h])).ok()?;
        Some(Spot { group: u32::from_be_bytes([a, b, c, d]), column })
    }

    /// Reads what is known of a tag, where it or one near it was ever heard of. The guard is
    /// for the moment of one copy, never for a caller of the cache.
    pub(super) fn read(&self, id: TagId) -> Option<RwLockReadGuard<'_, Entry>> {
        let (leaf, at) = self.leaf(id)?;
        leaf.slots.get(at).map(RwLock::read)
    }

    /// Changes what is known of a tag.
    pub(super) fn change<T>(&self, id: TagId, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let (top, middle, at) = path(id);
        let middles =
            self.tops.get(top)?.get_or_init(|| (0..MIDDLES).map(|_| OnceLock::new()).collect());
        let leaf = middles.get(middle)?.get_or_init(|| Leaf {
            spots: (0..LEAVES).map(|_| AtomicU64::new(ELSEWHERE)).collect(),
            slots: (0..LEAVES).map(|_| RwLock::default()).collect(),
        });
        let mut entry = leaf.slots.get(at)?.write();
        let result = change(&mut entry);
        leaf.spots.get(at)?.store(entry.spot(), Ordering::Release);
        Some(result)
    }
}
