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
