//! The name index: names are resolved once, to a number.

use std::sync::Arc;

use super::TagCache;
use crate::model::{Tag, TagId};

pub(super) type Sorted = Arc<[(TagId, Arc<Tag>)]>;

impl TagCache {
    /// Adds the definition of a tag, or replaces it. Its samples stay.
    pub fn define(&self, id: TagId, tag: Arc<Tag>) {
        let before = self.slots.change(id, |entry| entry.tag.replace(Arc::clone(&tag)));
        if let Some(before) = before.flatten().filter(|before| before.name != tag.name) {
            self.names.remove_if(&before.name, |_, known| *known == id);
        }
        self.names.insert(Arc::clone(&tag.name), id);
        *self.sorted.lock() = None;
    }

    /// Forgets a tag that left the configuration: its name no longer resolves and its samples
    /// are gone. Rows that were not taken yet still reach the store.
    pub fn retire(&self, id: TagId) {
        let Some(entry) = self.slots.change(id, std::mem::take) else { return };
        if let Some(tag) = entry.tag {
            self.names.remove_if(&tag.name, |_, known| *known == id);
        }
        *self.sorted.lock() = None;
        self.unplaced.lock().remove(&id);
        if let Some(place) = entry.place {
            place.group.leave(place.column);
            let mut groups = self.groups.write();
            groups.retire_if_left(&place.group);
            self.publish(&mut groups);
        }
    }

    /// Finds the number of a tag by its name.
    #[must_use]
    pub fn resolve(&self, name: &str) -> Option<TagId> {
        self.names.get(name).map(|id| *id)
    }

    /// Gives the definition of a tag.
    #[must_use]
    pub fn tag(&self, id: TagId) -> Option<Arc<Tag>> {
        self.slots.read(id)?.tag.clone()
    }

    /// Gives every definition, sorted by name.
    #[must_use]
    pub fn tags(&self) -> Vec<(TagId, Arc<Tag>)> {
        let mut sorted = self.sorted.lock();
        let list = sorted.get_or_insert_with(|| {
            let ids: Vec<TagId> = self.names.iter().map(|entry| *entry.value()).collect();
            let mut list: Vec<_> =
                ids.into_iter().filter_map(|id| Some((id, self.tag(id)?))).collect();
            list.sort_unstable_by(|(_, a), (_, b)| a.name.cmp(&b.name));
            list.into()
        });
        list.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{CacheLimits, TakenUpTo};
    use crate::model::{Quality, Timestamp, Value};

    fn tag(name: &str) -> Arc<Tag> {
        Arc::new(Tag::new(name, "plc", "holding:1"))
    }

    #[test]
    fn a_name_resolves_until_its_tag_is_renamed_or_retired() {
        let cache = TagCache::new(CacheLimits::default());
        cache.define(TagId(7), tag("b"));
        cache.define(TagId(3), tag("a"));
        assert_eq!(cache.resolve("b"), Some(TagId(7)));
        let names = |cache: &TagCache| -> Vec<String> {
            cache.tags().iter().map(|(_, tag)| tag.name.to_string()).collect()
        };
        assert_eq!(names(&cache), ["a", "b"]);
        cache.define(TagId(7), tag("c"));
        assert_eq!((cache.resolve("b"), cache.resolve("c")), (None, Some(TagId(7))));
        cache.retire(TagId(7));
        assert_eq!((cache.resolve("c"), cache.tag(TagId(7))), (None, None));
        assert_eq!(names(&cache), ["a"]);
    }

    #[test]
    fn a_name_that_moved_to_another_tag_outlives_the_first() {
        let cache = TagCache::new(CacheLimits::default());
        cache.define(TagId(1), tag("x"));
        cache.define(TagId(2), tag("x"));
        cache.retire(TagId(1));
        assert_eq!(cache.resolve("x"), Some(TagId(2)));
    }

    #[test]
    fn a_retired_tag_shows_nothing_and_its_last_rows_still_reach_the_store() {
        let cache = TagCache::new(CacheLimits::default());
        let mut taken = TakenUpTo::default();
        assert_eq!(cache.take_pages(&mut taken).scans.len(), 0);
        let mut writer = cache.scan_group(&[TagId(1)]);
        writer.append(Timestamp::from_millis(1), &[(Value::I64(5), Quality::GOOD)]);
        cache.retire(TagId(1));
        assert_eq!(cache.latest(TagId(1)), None);
        assert!(cache.window_last(TagId(1), 10).is_empty());
        cache.snapshot(&mut |id, _| panic!("tag {} is shown", id.0));
        let pages = cache.take_pages(&mut taken);
        assert_eq!(pages.scans[0].columns[0].values, [Value::I64(5)]);
        assert_eq!(cache.take_pages(&mut taken), crate::model::Pages::default());
    }

    #[test]
    fn a_tag_nobody_knows_has_nothing() {
        let cache = TagCache::new(CacheLimits::default());
        for id in [TagId(0), TagId(u32::MAX)] {
            assert_eq!((cache.latest(id), cache.tag(id)), (None, None));
            assert!(cache.window_last(id, 5).is_empty());
            cache.retire(id);
            let since = cache.read_since(&[id], &cache.positions(&[id]), 10);
            assert!(since.samples.is_empty() && since.lost == 0 && !since.other_run);
        }
        assert_eq!(cache.resolve("nothing"), None);
    }
}
