//! The health of a recorded series: quality, gaps, flatline (`historian_health`).

use serde::Serialize;

use super::Unjudged;
use super::given::{Given, Grade, SERIES_MAX};
use super::spread::{extremes, is_flat, round, spread};
use crate::model::Timestamp;

/// Gaps shown; all are counted.
const GAPS_MAX: usize = 50;

/// What a recorded series is, worst first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum SeriesVerdict {
    /// Every sample is Bad.
    BadTag,
    /// No sample is a number: nothing can be said of the values.
    NoNumericData,
    /// The numbers don't move.
    Flatline,
    /// Samples are missing in between.
    Gappy,
    /// Some samples are Bad.
    Degraded,
    /// None of the above was found in what was evaluated.
    Ok,
}

/// A stretch without samples.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct SeriesGap {
    /// The last sample before it.
    pub after: String,
    /// How long it is.
    pub gap_seconds: f64,
}

/// The health of a recorded series.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct SeriesHealth {
    /// Samples looked at.
    pub samples: usize,
    /// Samples that are finite numbers.
    pub numeric_samples: usize,
    /// Samples that are not Good.
    pub bad_quality_count: usize,
    /// Whether the numbers don't move.
    pub flatline: bool,
    /// Stretches without samples longer than the threshold.
    pub gap_count: usize,
    /// The first 50 of them.
    pub gaps: Vec<SeriesGap>,
    /// Population standard deviation of the numbers.
    pub stdev: f64,
    /// The worst that applies.
    pub verdict: SeriesVerdict,
    /// Everything that applies, worst first.
    pub verdicts: Vec<SeriesVerdict>,
    /// Samples older than one before them.
    pub out_of_order_count: usize,
    /// Whether there were times to look for gaps between.
    pub gaps_evaluated: bool,
    /// What the verdict does not speak of.
    pub not_evaluated: Vec<Unjudged>,
    /// Samples beyond the first 2000, which were not looked at.
    pub samples_not_looked_at: usize,
}

/// Judges a series; `None` where it is empty.
///
/// As the reference does: the first 2000 samples, gaps longer than the threshold, flat from two
/// numbers on. A series of truth values is never flat: it has nothing between its states.
#[must_use]
pub fn series_health(series: &[Given], gap_threshold_s: f64, eps: f64) -> Option<SeriesHealth> {
    let seen = series.get(..SERIES_MAX).unwrap_or(series);
    if seen.is_empty() {
        return None;
    }
    let numbers = || seen.iter().filter_map(|sample| sample.number);
    let numeric_samples = numbers().count();
    let bad = seen.iter().filter(|sample| sample.grade != Grade::Good).count();
    let is_discrete = seen.iter().all(|sample| sample.is_truth);
    let flatline = !is_discrete
        && numeric_samples >= 2
        && extremes(numbers()).is_some_and(|(low, high)| is_flat(low, high, eps));
    let times = Times::of(seen);
    let gaps = times.gaps(gap_threshold_s);
    let is_all_bad = seen.iter().all(|sample| sample.grade == Grade::Bad);
    let applies = [
        (is_all_bad, SeriesVerdict::BadTag),
        (!is_all_bad && numeric_samples == 0, SeriesVerdict::NoNumericData),
        (flatline && !is_all_bad, SeriesVerdict::Flatline),
        (!gaps.is_empty(), SeriesVerdict::Gappy),
        (bad > 0 && !is_all_bad, SeriesVerdict::Degraded),
    ];
    let mut verdicts: Vec<_> = applies.iter().filter(|(is, _)| *is).map(|(_, v)| *v).collect();
    if verdicts.is_empty() {
        verdicts.push(SeriesVerdict::Ok);
    }
    let mut not_evaluated = Vec::new();
    if !times.is_enough() {
        not_evaluated.push(Unjudged::new("gaps", times.why_not));
    }
    if is_discrete {
        not_evaluated.push(Unjudged::new("flatline", "truth values may stand still"));
    } else if numeric_samples < 2 {
        not_evaluated.push(Unjudged::new("flatline", "fewer than two numbers"));
    }
    Some(SeriesHealth {
        samples: seen.len(),
        numeric_samples,
        bad_quality_count: bad,
        flatline,
        gap_count: gaps.len(),
        gaps: gaps.into_iter().take(GAPS_MAX).collect(),
        stdev: if numeric_samples < 2 { 0.0 } else { round(spread(numbers()).1, 6) },
        verdict: verdicts.first().copied().unwrap_or(SeriesVerdict::Ok),
        verdicts,
        out_of_order_count: times.out_of_order,
        gaps_evaluated: times.is_enough(),
        not_evaluated,
        samples_not_looked_at: series.len() - seen.len(),
    })
}

