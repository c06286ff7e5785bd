//! Calls: joined, bounded, within their share, and never for nobody.

use std::sync::atomic::Ordering::SeqCst;

use futures::future::join_all;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_thousand_equal_demands_cost_one_request_and_the_connection() {
    let device = device("equal");
    device.answer_ms.store(20, SeqCst);
    let rig = Rig::start(&[spec("equal", &[])]).await;
    let link = rig.link("equal");
    let answers = join_all((0..1000).map(|_| ask(&link, block(1, 5), 10))).await;
    let costs: Vec<u32> = answers.into_iter().map(|answer| answer.unwrap().requests).collect();
    assert_eq!(costs.iter().filter(|cost| **cost > 0).count(), 1);
    assert_eq!((costs.iter().sum(), device.seen()), (SETUP + 1, SETUP + 1));
    let meter = link.meter.report();
    assert_eq!((meter.sent, meter.sent_on_demand), (4, 4));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_different_demands_are_a_bounded_queue_and_the_rest_is_busy() {
    let device = device("different");
    let mut spec = spec("different", &[]);
    spec.budget = Budget::default();
    let rig = Rig::start(&[spec]).await;
    let link = rig.link("different");
    let start = Instant::now();
    let answers = join_all((0..1000).map(|nth| ask(&link, block(1, nth), 10))).await;
    assert!(start.elapsed() <= Duration::from_secs(10));
    let busy = answers.iter().filter(|answer| matches!(answer, Err(AskError::Busy))).count();
    let answered = answers.iter().flatten().count();
    assert_eq!(busy, 1000 - 64);
    // Four a second are the calls' share of the default budget, after a burst of two.
    assert!((40..=43).contains(&answered), "{answered}");
    let starved: Vec<ErrorKind> = answers
        .into_iter()
        .filter(|answer| matches!(answer, Err(AskError::Driver { .. })))
        .map(kind)
        .collect();
    assert_eq!(starved, vec![ErrorKind::BudgetExhausted; 64 - answered]);
    assert_eq!(u64::from(device.seen()), link.meter.report().sent);
    // No permit was lost on the way.
    ms(60_000).await;
    let again = join_all((0..64).map(|nth| ask(&link, block(1, nth), 60))).await;
    assert!(again.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn calls_come_through_though_the_scans_use_up_the_budget() {
    let units: Vec<u8> = (1..=40).collect();
    let mut spec = spec("full", &units);
    spec.budget = Budget::default();
    let rig = Rig::start(&[spec]).await;
    ms(20_000).await;
    let link = rig.link("full");
    assert!(link.report().slices.iter().all(|slice| slice.stretched > 0));
    let before = Instant::now();
    assert_eq!(ask(&link, block(1, 0), 10).await.unwrap().requests, 1);
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_demand_is_never_sent() {
    let device = device("abandoned");
    device.answer_ms.store(2000, SeqCst);
    let rig = Rig::start(&[spec("abandoned", &[])]).await;
    let link = rig.link("abandoned");
    let first = ask(&link, block(1, 1), 10);
    let abandoned = async {
        let second = tokio::time::timeout(Duration::from_secs(1), ask(&link, block(1, 2), 10));
        assert!(second.await.is_err());
    };
    assert!(tokio::join!(first, abandoned).0.is_ok());
    assert!(ask(&link, block(1, 3), 10).await.is_ok());
    assert_eq!(*device.asked.lock(), [1, 3]);
}

#[tokio::test(start_paused = true)]
async fn whoever_joined_keeps_a_demand_alive_that_its_maker_has_left() {
    let device = device("left");
    device.answer_ms.store(2000, SeqCst);
    let rig = Rig::start(&[spec("left", &[])]).await;
    let link = rig.link("left");
    let leaves = tokio::time::timeout(Duration::from_secs(1), ask(&link, block(1, 1), 10));
    let joins = async {
        ms(500).await;
        ask(&link, block(1, 1), 10).await
    };
    let (left, joined) = tokio::join!(leaves, joins);
    assert!(left.is_err());
    assert_eq!((joined.unwrap().requests, device.asked.lock().len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_to_a_unit_that_rests_is_answered_at_once_and_costs_nothing() {
    let device = device("resting");
    device.dead.lock().insert(UnitId(9));
    let rig = Rig::start(&[spec("resting", &[1])]).await;
    ms(500).await;
    let link = rig.link("resting");
    assert_eq!(kind(ask(&link, block(9, 0), 10).await), ErrorKind::Timeout);
    let (start, sent) = (Instant::now(), link.meter.report().sent_on_demand);
    for question in [block(9, 1), Ask::Read { refs: Vec::new(), unit: Some(UnitId(9)) }] {
        assert_eq!(kind(ask(&link, question, 10).await), ErrorKind::Timeout);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(link.meter.report().sent_on_demand, sent);
    assert_eq!(rig.quality("resting/1"), Some(Quality::GOOD));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_breaks_the_driver_is_answered_and_not_repeated() {
    let device = device("broken");
    device.call_panics.store(100, SeqCst);
    let rig = Rig::start(&[spec("broken", &[1])]).await;
    ms(300).await;
    let link = rig.link("broken");
    assert_eq!(kind(ask(&link, block(1, 4), 10).await), ErrorKind::Closed);
    ms(1000).await;
    assert_eq!((link.report().restarts, device.asked.lock().len()), (1, 1));
    assert_eq!(rig.quality("broken/1"), Some(Quality::GOOD));
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_and_opened_again_for_the_next_call() {
    let device = device("idle");
    let rig = Rig::start(&[spec("idle", &[])]).await;
    let link = rig.link("idle");
    assert_eq!(device.seen(), 0, "without tags nothing is asked");
    ask(&link, block(1, 0), 10).await.unwrap();
    ms(61_000).await;
    assert_eq!(link.report().state, crate::model::LinkState::Closed);
    ms(600_000).await;
    assert_eq!(device.seen(), SETUP + 1);
    assert_eq!(ask(&link, block(1, 0), 10).await.unwrap().requests, SETUP + 1);
}

#[tokio::test(start_paused = true)]
async fn scans_go_on_while_a_call_of_many_requests_waits_for_its_budget() {
    let device = device("turns");
    let mut spec = spec("turns", &[1]);
    spec.budget = Budget::default();
    let rig = Rig::start(&[spec]).await;
    ms(1000).await;
    let (link, scans) = (rig.link("turns"), rig.scans("turns", 0));
    let refs: Vec<Arc<str>> = (0..22).map(|n| n.to_string().into()).collect();
    // Two of the burst, and then four a second.
    let answer = ask(&link, Ask::Read { refs, unit: None }, 10).await.unwrap();
    assert_eq!(answer.requests, 22);
    let scans = rig.scans("turns", 0) - scans;
    assert!((48..=52).contains(&scans), "{scans} scans in five seconds");
    assert_eq!(link.report().slices[0].stretched, 0);
    assert_eq!(u64::from(device.seen()), link.meter.report().sent);
}

#[tokio::test(start_paused = true)]
async fn a_call_of_more_requests_than_its_deadline_has_budget_for_says_so() {
    let mut spec = spec("short", &[1]);
    spec.budget = Budget::default();
    let rig = Rig::start(&[spec]).await;
    let refs: Vec<Arc<str>> = (0..100).map(|n| n.to_string().into()).collect();
    let failed = ask(&rig.link("short"), Ask::Read { refs, unit: None }, 10).await;
    assert_eq!(kind(failed), ErrorKind::BudgetExhausted);
    assert!(ask(&rig.link("short"), block(1, 0), 10).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_joined_a_call_that_had_too_little_time_gets_a_chance_of_its_own() {
    // The calls' share has room, and the scans have used up the rest.
    let mut slow = spec("poor", &[1]);
    let budget = Budget { requests_per_s: 0.2, burst: 1, connections: 1, on_demand_share: 1.0 };
    slow.budget = budget;
    let rig = Rig::start(&[slow, spec("late", &[])]).await;
    ms(100).await;
    let link = rig.link("poor");
    let (led, joined) = tokio::join!(ask(&link, block(1, 7), 1), ask(&link, block(1, 7), 30));
    assert_eq!(kind(led), ErrorKind::BudgetExhausted);
    assert_eq!(joined.unwrap().requests, 1);
    // A device that answers later than the first call's time.
    let device = device("late");
    device.answer_ms.store(6000, SeqCst);
    let link = rig.link("late");
    let (led, joined) = tokio::join!(ask(&link, block(1, 7), 1), ask(&link, block(1, 7), 30));
    assert_eq!(kind(led), ErrorKind::Timeout);
    assert!(joined.is_ok(), "{joined:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_unit_is_asked_once_for_all_who_wait_however_long_they_would() {
    let device = device("mute");
    device.dead.lock().insert(UnitId(9));
    let rig = Rig::start(&[spec("mute", &[1])]).await;
    ms(500).await;
    let link = rig.link("mute");
    let before = link.meter.report().sent_on_demand;
    let answers = join_all((0..30).map(|nth| ask(&link, block(9, 1), 5 + nth))).await;
    assert!(answers.into_iter().all(|answer| kind(answer) == ErrorKind::Timeout));
    assert_eq!(link.meter.report().sent_on_demand - before, 1);
}
