//! Slots: what the cache knows of each tag, found by its number without a lock on the table.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use super::group::{Group, Way};
use super::past::Past;
use super::protocol::count;
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

/// The word of a tag whose samples are not all in one ring: its slot tells more. The word of a
/// run whose tags are not side by side: their own words tell more.
const ELSEWHERE: u64 = u64::MAX;

/// Ids in a run. Tags are mostly numbered in the order they are scanned in, so that the word of
/// a run places them all; a hundred thousand tags then need 13 kB of the nearest cache.
const RUN: usize = 64;

/// What is read without a lock lies apart from the locks: a read of the newest sample misses
/// the machine's caches once, for the sample itself.
struct Leaf {
    runs: Box<[AtomicU64]>,
    spots: Box<[AtomicU64]>,
    slots: Box<[RwLock<Entry>]>,
    /// Held while spots and their run are brought in line.
    placing: Mutex<()>,
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
        let run = leaf.runs.get(at / RUN)?.load(Ordering::Acquire);
        let spot = if run == ELSEWHERE {
            leaf.spots.get(at)?.load(Ordering::Acquire)
        } else {
            run + count(at % RUN)
        };
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
            runs: (0..LEAVES / RUN).map(|_| AtomicU64::new(ELSEWHERE)).collect(),
            spots: (0..LEAVES).map(|_| AtomicU64::new(ELSEWHERE)).collect(),
            slots: (0..LEAVES).map(|_| RwLock::default()).collect(),
            placing: Mutex::new(()),
        });
        let mut entry = leaf.slots.get(at)?.write();
        let result = change(&mut entry);
        leaf.place(at, entry.spot());
        Some(result)
    }
}

impl Leaf {
    /// Notes where a tag is, and whether its run is still one.
    fn place(&self, at: usize, spot: u64) {
        let _placing = self.placing.lock();
        let first = at / RUN * RUN;
        let (Some(own), Some(run), Some(spots)) =
            (self.spots.get(at), self.runs.get(at / RUN), self.spots.get(first..first + RUN))
        else {
            return;
        };
        own.store(spot, Ordering::Release);
        let start = spots.first().map_or(ELSEWHERE, |spot| spot.load(Ordering::Relaxed));
        let is_run = start != ELSEWHERE
            && spots
                .iter()
                .zip(start..)
                .all(|(spot, expected)| spot.load(Ordering::Relaxed) == expected);
        run.store(if is_run { start } else { ELSEWHERE }, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cache::{CacheLimits, TagCache};
    use crate::model::{Quality, Sample, Timestamp, Value, Window};

    const IDS: u32 = 300;

    /// Where each tag is by its own word, run or not.
    fn assert_in_line(cache: &TagCache) {
        for id in (0..IDS + 100).map(TagId) {
            let by_entry = cache.slots.read(id).map_or(ELSEWHERE, |entry| entry.spot());
            let by_word = cache
                .slots
                .spot(id)
                .map_or(ELSEWHERE, |spot| u64::from(spot.group) << 32 | count(spot.column));
            assert_eq!(by_word, by_entry, "tag {}", id.0);
        }
    }

    fn runs(cache: &TagCache) -> usize {
        let (leaf, _) = cache.slots.leaf(TagId(0)).unwrap();
        leaf.runs.iter().filter(|run| run.load(Ordering::Relaxed) != ELSEWHERE).count()
    }

    #[test]
    fn tags_side_by_side_are_placed_by_their_run_until_one_moves_or_gets_a_past() {
        let cache = TagCache::new(CacheLimits::default());
        let ids: Vec<TagId> = (0..IDS).map(TagId).collect();
        let writer = cache.scan_group(&ids);
        assert_eq!(runs(&cache), 4);
        assert_in_line(&cache);
        let moved = cache.stream_group(&ids[70..72]);
        assert_eq!(runs(&cache), 3);
        assert_in_line(&cache);
        let mut window = Window::default();
        window.push(Sample {
            value: Value::I64(1),
            quality: Quality::GOOD,
            source_ts: None,
            received_ts: Timestamp::default(),
        });
        cache.restore(TagId(0), &window);
        assert_eq!(runs(&cache), 2);
        cache.retire(TagId(255));
        assert_eq!(runs(&cache), 1);
        assert_in_line(&cache);
        drop((writer, moved));
        let turned: Vec<TagId> = ids.iter().rev().copied().collect();
        let _writer = cache.scan_group(&turned);
        assert_eq!(runs(&cache), 0);
        assert_in_line(&cache);
    }

    #[test]
    fn tags_that_are_placed_at_once_from_two_sides_are_in_line_afterwards() {
        let cache = TagCache::new(CacheLimits::default());
        let place = |odd: u32, cache: &Arc<TagCache>| {
            for round in 0..200 {
                let ids: Vec<TagId> =
                    (0..IDS).filter(|id| id % 2 == odd || round % 3 == 0).map(TagId).collect();
                drop(cache.scan_group(&ids));
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| place(0, &cache));
            scope.spawn(|| place(1, &cache));
            for round in 0..2000 {
                cache.define(TagId(round % IDS), Arc::new(Tag::new("x", "plc", "1")));
            }
        });
        assert_in_line(&cache);
    }
}
