//! Noise that has grown, or gone: the deviation of the newest values against all that training
//! had.

use super::{Trained, checked, is_usable};
use crate::diagnose::rolling::RollingMean;
use crate::diagnose::spread::extremes;

/// Values a deviation is made of.
const NEWEST: usize = 12;

/// The least and greatest deviation of training.
#[derive(Debug, Clone)]
pub struct Scatter {
    least: f64,
    greatest: f64,
    rolling: RollingMean,
    score: f64,
}

impl Scatter {
    /// Learns the deviations; beyond `factor` times their extremes is a change.
    ///
    /// # Errors
    /// Why nothing can be learnt.
    pub fn learn(values: &[f64], factor: f64) -> Result<Self, &'static str> {
        checked(values)?;
        let mut rolling = RollingMean::new(NEWEST);
        let mut deviations = Vec::with_capacity(values.len());
        for value in values {
            rolling.push(*value);
            if rolling.is_full() {
                deviations.push(rolling.deviation());
            }
        }
        let (least, greatest) =
            extremes(deviations.into_iter()).ok_or("fewer numbers than a deviation needs")?;
        // A signal that stood still in training may do so again.
        Ok(Self { least: least / factor, greatest: greatest * factor, rolling, score: 0.0 })
    }
}

impl Trained for Scatter {
    fn push(&mut self, value: f64) -> bool {
        if !is_usable(value) {
            return false;
        }
        self.rolling.push(value);
        let deviation = self.rolling.deviation();
        let grown = deviation / self.greatest;
        let gone = if deviation > 0.0 { self.least / deviation } else { f64::INFINITY };
        self.score = grown.max(if self.least > 0.0 { gone } else { 0.0 });
        self.score > 1.0
    }

    fn score(&self) -> f64 {
        self.score
    }
}
