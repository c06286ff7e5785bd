//! The store as its callers see it: what goes in comes out, over restarts, bad files and merges.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;
use crate::driver::{BlockData, BlockRef};
use crate::model::{Column, Quality, Sample, ScanPage, StreamPage, UnitId, Value};

pub(super) const START: Timestamp = Timestamp::from_millis(1_790_000_000_000);

pub(super) fn at(second: i64) -> Timestamp {
    START.plus_millis(second * 1000)
}

pub(super) fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("samples.redb");
    (dir, path)
}

pub(super) fn opened(path: &Path, second: i64) -> Opened {
    SampleStore::open(path, at(second)).unwrap()
}

pub(super) fn ids(count: u32) -> Arc<[TagId]> {
    (0..count).map(TagId).collect()
}

pub(super) fn value(tag: TagId, second: i64) -> Value {
    Value::I64(second * 10 + i64::from(tag.0))
}

pub(super) fn scan(tags: &Arc<[TagId]>, seconds: std::ops::Range<i64>) -> ScanPage {
    let column = |tag: &TagId| Column {
        values: seconds.clone().map(|second| value(*tag, second)).collect(),
        qualities: seconds.clone().map(|_| Quality::GOOD).collect(),
    };
    ScanPage {
        tags: Arc::clone(tags),
        received: seconds.clone().map(at).collect(),
        columns: tags.iter().map(column).collect(),
    }
}

fn pages(scans: Vec<ScanPage>) -> Pages {
    Pages { scans, ..Pages::default() }
}

pub(super) fn commit(store: &SampleStore, scans: Vec<ScanPage>, second: i64) -> Committed {
    store.commit(&pages(scans), &[], at(second)).unwrap()
}

pub(super) fn seconds_of(found: &StoredWindow, tag: TagId) -> Vec<i64> {
    let second = |t: &Timestamp| t.millis_since(START) / 1000;
    let seconds: Vec<i64> = found.window.received.iter().map(second).collect();
    let want: Vec<Value> = seconds.iter().map(|second| value(tag, *second)).collect();
    assert_eq!(found.window.values, want);
    seconds
}

pub(super) fn all(store: &SampleStore, tag: TagId) -> Vec<i64> {
    let found = store.window(tag, at(-1_000_000), at(1_000_000), 1_000_000).unwrap();
    seconds_of(&found, tag)
}

#[test]
fn what_is_committed_second_by_second_is_there_after_a_merge_and_a_restart() {
    let (_dir, path) = place();
    let store = opened(&path, 0).store;
    let tags = ids(50);
    let seconds = 2500;
    for second in 0..seconds {
        commit(&store, vec![scan(&tags, second..second + 1)], second);
    }
    let want: Vec<i64> = (0..seconds).collect();
    assert_eq!(all(&store, TagId(0)), want);
    assert!(!store.view().index.sealed.is_empty(), "{store:?} never merged");
    drop(store);
    let Opened { store, report } = opened(&path, seconds);
    assert_eq!(report.bad_records, 0);
    assert_eq!(report.gap.map(|gap| gap.from), Some(at(seconds - 1)));
    for tag in [TagId(0), TagId(31), TagId(49)] {
        assert_eq!(all(&store, tag), want);
    }
    assert!(all(&store, TagId(50)).is_empty());
}

#[test]
fn a_window_is_bounded_and_says_what_it_left_out() {
    let (_dir, path) = place();
    let store = opened(&path, 0).store;
    let tags = ids(4);
    for from in (0..1000).step_by(100) {
        commit(&store, vec![scan(&tags, from..from + 100)], from);
    }
    let found = store.window(TagId(2), at(150), at(449), 1000).unwrap();
    assert_eq!(seconds_of(&found, TagId(2)), (150..450).collect::<Vec<_>>());
    assert!(!found.truncated);
    let found = store.window(TagId(2), at(150), at(449), 7).unwrap();
    assert_eq!(seconds_of(&found, TagId(2)), (443..450).collect::<Vec<_>>());
    assert!(found.truncated);
    let found = store.window(TagId(2), at(449), at(150), 7).unwrap();
    assert!(found.window.is_empty() && !found.truncated);
}

