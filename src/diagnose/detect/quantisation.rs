//! Steps that have become coarser or finer: all values of a stretch lie on a lattice, and it is
//! not the one they lay on before.

use super::signal::Kind;
use super::texture::Texture;
use super::{Detector, Evidence, Finding, Judgement, Severity, Subject, Verdict};

/// Numbers of each half.
const HALF_MIN: usize = 60;
/// A step this near to a whole number of quanta lies on the lattice.
const ON_LATTICE: f64 = 0.05;
/// Where most steps have more quanta, lying on a lattice is chance.
const QUANTA_MAX: f64 = 20.0;

/// The detector.
pub(super) const QUANTISATION: Detector = Detector {
    name: "quantisation",
    finds: "a smallest step between values that has changed",
    verdicts: &[Verdict::QuantisationChange],
    setting: "times the step before, or its inverse",
    usual: 4.0,
    evidence_min: 2 * HALF_MIN,
    is_beside_others: false,
    judge,
};

fn judge(subject: &Subject<'_>, factor: f64) -> Judgement {
    let signal = subject.signal;
    if signal.kind == Kind::Discrete || signal.kind == Kind::Counter {
        return Judgement::NotEvaluated("states and counters have their own steps");
    }
    let numbers = signal.numbers.as_slice();
    let half = numbers.len() / 2;
    if half < HALF_MIN {
        return Judgement::NotEvaluated("fewer than 120 numbers");
    }
    let (before, newest) = numbers.split_at(numbers.len() - half);
    // Only noise visits the steps of a lattice evenly enough to show it.
    if !Texture::of(before).is_restless() || !Texture::of(newest).is_restless() {
        return Judgement::NotEvaluated("the signal has no noise of its own");
    }
    let (Some(was), Some(now)) = (quantum(before), quantum(newest)) else {
        return Judgement::NotEvaluated("the values lie on no lattice");
    };
    if now < factor * was && was < factor * now {
        return Judgement::Nothing;
    }
    let samples = signal.samples(before.len()..numbers.len());
    let Some(since) = samples.first().map(|sample| sample.received_ts) else {
        return Judgement::Nothing;
    };
    Judgement::Found(Finding {
        verdict: Verdict::QuantisationChange,
        severity: Severity::Low,
        since,
        evidence: Evidence::new(("smallest step now, and before", now, was), samples),
        next: "otctl tag find TAG, and hold its type and scale against the device's",
    })
}

/// Gives the quantum of values that lie on a lattice.
fn quantum(numbers: &[f64]) -> Option<f64> {
    let pairs = || numbers.iter().zip(numbers.iter().skip(1));
    let mut steps: Vec<f64> = pairs().map(|(a, b)| (b - a).abs()).filter(|s| *s > 0.0).collect();
    steps.sort_unstable_by(f64::total_cmp);
    let scale = numbers.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    // What is left of a difference below this is rounding.
    let least = steps.iter().copied().find(|step| *step > scale * 1e-9)?;
    let middle = steps.get(steps.len() / 2).copied()?;
    let is_on = |step: &f64| ((step / least) - (step / least).round()).abs() <= ON_LATTICE;
    let on = steps.iter().filter(|step| is_on(step)).count();
    (on * 100 >= steps.len() * 98 && middle <= QUANTA_MAX * least).then_some(least)
}

#[cfg(test)]
mod tests {
    use super::super::signal::tests::window;
    use super::super::testing::judged;
    use super::*;
    use crate::diagnose::trained::tests::noise;

    fn stepping(before: f64, after: f64) -> Judgement {
        let values = noise(300, 3).into_iter().zip(0_u32..);
        let round = |x: f64, step: f64| (x * 5.0 / step).round() * step + 40.0;
        let values: Vec<f64> =
            values.map(|(x, n)| round(x, if n < 150 { before } else { after })).collect();
        judged(&QUANTISATION, &window(&values))
    }

    #[test]
    fn coarser_and_finer_steps_are_found() {
        for (before, after) in [(0.5, 2.5), (2.5, 0.5)] {
            let judgement = stepping(before, after);
            let finding = judgement.finding().unwrap();
            assert_eq!(finding.verdict, Verdict::QuantisationChange);
            assert!((finding.evidence.value - after).abs() < 1e-6);
        }
        assert_eq!(stepping(0.5, 0.5), Judgement::Nothing);
    }

    #[test]
    fn values_on_no_lattice_are_not_judged() {
        assert!(!judged(&QUANTISATION, &window(&noise(300, 3))).is_evaluated());
        assert!(!judged(&QUANTISATION, &window(&[1.5; 300])).is_evaluated());
    }
}
