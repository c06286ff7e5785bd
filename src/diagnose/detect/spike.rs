//! Single values far from their neighbours on both sides: the Hampel identifier.

use super::hampel::{HAMPEL_SIDE, hampel};
use super::signal::Kind;
use super::texture::Texture;
use super::{Detector, Evidence, Finding, Judgement, Severity, Signal, Subject, Verdict};
use crate::diagnose::robust::MAD_TO_SIGMA;
use crate::model::Timestamp;

/// Numbers that show how far the signal steps.
const NUMBERS_MIN: usize = 60;
/// The share of steps that are usual.
const USUAL_STEP: (usize, usize) = (95, 100);
/// More that stand out around it are no spike: the level has changed, or the process pulses.
const AROUND_MAX: usize = 2;
/// What is beyond this share of the bound stands out: a process takes time to go and return,
/// and shows on the way.
const STANDS_OUT: f64 = 0.2;

/// What a state beside it does within the first is of the same moment; the second shows whether
/// it stood otherwise.
const MOMENT_MS: i64 = 3_000;
const AROUND_MS: i64 = 30_000;

/// The detector.
pub(super) const SPIKE: Detector = Detector {
    name: "spike",
    finds: "single values far from their neighbours on both sides",
    verdicts: &[Verdict::Spike],
    setting: "deviations from the local median, by its MAD",
    usual: 30.0,
    evidence_min: NUMBERS_MIN,
    is_beside_others: true,
    judge,
};

fn judge(subject: &Subject<'_>, deviations: f64) -> Judgement {
    let signal = subject.signal;
    if signal.kind != Kind::Analogue {
        return Judgement::NotEvaluated("only measured numbers have spikes");
    }
    let numbers = signal.numbers.as_slice();
    if numbers.len() < NUMBERS_MIN {
        return Judgement::NotEvaluated("fewer than 60 numbers");
    }
    // A signal of few digits has stretches without any spread: its usual step is the least.
    let floor = usual_step(numbers) / 2.0;
    if floor <= 0.0 {
        return Judgement::NotEvaluated("the signal hardly moves");
    }
    let mut found: Vec<(usize, f64)> = Vec::new();
    hampel(numbers, |at, local| {
        let sigma = (local.mad * MAD_TO_SIGMA).max(floor);
        let away =
            numbers.get(at).map_or(0.0, |x| ((x - local.median).abs() / sigma).min(f64::MAX));
        if away > deviations && is_alone(numbers, at, local.median, STANDS_OUT * away * sigma) {
            found.push((at, away));
        }
    });
    found.retain(|(at, _)| signal.times.get(*at).is_some_and(|at| !process_jerks(subject, *at)));
    let Some((first, _)) = found.first().copied() else { return Judgement::Nothing };
    let furthest = found.iter().map(|(_, away)| *away).fold(0.0, f64::max);
    let samples: Vec<_> = found.iter().flat_map(|(at, _)| signal.samples(*at..at + 1)).collect();
    let Some(since) = signal.times.get(first).copied() else { return Judgement::Nothing };
    Judgement::Found(Finding {
        verdict: Verdict::Spike,
        severity: Severity::Low,
        since,
        evidence: Evidence::new(
            ("deviations from the local median", furthest, deviations),
            samples,
        ),
        next: "otctl plot TAG --since 10m, then check shielding and connectors",
    })
}

/// Tells whether a state or a counter beside it, which otherwise stood, changed in the same
/// moment: a machine that starts and stops at once is no disturbance of a signal.
fn process_jerks(subject: &Subject<'_>, at: Timestamp) -> bool {
    let changes = |n: &Signal, within_ms: i64| {
        let (from, to) = (at.plus_millis(-within_ms), at.plus_millis(within_ms));
        let first = n.times.partition_point(|time| *time < from).saturating_sub(1);
        let end = n.times.partition_point(|time| *time <= to);
        Texture::of(n.numbers.get(first..end).unwrap_or_default()).changes
    };
    let has_states = |n: &&Signal| matches!(n.kind, Kind::Discrete | Kind::Counter);
    let mut states = subject.neighbours.iter().filter(has_states);
    states.any(|n| {
        let inside = changes(n, MOMENT_MS);
        inside > 0 && changes(n, AROUND_MS) <= 2 * inside
    })
}

/// Tells whether hardly another value around it is as far as that from the median.
fn is_alone(numbers: &[f64], at: usize, median: f64, far: f64) -> bool {
    let around = numbers.get(at.saturating_sub(HAMPEL_SIDE)..=at + HAMPEL_SIDE);
    let out = |around: &[f64]| around.iter().filter(|x| (**x - median).abs() > far).count();
    around.is_some_and(|around| out(around) <= AROUND_MAX)
}

fn usual_step(numbers: &[f64]) -> f64 {
    let pairs = numbers.iter().zip(numbers.iter().skip(1));
    let mut steps: Vec<f64> = pairs.map(|(a, b)| (b - a).abs()).filter(|s| *s > 0.0).collect();
    let at = steps.len() * USUAL_STEP.0 / USUAL_STEP.1;
    if at >= steps.len() {
        return 0.0;
    }
    *steps.select_nth_unstable_by(at, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::super::Neighbours;
    use super::super::signal::tests::window;
    use super::super::testing::{judged, subject};
    use super::*;
    use crate::diagnose::trained::tests::noise;

    #[test]
    fn a_spike_is_found_where_it_stands_and_a_step_is_none() {
        let mut values = noise(200, 3);
        assert_eq!(judged(&SPIKE, &window(&values)), Judgement::Nothing);
        values[120] = 40.0;
        let judgement = judged(&SPIKE, &window(&values));
        let evidence = &judgement.finding().unwrap().evidence;
        assert_eq!((evidence.sample_count, evidence.samples[0].position), (1, 120));
        let step: Vec<f64> = noise(200, 3)
            .iter()
            .zip(0..)
            .map(|(x, n)| if n < 90 { *x } else { x + 40.0 })
            .collect();
        assert_eq!(judged(&SPIKE, &window(&step)), Judgement::Nothing);
        let mut dip = noise(200, 3);
        for (x, share) in dip[120..].iter_mut().zip([0.3, 1.0, 0.6, 0.3]) {
            *x -= 60.0 * share;
        }
        assert_eq!(judged(&SPIKE, &window(&dip)), Judgement::Nothing, "a process takes time");
        let own = Signal::of(&window(&values));
        let beside = |states: &dyn Fn(u32) -> f64| {
            let states = Signal::of(&window(&(0..200).map(states).collect::<Vec<_>>()));
            let neighbours = Neighbours::Ready(&[&states]);
            SPIKE.judge(&Subject { neighbours, ..subject(&own) })
        };
        let started = |n| if (119..121).contains(&n) { 1.0 } else { 0.0 };
        assert_eq!(beside(&started), Judgement::Nothing, "the machine ran for a moment");
        assert!(beside(&f64::from).finding().is_some(), "a counter goes on all the time");
        assert!(!judged(&SPIKE, &window(&values[..30])).is_evaluated());
        assert!(!judged(&SPIKE, &window(&[7.5; 200])).is_evaluated());
    }
}
