//! The health of tags by a run of samples each: quality, flatline, range, outliers
//! (`tag_health`).

use serde::Serialize;

use super::given::{Given, Grade, SERIES_MAX};
use super::limits::{Status, classify};
use super::robust::anomalies;
use super::spread::{extremes, is_flat};
use super::{Unjudged, limits};
use crate::model::Limits;

/// Two equal numbers are no evidence that a signal stands still.
const FLAT_MIN: usize = 3;
/// Fewer numbers have no quartiles.
const ANOMALY_MIN: usize = 4;
/// The reference's own tolerance.
const FLAT_EPS: f64 = 1e-9;
/// Anomalies counted of one tag.
const ANOMALIES_MAX: usize = 50;

/// What is wrong with a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// There is no sample.
    NoData,
    /// No sample is a number.
    NoNumericData,
    /// No sample may be trusted.
    BadQuality,
    /// Some samples may not be trusted.
    SomeBadQuality,
    /// The numbers don't move.
    Flatline,
    /// The newest number is at or beyond an alarm limit.
    OutOfRangeAlarm,
    /// The newest number is at or beyond a warning limit.
    OutOfRangeWarn,
    /// Some numbers lie far from the others.
    StatisticalAnomaly,
}

/// One tag's health.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct TagHealth {
    /// Its name or reference.
    #[serde(rename = "ref")]
    pub reference: String,
    /// A short name for people.
    pub label: String,
    /// Finite numbers among its samples.
    pub samples: usize,
    /// The newest number that may be trusted.
    pub latest: Option<f64>,
    /// What is wrong.
    pub flags: Vec<Flag>,
    /// Numbers far from the others.
    pub anomaly_count: usize,
    /// 0 nothing, 1 to look at, 2 to act on, 3 alarm.
    pub severity: u8,
    /// What was not judged, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_evaluated: Vec<Unjudged>,
}

impl Flag {
    fn severity(self) -> u8 {
        match self {
            Self::NoData | Self::NoNumericData => 0,
            Self::SomeBadQuality | Self::OutOfRangeWarn => 1,
            Self::Flatline | Self::StatisticalAnomaly => 2,
            Self::BadQuality | Self::OutOfRangeAlarm => 3,
        }
    }
}

impl TagHealth {
    /// Tells whether there was nothing to judge.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.flags.iter().any(|flag| matches!(flag, Flag::NoData | Flag::NoNumericData))
    }

    fn status(&self) -> Status {
        match self.severity {
            3.. => Status::Alarm,
            1..=2 => Status::Warn,
            0 if self.is_unknown() => Status::Unknown,
            0 => Status::Ok,
        }
    }
}

/// Sums up: the worst that is known, unknown where nothing is.
#[must_use]
pub fn tags_overall(tags: &[TagHealth]) -> Status {
    limits::overall(tags.iter().map(TagHealth::status))
}

/// Judges one tag by the newest 2000 of its samples.
///
/// Bad samples judge nothing; where all are Bad their newest number is shown all the same. Truth
/// values are neither flat nor outliers.
#[must_use]
pub fn tag_health(
    reference: String,
    label: String,
    limits: &Limits,
    samples: &[Given],
) -> TagHealth {
    let first = samples.len().saturating_sub(SERIES_MAX);
    let mut seen: Vec<&Given> = samples.get(first..).unwrap_or_default().iter().collect();
    if seen.iter().all(|sample| sample.at.is_some()) {
        seen.sort_by_key(|sample| sample.at);
    }
    let numeric = seen.iter().filter(|sample| sample.number.is_some()).count();
    let trusted: Vec<f64> =
        seen.iter().filter(|s| s.grade != Grade::Bad).filter_map(|s| s.number).collect();
    let newest = seen.iter().rev().find_map(|sample| sample.number);
    let is_discrete = !seen.is_empty() && seen.iter().all(|sample| sample.is_truth);
    let mut judged = Judged::default();
    judged.quality(&seen, numeric);
    judged.movement(&trusted, is_discrete);
    judged.range(limits, trusted.last().copied());
    let anomaly_count = judged.anomalies(&trusted, is_discrete);
    TagHealth {
        reference,
        label,
        samples: numeric,
        latest: trusted.last().copied().or(newest),
        severity: judged.flags.iter().map(|flag| flag.severity()).max().unwrap_or(0),
        flags: judged.flags,
        anomaly_count,
        not_evaluated: judged.not_evaluated,
    }
}

