//! Making groups, and moving tags between them without losing their history.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::TagCache;
use super::bytes::Purpose;
use super::group::{Form, Group, rows_that_fit};
use super::lines::Clocks;
use super::past::{Columns, Origin};
use super::protocol::{count, index};
use super::slots::{Entry, Left, Place};
use super::write::{ScanWriter, StreamWriter};
use crate::model::TagId;

/// Groups that every tag has left wait for the store to take their last rows; more than this
/// many replans between two commits are a fault, and what they drop is counted.
const RETIRED_MAX: usize = 64;

/// What one sample of a past takes at most, besides its cell.
const PAST_SAMPLE_BYTES: u64 = 25;

/// Every group there is.
#[derive(Default)]
pub(super) struct Groups {
    live: Vec<Arc<Group>>,
    retired: VecDeque<Arc<Group>>,
    next_id: u32,
    /// Somebody takes pages, so what is retired is worth keeping.
    pub(super) taken: bool,
    /// Groups dropped before their last samples were taken, with all they ever got.
    dropped: Vec<(u32, u64)>,
    /// What is live, for the readers' own copies.
    directory: Directory,
}

/// The live groups by id.
pub(super) type Directory = Arc<[(u32, Arc<Group>)]>;

/// A thread's own copy of the directory: a read needs no count of readers, and so no store, and
/// its cache misses overlap with those of the next.
///
/// A thread that never reads again keeps the groups of that moment until it ends.
struct Near {
    epoch: u64,
    directory: Directory,
}

thread_local! {
    static NEAR: RefCell<Option<Near>> = const { RefCell::new(None) };
}

impl Groups {
    pub(super) fn live(&self) -> &[Arc<Group>] {
        &self.live
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.live.iter().chain(&self.retired)
    }

    pub(super) fn next_id(&self) -> u32 {
        self.next_id
    }

    /// Hands out the groups that were left, for their last rows, and those that were dropped.
    pub(super) fn take_retired(&mut self) -> (VecDeque<Arc<Group>>, Vec<(u32, u64)>) {
        (std::mem::take(&mut self.retired), std::mem::take(&mut self.dropped))
    }

    /// Takes a group that all its tags have left off the list.
    pub(super) fn retire_if_left(&mut self, group: &Arc<Group>) {
        if !group.is_left_by_all() {
            return;
        }
        self.live.retain(|live| live.id != group.id);
        group.give_up_room();
        if self.taken {
            self.retired.push_back(Arc::clone(group));
        }
        while self.retired.len() > RETIRED_MAX {
            let oldest = self.retired.pop_front();
            self.dropped.extend(oldest.map(|group| (group.id, group.samples_ever())));
        }
    }
}

impl TagCache {
    /// Makes the writer of tags that are scanned together, in the order of their readings.
    ///
    /// A tag moves here from the group it was in, and its history stays readable. The same tags
    /// in the same order get their group back once its writer is dropped.
    #[must_use]
    pub fn scan_group(self: &Arc<Self>, tags: &[TagId]) -> ScanWriter {
        ScanWriter::new(Arc::clone(self), self.group(Form::Rows(Clocks::Ours), tags))
    }

    /// Makes the writer of tags that stream, one by one.
    ///
    /// A tag moves here as it does to a scan group.
    #[must_use]
    pub fn stream_group(self: &Arc<Self>, tags: &[TagId]) -> StreamWriter {
        StreamWriter::new(Arc::clone(self), self.group(Form::Singles, tags))
    }

