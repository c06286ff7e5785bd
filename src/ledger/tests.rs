//! The ledger as its callers see it.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::thread::JoinHandle;

use serde_json::{Map, Value};

use super::*;

/// A ledger with its threads.
pub(super) struct Kept {
    pub(super) ledger: Arc<Ledger>,
    threads: Vec<JoinHandle<()>>,
}

impl Kept {
    pub(super) fn open(dir: &Path) -> Self {
        Self::with(dir, Settings::default())
    }

    fn with(dir: &Path, settings: Settings) -> Self {
        let ledger = Arc::new(Ledger::open(dir, settings, clock::now()).unwrap());
        Self::run(ledger)
    }

    fn run(ledger: Arc<Ledger>) -> Self {
        let threads = [Ledger::keep, Ledger::send_out].map(|work: fn(&Ledger)| {
            let kept = ledger.clone();
            std::thread::spawn(move || work(&kept))
        });
        Self { ledger, threads: threads.into() }
    }

    pub(super) fn records(&self) -> Vec<Map<String, Value>> {
        let all = Wanted { limit: 100_000, bytes_max: usize::MAX, ..Wanted::default() };
        self.ledger.tail(&all).unwrap().records
    }

    fn good(&self, records: u64) {
        let expected = Verified { records, ..Verified::default() };
        assert_eq!(self.ledger.verify(), Ok(expected));
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.ledger.close();
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

pub(super) fn call(tool: &str) -> Event {
    Event::new(What::ToolCall).tool(tool).ended(Outcome::Ok, "")
}

fn who() -> Who {
    Who { uid: 7, pid: None, door: "operator".to_owned(), session: 1 }
}

#[tokio::test]
async fn records_are_numbered_without_a_gap_and_come_back_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    {
        let kept = Kept::open(dir.path());
        for expected in 1..=5 {
            assert_eq!(kept.ledger.append_durable(call("tag_read")).await, Ok(expected));
        }
        kept.ledger.append_soon(call("tag_find"));
    }
    let kept = Kept::open(dir.path());
    // The end of a run signs the head, which is a record too.
    assert_eq!(kept.ledger.append_durable(call("tag_why")).await, Ok(8));
    let records = kept.records();
    let numbers: Vec<u64> = records.iter().map(|r| r["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=8).collect::<Vec<_>>());
    assert_eq!(
        (&records[5]["tool"], &records[6]["what"]),
        (&"tag_find".into(), &"checkpoint".into())
    );
    kept.good(8);
    assert_eq!(kept.ledger.frozen(), None);
    for name in ["audit.redb", "audit.key", CHECKPOINTS] {
        let mode = dir.path().join(name).metadata().unwrap().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn documents_change_with_their_record() {
    let dir = tempfile::tempdir().unwrap();
    let kept = Kept::open(dir.path());
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
    kept.good(4);
}

#[tokio::test]
async fn what_the_queue_cannot_hold_is_counted_in_a_record() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path(), Settings::default(), clock::now()).unwrap();
    let ledger = Arc::new(ledger);
    for _ in 0..5000 {
        ledger.append_soon(call("tag_read"));
    }
    assert_eq!(ledger.report().lost, 5000 - 4096);
    let kept = Kept::run(ledger.clone());
    ledger.append_durable(call("moc_request")).await.unwrap();
    let records = kept.records();
    let lost = records.iter().find(|record| record["what"] == "lost").unwrap();
    assert_eq!(lost["count"], 5000 - 4096);
    let calls = records.iter().filter(|record| record["what"] == "tool_call").count();
    assert_eq!(calls, 4096 + 1);
    drop(kept);
    let refused = ledger.append_durable(call("moc_request")).await;
    assert!(matches!(refused, Err(LedgerError::Closed(_))), "{refused:?}");
}

#[tokio::test]
async fn identical_reads_are_one_record_with_a_count_also_over_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let key = repeat_key(1, "tag_read", "{}");
    let copy = tempfile::tempdir().unwrap();
    {
        let kept = Kept::open(dir.path());
        assert!(!kept.ledger.again(key, 0));
        kept.ledger.append_counting(key, call("tag_read"));
        for _ in 0..41 {
            assert!(kept.ledger.again(key, 0));
        }
        kept.ledger.flush().await;
        let records = kept.records();
        assert_eq!((records.len(), &records[0]["count"]), (1, &42.into()));
        assert_eq!(records[0]["seq"], Value::Null, "it still counts");
        kept.good(1);
        // What a crash would leave.
        for name in ["audit.redb", "audit.key"] {
            std::fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
        }
    }
    for dir in [dir, copy] {
        let kept = Kept::open(dir.path());
        kept.ledger.flush().await;
        let records = kept.records();
        assert_eq!((&records[0]["seq"], &records[0]["count"]), (&1.into(), &42.into()));
        assert!(kept.ledger.verify().unwrap().is_good());
    }
}

#[tokio::test]
async fn a_full_audit_freezes_writes_until_it_was_exported_and_released() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { max_bytes: 100_000, outlets: Vec::new() };
    let kept = Kept::with(dir.path(), settings);
    let ticket = Event::new(What::TicketOpened).ticket("MOC-1");
    kept.ledger.put_document("ticket", "MOC-1", b"one".to_vec(), ticket).await.unwrap();
    let padding = "x".repeat(900);
    let padded = || call("tag_read").with("arguments", padding.as_str());
    let mut frozen_at = 0;
    for nth in 0..200 {
        kept.ledger.append_soon(padded());
        kept.ledger.flush().await;
        if frozen_at == 0 && kept.ledger.frozen().is_some() {
            frozen_at = nth;
        }
    }
    let report = kept.ledger.report();
    assert!((60..90).contains(&frozen_at), "{frozen_at}");
    assert!(report.bytes < 102_000 && report.lost > 50, "{report:?}");
    let sealed = kept.records().iter().filter(|r| r["what"] == "sealed").count();
    assert!(sealed >= 10, "{sealed}");
    assert!(kept.ledger.append_durable(call("moc_request")).await.is_ok(), "a reserve is kept");
    assert!(kept.ledger.release("00", who()).is_err(), "nothing was exported");
    let exported = kept.ledger.clone().export(who()).await.unwrap();
    let text = std::fs::read(&exported.file).unwrap();
    assert_eq!(
        crate::model::hex(&sha2::Digest::finalize(sha2::Digest::chain_update(
            <sha2::Sha256 as sha2::Digest>::new(),
            &text
        ))),
        exported.sha256
    );
    assert!(kept.ledger.release("00", who()).is_err());
    kept.ledger.release(&exported.sha256, who()).unwrap();
    assert!(kept.ledger.release(&exported.sha256, who()).is_err(), "once");
    assert_eq!(kept.ledger.frozen(), None);
    assert!(kept.ledger.verify().unwrap().is_good(), "{:?}", kept.ledger.verify());
    assert_eq!(kept.ledger.documents("ticket").unwrap()[0].1, b"one", "documents outlive it");
    kept.ledger.append_soon(padded());
    kept.ledger.flush().await;
    let records = kept.records();
    assert_eq!(records[0]["seq"].as_u64(), Some(exported.last + 1));
    assert!(records.iter().any(|r| r["what"] == "lost"), "what was lost is counted at last");
    drop(kept);
    assert!(Kept::open(dir.path()).ledger.verify().unwrap().is_good());
}

#[tokio::test]
async fn a_damaged_or_missing_file_is_named_and_freezes_writes_until_it_was_seen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.redb");
    let end = |kept: Kept| drop(kept);
    end(Kept::open(dir.path()));
    for damage in [b"".as_slice(), b"garbage", &[0; 5000]] {
        std::fs::write(&path, damage).unwrap();
        let kept = Kept::open(dir.path());
        let why = kept.ledger.frozen().unwrap();
        assert!(why.contains("audit.redb.bad-2"), "{why}");
        kept.ledger.flush().await;
        assert_eq!(kept.records()[0]["what"], "begun_anew");
        assert!(!kept.ledger.verify().unwrap().is_good());
        end(kept);
        let kept = Kept::open(dir.path());
        assert!(kept.ledger.frozen().is_some(), "a restart does not forget it");
        kept.ledger.acknowledge(Event::new(What::WritesThawed)).await.unwrap();
        assert_eq!(kept.ledger.frozen(), None);
        end(kept);
        assert_eq!(Kept::open(dir.path()).ledger.frozen(), None);
    }
    std::fs::remove_file(&path).unwrap();
    let kept = Kept::open(dir.path());
    assert!(kept.ledger.frozen().unwrap().contains("missing"));
}

#[tokio::test]
async fn checkpoints_come_with_the_records_and_go_out() {
    let dir = tempfile::tempdir().unwrap();
    let away = dir.path().join("away.jsonl");
    let outlets = vec![Outlet::File(away.clone()), Outlet::Syslog(dir.path().join("no log"))];
    let kept = Kept::with(dir.path(), Settings { outlets, ..Settings::default() });
    for _ in 0..300 {
        kept.ledger.append_soon(call("tag_read"));
    }
    kept.ledger.flush().await;
    assert_eq!(kept.ledger.append_durable(call("tag_find")).await, Ok(302));
    let ledger = kept.ledger.clone();
    drop(kept);
    let text = std::fs::read_to_string(&away).unwrap();
    let points: Vec<checkpoint::Checkpoint> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(points.iter().map(|p| p.seq).collect::<Vec<_>>(), [300, 302]);
    let outlets = ledger.report().outlets;
    assert_eq!((outlets[0].sent, &outlets[0].fault), (302, &None));
    assert!(outlets[1].fault.is_some());
}
