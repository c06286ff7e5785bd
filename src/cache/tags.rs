//! The name index: names are resolved once, to a number.

use std::collections::HashMap;
use std::sync::Arc;

use super::TagCache;
use crate::model::{Tag, TagId, UnitId};

/// The definitions sorted by name, and where in them each asset's stand.
pub(super) struct Sorted {
    list: Arc<[(TagId, Arc<Tag>)]>,
    assets: HashMap<Asset, Vec<usize>>,
}

/// What belongs together: an area, or a unit of an endpoint where a tag names no area.
type Asset = (Arc<str>, Option<UnitId>);

fn asset(tag: &Tag) -> Asset {
    match tag.area.is_empty() {
        true => (Arc::clone(&tag.endpoint), Some(tag.unit)),
        false => (Arc::clone(&tag.area), None),
    }
}

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
        self.sorted(|sorted| sorted.list.to_vec())
    }

    /// Gives at most so many other tags of the same asset, sorted by name: of the same area, or
    /// of the same unit of the endpoint where the tag names none. Of a large asset they are those
    /// of the same part, of so many tags each.
    #[must_use]
    pub fn beside(&self, id: TagId, part: usize, most: usize) -> Vec<TagId> {
        let Some(own) = self.tag(id) else { return Vec::new() };
        self.sorted(|sorted| {
            let places = sorted.assets.get(&asset(&own)).map_or(&[][..], Vec::as_slice);
            let id_at = |place: &usize| sorted.list.get(*place).map(|(id, _)| *id);
            let is_own = |part: &&[usize]| part.iter().any(|place| id_at(place) == Some(id));
            let own = places.chunks(part.max(1)).find(is_own).unwrap_or_default();
            own.iter().filter_map(id_at).filter(|other| *other != id).take(most).collect()
        })
    }

    /// Looks at the sorted definitions; the first look after a change sorts them.
    fn sorted<T>(&self, look: impl FnOnce(&Sorted) -> T) -> T {
        let mut sorted = self.sorted.lock();
        look(sorted.get_or_insert_with(|| {
            let ids: Vec<TagId> = self.names.iter().map(|entry| *entry.value()).collect();
            let mut list: Vec<_> =
                ids.into_iter().filter_map(|id| Some((id, self.tag(id)?))).collect();
            list.sort_unstable_by(|(_, a), (_, b)| a.name.cmp(&b.name));
            let mut assets: HashMap<Asset, Vec<usize>> = HashMap::new();
            for (place, (_, tag)) in list.iter().enumerate() {
                assets.entry(asset(tag)).or_default().push(place);
            }
            Sorted { list: list.into(), assets }
        }))
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

    #[test]
    fn beside_a_tag_stand_those_of_its_asset() {
        let cache = TagCache::new(CacheLimits::default());
        let of = |n: u32, name: &str, area: &str, unit: u8| {
            let tag = Tag { area: area.into(), unit: UnitId(unit), ..Tag::new(name, "plc", "x") };
            cache.define(TagId(n), Arc::new(tag));
        };
        of(0, "e", "", 1);
        of(1, "d", "", 1);
        of(2, "c", "", 2);
        of(3, "b", "mixing", 1);
        of(4, "a", "mixing", 2);
        of(5, "f", "", 1);
        let beside = |n, most| {
            let found = cache.beside(TagId(n), 48, most).into_iter();
            found.map(|id| id.0).collect::<Vec<_>>()
        };
        assert_eq!(beside(0, 9), [1, 5]);
        assert_eq!(beside(0, 1), [1]);
        assert_eq!((beside(2, 9), beside(3, 9), beside(9, 9)), (vec![], vec![4], vec![]));
        assert_eq!(cache.beside(TagId(5), 2, 9), [], "the third by name is the next part");
        cache.retire(TagId(1));
        assert_eq!(beside(0, 9), [5]);
    }
}
