//! Median and MAD: a centre and a spread that outliers can't move (Hampel 1974; Iglewicz and
//! Hoaglin 1993).

use super::spread::spread;

/// A deviation of normal noise is this many MADs.
pub(super) const MAD_TO_SIGMA: f64 = 1.482_602_218_505_602;
/// The same for the mean absolute deviation: the square root of pi/2.
const MEAN_AD_TO_SIGMA: f64 = 1.253_314_137_315_500_3;
/// Iglewicz and Hoaglin's own limit on the modified z-score.
const MODIFIED_Z_MAX: f64 = 3.5;
/// The reference's limit on the plain z-score.
const Z_MAX: f64 = 3.0;
/// With fewer numbers one that differs says nothing where all the others are equal.
const EQUALS_MIN: usize = 8;

/// Gives the median of numbers that it reorders; `None` for an empty run.
#[must_use]
pub fn median(values: &mut [f64]) -> Option<f64> {
    let middle = values.len() / 2;
    let is_even = values.len().is_multiple_of(2);
    if values.is_empty() {
        return None;
    }
    let (below, at, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let high = *at;
    if !is_even {
        return Some(high);
    }
    let low = below.iter().copied().reduce(f64::max)?;
    Some(low / 2.0 + high / 2.0)
}

/// Gives the median and the MAD; `work` is memory to use. `None` for an empty run.
#[must_use]
pub fn median_and_mad(values: &[f64], work: &mut Vec<f64>) -> Option<(f64, f64)> {
    work.clear();
    work.extend_from_slice(values);
    let centre = median(work)?;
    work.iter_mut().for_each(|v| *v = (*v - centre).abs());
    Some((centre, median(work)?))
}

/// Finds the positions of numbers far from the others: by the reference's rule (three
/// deviations, or one and a half quartile ranges beyond the quartiles), or by median and MAD,
/// behind which several outliers can't hide.
#[must_use]
pub fn anomalies(values: &[f64]) -> Vec<usize> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let quarter = |nth: usize| sorted.get(nth * values.len() / 4).copied().unwrap_or(0.0);
    let (q1, q3) = (quarter(1), quarter(3));
    let iqr = q3 - q1;
    let (mean, stdev) = spread(values.iter().copied());
    let robust_sigma = robust_sigma(values);
    let is_far = |v: f64| {
        let by_z = stdev > 0.0 && (v - mean).abs() > Z_MAX * stdev;
        let by_quartile = iqr > 0.0 && (v < q1 - 1.5 * iqr || v > q3 + 1.5 * iqr);
        let by_median =
            robust_sigma.is_some_and(|(centre, sigma)| (v - centre).abs() > MODIFIED_Z_MAX * sigma);
        by_z || by_quartile || by_median
    };
    values.iter().enumerate().filter(|(_, v)| is_far(**v)).map(|(at, _)| at).collect()
}

/// Gives the median and a deviation made of the MAD, or of the mean absolute deviation where
/// more than half of the numbers are equal; `None` where that says nothing.
fn robust_sigma(values: &[f64]) -> Option<(f64, f64)> {
    let (centre, mad) = median_and_mad(values, &mut Vec::new())?;
    if mad > 0.0 {
        return Some((centre, mad * MAD_TO_SIGMA));
    }
    let is_two_states = {
        let other = values.iter().copied().find(|v| *v != centre);
        other.is_none_or(|other| values.iter().all(|v| *v == centre || *v == other))
            && other.is_some_and(|other| (other - centre).abs() <= 1.0 && centre.fract() == 0.0)
    };
    if values.len() < EQUALS_MIN || is_two_states {
        return None;
    }
    let (mean_ad, _) = spread(values.iter().map(|v| (v - centre).abs()));
    (mean_ad > 0.0).then_some((centre, mean_ad * MEAN_AD_TO_SIGMA))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_needs_no_order_and_does_not_overflow() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut [1.7e308, 1.5e308]), Some(1.6e308));
        assert_eq!(median(&mut []), None);
        let work = &mut Vec::new();
        assert_eq!(median_and_mad(&[1.0, 2.0, 3.0, 100.0], work), Some((2.5, 1.0)));
    }

    #[test]
    fn two_spikes_in_eight_are_both_found() {
        assert_eq!(anomalies(&[10.0, 10.1, 60.0, 9.9, 10.0, 61.0, 10.05, 9.95]), [2, 5]);
        assert_eq!(anomalies(&[10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 1000.0]), [7]);
    }

    #[test]
    fn a_ramp_a_switch_and_noise_have_none() {
        let ramp: Vec<f64> = (0..50).map(f64::from).collect();
        assert!(anomalies(&ramp).is_empty());
        assert!(anomalies(&[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]).is_empty());
        assert!(anomalies(&[10.0, 10.01, 10.0, 10.01, 10.02, 10.0, 10.03, 10.06]).is_empty());
    }
}