#[test]
fn the_tail_is_the_newest_of_each_tag_also_of_slow_and_vanished_ones() {
    let (_dir, path) = place();
    let store = opened(&path, 0).store;
    let (fast, gone): (Arc<[TagId]>, Arc<[TagId]>) =
        ([TagId(0), TagId(1)].into(), [TagId(9)].into());
    commit(&store, vec![scan(&gone, 0..3)], 3);
    for from in (0..400).step_by(20) {
        commit(&store, vec![scan(&fast, from..from + 20)], from);
    }
    let tails = store.tail(&[TagId(1), TagId(9), TagId(5)], 64).unwrap();
    assert_eq!(tails.len(), 2);
    let (tag, window) = &tails[0];
    assert_eq!(*tag, TagId(1));
    assert_eq!(window.received, (336..400).map(at).collect::<Vec<_>>());
    assert_eq!(window.values[63], value(TagId(1), 399));
    assert_eq!(tails[1].0, TagId(9));
    assert_eq!(tails[1].1.len(), 3);
}

#[test]
fn streamed_tags_keep_both_times_through_merges() {
    let (_dir, path) = place();
    let store = opened(&path, 0).store;
    let sample = |tag: TagId, second: i64| Sample {
        value: value(tag, second),
        quality: Quality::GOOD,
        source_ts: Some(at(second).plus_millis(-3)),
        received_ts: at(second),
    };
    for second in 0..1500 {
        let streams = (0..20).map(TagId).filter(|tag| second % (i64::from(tag.0) + 1) == 0);
        let stream = |tag: TagId| {
            let mut window = Window::default();
            window.push(sample(tag, second));
            StreamPage { tag, window }
        };
        let pages = Pages { streams: streams.map(stream).collect(), ..Pages::default() };
        store.commit(&pages, &[], at(second)).unwrap();
    }
    assert!(!store.view().index.sealed.is_empty());
    for tag in [TagId(0), TagId(6), TagId(19)] {
        let found = store.window(tag, at(0), at(2000), 10_000).unwrap();
        let every = usize::try_from(tag.0).unwrap() + 1;
        assert_eq!(seconds_of(&found, tag), (0..1500).step_by(every).collect::<Vec<_>>());
        let last = found.window.iter().next_back().unwrap();
        assert_eq!(last.source_ts, Some(last.received_ts.plus_millis(-3)));
    }
    let tails = store.tail(&[TagId(19)], 10).unwrap();
    assert_eq!(tails[0].1.len(), 10);
    assert_eq!(tails[0].1.source.len(), 10);
}

#[test]
fn a_changed_group_keeps_the_history_of_its_tags() {
    let (_dir, path) = place();
    let store = opened(&path, 0).store;
    commit(&store, vec![scan(&ids(3), 0..10)], 10);
    commit(&store, vec![scan(&[TagId(2), TagId(7)].into(), 10..20)], 20);
    assert_eq!(all(&store, TagId(2)), (0..20).collect::<Vec<_>>());
    drop(store);
    let store = opened(&path, 30).store;
    assert_eq!(all(&store, TagId(2)), (0..20).collect::<Vec<_>>());
    assert_eq!(all(&store, TagId(7)), (10..20).collect::<Vec<_>>());
}

#[test]
fn names_keep_their_numbers_and_renamed_ones_take_theirs_along() {
    let (_dir, path) = place();
    let name = |text: &str| -> (TagName, Vec<TagName>) { (text.into(), Vec::new()) };
    let store = opened(&path, 0).store;
    let first = store.intern(&[name("a"), name("b"), name("a")]).unwrap();
    assert_eq!(first, [TagId(0), TagId(1), TagId(0)]);
    drop(store);
    let store = opened(&path, 1).store;
    let renamed = ("b2".into(), vec!["gone".into(), "b".into()]);
    let ids = store.intern(&[name("c"), renamed.clone(), name("a")]).unwrap();
    assert_eq!(ids, [TagId(2), TagId(1), TagId(0)]);
    drop(store);
    let store = opened(&path, 2).store;
    // The old name is free again, and both claims on a name in use fail.
    let greedy = ("d".into(), vec!["a".into(), "b2".into()]);
    let ids = store.intern(&[name("b"), greedy, name("a"), renamed]).unwrap();
    assert_eq!(ids, [TagId(3), TagId(4), TagId(0), TagId(1)]);
}

