//! A mean that leaves the band it had in training, by the place in its period where it has one.

use super::period::Period;
use super::{Trained, checked, is_usable};
use crate::diagnose::robust::{MAD_TO_SIGMA, median_and_mad};
use crate::diagnose::rolling::{Hold, RollingMean};
use crate::diagnose::spread::spread;

/// Values that are averaged: noise goes, what lasts stays.
const AVERAGED: usize = 10;
/// Values inside before it counts as back.
const OFF_DELAY: usize = 20;

/// A band around the mean of averaged values.
#[derive(Debug, Clone)]
pub struct Level {
    period: Option<Period>,
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
        let mut period = Period::find(values);
        let mut rolling = RollingMean::new(AVERAGED);
        let mut off = |v: &f64| rolling.push(v - period.as_mut().map_or(0.0, Period::next));
        let averaged: Vec<f64> = values.iter().map(&mut off).collect();
        let (mean, plain) = spread(averaged.iter().copied());
        // Half of the training may be anything: what is usual is what the other half does.
        let robust = median_and_mad(&averaged, &mut Vec::new());
        let (mean, sigma) = match robust {
            Some((centre, mad)) if mad > 0.0 => (centre, mad * MAD_TO_SIGMA),
            _ => (mean, plain),
        };
        if sigma <= 0.0 {
            return Err("the signal never moved in what was to be learnt from");
        }
        let hold = Hold::new(k, k / 2.0, OFF_DELAY);
        Ok(Self { period, mean, sigma, on: k, rolling, hold, score: 0.0 })
    }
}

impl Trained for Level {
    fn push(&mut self, value: f64) -> bool {
        let usual = self.period.as_mut().map_or(0.0, Period::next);
        if !is_usable(value) {
            return false;
        }
        let z = (self.rolling.push(value - usual) - self.mean).abs() / self.sigma;
        self.score = z / self.on;
        self.hold.push(z)
    }

    fn score(&self) -> f64 {
        self.score
    }
}
