//! Noise that has grown or gone, whatever the process does: second differences leave out level
//! and slope (von Neumann 1941), their median leaves out steps.

use super::signal::Kind;
use super::texture::Texture;
use super::{Detector, Evidence, Finding, Judgement, Severity, Subject, Verdict};
use crate::diagnose::robust::{MAD_TO_SIGMA, median};

/// Numbers on either side of the change.
const PART_MIN: usize = 60;
/// The newest part is this share of the window.
const NEWEST: usize = 4;
/// The least share of samples that differ from the one before: fewer, and it rests at times.
const CHANGING_MIN: f64 = 0.8;
/// What is left of a difference below this share of the values is rounding.
const ROUNDING: f64 = 1e-9;
/// White noise has second differences of this many deviations: the square root of six.
const SECOND: f64 = 2.449_489_742_783_178;

/// The detector.
pub(super) const NOISE: Detector = Detector {
    name: "noise",
    finds: "noise that has grown or gone",
    verdicts: &[Verdict::NoiseChange],
    setting: "times the noise before, or its inverse",
    usual: 4.0,
    evidence_min: NEWEST * PART_MIN,
    is_beside_others: false,
    judge,
};

fn judge(subject: &Subject<'_>, factor: f64) -> Judgement {
    let signal = subject.signal;
    if signal.kind != Kind::Analogue {
        return Judgement::NotEvaluated("only measured numbers have noise");
    }
    let numbers = signal.numbers.as_slice();
    let newest_len = numbers.len() / NEWEST;
    if newest_len < PART_MIN {
        return Judgement::NotEvaluated("fewer than 240 numbers");
    }
    let (before, newest) = numbers.split_at(numbers.len() - newest_len);
    // Each part must be noise itself: what stops with its process has none of its own.
    let is_noise = |part: &[f64]| {
        let texture = Texture::of(part);
        texture.is_restless() && texture.changing >= CHANGING_MIN
    };
    if !is_noise(before) || !is_noise(newest) {
        return Judgement::NotEvaluated("the signal has no noise of its own");
    }
    // The quietest and the loudest quarter before: the noise may follow the process.
    let quarters = || before.chunks_exact(newest_len).filter_map(sigma);
    let (Some(now), Some(least), Some(most)) =
        (sigma(newest), quarters().reduce(f64::min), quarters().reduce(f64::max))
    else {
        return Judgement::NotEvaluated("the signal hardly moves");
    };
    let (value, bound) = match () {
        () if now > factor * most => (now, factor * most),
        () if now * factor < least => (now, least / factor),
        () => return Judgement::Nothing,
    };
    let samples = signal.samples(before.len()..numbers.len());
    let Some(since) = samples.first().map(|sample| sample.received_ts) else {
        return Judgement::Nothing;
    };
    Judgement::Found(Finding {
        verdict: Verdict::NoiseChange,
        severity: Severity::Low,
        since,
        evidence: Evidence::new(("deviation of the noise", value, bound), samples),
        next: "otctl plot TAG --since 1h, then check filter, shielding and range of the sensor",
    })
}

/// Gives the deviation of the noise; `None` where more than half of it is exactly nothing.
fn sigma(numbers: &[f64]) -> Option<f64> {
    let later = numbers.iter().skip(1).zip(numbers.iter().skip(2));
    let mut seconds: Vec<f64> =
        numbers.iter().zip(later).map(|(a, (b, c))| (a - 2.0 * b + c).abs()).collect();
    let rounding = numbers.iter().fold(0.0_f64, |most, x| most.max(x.abs())) * ROUNDING;
    median(&mut seconds).map(|mad| mad * MAD_TO_SIGMA / SECOND).filter(|sigma| *sigma > rounding)
}

#[cfg(test)]
mod tests {
    use super::super::signal::tests::window;
    use super::super::testing::judged;
    use super::*;
    use crate::diagnose::trained::tests::noise;

    fn with_newest_times(factor: f64) -> Judgement {
        let ramp = noise(400, 3).into_iter().zip(0_u32..);
        let values: Vec<f64> = ramp
            .map(|(x, n)| f64::from(n) * 0.02 + if n >= 300 { x * factor } else { x })
            .collect();
        judged(&NOISE, &window(&values))
    }

    #[test]
    fn noise_that_grows_or_goes_is_found_on_a_ramp_too() {
        assert_eq!(with_newest_times(1.0), Judgement::Nothing);
        for factor in [8.0, 0.1] {
            let judgement = with_newest_times(factor);
            assert_eq!(judgement.finding().unwrap().verdict, Verdict::NoiseChange);
        }
        assert!(!judged(&NOISE, &window(&noise(100, 3))).is_evaluated());
        assert!(!judged(&NOISE, &window(&[3.5; 400])).is_evaluated());
    }
}