#[test]
fn a_clean_end_leaves_no_gap_and_a_crash_leaves_one() {
    let (_dir, path) = place();
    let Opened { store, report } = opened(&path, 0);
    assert_eq!(report.gap, None);
    commit(&store, vec![scan(&ids(1), 0..10)], 10);
    store.close_clean(at(11)).unwrap();
    drop(store);
    let Opened { store, report } = opened(&path, 60);
    assert_eq!(report.gap, None);
    commit(&store, vec![scan(&ids(1), 60..70)], 70);
    drop(store);
    let Opened { store, report } = opened(&path, 100);
    let gap = Gap { from: at(69), until: at(100), lost: None, cause: GapCause::Stopped };
    assert_eq!(report.gap, Some(gap));
    let found = store.window(TagId(0), at(0), at(200), 100).unwrap();
    assert_eq!(found.gaps, [gap]);
    assert_eq!(store.window(TagId(0), at(0), at(50), 100).unwrap().gaps, []);
}

#[test]
fn samples_lost_on_the_way_are_a_counted_gap() {
    let (_dir, path) = place();
    let store = opened(&path, 0).store;
    commit(&store, vec![scan(&ids(1), 0..10)], 10);
    let lost = |lost| Pages { lost, ..Pages::default() };
    store.commit(&lost(5), &[], at(20)).unwrap();
    store.commit(&lost(7), &[], at(30)).unwrap();
    let found = store.window(TagId(0), at(0), at(40), 100).unwrap();
    let gap = Gap { from: at(10), until: at(30), lost: Some(12), cause: GapCause::Overrun };
    assert_eq!(found.gaps, [gap]);
    assert_eq!(found.window.lost, 12);
    let noted = Gap { from: at(50), until: at(55), lost: Some(1), cause: GapCause::Overrun };
    store.note_gap(noted).unwrap();
    store.close_clean(at(60)).unwrap();
    drop(store);
    let store = opened(&path, 100).store;
    assert_eq!(store.window(TagId(0), at(0), at(60), 100).unwrap().gaps, [gap, noted]);
}

#[test]
fn a_page_of_unequal_columns_is_refused_and_the_store_goes_on() {
    let (_dir, path) = place();
    let store = opened(&path, 0).store;
    let mut page = scan(&ids(2), 0..4);
    page.columns[1].values.pop();
    let refused = store.commit(&pages(vec![page]), &[], at(4));
    assert!(matches!(refused, Err(StoreError::Uneven)));
    commit(&store, vec![scan(&ids(2), 4..6)], 6);
    assert_eq!(all(&store, TagId(1)), [4, 5]);
}

fn block(address: u32, registers: &[u16], second: i64) -> (EndpointName, RawBlock) {
    let count = u32::try_from(registers.len()).unwrap();
    let at_block = BlockRef { unit: UnitId(3), area: "holding", section: 0, address, count };
    let data = BlockData::Registers(registers.into());
    ("plc2".into(), RawBlock { at: at_block, data, received_ts: at(second) })
}

#[test]
fn the_newest_raw_blocks_come_back_and_unchanged_ones_are_not_rewritten() {
    let (_dir, path) = place();
    let store = opened(&path, 0).store;
    let put =
        |blocks: &[_], second| store.commit(&Pages::default(), blocks, at(second)).unwrap().blocks;
    assert_eq!(put(&[block(0, &[1, 2, 65535], 0), block(100, &[7], 0)], 0), 2);
    assert_eq!(put(&[block(0, &[1, 2, 65535], 5)], 5), 0);
    assert_eq!(put(&[block(0, &[1, 2, 4], 11)], 11), 1);
    assert_eq!(put(&[block(100, &[7], 60)], 61), 1);
    assert_eq!(put(&[block(0, &[9, 9, 9], 62)], 62), 1);
    assert_eq!(put(&[block(0, &[9, 9, 8], 63)], 63), 0);
    let mut bits = block(5, &[], 64);
    bits.1.at = BlockRef { unit: UnitId(0), area: "coil", section: 0, address: 5, count: 11 };
    let pattern = [true, false, true, true, false, false, false, true, false, true, true];
    bits.1.data = BlockData::Bits(pattern.into());
    assert_eq!(put(std::slice::from_ref(&bits), 64), 1);
    let mut bytes = block(5, &[], 64);
    bytes.1.at = BlockRef { unit: UnitId(0), area: "DB", section: 12, address: 5, count: 3 };
    bytes.1.data = BlockData::Bytes([1, 0, 255].into());
    assert_eq!(put(std::slice::from_ref(&bytes), 64), 1);
    store.close_clean(at(65)).unwrap();
    drop(store);
    let found = opened(&path, 66).store.blocks().unwrap();
    assert_eq!(found, [bytes, bits, block(0, &[9, 9, 8], 63), block(100, &[7], 60)]);
}

