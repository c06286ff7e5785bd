//! The end of everything, in its order and its time.

use std::sync::atomic::Ordering::SeqCst;

use ractor::rpc::CallResult;

use super::*;
use crate::actors::deps::Deps;
use crate::actors::doors::ServeDoors;
use crate::actors::findings::FindingsArgs;
use crate::actors::historian::{HistorianArgs, HistorianFace};
use crate::actors::root::{Root, RootArgs, RootMsg};
use crate::ledger::{Ledger, Settings, Wanted};
use crate::store::SampleStore;

#[tokio::test(start_paused = true)]
async fn the_end_comes_in_order_and_within_five_seconds_though_a_device_hangs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("samples.redb");
    let store = Arc::new(SampleStore::open(&path, clock::now()).unwrap().store);
    let story: Arc<Mutex<Vec<String>>> = Arc::default();
    for (name, close_ms) in [("hangs", 3_600_000), ("ends", 0)] {
        device(name).close_ms.store(close_ms, SeqCst);
        *device(name).story.lock() = story.clone();
    }
    let told = story.clone();
    let doors: ServeDoors = Arc::new(move |cancel| {
        let told = told.clone();
        Box::pin(async move {
            cancel.cancelled().await;
            told.lock().push("doors".to_owned());
            Ok(())
        })
    });
    let rig = Rig::start(&[]).await;
    let face = HistorianFace::new(crate::config::History::default());
    let endpoints = EndpointsArgs { cache: rig.cache.clone(), directory: rig.directory.clone() };
    let historian =
        HistorianArgs { store: store.clone(), cache: rig.cache.clone(), face: face.clone() };
    let ledger = Ledger::open(dir.path(), Settings::default(), clock::now());
    let ledger = Arc::new(ledger.unwrap());
    let command = Deps::alone();
    let findings = FindingsArgs {
        cache: rig.cache.clone(),
        directory: rig.directory.clone(),
        historian: face.clone(),
        face: Arc::default(),
    };
    let args = RootArgs { ledger: ledger.clone(), historian, endpoints, command, findings, doors };
    let (root, ended) = Actor::spawn(None, Root, args).await.unwrap();
    let wanted = rig.connections(&[spec("hangs", &[1]), spec("ends", &[1])]);
    let made = root.call(|done| RootMsg::Reconcile(wanted, done), None).await.unwrap();
    assert!(made.is_success());
    root.send_message(RootMsg::OpenDoors).unwrap();
    ms(1000).await;
    let before = face.report.lock().samples;
    let start = Instant::now();
    let stopped = root.call(RootMsg::Shutdown, Some(Duration::from_millis(4800))).await.unwrap();
    assert!(matches!(stopped, CallResult::Success(())));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(*story.lock(), ["doors", "session", "session"]);
    assert!(face.report.lock().samples > before, "what came last is stored");
    let wanted = Wanted { limit: 2, bytes_max: 9999, ..Wanted::default() };
    let last = ledger.tail(&wanted).unwrap().records;
    assert_eq!((&last[0]["what"], &last[1]["what"]), (&"ended".into(), &"checkpoint".into()));
    ended.await.unwrap();
}
