//! A mean that leaves the band it had in training, by the place in its period where it has one.

use super::memory::Memory;
use super::period::Usual;
use super::{Trained, checked, is_usable};
use crate::diagnose::robust::median;
use crate::diagnose::rolling::RollingMean;
use crate::diagnose::spread::spread;

/// Values that are averaged: noise goes, what lasts stays.
const AVERAGED: usize = 5;

/// A band around the mean of averaged values.
#[derive(Debug, Clone)]
pub struct Level {
    usual: Usual,
    centre: f64,
    band: f64,
    rolling: RollingMean,
    score: f64,
    /// Values that must lie within the band before all is well again.
    off_delay: usize,
    /// Of them, those still to come.
    stays: usize,
}

impl Level {
    /// Learns the band: as unlikely to be left as `k` deviations of a signal that is known.
    ///
    /// A signal that remembers long shows little of itself in training, and is given a wider
    /// band; and it isn't back before it has had the time to forget (the off-delay of ISA-18.2).
    ///
    /// # Errors
    /// Why nothing can be learnt.
    pub fn learn(values: &[f64], k: f64) -> Result<Self, &'static str> {
        checked(values)?;
        let (usual, away) = Usual::learn(values);
        let memory = Memory::of(&away);
        let mut rolling = RollingMean::new(AVERAGED);
        let mut averaged: Vec<f64> = away.iter().map(|v| rolling.push(*v)).collect();
        let (mean, sigma) = spread(averaged.iter().copied());
        if sigma <= 0.0 {
            return Err("the signal never moved in what was to be learnt from");
        }
        // A fault in the training widens the band, and does not move its middle.
        let centre = median(&mut averaged).unwrap_or(mean);
        let band = memory.deviations(k) * sigma;
        Ok(Self { usual, centre, band, rolling, score: 0.0, off_delay: memory.lasts, stays: 0 })
    }
}

impl Trained for Level {
    fn push(&mut self, value: f64) -> bool {
        let away = self.usual.away(value);
        if !is_usable(value) {
            return self.stays > 0;
        }
        let far = self.rolling.push(away) - self.centre;
        self.score = far.abs() / self.band;
        if self.score > 1.0 {
            self.stays = self.off_delay;
            return true;
        }
        let is_standing = self.stays > 0;
        self.stays = self.stays.saturating_sub(1);
        is_standing
    }

    fn score(&self) -> f64 {
        self.score
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::trained::tests::noise;

    /// A signal that remembers: noise through a first-order lag.
    fn slow(n: usize, seed: u64) -> Vec<f64> {
        let lag = noise(n, seed).into_iter().scan(0.0, |at, step| {
            *at = 0.9 * *at + step;
            Some(*at)
        });
        lag.collect()
    }

    #[test]
    fn it_stands_until_the_signal_had_time_to_forget() {
        let values = slow(2000, 3);
        let mut level = Level::learn(&values, 3.0).unwrap();
        let delay = level.off_delay;
        assert!((3..40).contains(&delay), "{delay}");
        assert!(!level.push(0.0));
        for _ in 0..AVERAGED {
            level.push(50.0);
        }
        let standing = (0..200).take_while(|_| level.push(0.0)).count();
        assert!((delay..=delay + AVERAGED).contains(&standing), "{standing} of {delay}");
    }

    #[test]
    fn a_day_that_does_not_come_is_a_fault_though_its_values_are_all_usual() {
        let day = |n: usize| if n % 96 > 40 { 50.0 } else { 20.0 };
        let values: Vec<f64> = noise(400, 3).iter().enumerate().map(|(n, x)| x + day(n)).collect();
        let mut level = Level::learn(&values[..300], 4.0).unwrap();
        assert_eq!(values[300..].iter().filter(|v| level.push(**v)).count(), 0);
        let night: Vec<f64> = noise(96, 5).iter().map(|x| x + 20.0).collect();
        assert!(night.iter().any(|v| level.push(*v)));
    }
}
