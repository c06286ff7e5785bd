//! Statistics of a stretch of history.

use super::{Quality, Window};

/// Sums that run side by side: one after the other they would wait for each addition.
const LANES: usize = 8;

/// What a stretch of samples amounts to.
///
/// Numbers count where they are finite and not Bad; the deviation is that of the population.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stats {
    /// Samples, whatever their value and quality.
    pub count: u64,
    /// Samples of good quality.
    pub good: u64,
    /// Numbers that count below.
    pub usable: u64,
    /// Their mean.
    pub mean: Option<f64>,
    /// Their standard deviation.
    pub stdev: Option<f64>,
    /// The least.
    pub min: Option<f64>,
    /// The greatest.
    pub max: Option<f64>,
    /// The oldest.
    pub first: Option<f64>,
    /// The newest.
    pub last: Option<f64>,
}

/// Sums over the lanes; each value is shifted first, so that a small deviation survives far
/// from zero.
struct Sums {
    shift: f64,
    count: [f64; LANES],
    sum: [f64; LANES],
    square: [f64; LANES],
    min: [f64; LANES],
    max: [f64; LANES],
}

impl Stats {
    /// Computes the statistics of values that are NaN where they don't count, with a quality
    /// for each.
    #[must_use]
    pub fn of(values: &[f64], qualities: &[Quality]) -> Self {
        let good: u32 = qualities.iter().map(|quality| u32::from(quality.is_good())).sum();
        let stats = Self {
            count: u64::try_from(values.len()).unwrap_or(u64::MAX),
            good: u64::from(good),
            ..Self::default()
        };
        let finite = |value: &&f64| value.is_finite();
        let Some(first) = values.iter().find(finite) else { return stats };
        if let Some(plain) = Plain::of(values, *first) {
            let last = values.last().copied();
            return Self { first: Some(*first), last, ..plain.settle(stats) };
        }
        let mut sums = Sums::new(*first);
        let (chunks, rest) = values.as_chunks::<LANES>();
        chunks.iter().for_each(|chunk| sums.add(chunk));
        let mut last = [f64::NAN; LANES];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        sums.add(&last);
        Self {
            first: Some(*first),
            last: values.iter().rev().find(finite).copied(),
            ..sums.settle(stats)
        }
    }

    /// Computes the statistics of a window.
    #[must_use]
    pub fn of_window(window: &Window) -> Self {
        let number = |(value, quality): (&super::Value, &Quality)| {
            value.as_f64().filter(|_| !quality.is_bad()).unwrap_or(f64::NAN)
        };
        let values: Vec<f64> = window.values.iter().zip(&window.qualities).map(number).collect();
        Self::of(&values, &window.qualities)
    }
}

/// Fewer lanes: all four sums of them stay in the registers of any machine.
const PLAIN_LANES: usize = 4;

/// The same sums where every value is a number: nothing has to be chosen.
struct Plain {
    shift: f64,
    count: f64,
    sum: f64,
    square: f64,
    min: f64,
    max: f64,
}

impl Plain {
    /// Sums up; `None` where a value is no number, or their squares are too large for one.
    #[allow(clippy::cast_precision_loss, reason = "values of a window, far below 2^53")]
    fn of(values: &[f64], shift: f64) -> Option<Self> {
        let (mut sum, mut square) = ([0.0; PLAIN_LANES], [0.0; PLAIN_LANES]);
        let (mut min, mut max) = ([shift; PLAIN_LANES], [shift; PLAIN_LANES]);
        let mut add = |chunk: &[f64; PLAIN_LANES]| {
            let away = chunk.map(|value| value - shift);
            for ((sum, square), away) in sum.iter_mut().zip(&mut square).zip(away) {
                *sum += away;
                *square += away * away;
            }
            for ((min, max), value) in min.iter_mut().zip(&mut max).zip(chunk) {
                *min = if value < min { *value } else { *min };
                *max = if value > max { *value } else { *max };
            }
        };
        let (chunks, rest) = values.as_chunks::<PLAIN_LANES>();
        chunks.iter().for_each(&mut add);
        // The shift itself adds nothing and is no new extreme.
        let mut last = [shift; PLAIN_LANES];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        add(&last);
        let square: f64 = square.iter().sum();
        // A NaN or an infinity anywhere is still in it.
        square.is_finite().then(|| Self {
            shift,
            count: values.len() as f64,
            sum: sum.iter().sum(),
            square,
            min: min.iter().copied().fold(shift, f64::min),
            max: max.iter().copied().fold(shift, f64::max),
        })
    }

