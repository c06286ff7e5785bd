//! The plain rule that the others are held against: so many deviations from the mean.

use super::{Trained, checked, is_usable};
use crate::diagnose::spread::spread;

/// Mean and deviation of training.
#[derive(Debug, Clone)]
pub struct ThreeSigma {
    mean: f64,
    band: f64,
    score: f64,
}

impl ThreeSigma {
    /// Learns mean and deviation; `k` deviations off is wrong.
    ///
    /// # Errors
    /// Why nothing can be learnt.
    pub fn learn(values: &[f64], k: f64) -> Result<Self, &'static str> {
        checked(values)?;
        let (mean, sigma) = spread(values.iter().copied());
        Ok(Self { mean, band: k * sigma, score: 0.0 })
    }
}

impl Trained for ThreeSigma {
    fn push(&mut self, value: f64) -> bool {
        if !is_usable(value) {
            return false;
        }
        self.score = (value - self.mean).abs() / self.band;
        self.score > 1.0
    }

    fn score(&self) -> f64 {
        self.score
    }
}
