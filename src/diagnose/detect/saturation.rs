//! A value that has come to rest at an end of its range: the transmitter shows no more.

use super::signal::Kind;
use super::{Detector, Evidence, Finding, Judgement, Severity, Subject, Verdict};
use crate::model::{DataType, Scalar, Tag};

/// Numbers that show the value was inside before.
const BEFORE_MIN: usize = 16;
/// As near to the end as this share of the range is at it.
const NEAR: f64 = 0.001;

/// The detector.
pub(super) const SATURATION: Detector = Detector {
    name: "saturation",
    finds: "a value that rests at an end of its scale or data type",
    verdicts: &[Verdict::Saturation],
    setting: "samples in a row at the end",
    usual: 10.0,
    evidence_min: BEFORE_MIN,
    is_beside_others: false,
    judge,
};

fn judge(subject: &Subject<'_>, samples_min: f64) -> Judgement {
    let signal = subject.signal;
    if signal.bad_since.is_some() {
        return Judgement::NotEvaluated("the newest sample is Bad");
    }
    if signal.kind != Kind::Analogue {
        return Judgement::NotEvaluated("only measured numbers have a range");
    }
    let Some((low, high)) = subject.tag.and_then(range) else {
        return Judgement::NotEvaluated("no scale and no data type that has ends");
    };
    let numbers = signal.numbers.as_slice();
    let near = NEAR * (high - low);
    if numbers.iter().any(|x| *x > high + near || *x < low - near) {
        return Judgement::NotEvaluated("it goes beyond its scale, which is no end then");
    }
    // Zero is where what stands still belongs.
    let is_end = |x: f64| x >= high - near || (x <= low + near && low != 0.0);
    let last = numbers.last().copied().unwrap_or_default();
    let rests = |x: &&f64| is_end(**x) && (**x - last).abs() <= near;
    let run = numbers.iter().rev().take_while(rests).count();
    if numbers.len() - run < BEFORE_MIN {
        return Judgement::NotEvaluated("too few numbers inside the range before");
    }
    #[allow(clippy::cast_precision_loss, reason = "at most 20 000 samples")]
    let run_samples = run as f64;
    if run_samples < samples_min {
        return Judgement::Nothing;
    }
    let samples = signal.samples(numbers.len() - run..numbers.len());
    let Some(since) = samples.first().map(|sample| sample.received_ts) else {
        return Judgement::Nothing;
    };
    Judgement::Found(Finding {
        verdict: Verdict::Saturation,
        severity: Severity::Medium,
        since,
        evidence: Evidence::new(("samples in a row at the end", run_samples, samples_min), samples),
        next: "otctl plot TAG --since 1h, then check the range of the transmitter and its scale",
    })
}

/// Gives the ends of the engineering range, or of the integer that carries the value. A
/// controller's output is at its ends by right: only what says it is scaled, or is read as an
/// integer without one, has ends here.
pub(super) fn range(tag: &Tag) -> Option<(f64, f64)> {
    if let Some(scale) = tag.scale {
        return Some((scale.eu.0.min(scale.eu.1), scale.eu.0.max(scale.eu.1)));
    }
    let DataType::One(scalar) = tag.data_type else { return None };
    match scalar {
        Scalar::Int16 => Some((-32_768.0, 32_767.0)),
        Scalar::UInt16 => Some((0.0, 65_535.0)),
        Scalar::Int32 => Some((-2_147_483_648.0, 2_147_483_647.0)),
        Scalar::UInt32 => Some((0.0, 4_294_967_295.0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::signal::tests::window;
    use super::super::testing::subject;
    use super::super::{Signal, Subject};
    use super::*;
    use crate::diagnose::trained::tests::noise;
    use crate::model::Scale;

    fn judged(values: &[f64], low: f64) -> Judgement {
        let signal = Signal::of(&window(values));
        let mut tag = Tag::new("t", "e", "1");
        tag.scale = Some(Scale { raw: (0.0, 27_648.0), eu: (low, 100.0) });
        SATURATION.judge(&Subject { tag: Some(&tag), ..subject(&signal) })
    }

    #[test]
    fn a_value_that_sticks_to_the_end_of_its_scale_is_found() {
        let mut values: Vec<f64> = noise(60, 3).iter().map(|x| 60.0 + x).collect();
        assert_eq!(judged(&values, 0.0), Judgement::Nothing);
        values.extend([100.0; 20]);
        let judgement = judged(&values, 0.0);
        assert_eq!(judgement.finding().unwrap().verdict, Verdict::Saturation);
        assert_eq!(judgement.finding().unwrap().since.millis(), 60_000);
        values.extend([0.0; 20]);
        assert_eq!(judged(&values, 0.0), Judgement::Nothing, "zero is no failure");
        values.extend([-10.0; 20]);
        assert!(judged(&values, -10.0).finding().is_some());
    }

    #[test]
    fn without_a_range_or_a_past_inside_it_nothing_is_said() {
        let signal = Signal::of(&window(&noise(60, 3)));
        assert!(!SATURATION.judge(&subject(&signal)).is_evaluated());
        assert!(!judged(&[100.0; 80], 0.0).is_evaluated());
        let mut beyond: Vec<f64> = noise(60, 3).iter().map(|x| 104.0 + x).collect();
        beyond.extend([100.0; 20]);
        assert!(!judged(&beyond, 0.0).is_evaluated(), "the scale is no range");
    }
}
