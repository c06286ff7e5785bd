//! How long a signal remembers, and how few of its values are news because of that.

use crate::diagnose::spread::{dot, spread};

/// An autocorrelation below this share of itself is forgotten: one e-th.
const FORGOTTEN: f64 = 0.367_879_441_171_442_3;
/// Products that are made for one autocorrelation: a longer run is given fewer lags.
const PRODUCTS_MAX: usize = 50_000_000;
/// The exponent of a number that can still be squared.
const EXPONENT_MAX: f64 = 300.0;

/// Gives the autocorrelation at every lag up to half of the run, 1 at lag 0, each divided by the
/// whole run's energy; empty where nothing moves.
pub(super) fn autocorrelation(values: &[f64]) -> Vec<f64> {
    let Some((centred, energy)) = centred(values) else { return Vec::new() };
    let lags = (values.len() / 2).min(PRODUCTS_MAX / values.len().max(1));
    let at = |lag: usize| dot(&centred, centred.get(lag..).unwrap_or_default()) / energy;
    (0..=lags).map(at).collect()
}

/// Gives the distances from the mean, in shares of the largest, and the sum of their squares.
fn centred(values: &[f64]) -> Option<(Vec<f64>, f64)> {
    let first = values.first()?;
    if values.iter().all(|v| v == first) {
        return None;
    }
    let (mean, _) = spread(values.iter().copied());
    let largest = values.iter().map(|v| (v - mean).abs()).fold(0.0, f64::max);
    if largest <= 0.0 || !largest.is_finite() {
        return None;
    }
    let centred: Vec<f64> = values.iter().map(|v| (v - mean) / largest).collect();
    let energy = centred.iter().map(|v| v * v).sum();
    Some((centred, energy))
}

/// What a run of values says about itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Memory {
    /// Values after which a signal has forgotten where it was.
    pub(super) lasts: usize,
    /// So many values that owe nothing to each other tell as much.
    independent: f64,
}

impl Memory {
    /// Reads the autocorrelation: the integrated time divides the number of values (Bayley and
    /// Hammersley 1946).
    #[allow(clippy::cast_precision_loss, reason = "a few thousand values of training")]
    pub(super) fn of(values: &[f64]) -> Self {
        let alike = autocorrelation(values);
        let until = |least: f64| alike.iter().position(|r| *r < least).unwrap_or(alike.len());
        let positive: f64 = alike.iter().take(until(0.0)).skip(1).sum();
        let independent = values.len() as f64 / (1.0 + 2.0 * positive);
        Self { lasts: until(FORGOTTEN), independent }
    }

    /// Gives how many of the deviations that were seen the next value may lie out, to be as
    /// unlikely as `k` deviations of a normal signal that is known: mean and deviation of few
    /// values are uncertain (Student 1908), by Wallace's quantile (1959).
    pub(super) fn deviations(&self, k: f64) -> f64 {
        let freedom = (self.independent - 1.0).max(0.5);
        let z = k * (8.0 * freedom + 3.0) / (8.0 * freedom + 1.0);
        let t = (freedom * (z * z / freedom).min(EXPONENT_MAX).exp_m1()).sqrt();
        t * (1.0 + 1.0 / self.independent.max(1.0)).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::trained::tests::noise;

    #[test]
    fn noise_remembers_nothing_and_a_walk_much() {
        let white = noise(2000, 3);
        let of_white = Memory::of(&white);
        assert_eq!(of_white.lasts, 1);
        assert!((of_white.deviations(3.0) - 3.0).abs() < 0.02, "{of_white:?}");
        let walk = white.iter().scan(0.0, |at, step| {
            *at = 0.99 * *at + step;
            Some(*at)
        });
        let of_walk = Memory::of(&walk.collect::<Vec<_>>());
        assert!(of_walk.lasts > 30, "{of_walk:?}");
        assert!(of_walk.deviations(3.0) > 3.3, "{of_walk:?}");
    }

    #[test]
    fn the_quantile_is_students() {
        let of = |independent: f64| Memory { lasts: 1, independent };
        // A normal signal passes 3 deviations once in 741 on one side; Student's t of 10 degrees
        // passes 3.957 as rarely.
        let plain = of(11.0).deviations(3.0) / (12.0_f64 / 11.0).sqrt();
        assert!((plain - 3.957).abs() < 0.03, "{plain}");
        assert!(of(1.0).deviations(8.0).is_finite());
    }

    #[test]
    fn what_does_not_move_has_no_autocorrelation() {
        assert!(autocorrelation(&[]).is_empty() && autocorrelation(&[5.0; 100]).is_empty());
        assert_eq!(Memory::of(&[5.0; 100]).lasts, 0);
        let huge: Vec<f64> = noise(200, 3).iter().map(|v| v * 1e149).collect();
        assert!(Memory::of(&huge).deviations(3.0).is_finite());
    }
}
