//! Restoring history out of the store.

use std::sync::Arc;

use super::TagCache;
use super::past::{Columns, Origin};
use super::slots::Entry;
use crate::model::{TagId, Window};

impl TagCache {
    /// Gives a tag the history it had before this run, before or after its group exists.
    ///
    /// What was Good is now the last usable value; times stay. Samples that are not older than
    /// all the cache has of the tag are left out, and none of them is handed to the store again.
    pub fn restore(&self, id: TagId, window: &Window) {
        let unplaced = self.slots.change(id, |entry| self.restore_to(entry, window));
        if unplaced == Some(true) {
            self.unplaced.lock().insert(id);
        }
    }

    /// Gives an entry an older past, and tells whether that is all it has.
    fn restore_to(&self, entry: &mut Entry, window: &Window) -> bool {
        let place = entry.place.as_ref();
        if place.is_some_and(|place| place.group.readable(place.column).start > 0) {
            // The ring is full: nothing older fits.
            return false;
        }
        let start = place.map_or(i64::MAX, |place| place.group.start_time(place.column));
        let past = entry.past.as_deref();
        let mut older = Columns::default();
        let mut last = i64::MIN;
        for sample in window.iter() {
            let time = sample.received_ts.nanos();
            if time > last {
                last = time;
                older.push_restored(sample, &self.codes);
            }
        }
        older.keep_before(past.map_or(start, |past| start.min(past.first_time())));
        if older.is_empty() {
            return false;
        }
        if let Some(past) = past {
            older.push_past(past);
        }
        let origin = Origin {
            seen_uptime_ms: past.and_then(|past| past.seen_uptime_ms()),
            live_row: past.map_or(0, |past| past.live_row()),
            samples_max: self.past_samples_max(1),
        };
        // Tags that were scanned together are restored one after the other.
        let mut alike = self.alike.lock();
        let is_unplaced = place.is_none();
        entry.past = older.seal(&origin, &mut alike, &self.bytes).map(Arc::new);
        is_unplaced
    }
}
