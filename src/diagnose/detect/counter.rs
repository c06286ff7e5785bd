//! A counter that falls back although it was not full.

use super::signal::Kind;
use super::{Detector, Evidence, Finding, Judgement, Severity, Subject, Verdict};

/// Where counters are full: the widths of integers, and displays of so many digits.
const FULL: [f64; 11] = [
    255.0,
    32_767.0,
    65_535.0,
    2_147_483_647.0,
    4_294_967_295.0,
    999.0,
    9_999.0,
    99_999.0,
    999_999.0,
    9_999_999.0,
    99_999_999.0,
];
/// Numbers that tell a counter from something else.
const NUMBERS_MIN: usize = 30;

/// Steps that it must have counted before it fell: fewer are a queue that empties.
const COUNTED: f64 = 10.0;
/// The share of what it showed that a counter may show after it was set back.
const RESIDUE: f64 = 0.1;

/// The detector.
pub(super) const COUNTER: Detector = Detector {
    name: "counter",
    finds: "a counter that was set back before it was full",
    verdicts: &[Verdict::CounterReset],
    setting: "usual steps below its end from where on a fall is an overflow",
    usual: 3.0,
    evidence_min: NUMBERS_MIN,
    is_beside_others: false,
    judge,
};

fn judge(subject: &Subject<'_>, steps: f64) -> Judgement {
    let signal = subject.signal;
    if signal.kind != Kind::Counter {
        return Judgement::NotEvaluated("not a counter");
    }
    if signal.numbers.len() < NUMBERS_MIN {
        return Judgement::NotEvaluated("fewer than 30 numbers");
    }
    let pairs = || signal.numbers.iter().zip(signal.numbers.iter().skip(1));
    let step = pairs().map(|(a, b)| b - a).fold(0.0_f64, f64::max);
    let overflows =
        |from: f64| FULL.iter().any(|full| from <= *full && *full - from < steps * step);
    // Whoever sets a counter back begins near nothing: a level that dips is no counter.
    let begins_anew = |from: f64, to: f64| {
        from >= COUNTED * step && to < from && to <= (from * RESIDUE).max(steps * step)
    };
    let falls: Vec<usize> = pairs()
        .enumerate()
        .filter(|(_, (a, b))| begins_anew(**a, **b) && !overflows(**a))
        .map(|(at, _)| at + 1)
        .collect();
    let Some(last) = falls.last().copied() else { return Judgement::Nothing };
    let value = |at: usize| signal.numbers.get(at).copied().unwrap_or_default();
    let samples: Vec<_> = falls.iter().flat_map(|at| signal.samples(*at..at + 1)).collect();
    let Some(since) = samples.last().map(|sample| sample.received_ts) else {
        return Judgement::Nothing;
    };
    Judgement::Found(Finding {
        verdict: Verdict::CounterReset,
        severity: Severity::Low,
        since,
        evidence: Evidence::new(
            ("count after the fall, and before it", value(last), value(last.saturating_sub(1))),
            samples,
        ),
        next: "otctl tag history TAG, and take differences across the reset apart",
    })
}

#[cfg(test)]
mod tests {
    use super::super::signal::tests::window;
    use super::super::testing::judged;
    use super::*;

    fn count(from: f64, n: usize) -> Vec<f64> {
        (0..n).map(|i| from + 7.0 * f64::from(u32::try_from(i).unwrap())).collect()
    }

    #[test]
    fn a_reset_is_found_and_an_overflow_is_not() {
        let mut reset = count(12_000.0, 40);
        reset.extend(count(0.0, 20));
        let judgement = judged(&COUNTER, &window(&reset));
        let finding = judgement.finding().unwrap();
        assert_eq!(finding.verdict, Verdict::CounterReset);
        assert_eq!(finding.evidence.samples[0].position, 40);
        let mut full = count(65_535.0 - 7.0 * 39.0 - 2.0, 40);
        full.extend(count(5.0, 20));
        assert_eq!(judged(&COUNTER, &window(&full)), Judgement::Nothing);
        let mut level = count(12_000.0, 40);
        level.extend(count(12_200.0, 20));
        assert_eq!(judged(&COUNTER, &window(&level)), Judgement::Nothing, "it dips");
        assert!(!judged(&COUNTER, &window(&[1.5; 50])).is_evaluated());
    }
}
