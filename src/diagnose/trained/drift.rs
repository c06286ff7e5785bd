//! A small deviation that lasts: the two-sided cumulative sum (Page 1954).

use super::{Trained, checked, is_usable};
use crate::diagnose::spread::spread;

/// One value counts for no more deviations than this: a spike is no drift.
const Z_MAX: f64 = 10.0;
/// The least decision interval, in deviations.
const INTERVAL_MIN: f64 = 8.0;

/// Two sums, of what lies above and below.
#[derive(Debug, Clone)]
pub struct Drift {
    mean: f64,
    sigma: f64,
    slack: f64,
    interval: f64,
    above: f64,
    below: f64,
}

impl Drift {
    /// Learns mean and deviation. `slack` deviations are allowed for good; the decision interval
    /// is what the sums reached in training itself.
    ///
    /// # Errors
    /// Why nothing can be learnt.
    pub fn learn(values: &[f64], slack: f64) -> Result<Self, &'static str> {
        checked(values)?;
        let (mean, sigma) = spread(values.iter().copied());
        let mut drift =
            Self { mean, sigma, slack, interval: f64::INFINITY, above: 0.0, below: 0.0 };
        let reached = values.iter().fold(0.0_f64, |most, v| {
            drift.add(*v);
            most.max(drift.above).max(drift.below)
        });
        let interval = reached.max(INTERVAL_MIN);
        Ok(Self { interval, above: 0.0, below: 0.0, ..drift })
    }

    /// Adds a value; a sum stops at twice the interval, so that it comes back in time.
    fn add(&mut self, value: f64) {
        let z = ((value - self.mean) / self.sigma).clamp(-Z_MAX, Z_MAX);
        let most = 2.0 * self.interval;
        self.above = (self.above + z - self.slack).clamp(0.0, most);
        self.below = (self.below - z - self.slack).clamp(0.0, most);
    }
}

impl Trained for Drift {
    fn push(&mut self, value: f64) -> bool {
        if is_usable(value) {
            self.add(value);
        }
        self.score() > 1.0
    }

    fn score(&self) -> f64 {
        self.above.max(self.below) / self.interval
    }
}
