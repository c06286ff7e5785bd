//! The disk dies at the nth write, for every n of a short life of the ledger. Whatever it kept
//! of what it had not yet synced, the next start finds every acknowledged record and document,
//! and a chain that is whole.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::Database;

use super::checkpoint::Outside;
use super::error::LedgerError;
use super::event::{Document, Entry, Event, What};
use super::file::{AuditFile, Writer};
use super::{open, verify};
use crate::dbfile::dying::{Disk, Dying, Kept};

fn start(disk: &Arc<Mutex<Disk>>) -> Result<Writer, LedgerError> {
    let db = Database::builder().create_with_backend(Dying(Arc::clone(disk)))?;
    Ok(open::load(db, None, &Outside::default())?.0)
}

const WRITES: u64 = 12;

fn ticket(nth: u64) -> Entry {
    let document = Document {
        kind: "ticket".to_owned(),
        id: "MOC-1".to_owned(),
        bytes: Some(nth.to_be_bytes().to_vec()),
    };
    Entry::now(Event::new(What::WriteIntent).with("nth", nth), vec![document])
}

fn append(writer: &mut Writer, entry: &Entry) -> Result<(), LedgerError> {
    let change = writer.transaction()?;
    let state = Writer::append(&change, writer.state, &[entry])?;
    let open = [(0, entry.clone())];
    Writer::put_open(&change, &open, std::iter::empty())?;
    writer.commit(change, state)
}

/// Lives until the disk dies; gives how many records were acknowledged.
fn live(disk: &Arc<Mutex<Disk>>) -> u64 {
    let Ok(mut writer) = start(disk) else { return 0 };
    for nth in 1..=WRITES {
        if append(&mut writer, &ticket(nth)).is_err() {
            return nth - 1;
        }
    }
    WRITES
}

#[test]
fn a_disk_that_dies_at_any_write_loses_no_acknowledged_record() {
    let whole = Disk::with(Vec::new(), None);
    assert_eq!(live(&whole), WRITES);
    let operations = whole.lock().operations;
    assert!(operations > 60, "the life is too short to mean anything: {operations}");
    for dies_at in 0..=operations {
        let disk = Disk::with(Vec::new(), Some(dies_at));
        let acknowledged = live(&disk);
        for kept in [Kept::All, Kept::Synced, Kept::Torn] {
            let image = disk.lock().image(kept);
            let case = format!("dies at {dies_at}, kept {kept:?}, acknowledged {acknowledged}");
            check(image, acknowledged, &case);
        }
    }
}

fn check(image: Vec<u8>, acknowledged: u64, case: &str) {
    let writer = match start(&Disk::with(image, None)) {
        Ok(writer) => writer,
        // Before the first commit there may be half a file: it is set aside.
        Err(error) => {
            assert!(error.is_damage() && acknowledged == 0, "{case}: {error}");
            return;
        }
    };
    let view = writer.view().unwrap();
    let found = verify::walk(&view, &Outside::default()).unwrap();
    let records = view.state.head.seq;
    assert_eq!(found.first_bad, None, "{case}");
    assert!((acknowledged..=acknowledged + 1).contains(&records), "{case}: {records}");
    let tickets = view.documents("ticket").unwrap();
    let newest = tickets.first().map(|(_, bytes)| bytes.clone());
    let expected = (records > 0).then(|| records.to_be_bytes().to_vec());
    assert_eq!(newest, expected, "{case}");
}

#[test]
fn a_full_disk_is_named_as_such_and_readers_go_on() {
    let disk = Disk::with(Vec::new(), None);
    let file = AuditFile::with(start(&disk).unwrap()).unwrap();
    file.change(|writer| append(writer, &ticket(1))).unwrap();
    disk.lock().death = Some(io::ErrorKind::StorageFull);
    disk.lock().left = Some(0);
    let full = file.change(|writer| append(writer, &ticket(2)));
    assert_eq!(full, Err(LedgerError::Full));
    assert!(file.is_failed());
    assert_eq!(file.view().documents("ticket").unwrap().len(), 1);
    let again = file.change(|writer| append(writer, &ticket(2)));
    assert!(matches!(again, Err(LedgerError::Io(_))), "{again:?}");
}
