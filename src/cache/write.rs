//! The writers: one for each group, by ownership.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::TagCache;
use super::cells::Content;
use super::codes::{CELL, Kind};
use super::group::{Form, Group, Rings};
use super::lines::{Clocks, LINE_ROWS};
use super::protocol::count;
use super::raw::NO_SOURCE;
use super::stream::source_fits;
use crate::clock;
use crate::model::{Quality, Sample, TagId, Timestamp, Value};

/// What becomes of the last values in an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastValue {
    /// They stay, with the outage's quality; what is Bad already or was restored stays as it
    /// is, and a tag that was never read stays unread.
    Kept,
    /// They go.
    Dropped,
}

/// Appends to a scan group, row by row.
///
/// The only writer of its group: drop it before the same tags are grouped anew.
pub struct ScanWriter {
    cache: Arc<TagCache>,
    group: Arc<Group>,
}

/// Appends to the tags of a stream group, one by one.
///
/// The only writer of its group: drop it before the same tags are grouped anew.
pub struct StreamWriter {
    cache: Arc<TagCache>,
    group: Arc<Group>,
    columns: HashMap<TagId, usize>,
}

impl Drop for ScanWriter {
    fn drop(&mut self) {
        self.group.release();
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        self.group.release();
    }
}

impl ScanWriter {
    pub(super) fn new(cache: Arc<TagCache>, group: Arc<Group>) -> Self {
        Self { cache, group }
    }

    /// Gives the tags, in the order of their readings.
    #[must_use]
    pub fn tags(&self) -> &[TagId] {
        &self.group.tags
    }

    /// Appends one row: a reading for each tag, in the group's order.
    ///
    /// `received` becomes later than the row before where it is not; a tag without a reading
    /// gets Null and Bad.
    pub fn append(&mut self, received: Timestamp, readings: &[(Value, Quality)]) {
        self.append_sourced(received, readings, &[]);
    }

    /// Appends one row as [`ScanWriter::append`] does, with the device's own time of each
    /// reading that has one.
    ///
    /// From the first such row on they are kept beside the values, eight bytes a sample.
    pub fn append_sourced(
        &mut self,
        received: Timestamp,
        readings: &[(Value, Quality)],
        sources: &[Option<Timestamp>],
    ) {
        if sources.iter().any(Option::is_some) {
            self.make_room_for_sources();
        }
        self.append_row(received, readings, sources);
        self.group.has_seen();
        self.cache.changed.notify_waiters();
    }

    /// Moves the tags to a ring that keeps both times, within the limit of memory; what they
    /// have got so far stays readable.
    fn make_room_for_sources(&mut self) {
        let Rings::Scan(ring) = &self.group.rings else { return };
        if ring.clocks() == Clocks::Ours {
            self.group.release();
            let tags = Arc::clone(&self.group.tags);
            self.group = self.cache.group(Form::Rows(Clocks::Both), &tags);
        }
    }

    /// Appends the edge of an outage: one row, however often the outage is reported.
    ///
    /// The link did not prove alive: samples go on ageing.
    pub fn append_outage(&mut self, at: Timestamp, quality: Quality, keep: LastValue) {
        let edges: Vec<Edge> =
            self.tags().iter().map(|id| self.cache.edge(*id, quality, keep)).collect();
        if edges.iter().all(|edge| edge.is_known) {
            return;
        }
        let row: Vec<_> = edges.into_iter().map(|edge| (edge.value, edge.quality)).collect();
        self.append_row(at, &row, &[]);
        self.cache.changed.notify_waiters();
    }

