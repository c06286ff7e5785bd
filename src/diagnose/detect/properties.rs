//! Whatever a window holds, a detector answers: by evidence, or with the reason why not.

use proptest::prelude::*;

use super::{DETECTORS, Judgement, Neighbours, Signal, Subject};
use crate::model::{Limits, Quality, Sample, Scale, Tag, Timestamp, Value, Window};

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (-100.0..100.0_f64).prop_map(Value::F64),
        1 => prop::sample::select(vec![
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            1e308,
            -1e308,
            f64::MIN_POSITIVE,
            0.0,
            -0.0,
        ])
        .prop_map(Value::F64),
        1 => any::<i64>().prop_map(Value::I64),
        1 => any::<u64>().prop_map(Value::U64),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => Just(Value::Null),
        1 => Just(Value::text("2026-06-30T12:00:00+02:00")),
    ]
}

fn quality() -> impl Strategy<Value = Quality> {
    prop_oneof![
        6 => Just(Quality::GOOD),
        1 => Just(Quality::UNCERTAIN_LAST_USABLE),
        1 => any::<u32>().prop_map(Quality::from_status),
    ]
}

/// Times in order, all alike, out of order, or at the ends of what there is.
fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        6 => (0..600_000_i64).prop_map(Timestamp::from_millis),
        1 => Just(Timestamp::from_millis(1000)),
        1 => any::<i64>().prop_map(Timestamp::from_nanos),
        1 => Just(Timestamp::from_nanos(i64::MAX)),
        1 => Just(Timestamp::from_nanos(i64::MIN)),
    ]
}

fn window() -> impl Strategy<Value = Window> {
    let sample = (value(), quality(), time(), prop::option::of(time()));
    let samples = prop::collection::vec(sample, 0..400);
    (samples, any::<bool>()).prop_map(|(mut samples, is_sorted)| {
        if is_sorted {
            samples.sort_by_key(|(_, _, at, _)| *at);
        }
        let mut window = Window::default();
        for (value, quality, received_ts, source_ts) in samples {
            window.push(Sample { value, quality, source_ts, received_ts });
        }
        window
    })
}

fn judge_all(window: &Window, neighbour: &Window, now: Timestamp) -> Vec<Judgement> {
    let (signal, other) = (Signal::of(window), Signal::of(neighbour));
    let mut tag = Tag::new("heartbeat", "e", "1");
    tag.scale = Some(Scale { raw: (0.0, 100.0), eu: (-50.0, 50.0) });
    tag.limits = Limits { warn_high: Some(80.0), ..Limits::default() };
    let neighbours = Neighbours::Ready(&[&other, &other]);
    let subject =
        Subject { signal: &signal, tag: Some(&tag), neighbours, seen: Some(now), from: None, now };
    DETECTORS.iter().map(|detector| detector.judge(&subject)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_window_makes_a_detector_crash_and_the_same_gives_the_same(
        window in window(),
        neighbour in window(),
        now in time(),
    ) {
        let first = judge_all(&window, &neighbour, now);
        prop_assert_eq!(&first, &judge_all(&window, &neighbour, now));
        for finding in first.iter().filter_map(Judgement::finding) {
            prop_assert!(finding.evidence.value.is_finite());
            prop_assert!(finding.evidence.bound.is_finite());
            for sample in &finding.evidence.samples {
                prop_assert_eq!(window.received.get(sample.position), Some(&sample.received_ts));
            }
        }
    }
}

/// Nothing says that all is well where there is nothing to say it by.
#[test]
fn without_evidence_no_detector_says_that_nothing_is_wrong() {
    let second = |s: i64| Timestamp::from_millis(s * 1000);
    let filled = |n: i64, value: Value, quality: Quality| {
        let mut window = Window::default();
        for s in 0..n {
            let (value, received_ts) = (value.clone(), second(s));
            window.push(Sample { value, quality, source_ts: None, received_ts });
        }
        window
    };
    let empty = Window::default();
    let cases = [
        empty.clone(),
        filled(1, Value::F64(1.5), Quality::GOOD),
        filled(500, Value::F64(f64::NAN), Quality::GOOD),
        filled(500, Value::Null, Quality::BAD),
        filled(500, Value::F64(1e308), Quality::GOOD),
    ];
    for window in cases {
        let judged = judge_all(&window, &empty, second(500));
        for (detector, judgement) in DETECTORS.iter().zip(judged) {
            // What came, and how well, needs no number.
            let by_arrival = ["quality", "freshness"].contains(&detector.name);
            let is_said = matches!(judgement, Judgement::Nothing);
            assert!(by_arrival || !is_said, "{}: {} samples", detector.name, window.len());
        }
    }
    let judged = judge_all(&empty, &empty, second(500));
    assert!(judged.iter().all(|judgement| !judgement.is_evaluated()));
}

/// More samples than anybody keeps are judged by the newest of them.
#[test]
fn ten_million_samples_are_judged_by_the_newest() {
    let n = 10_000_000_i64;
    let window = Window {
        received: (0..n).map(Timestamp::from_millis).collect(),
        source: Vec::new(),
        values: (0..n).map(|s| Value::F64(if s % 2 == 0 { 1.25 } else { 1.75 })).collect(),
        qualities: vec![Quality::GOOD; 10_000_000],
        lost: 0,
    };
    let signal = Signal::of(&window);
    assert_eq!(signal.numbers.len(), super::SAMPLES_MAX);
    let judged = judge_all(&window, &Window::default(), Timestamp::from_millis(n));
    assert_eq!(judged.len(), DETECTORS.len());
}
