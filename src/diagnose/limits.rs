//! A value against its limits.

use serde::Serialize;

use crate::model::Limits;

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Inside its limits, or it has none.
    Ok,
    /// At or beyond a warning limit.
    Warn,
    /// At or beyond an alarm limit.
    Alarm,
    /// There is no number to judge, or it can't be trusted.
    Unknown,
}

/// Judges a number against limits: inclusive, alarm beats warn. What is no finite number, or
/// none at all, is unknown.
#[must_use]
pub fn classify(limits: &Limits, value: Option<f64>) -> Status {
    let Some(v) = value.filter(|v| v.is_finite()) else { return Status::Unknown };
    let high = |bound: Option<f64>| bound.is_some_and(|b| v >= b);
    let low = |bound: Option<f64>| bound.is_some_and(|b| v <= b);
    if high(limits.alarm_high) || low(limits.alarm_low) {
        Status::Alarm
    } else if high(limits.warn_high) || low(limits.warn_low) {
        Status::Warn
    } else {
        Status::Ok
    }
}

/// Sums up: alarm, warn, ok by the worst that is known; unknown where nothing is.
#[must_use]
pub fn overall(statuses: impl Iterator<Item = Status> + Clone) -> Status {
    [Status::Alarm, Status::Warn, Status::Ok]
        .into_iter()
        .find(|wanted| statuses.clone().any(|status| status == *wanted))
        .unwrap_or(Status::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_inclusive_and_an_alarm_beats_a_warning() {
        let all = Limits {
            warn_high: Some(70.0),
            alarm_high: Some(90.0),
            warn_low: Some(10.0),
            alarm_low: Some(5.0),
        };
        for (v, expected) in [
            (50.0, Status::Ok),
            (70.0, Status::Warn),
            (90.0, Status::Alarm),
            (10.0, Status::Warn),
            (5.0, Status::Alarm),
            (f64::NAN, Status::Unknown),
        ] {
            assert_eq!(classify(&all, Some(v)), expected, "{v}");
        }
        assert_eq!(classify(&all, None), Status::Unknown);
    }

    #[test]
    fn nothing_readable_is_unknown_and_never_ok() {
        assert_eq!(overall([Status::Unknown, Status::Unknown].into_iter()), Status::Unknown);
        assert_eq!(overall([Status::Unknown, Status::Ok].into_iter()), Status::Ok);
        assert_eq!(overall([].into_iter()), Status::Unknown);
    }
}
