//! A mean that leaves the band it had in training, by the place in its period where it has one.

use super::period::Period;
use super::{Trained, checked, is_usable};
use crate::diagnose::robust::median;
use crate::diagnose::rolling::RollingMean;
use crate::diagnose::spread::spread;

/// Values that are averaged: noise goes, what lasts stays.
const AVERAGED: usize = 5;

/// A band around the mean of averaged values.
#[derive(Debug, Clone)]
pub struct Level {
    period: Option<Period>,
    centre: f64,
    band: f64,
    rolling: RollingMean,
    score: f64,
}

impl Level {
    /// Learns the band; `k` deviations of averaged values are its half width.
    ///
    /// # Errors
    /// Why nothing can be learnt.
    pub fn learn(values: &[f64], k: f64) -> Result<Self, &'static str> {
        checked(values)?;
        let mut period = Period::find(values);
        let mut rolling = RollingMean::new(AVERAGED);
        let mut off = |v: &f64| rolling.push(v - period.as_mut().map_or(0.0, Period::next));
        let mut averaged: Vec<f64> = values.iter().map(&mut off).collect();
        let (mean, sigma) = spread(averaged.iter().copied());
        if sigma <= 0.0 {
            return Err("the signal never moved in what was to be learnt from");
        }
        // A fault in the training widens the band, and does not move its middle.
        let centre = median(&mut averaged).unwrap_or(mean);
        Ok(Self { period, centre, band: k * sigma, rolling, score: 0.0 })
    }
}

impl Trained for Level {
    fn push(&mut self, value: f64) -> bool {
        let usual = self.period.as_mut().map_or(0.0, Period::next);
        if !is_usable(value) {
            return false;
        }
        let away = self.rolling.push(value - usual) - self.centre;
        self.score = away.abs() / self.band;
        self.score > 1.0
    }

    fn score(&self) -> f64 {
        self.score
    }
}
