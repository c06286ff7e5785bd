//! Mean and deviation of a short run, for any finite numbers.

/// Squares of numbers below this don't overflow, sums of them neither.
const PLAIN_MAX: f64 = 1e150;

/// Gives the mean and the population standard deviation; zeroes for an empty run.
pub(super) fn spread(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let (mut count, mut largest) = (0_u32, 0.0_f64);
    for v in values.clone() {
        count = count.saturating_add(1);
        largest = largest.max(v.abs());
    }
    if count == 0 {
        return (0.0, 0.0);
    }
    let n = f64::from(count);
    // A power of two changes no digit.
    let scale = if largest > PLAIN_MAX { 2.0_f64.powi(-600) } else { 1.0 };
    let mean = values.clone().map(|v| v * scale / n).sum::<f64>();
    let squares: f64 = values.map(|v| (v * scale - mean).powi(2)).sum();
    (mean / scale, (squares / n).sqrt() / scale)
}

/// Sums that run side by side: one after the other they would wait for each addition.
const LANES: usize = 8;

/// Gives the sum of the products of two runs, as far as both go.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().min(b.len());
    let (a, b) = (a.get(..n).unwrap_or_default(), b.get(..n).unwrap_or_default());
    let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().sum::<f64>() + rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum::<f64>()
}

/// Gives the least and the greatest; `None` for an empty run.
pub(super) fn extremes(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |so_far, v| match so_far {
        None => Some((v, v)),
        Some((low, high)) => Some((low.min(v), high.max(v))),
    })
}

/// Tells whether a run stays within `eps`, exact where the range itself would overflow.
pub(super) fn is_flat(low: f64, high: f64, eps: f64) -> bool {
    high - low <= eps.abs()
}

/// Rounds to so many decimals; numbers too large for that stay.
pub(super) fn round(x: f64, decimals: i32) -> f64 {
    let unit = 10_f64.powi(decimals);
    let scaled = (x * unit).round() / unit;
    if scaled.is_finite() { scaled } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_numbers_have_a_mean_and_a_deviation() {
        let mut values = [-1.7e308; 10];
        values[0] = 1.7e308;
        let (mean, stdev) = spread(values.iter().copied());
        assert!((mean / -1.36e308 - 1.0).abs() < 1e-12, "{mean}");
        assert!((stdev / 1.02e308 - 1.0).abs() < 1e-12, "{stdev}");
        assert_eq!(spread([].into_iter()), (0.0, 0.0));
    }

    #[test]
    fn a_small_deviation_is_that_of_the_population() {
        let (mean, stdev) = spread([1.0, 2.0, 3.0, 4.0].into_iter());
        assert!((mean - 2.5).abs() < 1e-15 && (stdev - 1.118_033_988_749_895).abs() < 1e-15);
        assert_eq!(extremes([3.0, 1.0, 2.0].into_iter()), Some((1.0, 3.0)));
        assert!(!is_flat(-1.7e308, 1.7e308, 1e-9));
        assert_eq!(round(1e308, 6), 1e308);
        let run: Vec<f64> = (0..21).map(f64::from).collect();
        assert_eq!(dot(&run, &run[1..]), (0..20).map(|n| f64::from(n * (n + 1))).sum::<f64>());
    }
}
