//! Signals that say something of their own.

use crate::diagnose::spread::{dot, extremes, spread};

/// A signal whose variance is explained by the others but for a millionth shows nothing new: one
/// sensor in two units, or a sum that the controller makes. What is left of it is rounding, and
/// a limit on that is passed by any two that are read a scan apart.
const OWN_MIN: f64 = 1e-6;

/// Gives the signals that others before them don't explain, in their order; the one that leads
/// comes before all. One that never moved is none.
pub(super) fn distinct(rows: &[Vec<f64>], leads: usize) -> Vec<usize> {
    let signals = rows.first().map_or(0, Vec::len);
    let mut bases: Vec<Vec<f64>> = Vec::with_capacity(signals);
    let mut kept = Vec::with_capacity(signals);
    for signal in std::iter::once(leads).chain((0..signals).filter(|signal| *signal != leads)) {
        let column: Vec<f64> = rows.iter().filter_map(|row| row.get(signal).copied()).collect();
        // Twice, as what rounding left of the first time is not at right angles (Giraud 2005).
        let own = standard(&column).map(|column| without(&without(&column, &bases), &bases));
        let Some(own) = own else { continue };
        let length = dot(&own, &own).sqrt();
        #[allow(clippy::cast_precision_loss, reason = "a few thousand rows of training")]
        let share = length * length / rows.len() as f64;
        if share > OWN_MIN {
            bases.push(own.iter().map(|x| x / length).collect());
            kept.push(signal);
        }
    }
    kept.sort_unstable();
    kept
}

/// Gives a column in deviations from its mean; `None` where it never moves.
fn standard(column: &[f64]) -> Option<Vec<f64>> {
    let (low, high) = extremes(column.iter().copied())?;
    let (mean, deviation) = spread(column.iter().copied());
    let is_moving = high > low && deviation.is_finite() && deviation > 0.0;
    is_moving.then(|| column.iter().map(|x| (x - mean) / deviation).collect())
}

/// Gives what is left of a column once what the bases explain is taken from it.
fn without(column: &[f64], bases: &[Vec<f64>]) -> Vec<f64> {
    let mut left = column.to_vec();
    for base in bases {
        let share = dot(&left, base);
        left.iter_mut().zip(base).for_each(|(x, b)| *x -= share * b);
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::trained::tests::noise;

    fn rows(of: impl Fn(f64, f64) -> Vec<f64>) -> Vec<Vec<f64>> {
        noise(500, 3).into_iter().zip(noise(500, 4)).map(|(a, b)| of(a, b)).collect()
    }

    #[test]
    fn what_is_shown_twice_or_summed_up_counts_once() {
        let found = distinct(&rows(|a, b| vec![a, 1.8 * a + 32.0, b, a + 3.0 * b, 7.0]), 0);
        assert_eq!(found, [0, 2]);
        let found = distinct(&rows(|a, b| vec![a, 1.8 * a + 32.0, b]), 1);
        assert_eq!(found, [1, 2], "the one that leads stays");
    }

    #[test]
    fn what_is_alike_but_measured_by_itself_counts_for_itself() {
        let found = distinct(&rows(|a, b| vec![a, a + 0.01 * b]), 0);
        assert_eq!(found, [0, 1]);
        assert!(distinct(&[], 0).is_empty());
    }
}
