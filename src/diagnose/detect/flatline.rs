//! A measurement that stands still although it has noise of its own.
//!
//! The run test: where one sample in so many repeats the one before, a run of equal samples has
//! a chance that shrinks with each (Mood 1940). A signal without noise may rest by itself, and
//! is not judged.

use super::signal::Kind;
use super::texture::Texture;
use super::{Detector, Evidence, Finding, Judgement, Severity, Signal, Subject, Verdict};
use crate::model::Timestamp;

/// Shorter runs are no standing still, whatever their chance.
const RUN_MIN: usize = 8;
/// The run must be so many times the longest before: noise may hide within one step for a while.
const LONGER: usize = 3;
/// Samples before the run that tell how the signal moves.
const BEFORE_MIN: usize = 16;
/// A counter that went up so often in the 16 samples before was counting; so was one that moved
/// as often as the signal itself, where that hardly moved.
const COUNTS_MIN: usize = 4;
/// What stops within this of each other stops together.
const TOGETHER_MS: i64 = 5_000;
/// What has begun again within this has not had the time to show in each signal.
const AGAIN_MS: i64 = 10_000;

/// The detector.
pub(super) const FLATLINE: Detector = Detector {
    name: "flatline",
    finds: "a measurement that always moved and stands still",
    verdicts: &[Verdict::Flatline],
    setting: "digits of the chance that the run has by itself: 9 is one in a thousand million",
    usual: 9.0,
    evidence_min: BEFORE_MIN + RUN_MIN,
    is_beside_others: true,
    judge,
};

fn judge(subject: &Subject<'_>, digits: f64) -> Judgement {
    let signal = subject.signal;
    if signal.bad_since.is_some() {
        return Judgement::NotEvaluated("the newest sample is Bad");
    }
    match signal.kind {
        Kind::Unknown => return Judgement::NotEvaluated("too few numbers to tell its kind"),
        Kind::Discrete => return Judgement::NotEvaluated("states may stand still"),
        Kind::Counter => return Judgement::NotEvaluated("a counter may stand still"),
        Kind::Analogue => {}
    }
    let numbers = signal.numbers.as_slice();
    let Some(last) = numbers.last().copied() else {
        return Judgement::NotEvaluated("no numbers");
    };
    let run = numbers.iter().rev().take_while(|x| **x == last).count();
    let before = numbers.get(..numbers.len() - run).unwrap_or_default();
    if before.len() < BEFORE_MIN {
        return Judgement::NotEvaluated("too little movement before to compare with");
    }
    let texture = Texture::of(before);
    if !texture.is_restless() {
        return Judgement::NotEvaluated("the signal has no noise of its own: it may rest");
    }
    let range = subject.tag.and_then(super::saturation::range);
    if range.is_some_and(|(low, high)| last <= low || last >= high) {
        return Judgement::NotEvaluated("it stands at an end of its range: see saturation");
    }
    if rests_at_zero(before, last) {
        return Judgement::NotEvaluated("it rests at zero, the end of its range");
    }
    // A chance of one half at least: a signal that never repeated says little of how it might.
    let repeats = (1.0 - texture.changing).clamp(0.5, 0.95);
    let by_chance = (digits / -repeats.log10()).ceil();
    #[allow(clippy::cast_precision_loss, reason = "at most 20 000 samples")]
    let bound = by_chance.max((LONGER * texture.longest_run).max(RUN_MIN) as f64);
    #[allow(clippy::cast_precision_loss, reason = "at most 20 000 samples")]
    let run_samples = run as f64;
    if run_samples < bound {
        return Judgement::Nothing;
    }
    if signal.times.get(numbers.len() - run).is_some_and(|since| process_stands(subject, *since)) {
        return Judgement::NotEvaluated("what its neighbours count stopped with it: it may rest");
    }
    found(signal, run, (run_samples, bound))
}

