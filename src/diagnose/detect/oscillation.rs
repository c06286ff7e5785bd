//! An oscillation that has begun: the autocorrelation of the newest half has a period that the
//! half before did not have (Thornhill, Huang and Zhang 2003).

use super::signal::Kind;
use super::{Detector, Evidence, Finding, Judgement, Severity, Subject, Verdict};
use crate::diagnose::spread::{dot, spread};

/// Numbers of each half.
const HALF_MIN: usize = 120;
/// Numbers looked at in each half: the cost grows with their square.
const HALF_MAX: usize = 512;
/// The half must hold so many periods.
const PERIODS_MIN: usize = 4;
/// A period has at least so many samples: less is noise of the sampling.
const PERIOD_MIN: usize = 4;
/// Below this the half before had no period of its own.
const BEFORE_MAX: f64 = 0.3;
/// The newest half swings so many times as far as the one before.
const GROWN: f64 = 3.0;

/// The detector.
pub(super) const OSCILLATION: Detector = Detector {
    name: "oscillation",
    finds: "a swing with a period of its own that was not there before",
    verdicts: &[Verdict::Oscillation],
    setting: "autocorrelation one period apart",
    usual: 0.7,
    evidence_min: 2 * HALF_MIN,
    is_beside_others: false,
    judge,
};

fn judge(subject: &Subject<'_>, least: f64) -> Judgement {
    let signal = subject.signal;
    if signal.kind != Kind::Analogue {
        return Judgement::NotEvaluated("only measured numbers swing");
    }
    let numbers = signal.numbers.as_slice();
    let half = (numbers.len() / 2).min(HALF_MAX);
    if half < HALF_MIN {
        return Judgement::NotEvaluated("fewer than 240 numbers");
    }
    let (earlier, newest) = numbers.split_at(numbers.len() - half);
    let before = earlier.get(earlier.len().saturating_sub(half)..).unwrap_or_default();
    let Some(now) = Swing::of(newest) else {
        return match newest.iter().zip(newest.iter().skip(1)).all(|(a, b)| a == b) {
            true => Judgement::NotEvaluated("the signal does not move"),
            false => Judgement::Nothing,
        };
    };
    if now.at_period < least || now.at_two < least / 2.0 {
        return Judgement::Nothing;
    }
    let was = Swing::of(before).map_or(0.0, |swing| swing.at_period);
    let sigma_before = spread(detrended(before).into_iter()).1;
    if was >= BEFORE_MAX || now.sigma < GROWN * sigma_before {
        return Judgement::Nothing;
    }
    let samples = signal.samples(numbers.len() - half..numbers.len());
    let Some(since) = samples.first().map(|sample| sample.received_ts) else {
        return Judgement::Nothing;
    };
    Judgement::Found(Finding {
        verdict: Verdict::Oscillation,
        severity: Severity::Medium,
        since,
        evidence: Evidence::new(
            ("autocorrelation one period apart", now.at_period, least),
            samples,
        ),
        next: "otctl plot TAG --since 30m, then check the tuning of the loop and a sticking valve",
    })
}

/// The strongest period of a stretch.
struct Swing {
    at_period: f64,
    at_two: f64,
    sigma: f64,
}

impl Swing {
    fn of(numbers: &[f64]) -> Option<Self> {
        let values = detrended(numbers);
        let (_, sigma) = spread(values.iter().copied());
        let energy: f64 = values.iter().map(|v| v * v).sum();
        if energy <= 0.0 || !energy.is_finite() {
            return None;
        }
        // Of fewer pairs the sum is smaller: it is set against as many as there are.
        #[allow(clippy::cast_precision_loss, reason = "a few hundred samples")]
        let correlation = |lag: usize| {
            let n = values.len() as f64;
            let later = values.get(lag..).unwrap_or_default();
            dot(&values, later) / energy * n / (n - lag as f64)
        };
        let last = numbers.len() / PERIODS_MIN;
        let correlations: Vec<f64> = (0..=last).map(correlation).collect();
        let first_below = correlations.iter().position(|r| *r < 0.0)?;
        let after = correlations.iter().enumerate().skip(first_below.max(PERIOD_MIN));
        let (period, at_period) = after.max_by(|a, b| a.1.total_cmp(b.1))?;
        Some(Self { at_period: *at_period, at_two: correlation(2 * period), sigma })
    }
}

/// Takes the straight line out.
#[allow(clippy::cast_precision_loss, reason = "a few hundred samples")]
fn detrended(numbers: &[f64]) -> Vec<f64> {
    let n = numbers.len().max(1) as f64;
    let middle = (n - 1.0) / 2.0;
    let mean = numbers.iter().map(|v| v / n).sum::<f64>();
    let (mut above, mut below) = (0.0, 0.0);
    for (at, value) in numbers.iter().enumerate() {
        let t = at as f64 - middle;
        above += t * (value - mean);
        below += t * t;
    }
    let slope = if below > 0.0 { above / below } else { 0.0 };
    let line = |at: usize| mean + slope * (at as f64 - middle);
    numbers.iter().enumerate().map(|(at, value)| value - line(at)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::signal::tests::window;
    use super::super::testing::judged;
    use super::*;
    use crate::diagnose::trained::tests::noise;

    fn swinging_from(start: u32) -> Judgement {
        let values = noise(600, 3).into_iter().zip(0_u32..);
        let swing = |n: u32| if n >= start { 6.0 * (f64::from(n) / 5.0).sin() } else { 0.0 };
        let values: Vec<f64> = values.map(|(x, n)| 50.0 + x + swing(n)).collect();
        judged(&OSCILLATION, &window(&values))
    }

    #[test]
    fn what_begins_to_swing_is_found_and_what_always_did_is_not() {
        let judgement = swinging_from(300);
        assert_eq!(judgement.finding().unwrap().verdict, Verdict::Oscillation);
        assert_eq!(swinging_from(0), Judgement::Nothing);
        assert_eq!(swinging_from(600), Judgement::Nothing);
        let ramp: Vec<f64> = (0..600).map(|n| f64::from(n) / 3.0).collect();
        assert_eq!(judged(&OSCILLATION, &window(&ramp)), Judgement::Nothing);
        assert!(!judged(&OSCILLATION, &window(&noise(100, 1))).is_evaluated());
    }
}
