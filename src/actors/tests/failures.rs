//! What a dead unit, a lost link and a broken driver cost, and whom.

use std::sync::atomic::Ordering::SeqCst;

use super::*;
use crate::model::LinkState;

#[tokio::test(start_paused = true)]
async fn a_dead_unit_leaves_its_neighbours_good() {
    let device = device("unit");
    device.dead.lock().insert(UnitId(2));
    let rig = Rig::start(&[spec("unit", &[1, 2, 3])]).await;
    ms(60_000).await;
    assert_eq!(rig.quality("unit/1"), Some(Quality::GOOD));
    assert_eq!(rig.quality("unit/2"), Some(Quality::BAD_NO_COMMUNICATION));
    assert_eq!(rig.quality("unit/3"), Some(Quality::GOOD));
    // A timeout and a reconnect per back-off: 0.5 s doubling, so seven in the first minute.
    let sessions = device.sessions.load(SeqCst);
    assert!((5..=9).contains(&sessions), "{sessions}");
    assert!(rig.scans("unit", 0) > 400);
    device.dead.lock().clear();
    ms(31_000).await;
    assert_eq!(rig.quality("unit/2"), Some(Quality::GOOD));
    assert!(rig.link("unit").report().units.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_scanned_once_an_hour_is_read_as_soon_as_its_unit_is_back() {
    let device = device("rare");
    device.dead.lock().insert(UnitId(2));
    let mut spec = spec("rare", &[1, 2]);
    for tag in &mut spec.tags {
        Arc::make_mut(tag).scan = ScanClass { scan_ms: 3_600_000 };
    }
    let rig = Rig::start(&[spec]).await;
    ms(10_000).await;
    assert_eq!(rig.quality("rare/1"), Some(Quality::GOOD));
    assert_eq!(rig.quality("rare/2"), Some(Quality::BAD_NO_COMMUNICATION));
    device.dead.lock().clear();
    ms(31_000).await;
    assert_eq!(rig.quality("rare/2"), Some(Quality::GOOD));
}

#[tokio::test(start_paused = true)]
async fn many_dead_units_leave_the_live_one_its_scans_and_are_all_tried_in_turn() {
    let device = device("many");
    device.dead.lock().extend((2..=20).map(UnitId));
    let mut spec = spec("many", &(1..=20).collect::<Vec<u8>>());
    for tag in &mut spec.tags {
        Arc::make_mut(tag).scan = ScanClass { scan_ms: 1000 };
    }
    let rig = Rig::start(&[spec]).await;
    // The first round finds out who is dead, a second each.
    ms(20_000).await;
    let before = rig.scans("many", 0);
    ms(120_000).await;
    let scans = rig.scans("many", 0) - before;
    assert!(scans >= 115, "{scans} of 120");
    let failures = || {
        let units = rig.link("many").report().units;
        assert_eq!(units.len(), 19);
        let all = units.iter().map(|unit| unit.failures);
        (all.clone().min().unwrap(), all.max().unwrap())
    };
    let (least, most) = failures();
    assert!(least >= 4 && most <= least + 1, "{least} to {most}");
    device.dead.lock().clear();
    // Nineteen turns, each with as long a pause after it at most.
    ms(62_000).await;
    assert!(rig.link("many").report().units.is_empty());
}

#[tokio::test(start_paused = true)]
async fn scans_that_take_all_the_time_let_a_dead_unit_come_back() {
    let device = device("busy");
    device.answer_ms.store(150, SeqCst);
    device.dead.lock().insert(UnitId(2));
    let rig = Rig::start(&[spec("busy", &[1, 2])]).await;
    ms(60_000).await;
    assert_eq!(rig.quality("busy/2"), Some(Quality::BAD_NO_COMMUNICATION));
    device.dead.lock().clear();
    ms(62_000).await;
    assert_eq!(rig.quality("busy/2"), Some(Quality::GOOD));
}

#[tokio::test(start_paused = true)]
async fn a_lost_link_keeps_its_values_as_the_last_usable_ones() {
    let device = device("lost");
    let rig = Rig::start(&[spec("lost", &[1])]).await;
    ms(500).await;
    device.is_down.store(true, SeqCst);
    ms(500).await;
    let id = rig.cache.resolve("lost/1").unwrap();
    let sample = rig.cache.latest(id).unwrap().sample;
    assert_eq!((sample.value, sample.quality), (Value::I64(7), Quality::UNCERTAIN_LAST_USABLE));
    let before = device.seen();
    ms(600_000).await;
    assert_eq!(rig.link("lost").report().state, LinkState::Backoff);
    // No storm: an attempt every 24 to 30 s, after a few at the start.
    let attempts = (device.seen() - before) / SETUP;
    assert!((18..=33).contains(&attempts), "{attempts}");
    device.is_down.store(false, SeqCst);
    ms(31_000).await;
    assert_eq!(rig.quality("lost/1"), Some(Quality::GOOD));
    let slice = rig.link("lost").report().slices[0].clone();
    assert_eq!((slice.stretched, slice.real_scan_ms), (0, Some(100)));
}

#[tokio::test(start_paused = true)]
async fn a_panicking_poller_comes_back_and_its_neighbours_miss_nothing() {
    let device = device("panics");
    let rig = Rig::start(&[spec("panics", &[1]), spec("calm", &[1])]).await;
    ms(1000).await;
    let calm = rig.scans("calm", 0);
    device.scan_panics.store(1, SeqCst);
    ms(300).await;
    let report = rig.link("panics").report();
    assert_eq!((report.restarts, report.state), (1, LinkState::Up));
    assert_eq!(rig.quality("panics/1"), Some(Quality::GOOD));
    assert_eq!(rig.scans("calm", 0) - calm, 3);
    assert_eq!(rig.link("calm").report().slices[0].stretched, 0);
}

#[tokio::test(start_paused = true)]
async fn a_killed_poller_comes_back() {
    let device = device("killed");
    let rig = Rig::start(&[spec("killed", &[1])]).await;
    ms(500).await;
    rig.link("killed").poller().unwrap().kill();
    ms(500).await;
    let report = rig.link("killed").report();
    assert_eq!((report.restarts, report.state), (1, LinkState::Up));
    assert_eq!(device.sessions.load(SeqCst), 2);
    assert_eq!(rig.quality("killed/1"), Some(Quality::GOOD));
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_goes_down_takes_its_pollers_and_their_links_with_it() {
    let device = device("orphan");
    let rig = Rig::start(&[spec("orphan", &[1])]).await;
    ms(500).await;
    let before = rig.link("orphan");
    rig.endpoints.kill();
    ms(500).await;
    let seen = device.seen();
    ms(1000).await;
    assert_eq!(device.seen(), seen, "nobody scans any more");
    let (cache, directory) = (rig.cache.clone(), rig.directory.clone());
    let rig = Rig::over(cache, directory, &[spec("orphan", &[1])]).await;
    ms(500).await;
    assert!(!Arc::ptr_eq(&before, &rig.link("orphan")));
    assert_eq!(rig.directory.endpoints().len(), 1);
    assert!(ask(&rig.link("orphan"), block(1, 0), 10).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn five_panics_in_ten_minutes_quarantine_an_endpoint_and_calls_hear_so_at_once() {
    let device = device("five");
    device.scan_panics.store(5, SeqCst);
    let rig = Rig::start(&[spec("five", &[1])]).await;
    ms(10_000).await;
    let link = rig.link("five");
    assert_eq!((link.report().restarts, link.report().state), (5, LinkState::Quarantined));
    assert_eq!(rig.quality("five/1"), Some(Quality::BAD_OUT_OF_SERVICE));
    let (start, seen) = (Instant::now(), device.seen());
    assert_eq!(kind(ask(&link, block(1, 0), 10).await), ErrorKind::Closed);
    assert_eq!((start.elapsed(), device.seen()), (Duration::ZERO, seen));
    // A changed configuration starts it again.
    rig.reconcile(&[spec("five", &[1, 2])]).await;
    ms(500).await;
    assert_eq!(rig.quality("five/2"), Some(Quality::GOOD));
}

#[tokio::test(start_paused = true)]
async fn four_panics_now_and_then_quarantine_nothing() {
    let device = device("four");
    let rig = Rig::start(&[spec("four", &[1])]).await;
    for _ in 0..8 {
        device.scan_panics.store(1, SeqCst);
        ms(160_000).await;
    }
    assert_eq!(rig.link("four").report().restarts, 8);
    assert_eq!(rig.quality("four/1"), Some(Quality::GOOD));
}