#[test]
fn retention_goes_by_age_and_by_bytes_and_the_file_stops_growing() {
    let (_dir, path) = place();
    let store = opened(&path, 0).store;
    let tags = ids(2000);
    let mut from = 0;
    let mut round = |store: &SampleStore| {
        let mut page = scan(&tags, from..from + 40);
        for (tag, column) in (0_u64..).zip(&mut page.columns) {
            for (second, value) in (0_u64..).zip(&mut column.values) {
                let noise = (tag * 40 + second).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48;
                *value = Value::U64(noise);
            }
        }
        commit(store, vec![page], from + 40);
        from += 40;
        store.retain(at(from), 7, 4 * 1024 * 1024).unwrap()
    };
    let mut sizes = Vec::new();
    for _ in 0..100 {
        assert!(round(&store).bytes <= 4 * 1024 * 1024);
        sizes.push(store.size().unwrap());
    }
    assert!(sizes[99] <= sizes[60], "still growing: {sizes:?}");
    assert!(sizes[99] <= 4 * 1024 * 1024, "{sizes:?}");
    assert!(sizes[99] >= 3 * 1024 * 1024, "{sizes:?}");
    let done = store.retain(at(8 * 86_400), 7, u64::MAX).unwrap();
    assert_eq!(done.oldest, None);
    assert!(done.pages_removed > 0);
    assert!(all(&store, TagId(0)).is_empty());
    assert!(store.view().index.groups.tags.is_empty());
}

#[test]
fn a_clock_set_back_leaves_the_window_in_order() {
    let (_dir, path) = place();
    let store = opened(&path, 0).store;
    commit(&store, vec![scan(&ids(1), 100..130)], 130);
    commit(&store, vec![scan(&ids(1), 90..120)], 120);
    let found = store.window(TagId(0), at(0), at(200), 100).unwrap();
    assert_eq!(found.window.len(), 60);
    assert!(found.window.received.is_sorted());
    assert_eq!(store.window(TagId(0), at(0), at(200), 5).unwrap().window.received[4], at(129));
}

#[test]
fn the_file_is_for_its_owner_alone() {
    let (_dir, path) = place();
    drop(opened(&path, 0));
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    drop(opened(&path, 1));
    assert_eq!(mode(), 0o600);
}

#[test]
fn readers_see_one_state_while_the_writer_goes_on() {
    let (_dir, path) = place();
    let store = opened(&path, 0).store;
    let tags = ids(200);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for second in 0..1300 {
                commit(&store, vec![scan(&tags, second..second + 1)], second);
            }
        });
        let mut last = 0;
        while !writer.is_finished() {
            let seconds = all(&store, TagId(150));
            assert!(seconds.len() >= last, "history went away");
            assert_eq!(seconds, (0..).take(seconds.len()).collect::<Vec<_>>());
            last = seconds.len();
        }
        writer.join().unwrap();
    });
    assert_eq!(all(&store, TagId(150)).len(), 1300);
}

#[test]
fn an_empty_commit_writes_nothing() {
    let (_dir, path) = place();
    let store = opened(&path, 0).store;
    assert_eq!(store.commit(&Pages::default(), &[], at(1)).unwrap(), Committed::default());
    let empty = ScanPage { tags: ids(1), received: vec![], columns: vec![Column::default()] };
    commit(&store, vec![empty], 2);
    assert!(all(&store, TagId(0)).is_empty());
}
