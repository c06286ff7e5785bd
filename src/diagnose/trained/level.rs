//! A mean that leaves the band it had in training.

use super::{Trained, checked, is_usable};
use crate::diagnose::rolling::{Hold, RollingMean};
use crate::diagnose::spread::spread;

/// Values that are averaged: noise goes, what lasts stays.
const AVERAGED: usize = 10;
/// Values inside before it counts as back.
const OFF_DELAY: usize = 20;

/// A band around the mean of averaged values.
#[derive(Debug, Clone)]
pub struct Level {
    mean: f64,
    sigma: f64,
    on: f64,
    rolling: RollingMean,
    hold: Hold,
    score: f64,
}

impl Level {
    /// Learns the band; `k` deviations of averaged values are its half width.
    ///
    /// # Errors
    /// Why nothing can be learnt.
    pub fn learn(values: &[f64], k: f64) -> Result<Self, &'static str> {
        checked(values)?;
        let mut rolling = RollingMean::new(AVERAGED);
        let averaged: Vec<f64> = values.iter().map(|v| rolling.push(*v)).collect();
        let (mean, sigma) = spread(averaged.iter().copied());
        if sigma <= 0.0 {
            return Err("the signal never moved in what was to be learnt from");
        }
        let hold = Hold::new(k, k / 2.0, OFF_DELAY);
        Ok(Self { mean, sigma, on: k, rolling, hold, score: 0.0 })
    }
}

impl Trained for Level {
    fn push(&mut self, value: f64) -> bool {
        if !is_usable(value) {
            return false;
        }
        let z = (self.rolling.push(value) - self.mean).abs() / self.sigma;
        self.score = z / self.on;
        self.hold.push(z)
    }

    fn score(&self) -> f64 {
        self.score
    }
}
