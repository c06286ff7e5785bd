//! A small deviation that lasts: the two-sided cumulative sum (Page 1954).

use super::memory::Memory;
use super::period::Usual;
use super::{Trained, checked, is_usable};
use crate::diagnose::spread::spread;

/// One value counts for no more deviations than this: a spike is no drift.
const Z_MAX: f64 = 10.0;
/// The least decision interval, in deviations.
const INTERVAL_MIN: f64 = 8.0;
/// Deviations at which it is told how uncertain the deviation itself is.
const USUAL_RANGE: f64 = 3.0;

/// Two sums, of what lies above and below.
#[derive(Debug, Clone)]
pub struct Cusum {
    usual: Usual,
    mean: f64,
    sigma: f64,
    slack: f64,
    interval: f64,
    above: f64,
    below: f64,
}

impl Cusum {
    /// Learns mean and deviation around what is usual. `slack` deviations are allowed for good;
    /// the decision interval is what the sums reached in training itself. The deviation of a
    /// signal that remembers long is uncertain, and taken to be as much greater.
    ///
    /// # Errors
    /// Why nothing can be learnt.
    pub fn learn(values: &[f64], slack: f64) -> Result<Self, &'static str> {
        checked(values)?;
        let (usual, away) = Usual::learn(values);
        let (mean, seen) = spread(away.iter().copied());
        if seen <= 0.0 {
            return Err("the signal never moved in what was to be learnt from");
        }
        let sigma = seen * Memory::of(&away).deviations(USUAL_RANGE) / USUAL_RANGE;
        let interval = f64::INFINITY;
        let mut drift = Self { usual, mean, sigma, slack, interval, above: 0.0, below: 0.0 };
        let reached = away.iter().fold(0.0_f64, |most, v| {
            drift.add(*v);
            most.max(drift.above).max(drift.below)
        });
        let interval = reached.max(INTERVAL_MIN);
        Ok(Self { interval, above: 0.0, below: 0.0, ..drift })
    }

    /// Adds a value; a sum stops at twice the interval, so that it comes back in time.
    fn add(&mut self, away: f64) {
        let z = ((away - self.mean) / self.sigma).clamp(-Z_MAX, Z_MAX);
        let most = 2.0 * self.interval;
        self.above = (self.above + z - self.slack).clamp(0.0, most);
        self.below = (self.below - z - self.slack).clamp(0.0, most);
    }
}

impl Trained for Cusum {
    fn push(&mut self, value: f64) -> bool {
        let away = self.usual.away(value);
        if is_usable(value) {
            self.add(away);
        }
        self.score() > 1.0
    }

    fn score(&self) -> f64 {
        self.above.max(self.below) / self.interval
    }
}