    fn settle(&self, stats: Stats) -> Stats {
        let Self { shift, count, sum, square, min, max } = *self;
        let variance = ((square - sum * sum / count) / count).max(0.0);
        Stats {
            usable: stats.count,
            mean: Some(shift + sum / count),
            stdev: Some(variance.sqrt()),
            min: Some(min),
            max: Some(max),
            ..stats
        }
    }
}

impl Sums {
    fn new(shift: f64) -> Self {
        Self {
            shift,
            count: [0.0; LANES],
            sum: [0.0; LANES],
            square: [0.0; LANES],
            min: [f64::INFINITY; LANES],
            max: [f64::NEG_INFINITY; LANES],
        }
    }

    fn add(&mut self, values: &[f64; LANES]) {
        let mut shifted = [0.0; LANES];
        for ((to, value), count) in shifted.iter_mut().zip(values).zip(&mut self.count) {
            let finite = value.is_finite();
            *to = if finite { value - self.shift } else { 0.0 };
            *count += if finite { 1.0 } else { 0.0 };
        }
        for ((sum, square), value) in self.sum.iter_mut().zip(&mut self.square).zip(&shifted) {
            *sum += value;
            *square += value * value;
        }
        for ((min, max), value) in self.min.iter_mut().zip(&mut self.max).zip(values) {
            let (low, high) = if value.is_finite() { (*value, *value) } else { (*min, *max) };
            *min = if low < *min { low } else { *min };
            *max = if high > *max { high } else { *max };
        }
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a sum of ones over a slice is a whole number of at most 2^53"
    )]
    fn settle(&self, stats: Stats) -> Stats {
        let count: f64 = self.count.iter().sum();
        let sum: f64 = self.sum.iter().sum();
        let square: f64 = self.square.iter().sum();
        let variance = ((square - sum * sum / count) / count).max(0.0);
        Stats {
            usable: count as u64,
            mean: Some(self.shift + sum / count),
            stdev: Some(variance.sqrt()),
            min: self.min.iter().copied().reduce(f64::min),
            max: self.max.iter().copied().reduce(f64::max),
            ..stats
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_numbers_have_the_deviation_of_the_population() {
        let s = Stats::of(&[1.0, 2.0, 3.0, 4.0], &[Quality::GOOD; 4]);
        assert_eq!((s.count, s.good, s.usable), (4, 4, 4));
        assert_eq!((s.mean, s.min, s.max), (Some(2.5), Some(1.0), Some(4.0)));
        assert_eq!((s.first, s.last), (Some(1.0), Some(4.0)));
        assert!((s.stdev.unwrap() - 1.118_033_988_749_895).abs() < 1e-15);
    }

    #[test]
    fn a_small_deviation_survives_far_from_zero() {
        let values: Vec<f64> =
            (0..1000).map(|n| 1e9 + if n % 2 == 0 { 0.001 } else { -0.001 }).collect();
        let s = Stats::of(&values, &vec![Quality::GOOD; 1000]);
        assert!((s.stdev.unwrap() - 0.001).abs() < 1e-6, "{s:?}");
    }

    #[test]
    fn what_is_no_number_is_counted_and_no_more() {
        let qualities = [Quality::BAD, Quality::GOOD, Quality::GOOD];
        let s = Stats::of(&[f64::NAN, f64::INFINITY, 5.0], &qualities);
        assert_eq!((s.count, s.good, s.usable, s.max), (3, 2, 1, Some(5.0)));
        assert_eq!((s.first, s.last, s.stdev), (Some(5.0), Some(5.0), Some(0.0)));
        assert_eq!(Stats::of(&[], &[]), Stats::default());
    }
}
