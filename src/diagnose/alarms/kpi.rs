//! The figures of a shift (ISA-18.2 clause 16, EEMUA 191).

use serde::Serialize;

use super::flood::{Flood, floods};
use crate::model::Timestamp;

/// A shift is eight hours where nobody says otherwise.
pub const SHIFT_S: i64 = 8 * 3600;
/// Shifts shown, newest last: a week.
const SHIFTS_MAX: usize = 21;
const TEN_MINUTES_S: i64 = 600;

/// One shift's figures.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Shift {
    /// Its start.
    pub start: Timestamp,
    /// How much of it the log covers.
    pub hours: f64,
    /// Alarms that became active.
    pub activations: usize,
    /// The mean of ten minutes: 1 is acceptable, 2 the most that can be managed.
    pub per_10_min: f64,
    /// The most in any ten minutes.
    pub peak_10_min: usize,
    /// Percent of the time in flood: 1 is acceptable.
    pub flood_pct: f64,
}

/// Cuts activations sorted by time into shifts from the first on.
#[must_use]
pub fn shifts(activations: &[Timestamp], until: Timestamp, shift_s: i64) -> Vec<Shift> {
    let Some(first) = activations.first().copied() else { return Vec::new() };
    let found = floods(activations, until).floods;
    let span_ms = until.millis_since(first).max(1);
    let count = span_ms.div_euclid(shift_s * 1000).saturating_add(1);
    let skipped = count.saturating_sub(i64::try_from(SHIFTS_MAX).unwrap_or(0)).max(0);
    let mut shifts = Vec::new();
    for nth in skipped..count {
        let start = first.plus_millis(nth.saturating_mul(shift_s * 1000));
        let end = start.plus_millis(shift_s * 1000).min(until);
        let begin = activations.partition_point(|at| *at < start);
        let stop = activations.partition_point(|at| *at < end || *at <= until && end == until);
        let part = activations.get(begin..stop).unwrap_or_default();
        #[allow(clippy::cast_precision_loss, reason = "hours and counts of a shift")]
        let (seconds, n) = (end.millis_since(start).max(0) as f64 / 1000.0, part.len() as f64);
        // Less than ten minutes have no rate.
        if seconds < 600.0 {
            continue;
        }
        let flooded: f64 =
            found.iter().map(|flood| overlap_s(flood, activations, start, end)).sum();
        shifts.push(Shift {
            start,
            hours: (seconds / 36.0).round() / 100.0,
            activations: part.len(),
            per_10_min: (n / seconds * 60_000.0).round() / 100.0,
            peak_10_min: floods(part, end).peak.map_or(0, |(peak, _)| peak),
            flood_pct: (flooded / seconds * 10_000.0).round() / 100.0,
        });
    }
    shifts
}

fn overlap_s(flood: &Flood, activations: &[Timestamp], start: Timestamp, end: Timestamp) -> f64 {
    let Some(begin) = activations.get(flood.started_by) else { return 0.0 };
    let stop = flood.ended.unwrap_or(end).min(end);
    #[allow(clippy::cast_precision_loss, reason = "seconds of a shift")]
    let seconds = stop.millis_since((*begin).max(start)).max(0) as f64 / 1000.0;
    seconds
}

/// Tells whether a mean of ten minutes is bearable: one a period is EEMUA's long-term average.
#[must_use]
pub fn is_acceptable(shift: &Shift) -> bool {
    #[allow(clippy::cast_precision_loss, reason = "ten minutes in seconds")]
    let periods = shift.hours * 3600.0 / TEN_MINUTES_S as f64;
    shift.per_10_min <= 1.0 && periods >= 1.0 && shift.flood_pct <= 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_shows_in_its_own_shift_and_not_in_the_next() {
        let mut times: Vec<Timestamp> =
            (0..40).map(|n| Timestamp::from_millis(n * 15_000)).collect();
        times.push(Timestamp::from_millis(9 * 3_600_000));
        let found = shifts(&times, Timestamp::from_millis(16 * 3_600_000), SHIFT_S);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].activations, found[0].peak_10_min), (40, 40));
        assert!(found[0].flood_pct > 3.0 && !is_acceptable(&found[0]));
        assert_eq!((found[1].activations, found[1].flood_pct), (1, 0.0));
        assert!(is_acceptable(&found[1]));
    }
}
