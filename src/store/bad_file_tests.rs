//! Bad files, bad disks, and what the store makes of them.

use std::fs;
use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable};

use super::index::{META, OPEN};
use super::tests::{all, at, commit, ids, opened, place, scan, seconds_of};
use super::*;

#[test]
fn an_open_file_is_an_error_and_never_set_aside() {
    let (dir, path) = place();
    let first = opened(&path, 0);
    for _ in 0..2 {
        let second = SampleStore::open(&path, at(1));
        assert!(matches!(second, Err(StoreError::AlreadyOpen)));
    }
    commit(&first.store, vec![scan(&ids(1), 0..9)], 9);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let missing = SampleStore::open(&dir.path().join("no/samples.redb"), at(1));
    assert!(matches!(missing, Err(StoreError::Io(_))));
    assert!(SampleStore::open(dir.path(), at(1)).is_err());
}

/// A file with some history, closed properly.
fn written(path: &Path) -> Vec<u8> {
    let store = opened(path, 0).store;
    let tags = ids(500);
    for from in (0..600).step_by(30) {
        commit(&store, vec![scan(&tags, from..from + 30)], from + 30);
    }
    store.close_clean(at(600)).unwrap();
    drop(store);
    fs::read(path).unwrap()
}

#[test]
fn garbage_is_set_aside_by_name_and_a_fresh_file_begun() {
    let (dir, path) = place();
    let good = written(&path);
    let noise: Vec<u8> =
        (0..100_000_u32).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
    let cases: [&[u8]; 6] =
        [b"", b"x", &noise, &good[..64], &good[..good.len() / 2], &good[..good.len() - 4096]];
    for (second, case) in (0..).zip(cases) {
        fs::write(&path, case).unwrap();
        let Opened { store, report } = opened(&path, second);
        let aside = report.quarantined.unwrap_or_else(|| panic!("case {second} was accepted"));
        assert_eq!(fs::read(&aside).unwrap().len(), case.len());
        let name = aside.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("samples.redb.bad-2026"), "{name}");
        commit(&store, vec![scan(&ids(1), 0..9)], 9);
        assert_eq!(all(&store, TagId(0)), (0..9).collect::<Vec<_>>());
        drop(store);
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 7);
}

#[test]
fn a_flipped_byte_anywhere_gives_true_history_or_a_counted_loss() {
    let (_dir, path) = place();
    let good = written(&path);
    let step = good.len() / 97;
    let (mut lost, mut quarantined) = (0, 0);
    for (round, offset) in (0..good.len()).step_by(step).enumerate() {
        let mut bad = good.clone();
        bad[offset + round % 61] ^= 1 << (round % 8);
        fs::write(&path, &bad).unwrap();
        let Opened { store, report } = opened(&path, 600);
        if let Some(aside) = report.quarantined {
            quarantined += 1;
            fs::remove_file(aside).unwrap();
            continue;
        }
        for tag in [TagId(0), TagId(250), TagId(499)] {
            // Damaged structure may show as an error; a wrong or made-up value never.
            let Ok(found) = store.window(tag, at(0), at(700), 10_000) else { continue };
            let seconds = seconds_of(&found, tag);
            if seconds.len() < 600 {
                lost += 1;
                assert!(found.bad_records > 0 || report.bad_records > 0);
                let cause = found.gaps.first().map(|gap| gap.cause);
                assert_eq!(cause, Some(GapCause::Damaged), "offset {offset}");
            }
        }
    }
    assert!(lost > 0, "no flip hit what was read; {quarantined} files set aside");
}

#[test]
fn another_programs_database_is_set_aside_and_a_newer_format_is_not() {
    let (_dir, path) = place();
    let other = redb::Database::create(&path).unwrap();
    let change = other.begin_write().unwrap();
    let table: redb::TableDefinition<'_, u32, u32> = redb::TableDefinition::new("other");
    change.open_table(table).unwrap().insert(1, 1).unwrap();
    change.commit().unwrap();
    drop(other);
    assert!(opened(&path, 0).report.quarantined.is_some());
    let newer = redb::Database::create(&path).unwrap();
    let change = newer.begin_write().unwrap();
    change.open_table(META).unwrap().insert("format", &[9, 0, 0, 0][..]).unwrap();
    change.commit().unwrap();
    drop(newer);
    assert!(matches!(SampleStore::open(&path, at(1)), Err(StoreError::Newer(9))));
}

