//! A device's clock against ours, by the times its samples carry.

use serde::Serialize;

use super::robust::median;
use crate::model::{Timestamp, Window};

/// Fewer fresh samples say nothing of a clock.
const SKEW_SAMPLES_MIN: usize = 3;
/// The newest samples that are looked at: an old offset has nothing to say of now.
pub const SKEW_SAMPLES_MAX: usize = 64;
/// Two clocks kept by NTP differ by less, sampling and delivery included.
const RIGHT_MAX_MS: i64 = 5_000;
/// A sample comes this many scan periods late at most, in the queues on its way.
const PERIODS_LATE_MAX: i64 = 3;
/// A clock is this close to its own zone's time.
const ZONE_NEAR_MS: i64 = 60_000;
/// Zones differ by quarters of an hour (IANA time zone database: Asia/Kathmandu is +05:45).
const QUARTER_MS: i64 = 900_000;
/// Civil time is at most 14 hours ahead of UTC and 12 behind it.
const ZONE_MAX_MS: i64 = 14 * 3_600_000;

/// What a device's clock is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SkewVerdict {
    /// It agrees with ours.
    Right,
    /// It is ahead of ours.
    Ahead,
    /// It is behind ours, or its samples arrive late.
    Behind,
    /// It is off by whole hours: it has another zone's time for UTC.
    TimeZone,
}

/// A device's clock against ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Skew {
    /// What that means.
    pub verdict: SkewVerdict,
    /// The device's time less ours; the median of the newest samples.
    pub offset_ms: i64,
    /// Fresh samples it was taken from.
    pub samples: usize,
}

impl Skew {
    /// Tells whether the times of this device mislead.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        self.verdict != SkewVerdict::Right
    }

    /// Says it for people: `2 h behind ours, a time-zone mistake`.
    #[must_use]
    pub fn words(&self) -> String {
        let side = if self.offset_ms < 0 { "behind" } else { "ahead of" };
        let span = span(self.offset_ms);
        match self.verdict {
            SkewVerdict::Right => "agrees with ours".to_owned(),
            SkewVerdict::Ahead => format!("{span} {side} ours"),
            SkewVerdict::Behind => format!("{span} {side} ours, or its samples arrive late"),
            SkewVerdict::TimeZone => {
                format!("{span} {side} ours: a time-zone mistake, it has local time for UTC")
            }
        }
    }
}