    fn append_row(
        &mut self,
        received: Timestamp,
        readings: &[(Value, Quality)],
        sources: &[Option<Timestamp>],
    ) {
        let Self { cache, group } = self;
        let Rings::Scan(ring) = &group.rings else { return };
        let row = ring.head().next_row();
        let oldest = (row + 1).saturating_sub(ring.head().slots());
        let time = group.later(received);
        let encode = |(column, reading): (usize, &(Value, Quality))| {
            let (value, quality) = reading;
            if let Some((kind, bits)) = Kind::of(value) {
                let code = cache.codes.code(kind, *quality);
                if code != CELL {
                    return (bits, code);
                }
            }
            let source = sources.get(column).copied().flatten();
            let content = Content { value: value.clone(), quality: *quality, source };
            group.cells.put(column, row, oldest, content);
            (row, CELL)
        };
        let given = sources.iter().map(|given| given.map_or(NO_SOURCE, Timestamp::nanos));
        let width = group.tags.len();
        if row + 1 == ring.head().slots() {
            cache.outlive_past(group, 0..width);
        }
        if readings.len() >= width {
            ring.append(time, readings.iter().take(width).enumerate().map(encode), given);
        } else {
            let none = (Value::Null, Quality::BAD);
            let padded = readings.iter().chain(std::iter::repeat(&none));
            ring.append(time, padded.take(width).enumerate().map(encode), given);
        }
        group.has_got(time);
        if row % count(LINE_ROWS) == 0 {
            group.cells.sweep(|_| oldest);
        }
    }
}

impl StreamWriter {
    pub(super) fn new(cache: Arc<TagCache>, group: Arc<Group>) -> Self {
        let columns = group.tags.iter().enumerate().map(|(nth, id)| (*id, nth)).collect();
        Self { cache, group, columns }
    }

    /// Gives the tags.
    #[must_use]
    pub fn tags(&self) -> &[TagId] {
        &self.group.tags
    }

    /// Appends a sample of one of the group's tags; others are the caller's fault and not kept.
    ///
    /// `received_ts` becomes later than that of the group's sample before where it is not.
    pub fn append(&mut self, tag: TagId, sample: Sample) {
        let column = self.columns.get(&tag).copied();
        debug_assert!(column.is_some(), "tag {} is not of this group", tag.0);
        let Some(column) = column else { return };
        self.append_to(column, sample);
        if let Rings::Stream(rings) = &self.group.rings
            && let Some((_, seen)) = rings.get(column)
        {
            seen.store(clock::uptime_ms(), Ordering::Relaxed);
        }
        self.cache.changed.notify_waiters();
    }

    /// Notes that the link proved alive: what has not come has not changed.
    pub fn confirm(&mut self) {
        self.group.has_seen();
    }

    /// Appends the edge of an outage to each tag that does not have it yet.
    ///
    /// The link did not prove alive: samples go on ageing.
    pub fn append_outage(&mut self, at: Timestamp, quality: Quality, keep: LastValue) {
        for column in 0..self.group.tags.len() {
            let Some(id) = self.group.tags.get(column) else { continue };
            let Edge { value, quality, is_known } = self.cache.edge(*id, quality, keep);
            if !is_known {
                let sample = Sample { value, quality, source_ts: None, received_ts: at };
                self.append_to(column, sample);
            }
        }
        self.cache.changed.notify_waiters();
    }

    fn append_to(&mut self, column: usize, sample: Sample) {
        let Self { cache, group, .. } = self;
        let Rings::Stream(rings) = &group.rings else { return };
        let Some((ring, _)) = rings.get(column) else { return };
        let row = ring.head().next_row();
        let oldest = (row + 1).saturating_sub(ring.head().slots());
        if row + 1 == ring.head().slots() {
            cache.outlive_past(group, column..column + 1);
        }
        let time = group.later(sample.received_ts);
        let source = sample.source_ts.map_or(NO_SOURCE, Timestamp::nanos);
        let scalar = Kind::of(&sample.value).filter(|_| source_fits(time, source));
        let coded = scalar.map(|(kind, bits)| (bits, cache.codes.code(kind, sample.quality)));
        match coded {
            Some((bits, code)) if code != CELL => ring.append(time, source, bits, code),
            _ => {
                let Sample { value, quality, source_ts, .. } = sample;
                let content = Content { value, quality, source: source_ts };
                group.cells.put(column, row, oldest, content);
                ring.append(time, NO_SOURCE, row, CELL);
            }
        }
        group.has_got(time);
        if oldest > 0 && row % count(LINE_ROWS) == 0 {
            group.cells.sweep(|column| {
                let next = rings.get(column).map_or(0, |(ring, _)| ring.head().next_row());
                next.saturating_sub(ring.head().slots())
            });
        }
    }
}