/// Tells whether a neighbour that was counting stopped when the run began, while another
/// with noise of its own goes on: the process stands, and the device does not.
fn process_stands(subject: &Subject<'_>, since: Timestamp) -> bool {
    let last_changes = |n: &Signal| {
        let end = n.times.partition_point(|at| *at < since);
        let before = n.numbers.get(end.saturating_sub(BEFORE_MIN)..end).unwrap_or_default();
        Texture::of(before).changes
    };
    // The last change before whatever began again just now.
    let until = subject.now.plus_millis(-AGAIN_MS).max(since.plus_millis(TOGETHER_MS));
    let changed = |n: &Signal| {
        let end = n.times.partition_point(|at| *at <= until);
        let numbers = n.numbers.get(..end)?;
        let later = numbers.iter().zip(numbers.iter().skip(1)).rposition(|(a, b)| a != b)?;
        n.times.get(later + 1).copied()
    };
    let own = last_changes(subject.signal);
    let stopped = |n: &Signal| {
        let is_counting = n.kind == Kind::Counter && last_changes(n) >= COUNTS_MIN.min(own);
        let apart_ms = changed(n).map(|at| at.millis_since(since).abs());
        is_counting && apart_ms.is_some_and(|apart_ms| apart_ms <= TOGETHER_MS)
    };
    let goes_on = |n: &Signal| {
        changed(n).is_some_and(|at| at.millis_since(since) > TOGETHER_MS)
            && Texture::of(&n.numbers).is_restless()
    };
    subject.neighbours.iter().any(stopped) && subject.neighbours.iter().any(goes_on)
}

/// A meter that shows exactly zero below its cut-off rests there.
fn rests_at_zero(before: &[f64], last: f64) -> bool {
    last == 0.0 && (before.iter().all(|x| *x >= 0.0) || before.iter().all(|x| *x <= 0.0))
}

fn found(signal: &Signal, run: usize, (value, bound): (f64, f64)) -> Judgement {
    let samples = signal.samples(signal.numbers.len().saturating_sub(run)..signal.numbers.len());
    let Some(since) = samples.first().map(|sample| sample.received_ts) else {
        return Judgement::NotEvaluated("no numbers");
    };
    Judgement::Found(Finding {
        verdict: Verdict::Flatline,
        severity: Severity::Medium,
        since,
        evidence: Evidence::new(("equal samples in a row", value, bound), samples),
        next: "otctl plot TAG --since 1h, then check the sensor and its wiring",
    })
}

#[cfg(test)]
mod tests {
    use super::super::Neighbours;
    use super::super::signal::tests::window;
    use super::super::testing::{judged, subject};
    use super::*;
    use crate::diagnose::trained::tests::noise;

    fn judged_by(values: &[f64]) -> Judgement {
        judged(&FLATLINE, &window(values))
    }

    #[test]
    fn noise_that_stops_is_found_with_the_run_as_evidence() {
        let mut values: Vec<f64> = noise(60, 3).iter().map(|x| 50.0 + x).collect();
        assert_eq!(judged_by(&values), Judgement::Nothing);
        values.extend([50.25; 40]);
        let judgement = judged_by(&values);
        let finding = judgement.finding().unwrap();
        assert_eq!(finding.verdict, Verdict::Flatline);
        assert_eq!(finding.since.millis(), 60_000);
        assert_eq!(finding.evidence.sample_count, 40);
        assert_eq!(finding.evidence.samples[0].position, 60);
        assert_eq!(judgement, judged_by(&values), "the same window gives the same finding");
    }

    #[test]
    fn what_stops_with_a_count_beside_it_rests_and_what_stops_alone_does_not() {
        let mut values: Vec<f64> = noise(60, 3).iter().map(|x| 50.0 + x).collect();
        values.extend([50.25; 60]);
        let own = Signal::of(&window(&values));
        let alive = Signal::of(&window(&noise(120, 4)));
        let count = |until: u32| {
            let counts: Vec<f64> = (0..120_u32).map(|n| f64::from(n.min(until))).collect();
            Signal::of(&window(&counts))
        };
        let judged = |neighbours: &[&Signal]| {
            let neighbours = Neighbours::Ready(neighbours);
            FLATLINE.judge(&Subject { neighbours, ..subject(&own) })
        };
        assert!(!judged(&[&count(61), &alive]).is_evaluated());
        assert!(judged(&[&count(120), &alive]).finding().is_some(), "the process goes on");
        assert!(judged(&[&count(61)]).finding().is_some(), "the whole device may be frozen");
        assert!(judged(&[&count(20), &alive]).finding().is_some(), "it moved when that stood");
    }

    #[test]
    fn what_may_rest_is_not_judged() {
        let mut valve: Vec<f64> = (0..60).map(|n| f64::from(n) / 7.0).collect();
        valve.extend([8.5; 200]);
        assert!(!judged_by(&valve).is_evaluated());
        assert!(!judged_by(&[5.5; 500]).is_evaluated());
        let mut flow: Vec<f64> = noise(60, 3).iter().map(|x| 5.0 + x).collect();
        flow.extend([0.0; 200]);
        assert!(!judged_by(&flow).is_evaluated());
        assert!(!judged_by(&[0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]).is_evaluated());
        assert!(!judged_by(&[]).is_evaluated());
    }
}