/// What was found of a tag, and what was not looked for.
#[derive(Default)]
struct Judged {
    flags: Vec<Flag>,
    not_evaluated: Vec<Unjudged>,
}

impl Judged {
    fn quality(&mut self, seen: &[&Given], numeric: usize) {
        let bad = seen.iter().filter(|sample| sample.grade != Grade::Good).count();
        match seen.len() {
            0 => self.flags.push(Flag::NoData),
            all if all == bad => self.flags.push(Flag::BadQuality),
            _ if numeric == 0 => self.flags.push(Flag::NoNumericData),
            _ => {}
        }
        if bad > 0 && bad < seen.len() {
            self.flags.push(Flag::SomeBadQuality);
        }
    }

    fn movement(&mut self, trusted: &[f64], is_discrete: bool) {
        if is_discrete {
            let why = "truth values may stand still";
            self.not_evaluated.push(Unjudged::new("flatline", why));
        } else if trusted.len() < FLAT_MIN {
            let why = "fewer than three numbers that may be trusted";
            self.not_evaluated.push(Unjudged::new("flatline", why));
        } else if extremes(trusted.iter().copied()).is_some_and(|(l, h)| is_flat(l, h, FLAT_EPS)) {
            self.flags.push(Flag::Flatline);
        }
    }

    fn range(&mut self, limits: &Limits, latest: Option<f64>) {
        match classify(limits, latest) {
            Status::Alarm => self.flags.push(Flag::OutOfRangeAlarm),
            Status::Warn => self.flags.push(Flag::OutOfRangeWarn),
            Status::Ok => {}
            Status::Unknown => {
                let why = "no number that may be trusted";
                self.not_evaluated.push(Unjudged::new("range", why));
            }
        }
    }

    fn anomalies(&mut self, trusted: &[f64], is_discrete: bool) -> usize {
        if is_discrete || trusted.len() < ANOMALY_MIN {
            let why = match is_discrete {
                true => "truth values have no outliers",
                false => "fewer than four numbers that may be trusted",
            };
            self.not_evaluated.push(Unjudged::new("statistical_anomaly", why));
            return 0;
        }
        let count = anomalies(trusted).len().min(ANOMALIES_MAX);
        if count > 0 {
            self.flags.push(Flag::StatisticalAnomaly);
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn health(items: &serde_json::Value, limits: &Limits) -> TagHealth {
        let samples = Given::series(items.as_array().unwrap());
        tag_health("t".into(), String::new(), limits, &samples)
    }

    #[test]
    fn a_bad_sample_judges_nothing() {
        let limits = Limits { alarm_high: Some(90.0), ..Limits::default() };
        let samples = json!([20, 21, 20, 22, {"value": 9999, "quality": "Bad"}]);
        let health = health(&samples, &limits);
        assert_eq!(health.flags, [Flag::SomeBadQuality]);
        assert_eq!((health.latest, health.severity), (Some(22.0), 1));
    }

    #[test]
    fn without_data_the_overall_is_unknown_and_an_alarm_beats_it() {
        let empty = health(&json!([]), &Limits::default());
        assert_eq!(tags_overall(std::slice::from_ref(&empty)), Status::Unknown);
        let limits = Limits { alarm_high: Some(90.0), ..Limits::default() };
        let high = health(&json!([95]), &limits);
        assert_eq!(tags_overall(&[empty, high]), Status::Alarm);
    }

    #[test]
    fn two_equal_numbers_are_too_few_for_a_flatline() {
        let health = health(&json!([5, 5]), &Limits::default());
        assert!(health.flags.is_empty());
        assert!(health.not_evaluated.iter().any(|n| n.check == "flatline"));
    }

    #[test]
    fn the_newest_samples_count_where_there_are_too_many() {
        let mut samples = vec![json!(5); 2500];
        samples.push(json!(95));
        let limits = Limits { alarm_high: Some(90.0), ..Limits::default() };
        assert_eq!(health(&json!(samples), &limits).latest, Some(95.0));
    }
}