/// One tag's part of an outage's edge.
struct Edge {
    value: Value,
    quality: Quality,
    /// The tag's newest sample says the same.
    is_known: bool,
}

impl TagCache {
    fn edge(&self, id: TagId, quality: Quality, keep: LastValue) -> Edge {
        let last = self.latest(id);
        let is_first = last.is_none();
        let is_restored = last.as_ref().is_some_and(|last| last.seen_uptime_ms.is_none());
        let (before, was) = last.map_or_else(
            || (Value::Null, Quality::BAD_WAITING_FOR_INITIAL_DATA),
            |latest| (latest.sample.value, latest.sample.quality),
        );
        let (value, quality) = match keep {
            LastValue::Dropped => (Value::Null, quality),
            // Trust never grows by an outage, and a restored value never gets younger.
            LastValue::Kept if was.is_bad() || is_restored => (before.clone(), was),
            LastValue::Kept => (before.clone(), quality),
        };
        let same_value = keep == LastValue::Kept || before == Value::Null;
        // That a tag was never read needs no mark; one would make its neighbours look newer.
        let is_known = same_value && quality == was;
        Edge { value, quality, is_known: is_known && (!is_first || keep == LastValue::Kept) }
    }

    /// Forgets the past of tags whose own ring is full, before it loses its first row: what a
    /// tag shows never has a hole.
    fn outlive_past(&self, group: &Arc<Group>, columns: std::ops::Range<usize>) {
        for (column, id) in group.tags.iter().enumerate().filter(|(c, _)| columns.contains(c)) {
            let here = |place: &super::slots::Place| {
                Arc::ptr_eq(&place.group, group) && place.column == column
            };
            self.slots.change(*id, |entry| {
                if entry.place.as_ref().is_some_and(here) {
                    entry.past = None;
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{CacheLimits, TakenUpTo};

    const LOST: Quality = Quality::UNCERTAIN_LAST_USABLE;
    const IDS: [TagId; 2] = [TagId(1), TagId(2)];

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn latest(cache: &TagCache, id: TagId) -> (Value, Quality) {
        let sample = cache.latest(id).unwrap().sample;
        (sample.value, sample.quality)
    }

    #[test]
    fn an_outage_leaves_one_edge_however_often_it_is_reported() {
        let cache = TagCache::new(CacheLimits::default());
        let mut writer = cache.scan_group(&IDS);
        let bad = (Value::Null, Quality::BAD_DEVICE_FAILURE);
        writer.append(at(1), &[(Value::F64(f64::NAN), Quality::GOOD), bad.clone()]);
        let seen = cache.latest(IDS[0]).unwrap().seen_uptime_ms;
        (2..9).for_each(|second| writer.append_outage(at(second), LOST, LastValue::Kept));
        assert_eq!(cache.window_last(IDS[0], 10).len(), 2);
        assert_eq!(latest(&cache, IDS[0]).1, LOST);
        assert_eq!(latest(&cache, IDS[1]), bad, "what is Bad is not trusted more");
        assert_eq!(cache.latest(IDS[0]).unwrap().seen_uptime_ms, seen);
        let gone = Quality::BAD_NO_COMMUNICATION;
        (9..12).for_each(|second| writer.append_outage(at(second), gone, LastValue::Dropped));
        assert_eq!(cache.window_last(IDS[0], 10).len(), 3);
        assert_eq!(latest(&cache, IDS[0]), (Value::Null, gone));
        drop(writer);
        cache.scan_group(&IDS).append_outage(at(12), gone, LastValue::Dropped);
        assert_eq!(cache.window_last(IDS[0], 10).len(), 3, "nor does a new writer repeat it");
    }

    #[test]
    fn a_tag_that_was_never_read_stays_so_and_its_restored_neighbour_keeps_its_age() {
        let cache = TagCache::new(CacheLimits::default());
        let mut window = crate::model::Window::default();
        let (value, quality) = (Value::I64(7), Quality::GOOD);
        window.push(Sample { value, quality, source_ts: None, received_ts: at(1) });
        cache.restore(IDS[0], &window);
        let mut writer = cache.scan_group(&IDS);
        writer.append_outage(at(9), LOST, LastValue::Kept);
        assert_eq!(cache.latest(IDS[0]).unwrap().sample.received_ts, at(1));
        assert_eq!(cache.latest(IDS[1]), None);
        let bad = Quality::BAD_NO_COMMUNICATION;
        writer.append_outage(at(10), bad, LastValue::Dropped);
        assert_eq!(latest(&cache, IDS[1]), (Value::Null, bad));
    }

    #[test]
    fn a_restored_value_gets_no_younger_by_an_outage() {
        let cache = TagCache::new(CacheLimits::default());
        let mut window = crate::model::Window::default();
        window.push(Sample {
            value: Value::I64(1),
            quality: Quality::GOOD,
            source_ts: None,
            received_ts: at(1),
        });
        cache.restore(IDS[0], &window);
        let mut writer = cache.stream_group(&IDS[..1]);
        writer.append_outage(at(100), Quality::from_status(0x408F_0000), LastValue::Kept);
        let latest = cache.latest(IDS[0]).unwrap();
        assert_eq!((latest.sample.received_ts, latest.seen_uptime_ms), (at(1), None));
        writer.append_outage(at(101), Quality::BAD_NO_COMMUNICATION, LastValue::Dropped);
        assert_eq!(cache.latest(IDS[0]).unwrap().sample.value, Value::Null);
    }

    #[test]
    fn only_the_streams_that_went_on_get_another_edge() {
        let cache = TagCache::new(CacheLimits::default());
        let mut writer = cache.stream_group(&IDS);
        let sample = |value: &str| Sample {
            value: Value::text(value),
            quality: Quality::GOOD,
            source_ts: None,
            received_ts: at(0),
        };
        writer.append(IDS[0], sample("a"));
        writer.append(IDS[1], sample("b"));
        writer.append_outage(at(1), LOST, LastValue::Kept);
        writer.append(IDS[1], sample("c"));
        writer.append_outage(at(2), LOST, LastValue::Kept);
        assert_eq!(cache.window_last(IDS[0], 10).values, ["a", "a"].map(Value::text));
        assert_eq!(cache.window_last(IDS[1], 10).values, ["b", "b", "c", "c"].map(Value::text));
    }

    #[test]
    fn a_row_of_the_wrong_length_never_shifts_a_value_to_a_neighbour() {
        let cache = TagCache::new(CacheLimits::default());
        let mut writer = cache.scan_group(&IDS);
        let one = (Value::I64(1), Quality::GOOD);
        writer.append(at(1), std::slice::from_ref(&one));
        assert_eq!(latest(&cache, IDS[1]), (Value::Null, Quality::BAD));
        writer.append(at(2), &[one.clone(), one.clone(), (Value::I64(3), Quality::GOOD)]);
        assert_eq!(latest(&cache, IDS[1]), one);
    }

    #[test]
    fn a_scanned_sample_keeps_the_time_the_device_gave_it() {
        let cache = TagCache::new(CacheLimits::default());
        let mut taken = TakenUpTo::default();
        cache.take_pages(&mut taken);
        let mut writer = cache.scan_group(&IDS);
        let row = |n| [(Value::I64(n), Quality::GOOD), (Value::text("run"), Quality::GOOD)];
        writer.append(at(1), &row(1));
        let positions = cache.positions(&IDS);
        writer.append_sourced(at(2), &row(2), &[Some(at(-7)), None]);
        writer.append_sourced(at(3), &row(3), &[None, Some(at(4))]);
        writer.append_sourced(at(4), &row(4), &[Some(at(-7)), Some(at(-8))]);
        let given = [None, Some(at(-7)), None, Some(at(-7))];
        assert_eq!(cache.window_last(IDS[0], 10).source, given);
        assert_eq!(cache.window_last(IDS[1], 2).source, [Some(at(4)), Some(at(-8))]);
        let newest = |id| cache.latest(id).unwrap().sample.source_ts;
        assert_eq!((newest(IDS[0]), newest(IDS[1])), (Some(at(-7)), Some(at(-8))));
        let mut shown = Vec::new();
        cache.snapshot(&mut |_, latest| shown.push(latest.sample.source_ts));
        assert_eq!(shown, [Some(at(-7)), Some(at(-8))]);
        let since = cache.read_since(&IDS[..1], &positions, 10).samples;
        assert!(since.iter().map(|(_, sample)| sample.source_ts).eq(given[1..].iter().copied()));
        let pages = cache.take_pages(&mut taken);
        let stored = pages.streams.iter().find(|page| page.tag == IDS[0]).unwrap();
        assert_eq!((&stored.window.source[..], pages.lost), (&given[1..], 0));
        assert_eq!(pages.scans[0].received, [at(1)]);
    }

    #[test]
    fn a_device_without_times_of_its_own_pays_nothing_and_one_with_them_eight_bytes() {
        let limits = CacheLimits { rows_per_group: 69, ..CacheLimits::default() };
        let bytes = |sources: &[Option<Timestamp>]| {
            let cache = TagCache::new(limits);
            let ids: Vec<TagId> = (0..100).map(TagId).collect();
            let mut writer = cache.scan_group(&ids);
            let row = vec![(Value::F64(1.0), Quality::GOOD); 100];
            (0..140).for_each(|second| writer.append_sourced(at(second), &row, sources));
            cache.bytes()
        };
        // 70 slots of 100 tags: lines of 64 bytes for seven, and a time for each row.
        assert_eq!(bytes(&[]), 10 * 100 * 64 + 70 * 8);
        assert_eq!(bytes(&[Some(at(0)); 100]) - bytes(&[None; 100]), 70 * 100 * 8);
    }

    #[test]
    fn a_group_keeps_its_room_for_sources_when_its_writer_comes_back() {
        let cache = TagCache::new(CacheLimits::default());
        let row = vec![(Value::I64(1), Quality::GOOD); 2];
        cache.scan_group(&IDS).append_sourced(at(1), &row, &[Some(at(0)); 2]);
        let before = cache.bytes();
        let mut again = cache.scan_group(&IDS);
        again.append_sourced(at(2), &row, &[Some(at(1)); 2]);
        assert_eq!(cache.window_last(IDS[0], 9).source, [Some(at(0)), Some(at(1))]);
        assert_eq!(cache.bytes(), before);
    }

    #[tokio::test]
    async fn whoever_waits_is_told_of_an_append() {
        let cache = TagCache::new(CacheLimits::default());
        let mut writer = cache.scan_group(&IDS);
        let positions = cache.positions(&IDS);
        let changed = cache.changed().notified();
        assert!(cache.read_since(&IDS, &positions, 10).samples.is_empty());
        let row = vec![(Value::I64(1), Quality::GOOD); 2];
        writer.append(at(1), &row);
        changed.await;
        let since = cache.read_since(&IDS, &positions, 10);
        assert_eq!(since.samples.len(), 2);
        assert!(cache.read_since(&IDS, &since.next, 10).samples.is_empty());
    }
}