/// Writes a span in hours and minutes, or in seconds below two minutes.
fn span(ms: i64) -> String {
    let seconds = ms.unsigned_abs().div_ceil(1000);
    match (seconds / 3600, (seconds % 3600 + 30) / 60) {
        (0, _) if seconds < 120 => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, 60) => format!("{} h", hours + 1),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

/// Gives the offset of a sample whose device time has moved on since the sample before: one
/// that stands says how long ago the value changed, and nothing of the clock.
#[must_use]
pub fn fresh_offset_ms(
    before: Option<Timestamp>,
    source: Option<Timestamp>,
    received: Timestamp,
) -> Option<i64> {
    let (before, source) = (before?, source?);
    (source > before).then(|| source.millis_since(received))
}

/// Gives the newest offsets of a window, oldest first.
#[must_use]
pub fn fresh_offsets_ms(window: &Window) -> Vec<i64> {
    let times = window.source.iter().zip(&window.received);
    let before = std::iter::once(&None).chain(&window.source);
    let fresh = times
        .zip(before)
        .filter_map(|((source, received), before)| fresh_offset_ms(*before, *source, *received));
    let mut offsets: Vec<i64> = fresh.collect();
    offsets.drain(..offsets.len().saturating_sub(SKEW_SAMPLES_MAX));
    offsets
}

/// Judges a clock by the offsets of fresh samples; `None` where there are too few. `scan_ms` is
/// how often the slowest of them is sampled.
#[must_use]
pub fn skew(offsets_ms: &[i64], scan_ms: u32) -> Option<Skew> {
    if offsets_ms.len() < SKEW_SAMPLES_MIN {
        return None;
    }
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of some centuries are exact")]
    let mut numbers: Vec<f64> = offsets_ms.iter().map(|ms| *ms as f64).collect();
    #[allow(clippy::cast_possible_truncation, reason = "the median of numbers that came from i64")]
    let offset_ms = median(&mut numbers)?.round() as i64;
    let late_ms = i64::from(scan_ms).saturating_mul(PERIODS_LATE_MAX);
    let verdict = match offset_ms {
        ms if ms > RIGHT_MAX_MS && is_zone(ms) => SkewVerdict::TimeZone,
        ms if ms > RIGHT_MAX_MS => SkewVerdict::Ahead,
        ms if ms >= -(RIGHT_MAX_MS.saturating_add(late_ms)) => SkewVerdict::Right,
        ms if is_zone(ms) => SkewVerdict::TimeZone,
        _ => SkewVerdict::Behind,
    };
    Some(Skew { verdict, offset_ms, samples: offsets_ms.len() })
}

/// Tells whether an offset is one between civil time and UTC: half an hour at least, since no
/// zone is nearer.
fn is_zone(offset_ms: i64) -> bool {
    let quarters = (offset_ms.saturating_add(QUARTER_MS / 2)).div_euclid(QUARTER_MS);
    let near = offset_ms.saturating_sub(quarters.saturating_mul(QUARTER_MS)).abs() <= ZONE_NEAR_MS;
    let size = offset_ms.saturating_abs();
    // Quarters that are no whole or half hour are used by a handful of zones, from 5 h on.
    let is_used = quarters % 2 == 0 || size > 5 * 3_600_000;
    near && is_used && size > 2 * QUARTER_MS - ZONE_NEAR_MS && size <= ZONE_MAX_MS + ZONE_NEAR_MS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Quality, Sample, Value};

    fn judged(offset_ms: i64) -> (SkewVerdict, String) {
        let found = skew(&[offset_ms - 40, offset_ms, offset_ms + 700], 1000).unwrap();
        (found.verdict, found.words())
    }

    #[test]
    fn whole_hours_are_a_time_zone_and_anything_else_is_a_clock() {
        const H: i64 = 3_600_000;
        for (offset, verdict, words) in [
            (-300, SkewVerdict::Right, "agrees"),
            (2 * H - 400, SkewVerdict::TimeZone, "2 h ahead of ours: a time-zone mistake"),
            (-8 * H - 900, SkewVerdict::TimeZone, "8 h behind ours: a time-zone mistake"),
            (5 * H + H / 2, SkewVerdict::TimeZone, "5 h 30 min ahead"),
            (-H + 300_000, SkewVerdict::Behind, "55 min behind"),
            (90_000, SkewVerdict::Ahead, "90 s ahead"),
            (17 * H, SkewVerdict::Ahead, "17 h ahead"),
            (-400 * 24 * H, SkewVerdict::Behind, "9600 h behind"),
        ] {
            let (found, said) = judged(offset);
            assert_eq!(found, verdict, "{offset}");
            assert!(said.starts_with(words), "{offset}: {said}");
        }
    }

    #[test]
    fn lateness_within_three_scans_is_no_wrong_clock() {
        assert_eq!(skew(&[-14_000; 5], 5_000).unwrap().verdict, SkewVerdict::Right);
        assert_eq!(skew(&[-14_000; 5], 1_000).unwrap().verdict, SkewVerdict::Behind);
    }

    #[test]
    fn one_wild_time_does_not_move_the_median_and_two_samples_are_too_few() {
        assert_eq!(skew(&[-5, 3, i64::MAX, -8, 2], 1000).unwrap().verdict, SkewVerdict::Right);
        assert_eq!(skew(&[9_999_999, 9_999_999], 1000), None);
        assert!(skew(&[i64::MIN; 3], u32::MAX).is_some());
    }

    #[test]
    fn a_time_that_stands_says_nothing_of_the_clock() {
        let mut window = Window::default();
        for s in 0..10 {
            window.push(Sample {
                value: Value::I64(1),
                quality: Quality::GOOD,
                source_ts: Some(Timestamp::from_millis(if s < 4 { s * 1000 } else { 3000 })),
                received_ts: Timestamp::from_millis(s * 1000 + 50),
            });
        }
        assert_eq!(fresh_offsets_ms(&window), [-50, -50, -50]);
        assert!(fresh_offsets_ms(&Window::default()).is_empty());
    }
}