    pub(super) fn group(&self, form: Form, tags: &[TagId]) -> Arc<Group> {
        let mut groups = self.groups.write();
        if let Some(group) = groups.live.iter().find(|group| group.claim(form, tags)) {
            return Arc::clone(group);
        }
        let floor = self.clear_out(&mut groups, tags);
        let wanted = match form {
            Form::Rows(_) => self.limits.rows_per_group,
            Form::Singles => self.limits.samples_per_stream,
        };
        let rows = rows_that_fit(form, tags.len(), wanted, self.bytes.room(Purpose::Rings));
        let group = Arc::new(Group::new(groups.next_id, form, tags, rows, floor, &self.bytes));
        groups.next_id += 1;
        groups.live.push(Arc::clone(&group));
        // A reader that finds a tag's new place must find the group too.
        self.publish(&mut groups);
        for (column, id) in tags.iter().enumerate() {
            let place = Place { group: Arc::clone(&group), column };
            let before = self.slots.change(*id, |entry| entry.place.replace(place));
            // Named twice in one group: the last column counts.
            if let Some(twice) = before.flatten() {
                twice.group.leave(twice.column);
            }
            self.unplaced.lock().remove(id);
        }
        group
    }

    /// Makes readers take a new copy of the directory.
    pub(super) fn publish(&self, groups: &mut Groups) {
        groups.directory = groups.live.iter().map(|group| (group.id, Arc::clone(group))).collect();
        self.epoch.fetch_add(1, Ordering::Release);
    }

    #[cold]
    #[inline(never)]
    fn near(&self, epoch: u64) -> Near {
        Near { epoch, directory: Arc::clone(&self.groups.read().directory) }
    }

    /// Reads from a live group.
    pub(super) fn in_group<T>(&self, id: u32, read: impl FnOnce(&Group) -> T) -> Option<T> {
        // While a thread ends its copy is gone: the slots know the way too.
        let result = NEAR.try_with(|near| {
            let mut near = near.try_borrow_mut().ok()?;
            let epoch = self.epoch.load(Ordering::Acquire);
            let near = match near.as_mut() {
                Some(near) if near.epoch == epoch => near,
                _ => near.insert(self.near(epoch)),
            };
            let at = near.directory.binary_search_by_key(&id, |(id, _)| *id).ok()?;
            near.directory.get(at).map(|(_, group)| read(group))
        });
        result.ok().flatten()
    }

    /// Takes tags out of the groups they are in, and gives the time of their newest sample.
    ///
    /// A group that loses a tag and has no writer loses the others too: nothing will be
    /// appended to it again, and its memory is wanted.
    fn clear_out(&self, groups: &mut Groups, tags: &[TagId]) -> i64 {
        let mut floor = i64::MIN;
        let mut alike = Arc::from([]);
        let mut losing: Vec<Arc<Group>> = Vec::new();
        for (nth, id) in tags.iter().enumerate() {
            let sharers = tags.len() - nth;
            self.slots.change(*id, |entry| {
                if let Some(old) = self.detach(entry, sharers, &mut alike)
                    && !losing.iter().any(|known| known.id == old.id)
                {
                    losing.push(old);
                }
                let last = entry.past.as_ref().and_then(|past| past.last_live());
                floor = floor.max(last.unwrap_or(i64::MIN));
            });
        }
        for old in losing {
            if !old.is_written() {
                let left = old.tags.len();
                for (column, id) in old.tags.iter().enumerate().filter(|(c, _)| old.has(*c)) {
                    let sharers = left - column;
                    self.slots.change(*id, |entry| self.detach(entry, sharers, &mut alike));
                    self.unplaced.lock().insert(*id);
                }
            }
            groups.retire_if_left(&old);
        }
        floor
    }

    /// Turns what a tag has in its ring into its past, with the past it had before.
    fn detach(
        &self,
        entry: &mut Entry,
        sharers: usize,
        alike: &mut Arc<[i64]>,
    ) -> Option<Arc<Group>> {
        let Place { group, column } = entry.place.take()?;
        group.leave(column);
        entry.leave(Left { group: group.id, column, way: group.way() });
        if group.readable(column).is_empty() {
            return Some(group);
        }
        let mut columns = Columns::default();
        let mut older_live = false;
        if let Some(past) = &entry.past {
            columns.push_past(past);
            columns.keep_before(group.start_time(column));
            older_live = past.last_live().is_some();
        }
        let first = group.carry(column, &mut columns);
        let origin = Origin {
            seen_uptime_ms: group.seen_uptime_ms(column),
            // The rows of two rings are not numbered alike.
            live_row: if older_live { 0 } else { first },
            samples_max: self.past_samples_max(sharers),
        };
        entry.past = columns.seal(&origin, alike, &self.bytes).map(Arc::new);
        Some(group)
    }

