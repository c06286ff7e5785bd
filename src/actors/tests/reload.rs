//! What a reload stops, starts and leaves alone.

use std::sync::atomic::Ordering::SeqCst;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_reload_leaves_what_is_unchanged_alone() {
    let (same, other) = (device("same"), device("other"));
    let rig = Rig::start(&[spec("same", &[1]), spec("other", &[1]), spec("gone", &[1])]).await;
    ms(1000).await;
    let (link, changing) = (rig.link("same"), rig.link("other"));
    let scans = rig.scans("same", 0);
    rig.reconcile(&[spec("same", &[1]), spec("other", &[1, 2])]).await;
    ms(1000).await;
    assert!(Arc::ptr_eq(&link, &rig.link("same")));
    assert!(!Arc::ptr_eq(&changing, &rig.link("other")));
    assert!(rig.directory.find("gone").is_none());
    assert_eq!(rig.scans("same", 0) - scans, 10);
    assert_eq!((same.sessions.load(SeqCst), other.sessions.load(SeqCst)), (1, 2));
    assert_eq!(rig.quality("other/2"), Some(Quality::GOOD));
    assert_eq!(rig.directory.endpoints().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_for_a_changed_endpoint_are_answered_at_once() {
    let device = device("waiting");
    device.answer_ms.store(5000, SeqCst);
    let rig = Rig::start(&[spec("waiting", &[])]).await;
    let link = rig.link("waiting");
    let calls = futures::future::join_all((0..3).map(|nth| ask(&link, block(1, nth), 10)));
    let reload = async {
        ms(100).await;
        rig.reconcile(&[spec("waiting", &[1])]).await;
    };
    let start = Instant::now();
    let (answers, ()) = tokio::join!(calls, reload);
    assert!(answers.into_iter().all(|answer| kind(answer) == ErrorKind::Closed));
    assert!(start.elapsed() < Duration::from_secs(1));
    // Who still holds the old connection hears the same.
    assert_eq!(kind(ask(&link, block(1, 9), 10).await), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn devices_that_hang_hold_up_a_reload_only_once() {
    let names = ["hang1", "hang2", "hang3", "hang4", "hang5"];
    for name in names {
        device(name).close_ms.store(60_000, SeqCst);
    }
    let rig = Rig::start(&names.map(|name| spec(name, &[1]))).await;
    ms(500).await;
    let start = Instant::now();
    rig.reconcile(&names.map(|name| spec(name, &[1, 2]))).await;
    assert!(start.elapsed() <= Duration::from_millis(2500), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_was_due_starts_no_second_poller_after_a_reload() {
    let device = device("twice");
    let rig = Rig::start(&[spec("twice", &[1])]).await;
    ms(150).await;
    device.scan_panics.store(1, SeqCst);
    // The next scan panics; the reload comes before the restart.
    ms(90).await;
    let restarts = rig.link("twice").report().restarts;
    rig.reconcile(&[spec("twice", &[1, 2])]).await;
    ms(1000).await;
    let before = device.seen();
    ms(1000).await;
    assert_eq!((restarts, device.seen() - before), (1, 20), "ten scans of each unit a second");
}

#[tokio::test(start_paused = true)]
async fn what_was_read_of_the_device_before_answers_nobody() {
    let rig = Rig::start(&[spec("moved", &[1])]).await;
    let link = rig.link("moved");
    ask(&link, block(1, 3), 10).await.unwrap();
    assert!(rig.cache.find_reply(link.name(), &block(1, 3)).is_some());
    ms(500).await;
    device("moved2").is_down.store(true, SeqCst);
    let mut moved = spec("moved", &[1]);
    moved.settings.insert("device".to_owned(), json!("moved2"));
    rig.reconcile(&[moved]).await;
    assert!(rig.cache.find_reply(link.name(), &block(1, 3)).is_none());
    assert_eq!(rig.quality("moved/1"), Some(Quality::UNCERTAIN_LAST_USABLE));
}

#[tokio::test(start_paused = true)]
async fn endpoints_with_one_address_share_one_session_and_the_strictest_budget() {
    let shared = |name: &str, rate: f64| {
        let mut spec = spec(name, &[1]);
        spec.settings = json!({ "device": "shared", "shared": "a" }).as_object().unwrap().clone();
        spec.budget.requests_per_s = rate;
        spec
    };
    let rig = Rig::start(&[shared("left", 100.0), shared("right", 50.0)]).await;
    ms(500).await;
    assert!(Arc::ptr_eq(&rig.link("left"), &rig.link("right")));
    assert_eq!(device("shared").sessions.load(SeqCst), 1);
    assert!(rig.link("left").meter.report().budget.requests_per_s <= 50.0);
    assert_eq!(rig.quality("right/1"), Some(Quality::GOOD));
    // The first one goes: the other goes on under its own name.
    rig.reconcile(&[shared("right", 50.0)]).await;
    ms(500).await;
    assert!(rig.directory.find("left").is_none());
    assert_eq!(rig.quality("right/1"), Some(Quality::GOOD));
}