#[test]
fn after_a_failure_the_next_commit_opens_the_file_anew() {
    let (_dir, path) = place();
    let store = opened(&path, 0).store;
    commit(&store, vec![scan(&ids(3), 0..9)], 9);
    let reader = store.view();
    store.writer.lock().abandon(&StoreError::Full);
    assert_eq!(all(&store, TagId(1)).len(), 9, "readers go on meanwhile");
    let done = commit(&store, vec![scan(&ids(3), 9..20)], 20);
    let report = done.reopened.unwrap();
    assert_eq!((report.quarantined, report.gap), (None, None));
    assert_eq!(all(&store, TagId(1)), (0..20).collect::<Vec<_>>());
    drop(reader);
}

#[test]
fn a_file_found_damaged_while_open_is_replaced_and_tags_keep_their_numbers() {
    let (_dir, path) = place();
    let name = |text: &str| -> (TagName, Vec<TagName>) { (text.into(), Vec::new()) };
    let store = opened(&path, 0).store;
    store.intern(&[name("a"), name("b")]).unwrap();
    commit(&store, vec![scan(&ids(2), 0..9)], 9);
    store.writer.lock().abandon(&StoreError::Damaged("by a test".to_owned()));
    let done = commit(&store, vec![scan(&ids(2), 9..20)], 20);
    let aside = done.reopened.unwrap().quarantined.unwrap();
    assert_eq!(all(&store, TagId(1)), (9..20).collect::<Vec<_>>());
    drop(store);
    let ids = opened(&path, 30).store.intern(&[name("c"), name("b"), name("a")]).unwrap();
    assert_eq!(ids, [TagId(2), TagId(1), TagId(0)]);
    let before = SampleStore::open(&aside, at(30)).unwrap().store;
    assert_eq!(all(&before, TagId(1)), (0..9).collect::<Vec<_>>());
}

/// Flips one bit in each record of the open table that `which` names by its place in order.
fn damage(path: &Path, which: &[usize]) {
    let db = Database::open(path).unwrap();
    let rows: Vec<_> = {
        let table = db.begin_read().unwrap().open_table(OPEN).unwrap();
        let rows = table.iter().unwrap().map(Result::unwrap);
        rows.map(|(key, bytes)| (key.value(), bytes.value().to_vec())).collect()
    };
    let change = db.begin_write().unwrap();
    for at in which {
        let (key, mut bytes) = rows[*at].clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        change.open_table(OPEN).unwrap().insert(key, bytes.as_slice()).unwrap();
    }
    change.commit().unwrap();
}

#[test]
fn a_damaged_record_costs_its_own_rows_alone_also_through_a_merge() {
    let (_dir, path) = place();
    let store = opened(&path, 0).store;
    let tags = ids(6000);
    for second in 0..12 {
        commit(&store, vec![scan(&tags, second..second + 1)], second);
    }
    store.close_clean(at(12)).unwrap();
    let per_commit = usize::try_from(store.view().index.open[0].held.records).unwrap();
    assert!(per_commit > 1, "the group must span records");
    drop(store);
    // The first record of the fourth second: low columns lose that second, high ones don't.
    damage(&path, &[3 * per_commit]);
    let Opened { store, report } = opened(&path, 12);
    assert_eq!((report.bad_records, report.quarantined), (1, None));
    let without: Vec<i64> = (0..12).filter(|second| *second != 3).collect();
    let gap = Gap { from: at(3), until: at(3), lost: None, cause: GapCause::Damaged };
    let check = |store: &SampleStore, bad_records| {
        let found = store.window(TagId(0), at(0), at(11), 100).unwrap();
        assert_eq!(seconds_of(&found, TagId(0)), without);
        assert_eq!((found.gaps, found.bad_records), (vec![gap], bad_records));
        let high = store.window(TagId(5999), at(0), at(11), 100).unwrap();
        assert_eq!(seconds_of(&high, TagId(5999)), (0..12).collect::<Vec<_>>());
    };
    check(&store, 1);
    store.writer.lock().open_segments_max = 2;
    let done = commit(&store, vec![scan(&tags, 12..13)], 13);
    assert_eq!(done.bad_records, 1);
    check(&store, 0);
    let tails = store.tail(&[TagId(0), TagId(5999)], 100).unwrap();
    assert_eq!((tails[0].1.len(), tails[1].1.len()), (12, 13));
}

#[test]
fn a_segment_of_which_nothing_can_be_read_is_still_a_gap() {
    let (_dir, path) = place();
    let store = opened(&path, 0).store;
    for second in 0..5 {
        commit(&store, vec![scan(&ids(2), second..second + 1)], second);
    }
    store.close_clean(at(5)).unwrap();
    drop(store);
    damage(&path, &[2]);
    let store = opened(&path, 5).store;
    let found = store.window(TagId(1), at(0), at(9), 100).unwrap();
    assert_eq!(seconds_of(&found, TagId(1)), [0, 1, 3, 4]);
    assert_eq!((found.gaps.len(), found.gaps[0].cause), (1, GapCause::Damaged));
}
