//! The disk dies at the nth write, for every n of a short life of the store. Whatever it kept
//! of what it had not yet synced, the next start finds every acknowledged commit and nothing
//! that was never committed.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::Database;

use super::write::Writer;
use super::{SampleStore, StoreError, open};
use crate::dbfile::dying::{Disk, Dying, Kept};
use crate::model::{Column, Pages, Quality, ScanPage, TagId, Timestamp, Value};

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000 + second * 1000)
}

fn start(disk: &Arc<Mutex<Disk>>, second: i64) -> Result<Writer, StoreError> {
    let db = Database::builder().create_with_backend(Dying(Arc::clone(disk)))?;
    let (mut writer, _) = open::load(db, None, at(second), open::Start::Run)?;
    // Merges come early, so that this short life has one.
    writer.open_segments_max = 2;
    Ok(writer)
}

const TAGS: u32 = 40;

fn value(tag: u32, second: i64) -> Value {
    // Bits without pattern, so that records are large and merges come early.
    let mixed = (second + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_u64.cast_signed());
    Value::I64(mixed.rotate_left(tag % 64))
}

fn page(seconds: std::ops::Range<i64>) -> Pages {
    let columns = (0..TAGS).map(|tag| Column {
        values: seconds.clone().map(|second| value(tag, second)).collect(),
        qualities: seconds.clone().map(|_| Quality::GOOD).collect(),
    });
    let scan = ScanPage {
        tags: (0..TAGS).map(TagId).collect(),
        received: seconds.clone().map(at).collect(),
        columns: columns.collect(),
    };
    Pages { scans: vec![scan], streams: Vec::new(), lost: 0 }
}

/// Rows per commit, in turn: some are gathered, some are sealed at once.
const ROWS: [i64; 6] = [5, 4, 300, 1, 1, 2];

/// Lives until the disk dies; gives the seconds that were acknowledged.
fn live(disk: &Arc<Mutex<Disk>>) -> i64 {
    let Ok(mut writer) = start(disk, 0) else { return 0 };
    if writer.intern(&[("a".into(), Vec::new()), ("b".into(), Vec::new())]).is_err() {
        return 0;
    }
    let mut acknowledged = 0;
    for rows in ROWS {
        let upto = acknowledged + rows;
        if writer.commit(&page(acknowledged..upto), &[], at(upto)).is_err() {
            return acknowledged;
        }
        acknowledged = upto;
    }
    // The end of a proper run is a commit too, and so is the database's own farewell.
    match writer.close_clean(at(acknowledged)) {
        Ok(()) | Err(_) => acknowledged,
    }
}

#[test]
fn a_disk_that_dies_at_any_write_loses_nothing_acknowledged_and_invents_nothing() {
    let whole = Disk::with(Vec::new(), None);
    let all: i64 = ROWS.iter().sum();
    assert_eq!(live(&whole), all);
    let operations = whole.lock().operations;
    assert!(operations > 60, "the life is too short to mean anything: {operations}");
    // One segment was sealed at once, in two layers of at most 256 rows, one by a merge.
    let image = whole.lock().image(Kept::All);
    let writer = start(&Disk::with(image, None), 10_000).unwrap();
    assert_eq!(writer.index.sealed.len(), 3);
    for dies_at in 0..=operations {
        let disk = Disk::with(Vec::new(), Some(dies_at));
        let acknowledged = live(&disk);
        for kept in [Kept::All, Kept::Synced, Kept::Torn] {
            let image = disk.lock().image(kept);
            let case = format!("dies at {dies_at}, kept {kept:?}, acknowledged {acknowledged}");
            check(image, acknowledged, all, &case);
        }
    }
}

fn check(image: Vec<u8>, acknowledged: i64, all: i64, case: &str) {
    let disk = Disk::with(image, None);
    let writer = match start(&disk, 10_000) {
        Ok(writer) => writer,
        // Before the first commit there may be half a file: it is set aside.
        Err(error) => {
            assert!(error.is_damage() && acknowledged == 0, "{case}: {error}");
            return;
        }
    };
    let store = SampleStore::with(writer).unwrap();
    for tag in [0, 17, TAGS - 1] {
        let found = store.window(TagId(tag), at(-10), at(20_000), 100_000).unwrap();
        assert_eq!(found.bad_records, 0, "{case}");
        let seconds = i64::try_from(found.window.len()).unwrap();
        assert!((acknowledged..=all).contains(&seconds), "{case}: {seconds}");
        for (second, sample) in (0..).zip(found.window.iter()) {
            assert_eq!(sample.received_ts, at(second), "{case}");
            assert_eq!(sample.value, value(tag, second), "{case}");
        }
    }
}

#[test]
fn a_full_disk_is_named_as_such_and_readers_go_on() {
    let disk = Disk::with(Vec::new(), None);
    let store = SampleStore::with(start(&disk, 0).unwrap()).unwrap();
    store.commit(&page(0..5), &[], at(5)).unwrap();
    disk.lock().death = Some(io::ErrorKind::StorageFull);
    disk.lock().left = Some(0);
    let full = store.commit(&page(5..9), &[], at(9));
    assert!(matches!(full, Err(StoreError::Full)), "{full:?}");
    let found = store.window(TagId(1), at(0), at(20), 100).unwrap();
    assert_eq!(found.window.len(), 5);
    let again = store.commit(&page(5..9), &[], at(9));
    assert!(matches!(again, Err(StoreError::Io(_))), "{again:?}");
}
