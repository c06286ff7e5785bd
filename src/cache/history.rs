//! Restoring history out of the store.

use std::sync::Arc;

use super::TagCache;
use super::past::{Columns, Origin};
use super::slots::Entry;
use crate::model::{Quality, Sample, TagId, Window};

impl TagCache {
    /// Gives a tag the history it had before this run, before or after its group exists.
    ///
    /// It is as it was read, but for its newest value: what was Good is now the last usable one
    /// and keeps its times. Samples that are not older than all the cache has of the tag are left
    /// out, and none of them is handed to the store again.
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
        let end = past.map_or(start, |past| start.min(past.first_time()));
        let mut older = Columns::default();
        let mut last = i64::MIN;
        let is_next = |sample: &Sample| {
            let time = sample.received_ts.nanos();
            let is_next = time > last && time < end;
            last = if is_next { time } else { last };
            is_next
        };
        let mut samples = window.iter().filter(is_next).peekable();
        while let Some(mut sample) = samples.next() {
            if samples.peek().is_none() && sample.quality.is_good() {
                sample.quality = Quality::UNCERTAIN_LAST_USABLE;
            }
            older.push_restored(sample, &self.codes);
        }
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

#[cfg(test)]
mod tests {
    use crate::cache::{CacheLimits, Numbers, TagCache, TakenUpTo};
    use crate::model::{Quality, Sample, TagId, Timestamp, Value, Window};

    const ID: TagId = TagId(4);

    /// Seconds 1 to 3 of a run before this one: good, bad, good.
    fn stored() -> Window {
        let mut window = Window::default();
        for (second, quality) in
            [(1, Quality::GOOD), (2, Quality::BAD_DEVICE_FAILURE), (3, Quality::GOOD)]
        {
            window.push(Sample {
                value: Value::I64(second),
                quality,
                source_ts: Some(Timestamp::from_millis(second * 1000 - 7)),
                received_ts: Timestamp::from_millis(second * 1000),
            });
        }
        window
    }

    fn values(cache: &TagCache) -> Vec<Value> {
        cache.window_last(ID, 100).values
    }

    #[test]
    fn history_stays_as_it_was_and_its_newest_is_the_last_usable_value() {
        let cache = TagCache::new(CacheLimits::default());
        cache.restore(ID, &stored());
        let latest = cache.latest(ID).unwrap();
        assert_eq!(latest.seen_uptime_ms, None);
        assert_eq!(latest.sample.quality, Quality::UNCERTAIN_LAST_USABLE);
        assert_eq!(latest.sample.received_ts, Timestamp::from_millis(3000));
        assert_eq!(latest.sample.source_ts, Some(Timestamp::from_millis(2993)));
        let window = cache.window_last(ID, 10);
        assert_eq!(window.qualities[..2], [Quality::GOOD, Quality::BAD_DEVICE_FAILURE]);
        let mut shown = 0;
        cache.snapshot(&mut |id, latest| {
            assert_eq!((id, &latest.sample.value), (ID, &Value::I64(3)));
            shown += 1;
        });
        assert_eq!(shown, 1);
        let mut numbers = Numbers::new();
        cache.numbers_last(ID, 2, &mut numbers);
        assert_eq!((numbers.stats().count, numbers.stats().usable), (2, 1));
    }

    #[test]
    fn live_data_follows_what_was_restored_and_only_it_goes_to_the_store_and_the_cursors() {
        let cache = TagCache::new(CacheLimits::default());
        let mut taken = TakenUpTo::default();
        let positions = cache.positions(&[ID]);
        cache.restore(ID, &stored());
        let mut writer = cache.scan_group(&[ID]);
        assert_eq!(cache.latest(ID).unwrap().seen_uptime_ms, None);
        writer.append(Timestamp::from_millis(5000), &[(Value::I64(5), Quality::GOOD)]);
        assert_eq!(values(&cache), [1, 2, 3, 5].map(Value::I64));
        assert!(cache.latest(ID).unwrap().seen_uptime_ms.is_some());
        let inside = cache.window(ID, Timestamp::from_millis(2000), Timestamp::from_millis(5000));
        assert_eq!(inside.values, [2, 3].map(Value::I64));
        assert_eq!(cache.take_pages(&mut taken).scans[0].received.len(), 1);
        let since = cache.read_since(&[ID], &positions, 100);
        assert_eq!(since.samples.len(), 1);
    }

    #[test]
    fn what_is_restored_late_is_never_newer_than_live_data() {
        let cache = TagCache::new(CacheLimits::default());
        let mut writer = cache.scan_group(&[ID]);
        writer.append(Timestamp::from_millis(2500), &[(Value::I64(25), Quality::GOOD)]);
        cache.restore(ID, &stored());
        assert_eq!(values(&cache), [1, 2, 25].map(Value::I64));
        cache.restore(ID, &stored());
        assert_eq!(values(&cache), [1, 2, 25].map(Value::I64));
    }

    #[test]
    fn a_clock_that_stepped_back_hides_what_was_restored_from_its_future() {
        let cache = TagCache::new(CacheLimits::default());
        cache.restore(ID, &stored());
        let mut writer = cache.scan_group(&[ID]);
        writer.append(Timestamp::from_millis(1500), &[(Value::I64(15), Quality::GOOD)]);
        assert_eq!(values(&cache), [1, 15].map(Value::I64));
    }

    #[test]
    fn the_past_goes_when_the_ring_is_full() {
        let limits = CacheLimits { rows_per_group: 13, ..CacheLimits::default() };
        let cache = TagCache::new(limits);
        cache.restore(ID, &stored());
        let mut writer = cache.scan_group(&[ID]);
        for second in 10..23 {
            assert_eq!(values(&cache).len(), 3 + usize::try_from(second - 10).unwrap());
            let reading = (Value::I64(second), Quality::GOOD);
            writer.append(Timestamp::from_millis(second * 1000), &[reading]);
        }
        writer.append(Timestamp::from_millis(23_000), &[(Value::I64(23), Quality::GOOD)]);
        assert_eq!(values(&cache), (11..24).map(Value::I64).collect::<Vec<_>>());
        cache.restore(ID, &stored());
        assert_eq!(values(&cache).len(), 13);
    }
}
