//! Outliers of a short run of samples.

use super::spread::spread;

/// With fewer samples than this the others say nothing about the one left out.
const LEAVE_ONE_OUT_MIN: usize = 5;

/// A run of numbers, its spread, and what lies outside.
#[derive(Debug, Clone, PartialEq)]
pub struct Outliers {
    /// Arithmetic mean.
    pub mean: f64,
    /// Population standard deviation.
    pub stddev: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Mean less and plus sigma standard deviations.
    pub band: (f64, f64),
    /// Each outlier with its distance from the mean, in the order given.
    pub outliers: Vec<(f64, f64)>,
}

/// Finds what lies more than `sigma` standard deviations off.
///
/// Among n samples no single one can lie further than sqrt(n - 1) deviations from a mean that
/// it is itself part of. Where that makes `sigma` unreachable, each sample is held against the
/// mean and deviation of the others instead. `None` for fewer than two numbers.
#[must_use]
pub fn outliers(values: &[f64], sigma: f64) -> Option<Outliers> {
    if values.len() < 2 || values.iter().any(|v| !v.is_finite()) {
        return None;
    }
    let (mean, stddev) = spread(values.iter().copied());
    let band = (mean - sigma * stddev, mean + sigma * stddev);
    #[allow(clippy::cast_precision_loss, reason = "a few thousand samples at most")]
    let reachable = ((values.len() - 1) as f64).sqrt() > sigma;
    let lies_outside = |at: usize, v: f64| {
        if reachable || values.len() < LEAVE_ONE_OUT_MIN {
            return stddev > 0.0 && (v < band.0 || v > band.1);
        }
        let others = values.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, v)| *v);
        let (mean, stddev) = spread(others);
        (v - mean).abs() > sigma * stddev
    };
    Some(Outliers {
        mean,
        stddev,
        min: values.iter().copied().fold(f64::INFINITY, f64::min),
        max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        band,
        outliers: values
            .iter()
            .enumerate()
            .filter(|(at, v)| lies_outside(*at, **v))
            .map(|(_, v)| (*v, v - mean))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(values: &[f64], sigma: f64) -> Vec<f64> {
        outliers(values, sigma).unwrap().outliers.iter().map(|(v, _)| *v).collect()
    }

    #[test]
    fn a_spike_among_few_samples_does_not_hide_behind_its_own_spread() {
        let mut values = [10.0; 10];
        values[9] = 1000.0;
        assert_eq!(found(&values, 3.0), [1000.0]);
    }

    #[test]
    fn a_constant_and_a_ramp_have_none() {
        assert!(found(&[5.0; 10], 3.0).is_empty());
        let ramp: Vec<f64> = (0..30).map(f64::from).collect();
        assert!(found(&ramp, 3.0).is_empty());
    }

    #[test]
    fn a_small_sigma_uses_the_plain_band() {
        assert_eq!(found(&[1.0, 2.0, 3.0, 4.0, 10.0], 0.5), [1.0, 2.0, 10.0]);
    }

    #[test]
    fn huge_numbers_do_not_overflow() {
        let o = outliers(&[1e308, -1e308], 3.0).unwrap();
        assert!(o.stddev.is_finite());
    }
}