    /// Gives how long a past may be where `sharers` tags want one; its newest sample always
    /// fits.
    pub(super) fn past_samples_max(&self, sharers: usize) -> usize {
        let each = self.bytes.room(Purpose::Pasts) / count(sharers.max(1));
        let longest = self.limits.rows_per_group.max(self.limits.samples_per_stream);
        index(each / PAST_SAMPLE_BYTES).clamp(1, longest.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::CacheLimits;
    use crate::model::{Quality, Timestamp, Value};

    fn fill(writer: &mut ScanWriter, rows: i64) {
        let row = vec![(Value::F64(1.5), Quality::GOOD); writer.tags().len()];
        (0..rows).for_each(|nanos| writer.append(Timestamp::from_nanos(nanos), &row));
    }

    #[test]
    fn rings_get_shorter_before_the_cache_passes_its_limit() {
        let cache = TagCache::new(CacheLimits { bytes_max: 1 << 20, ..CacheLimits::default() });
        let ids: Vec<TagId> = (0..1000).map(TagId).collect();
        let mut first = cache.scan_group(&ids[..50]);
        let mut second = cache.scan_group(&ids[50..]);
        fill(&mut first, 600);
        fill(&mut second, 600);
        assert!(cache.bytes() <= 1 << 20, "{}", cache.bytes());
        assert!(cache.window_last(ids[0], 1000).len() >= 512);
        let short = cache.window_last(ids[50], 1000).len();
        assert!((13..60).contains(&short), "{short}");
    }

    #[test]
    fn a_replan_gives_the_memory_of_the_old_rings_to_the_new() {
        let cache = TagCache::new(CacheLimits { bytes_max: 1 << 20, ..CacheLimits::default() });
        let mut ids: Vec<TagId> = (0..100).map(TagId).collect();
        for _ in 0..20 {
            let mut writer = cache.scan_group(&ids);
            fill(&mut writer, 600);
            assert!(cache.window_last(ids[0], 1000).len() >= 512);
            drop(writer);
            ids.rotate_left(1);
        }
        assert!(cache.bytes() <= 1 << 20);
    }

    #[test]
    fn the_same_tags_get_their_group_back() {
        let cache = TagCache::new(CacheLimits::default());
        let ids = [TagId(1), TagId(2)];
        fill(&mut cache.scan_group(&ids), 3);
        let before = cache.bytes();
        let positions = cache.positions(&ids);
        fill(&mut cache.scan_group(&ids), 2);
        assert_eq!(cache.bytes(), before);
        assert_eq!(cache.read_since(&ids, &positions, 100).samples.len(), 4);
        assert_eq!(cache.window_last(ids[0], 100).len(), 5);
    }

    #[test]
    fn a_tag_that_moves_leaves_its_neighbours_where_they_are_written() {
        let cache = TagCache::new(CacheLimits::default());
        let ids = [TagId(1), TagId(2), TagId(3)];
        let mut old = cache.scan_group(&ids);
        fill(&mut old, 3);
        let mut new = cache.stream_group(&ids[1..2]);
        fill(&mut old, 2);
        assert_eq!(cache.window_last(ids[0], 100).len(), 5);
        assert_eq!(cache.window_last(ids[1], 100).len(), 3);
        new.append(
            ids[1],
            crate::model::Sample {
                value: Value::text("moved"),
                quality: Quality::GOOD,
                source_ts: None,
                received_ts: Timestamp::from_nanos(9),
            },
        );
        assert_eq!(cache.window_last(ids[1], 100).values[3], Value::text("moved"));
        let mut shown = Vec::new();
        cache.snapshot(&mut |id, _| shown.push(id));
        shown.sort_unstable();
        assert_eq!(shown, ids);
    }
}
