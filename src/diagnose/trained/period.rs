//! The period a signal has by itself, and its usual course within it.

use crate::diagnose::robust::median;
use crate::diagnose::spread::spread;

/// A period has at least so many values: less is noise of the sampling.
const PERIOD_MIN: usize = 16;
/// Values one period apart are this alike, or there is none.
const ALIKE_MIN: f64 = 0.7;

/// The course of one period, by the median of all periods of training.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Period {
    course: Vec<f64>,
    /// The place in the course of the next value.
    at: usize,
}

impl Period {
    /// Finds the period by the autocorrelation of values that cover it twice; `None` where there
    /// is none.
    pub(super) fn find(values: &[f64]) -> Option<Self> {
        let (mean, _) = spread(values.iter().copied());
        let centred: Vec<f64> = values.iter().map(|v| v - mean).collect();
        let energy: f64 = centred.iter().map(|v| v * v).sum();
        #[allow(clippy::cast_precision_loss, reason = "a few thousand values of training")]
        let alike = |lag: usize| {
            let pairs = centred.iter().zip(centred.iter().skip(lag));
            let n = values.len() as f64;
            pairs.map(|(a, b)| a * b).sum::<f64>() / energy * n / (n - lag as f64)
        };
        if energy <= 0.0 || !energy.is_finite() {
            return None;
        }
        let alikes: Vec<f64> = (0..=values.len() / 2).map(alike).collect();
        let past_zero = alikes.iter().position(|r| *r < 0.0)?;
        let later = alikes.iter().enumerate().skip(past_zero.max(PERIOD_MIN));
        let (length, most) = later.max_by(|a, b| a.1.total_cmp(b.1))?;
        if *most < ALIKE_MIN {
            return None;
        }
        let place = |at: usize| {
            let mut there: Vec<f64> = values.iter().skip(at).step_by(length).copied().collect();
            median(&mut there).unwrap_or(mean)
        };
        Some(Self { course: (0..length).map(place).collect(), at: 0 })
    }

    /// Gives the usual value at the next place, and goes on to the one after.
    pub(super) fn next(&mut self) -> f64 {
        let usual = self.course.get(self.at).copied().unwrap_or(0.0);
        self.at = (self.at + 1) % self.course.len().max(1);
        usual
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::trained::tests::noise;

    #[test]
    fn a_day_is_found_in_two_and_noise_has_none() {
        let day = |n: usize| if n % 96 > 40 { 50.0 } else { 20.0 };
        let values: Vec<f64> = noise(200, 3).iter().enumerate().map(|(n, x)| x + day(n)).collect();
        let mut period = Period::find(&values).unwrap();
        assert_eq!(period.course.len(), 96);
        assert!((0..96).all(|n| (period.next() - day(n)).abs() < 1.5));
        assert!((period.next() - day(0)).abs() < 1.5, "it begins again");
        assert_eq!(Period::find(&noise(400, 3)), None);
        assert_eq!(Period::find(&[1.0; 400]), None);
    }
}