/// The times of a series, in order.
struct Times {
    sorted: Vec<Timestamp>,
    out_of_order: usize,
    why_not: &'static str,
}

impl Times {
    fn of(series: &[Given]) -> Self {
        let mut sorted: Vec<Timestamp> = series.iter().filter_map(|sample| sample.at).collect();
        let mut latest: Option<Timestamp> = None;
        let mut out_of_order = 0;
        for at in &sorted {
            out_of_order += usize::from(latest.is_some_and(|latest| *at < latest));
            latest = latest.max(Some(*at));
        }
        sorted.sort_unstable();
        let why_not = match series.iter().any(|sample| sample.is_time_unreadable) {
            true => "the times are neither ISO 8601 nor seconds since 1970",
            false => "fewer than two samples have a time",
        };
        Self { sorted, out_of_order, why_not }
    }

    fn is_enough(&self) -> bool {
        self.sorted.len() >= 2
    }

    fn gaps(&self, threshold_s: f64) -> Vec<SeriesGap> {
        let pairs = self.sorted.iter().zip(self.sorted.iter().skip(1));
        let gap = |(before, after): (&Timestamp, &Timestamp)| {
            let nanos = after.nanos().saturating_sub(before.nanos());
            #[allow(clippy::cast_precision_loss, reason = "seconds to a millisecond, not counted")]
            let gap_seconds = nanos as f64 / 1e9;
            let after = before.to_jiff().strftime("%Y-%m-%d %H:%M:%S%.f+00:00").to_string();
            (gap_seconds > threshold_s).then_some(SeriesGap { after, gap_seconds })
        };
        pairs.filter_map(gap).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn health(items: &serde_json::Value) -> SeriesHealth {
        series_health(&Given::series(items.as_array().unwrap()), 60.0, 1e-9).unwrap()
    }

    #[test]
    fn samples_out_of_order_are_counted_and_make_no_gap_of_their_own() {
        let at = |minute: &str| json!({"value": minute.len(), "timestamp": minute});
        let health = health(&json!([
            at("2026-06-30T10:00:00Z"),
            at("2026-06-30T10:01:30Z"),
            at("2026-06-30T10:00:30Z"),
            at("2026-06-30T10:01:00Z"),
        ]));
        assert_eq!((health.gap_count, health.out_of_order_count), (0, 2));
    }

    #[test]
    fn text_is_no_evidence_of_health() {
        let health = health(&json!(["a", "b"]));
        assert_eq!(health.verdict, SeriesVerdict::NoNumericData);
        assert!(health.not_evaluated.iter().any(|n| n.check == "flatline"));
        assert!(series_health(&[], 60.0, 1e-9).is_none());
    }

    #[test]
    fn a_switch_that_stays_on_is_no_flatline() {
        let health = health(&json!([true, true, true]));
        assert_eq!((health.flatline, health.verdict), (false, SeriesVerdict::Ok));
    }

    #[test]
    fn the_largest_numbers_and_times_are_judged() {
        let health = health(&json!([
            {"value": 1e308, "timestamp": "1700-01-01"},
            {"value": -1e308, "timestamp": "2200-01-01"},
        ]));
        assert!(health.stdev.is_finite() && health.gap_count == 1);
    }
}
