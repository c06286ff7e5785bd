//! Single values far from their neighbours on both sides: the Hampel identifier.

use super::hampel::{HAMPEL_SIDE, hampel};
use super::signal::Kind;
use super::{Detector, Evidence, Finding, Judgement, Severity, Subject, Verdict};
use crate::diagnose::robust::MAD_TO_SIGMA;

/// Numbers that show how far the signal steps.
const NUMBERS_MIN: usize = 60;
/// The share of steps that are usual.
const USUAL_STEP: (usize, usize) = (95, 100);
/// More that stand out around it are no spike: the level has changed, or the process pulses.
const AROUND_MAX: usize = 2;
/// What is beyond this share of the bound stands out: a process takes time to go and return,
/// and shows on the way.
const STANDS_OUT: f64 = 0.2;

/// The detector.
pub(super) const SPIKE: Detector = Detector {
    name: "spike",
    finds: "single values far from their neighbours on both sides",
    verdicts: &[Verdict::Spike],
    setting: "deviations from the local median, by its MAD",
    usual: 30.0,
    evidence_min: NUMBERS_MIN,
    is_beside_others: false,
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
    let mut found: Vec<usize> = Vec::new();
    let mut furthest = 0.0_f64;
    hampel(numbers, |at, local| {
        let sigma = (local.mad * MAD_TO_SIGMA).max(floor);
        let away =
            numbers.get(at).map_or(0.0, |x| ((x - local.median).abs() / sigma).min(f64::MAX));
        if away > deviations && is_alone(numbers, at, local.median, STANDS_OUT * away * sigma) {
            found.push(at);
            furthest = furthest.max(away);
        }
    });
    let Some(first) = found.first().copied() else { return Judgement::Nothing };
    let samples: Vec<_> = found.iter().flat_map(|at| signal.samples(*at..at + 1)).collect();
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
    use super::super::signal::tests::window;
    use super::super::testing::judged;
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
        assert!(!judged(&SPIKE, &window(&values[..30])).is_evaluated());
        assert!(!judged(&SPIKE, &window(&[7.5; 200])).is_evaluated());
    }
}
