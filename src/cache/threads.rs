//! A writer that never waits and readers that never see half a row, on the machine's own memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{CacheLimits, Latest, Numbers, TagCache};
use crate::model::{Quality, Sample, TagId, Timestamp, Value};

const TAGS: u32 = 9;
/// With fourteen slots the readers are lapped thousands of times.
const ROWS: i64 = 30_000;

/// What a tag has at a time: anything else was torn.
fn value(id: TagId, at: Timestamp) -> Value {
    let sum = at.nanos() * 31 + i64::from(id.0);
    if at.nanos() % 5 == 0 { Value::text(&sum.to_string()) } else { Value::I64(sum) }
}

fn quality(at: Timestamp) -> Quality {
    if at.nanos() % 2 == 0 { Quality::GOOD } else { Quality::BAD_DEVICE_FAILURE }
}

fn check(id: TagId, sample: &Sample) {
    assert_eq!(sample.value, value(id, sample.received_ts), "tag {}", id.0);
    assert_eq!(sample.quality, quality(sample.received_ts), "tag {}", id.0);
}

fn read(cache: &TagCache, ids: &[TagId], done: &AtomicBool) -> u64 {
    let mut reads = 0;
    let mut numbers = Numbers::new();
    let mut positions = cache.positions(ids);
    while !done.load(Ordering::Acquire) || reads == 0 {
        for id in ids {
            if let Some(Latest { sample, .. }) = cache.latest(*id) {
                check(*id, &sample);
            }
            let window = cache.window_last(*id, 10);
            window.iter().for_each(|sample| check(*id, &sample));
            assert!(window.received.is_sorted_by(|a, b| a < b));
            cache.numbers_last(*id, 10, &mut numbers);
        }
        cache.snapshot(&mut |id, latest| check(id, &latest.sample));
        let since = cache.read_since(ids, &positions, 1000);
        since.samples.iter().for_each(|(id, sample)| check(*id, sample));
        positions = since.next;
        reads += 1;
    }
    reads
}

#[test]
fn readers_of_a_scan_group_see_whole_rows_while_it_is_written() {
    let limits = CacheLimits { rows_per_group: 13, ..CacheLimits::default() };
    let cache = TagCache::new(limits);
    let ids: Vec<TagId> = (0..TAGS).map(TagId).collect();
    let mut writer = cache.scan_group(&ids);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2).map(|_| scope.spawn(|| read(&cache, &ids, &done))).collect();
        for nanos in 1..=ROWS {
            let at = Timestamp::from_nanos(nanos);
            let row: Vec<_> = ids.iter().map(|id| (value(*id, at), quality(at))).collect();
            writer.append(at, &row);
        }
        done.store(true, Ordering::Release);
        assert!(readers.into_iter().all(|reader| reader.join().unwrap() > 0));
    });
    assert_eq!(cache.window_last(ids[0], 100).len(), 13);
}

#[test]
fn readers_of_streams_see_whole_samples_while_they_are_written() {
    let limits = CacheLimits { samples_per_stream: 31, ..CacheLimits::default() };
    let cache = TagCache::new(limits);
    let ids: Vec<TagId> = (0..TAGS).map(TagId).collect();
    let mut writer = cache.stream_group(&ids);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| read(&cache, &ids, &done));
        for nanos in 1..=ROWS {
            let received_ts = Timestamp::from_nanos(nanos);
            let id = TagId(u32::try_from(nanos * 7 % i64::from(TAGS)).unwrap());
            let (value, quality) = (value(id, received_ts), quality(received_ts));
            writer.append(id, Sample { value, quality, source_ts: None, received_ts });
        }
        done.store(true, Ordering::Release);
        assert!(reader.join().unwrap() > 0);
    });
}

#[test]
fn a_replan_under_readers_loses_no_history() {
    let cache = TagCache::new(CacheLimits { rows_per_group: 600, ..CacheLimits::default() });
    let ids: Vec<TagId> = (0..TAGS).map(TagId).collect();
    let done = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut longest = 0;
            while !done.load(Ordering::Acquire) {
                let window = cache.window_last(ids[0], 1000);
                window.iter().for_each(|sample| check(ids[0], &sample));
                assert!(window.len() >= longest, "{} after {longest}", window.len());
                longest = window.len();
            }
        });
        for nanos in 1..=600 {
            let turned = if nanos / 20 % 2 == 0 { 0 } else { 3 };
            let mut order = ids.clone();
            order.rotate_left(turned);
            let at = Timestamp::from_nanos(nanos);
            let row: Vec<_> = order.iter().map(|id| (value(*id, at), quality(at))).collect();
            cache.scan_group(&order).append(at, &row);
        }
        done.store(true, Ordering::Release);
        reader.join().unwrap();
    });
    assert_eq!(cache.window_last(ids[0], 1000).len(), 600);
}
