//! The ledger as its callers see it.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::*;

/// A ledger with its thread.
pub(super) struct Kept {
    pub(super) ledger: Arc<Ledger>,
    thread: Option<JoinHandle<()>>,
}

impl Kept {
    pub(super) fn open(path: &Path) -> Self {
        let ledger = Arc::new(Ledger::open(path, clock::now()).unwrap());
        let kept = ledger.clone();
        Self { ledger, thread: Some(std::thread::spawn(move || kept.keep())) }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.ledger.close();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

pub(super) fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.redb");
    (dir, path)
}

fn call(tool: &str) -> Event {
    Event::new(What::ToolCall).tool(tool).ended(Outcome::Ok, "")
}

#[tokio::test]
async fn records_are_numbered_without_a_gap_and_come_back_after_a_restart() {
    let (_dir, path) = place();
    {
        let kept = Kept::open(&path);
        for expected in 1..=5 {
            assert_eq!(kept.ledger.append_durable(call("tag_read")).await, Ok(expected));
        }
        kept.ledger.append_soon(call("tag_find"));
    }
    let kept = Kept::open(&path);
    assert_eq!(kept.ledger.append_durable(call("tag_why")).await, Ok(7));
    let records = kept.ledger.records(6, 10).unwrap();
    assert_eq!(
        (records[0]["tool"].as_str(), records[0]["seq"].as_u64()),
        (Some("tag_find"), Some(6))
    );
    assert_eq!(kept.ledger.verify(), Ok(Verified { records: 7, first_bad: None }));
    assert_eq!(kept.ledger.frozen(), None);
}

#[tokio::test]
async fn documents_change_with_their_record() {
    let (_dir, path) = place();
    let kept = Kept::open(&path);
    let opened = |id: &str| Event::new(What::TicketOpened).ticket(id);
    kept.ledger.put_document("ticket", "MOC-2", b"two".to_vec(), opened("MOC-2")).await.unwrap();
    kept.ledger.put_document("ticket", "MOC-1", b"one".to_vec(), opened("MOC-1")).await.unwrap();
    kept.ledger.put_document("tickets", "x", b"other".to_vec(), opened("x")).await.unwrap();
    let ids = |kind: &str| -> Vec<String> {
        kept.ledger.documents(kind).unwrap().into_iter().map(|(id, _)| id).collect()
    };
    assert_eq!(ids("ticket"), ["MOC-1", "MOC-2"]);
    let gone = Document { kind: "ticket".into(), id: "MOC-1".into(), bytes: None };
    kept.ledger.put(Event::new(What::TicketExpired), vec![gone]).await.unwrap();
    assert_eq!(ids("ticket"), ["MOC-2"]);
    assert_eq!(kept.ledger.documents("ticket").unwrap()[0].1, b"two");
    assert_eq!(kept.ledger.verify(), Ok(Verified { records: 4, first_bad: None }));
}

#[tokio::test]
async fn what_the_queue_cannot_hold_is_counted_in_a_record() {
    let (_dir, path) = place();
    let ledger = Arc::new(Ledger::open(&path, clock::now()).unwrap());
    for _ in 0..5000 {
        ledger.append_soon(call("tag_read"));
    }
    assert_eq!(ledger.report().lost, 5000 - 4096);
    let kept = ledger.clone();
    let thread = std::thread::spawn(move || kept.keep());
    ledger.append_durable(call("moc_request")).await.unwrap();
    let records = ledger.records(1, 10_000).unwrap();
    assert_eq!(records.len(), 4096 + 2);
    let lost = records.iter().find(|record| record["what"] == "lost").unwrap();
    assert_eq!(lost["count"], 5000 - 4096);
    ledger.close();
    thread.join().unwrap();
    let refused = ledger.append_durable(call("moc_request")).await;
    assert!(matches!(refused, Err(LedgerError::Closed(_))), "{refused:?}");
}
