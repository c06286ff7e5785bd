//! The period a signal has by itself, and its usual course within it.

use super::memory::autocorrelation;
use crate::diagnose::robust::median;

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
    fn find(values: &[f64]) -> Option<Self> {
        let alike = autocorrelation(values);
        let past_zero = alike.iter().position(|r| *r < 0.0)?;
        #[allow(clippy::cast_precision_loss, reason = "a few thousand values of training")]
        let of_all_pairs = |(lag, r): (usize, &f64)| {
            let n = values.len() as f64;
            (lag, r * n / (n - lag as f64))
        };
        let later = alike.iter().enumerate().skip(past_zero.max(PERIOD_MIN)).map(of_all_pairs);
        let (length, most) = later.max_by(|a, b| a.1.total_cmp(&b.1))?;
        if most < ALIKE_MIN {
            return None;
        }
        let place = |at: usize| {
            let mut there: Vec<f64> = values.iter().skip(at).step_by(length).copied().collect();
            median(&mut there).unwrap_or(0.0)
        };
        // What was learnt from ends somewhere in its period; the next value goes on from there.
        Some(Self { course: (0..length).map(place).collect(), at: values.len() % length })
    }

    /// Gives each value's distance from the course of the **other** periods: a course flatters
    /// what it is made of.
    fn unseen(&self, values: &[f64]) -> Vec<f64> {
        let length = self.course.len();
        let mut away = vec![0.0; values.len()];
        for place in 0..length {
            let mut there: Vec<(f64, usize)> = values
                .iter()
                .enumerate()
                .skip(place)
                .step_by(length)
                .map(|(n, v)| (*v, n))
                .collect();
            there.sort_by(|a, b| a.0.total_cmp(&b.0));
            for (rank, (value, at)) in there.iter().enumerate() {
                if let Some(slot) = away.get_mut(*at) {
                    *slot = value - median_without(&there, rank).unwrap_or(*value);
                }
            }
        }
        away
    }

    /// Gives the usual value at the next place, and goes on to the one after.
    fn next(&mut self) -> f64 {
        let usual = self.course.get(self.at).copied().unwrap_or(0.0);
        self.at = (self.at + 1) % self.course.len().max(1);
        usual
    }
}

/// Gives the median of a sorted run without one of its values; `None` where no other is.
fn median_without(sorted: &[(f64, usize)], rank: usize) -> Option<f64> {
    let others = sorted.len().checked_sub(1)?;
    let nth = |n: usize| sorted.get(if n < rank { n } else { n + 1 }).map(|(value, _)| *value);
    let high = nth(others / 2)?;
    if !others.is_multiple_of(2) {
        return Some(high);
    }
    Some(nth((others / 2).checked_sub(1)?)? / 2.0 + high / 2.0)
}

/// What is usual of a signal: its place in the period, or its median where it has none.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Usual {
    period: Option<Period>,
    median: f64,
}

impl Usual {
    /// Learns what is usual, and gives how far each value lay from that.
    pub(super) fn learn(values: &[f64]) -> (Self, Vec<f64>) {
        let middle = median(&mut values.to_vec()).unwrap_or(0.0);
        let period = Period::find(values);
        let away = match &period {
            Some(period) => period.unseen(values),
            None => values.iter().map(|v| v - middle).collect(),
        };
        (Self { period, median: middle }, away)
    }

    /// Gives how far the next value lies from what is usual. Each value is shown, usable or not:
    /// a place in a period passes with any.
    pub(super) fn away(&mut self, value: f64) -> f64 {
        value - self.period.as_mut().map_or(self.median, Period::next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::trained::tests::noise;

    fn day(n: usize) -> f64 {
        if n % 96 > 40 { 50.0 } else { 20.0 }
    }

    #[test]
    fn a_day_is_found_in_two_and_noise_has_none() {
        let values: Vec<f64> = noise(250, 3).iter().enumerate().map(|(n, x)| x + day(n)).collect();
        let (mut usual, away) = Usual::learn(&values);
        assert_eq!(usual.period.as_ref().map(|period| period.course.len()), Some(96));
        assert!(away.iter().all(|x| x.abs() <= 2.0));
        assert!((250..450).all(|n| usual.away(day(n)).abs() < 1.5), "it goes on where it was");
        assert_eq!(Period::find(&noise(400, 3)), None);
        assert_eq!(Period::find(&[1.0; 400]), None);
    }

    #[test]
    fn a_value_is_held_against_the_others_alone() {
        let sorted = [(1.0, 0), (2.0, 4), (4.0, 1), (9.0, 2)];
        let without = [0, 1, 2, 3].map(|rank| median_without(&sorted, rank));
        assert_eq!(without, [Some(4.0), Some(4.0), Some(2.0), Some(2.0)]);
        assert_eq!(median_without(&sorted[..3], 0), Some(3.0));
        assert_eq!(median_without(&sorted[..1], 0), None);
    }

    #[test]
    fn without_a_period_the_median_is_usual() {
        let (mut usual, away) = Usual::learn(&[1.0, 2.0, 9.0]);
        assert_eq!(away, [-1.0, 0.0, 7.0]);
        assert_eq!(usual.away(5.0), 3.0);
    }
}
