//! Limit crossings of a tag, with delay and hysteresis.

use crate::diagnose::limits::{Status, classify};
use crate::model::{Limits, Tag, Timestamp};

/// One tag's limit alarm: fed with values in the order of time.
#[derive(Debug, Clone)]
pub struct LimitAlarm {
    limits: Limits,
    /// The limits an active alarm must come back inside of.
    inner: Limits,
    delay_ms: i64,
    active: Status,
    /// What the value has been at or beyond since when.
    pending: Option<(Status, Timestamp)>,
}

impl LimitAlarm {
    /// Makes one for a tag; `None` where it has no limits.
    #[must_use]
    pub fn of_tag(tag: &Tag) -> Option<Self> {
        if tag.limits == Limits::default() {
            return None;
        }
        let back = tag.alarm.hysteresis.unwrap_or(0.0).max(0.0);
        let delay_s = tag.alarm.delay_s.unwrap_or(0.0).clamp(0.0, 86_400.0);
        #[allow(clippy::cast_possible_truncation, reason = "at most a day in milliseconds")]
        let delay_ms = (delay_s * 1000.0) as i64;
        let inner = Limits {
            warn_high: tag.limits.warn_high.map(|bound| bound - back),
            alarm_high: tag.limits.alarm_high.map(|bound| bound - back),
            warn_low: tag.limits.warn_low.map(|bound| bound + back),
            alarm_low: tag.limits.alarm_low.map(|bound| bound + back),
        };
        Some(Self { limits: tag.limits, inner, delay_ms, active: Status::Ok, pending: None })
    }

    /// Takes the next value, and tells whether the alarm changes by it. What is no number, or
    /// not to be trusted, changes nothing.
    pub fn take(&mut self, at: Timestamp, value: Option<f64>) -> Option<Status> {
        let plain = classify(&self.limits, value);
        if plain == Status::Unknown {
            return None;
        }
        let held = classify(&self.inner, value);
        // Inside the hysteresis an active alarm stays what it is.
        let wanted = match self.active {
            Status::Alarm if held == Status::Alarm => Status::Alarm,
            Status::Alarm | Status::Warn if plain == Status::Ok && held != Status::Ok => {
                Status::Warn
            }
            _ => plain,
        };
        if wanted == self.active {
            self.pending = None;
            return None;
        }
        let since = match self.pending {
            Some((status, since)) if status == wanted => since,
            _ => at,
        };
        self.pending = Some((wanted, since));
        let is_worse = wanted == Status::Alarm || self.active == Status::Ok;
        if is_worse && at.millis_since(since) < self.delay_ms {
            return None;
        }
        self.pending = None;
        self.active = wanted;
        Some(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(tag: &Tag, values: &[f64]) -> Vec<(i64, Status)> {
        let mut alarm = LimitAlarm::of_tag(tag).unwrap();
        let steps = (0..).zip(values);
        steps
            .filter_map(|(s, v)| {
                let at = Timestamp::from_millis(s * 1000);
                alarm.take(at, Some(*v)).map(|status| (s, status))
            })
            .collect()
    }

    fn tag(delay_s: f64, hysteresis: f64) -> Tag {
        let mut tag = Tag::new("t", "e", "1");
        tag.limits.warn_high = Some(80.0);
        tag.limits.alarm_high = Some(90.0);
        tag.alarm.delay_s = Some(delay_s);
        tag.alarm.hysteresis = Some(hysteresis);
        tag
    }

    #[test]
    fn hysteresis_keeps_a_value_at_its_limit_from_chattering() {
        let around = [85.0, 79.5, 80.5, 79.5, 80.5, 77.0];
        assert_eq!(changes(&tag(0.0, 2.0), &around), [(0, Status::Warn), (5, Status::Ok)]);
        assert_eq!(changes(&tag(0.0, 0.0), &around).len(), 6);
        assert_eq!(
            changes(&tag(0.0, 2.0), &[91.0, 89.0, 87.0, 50.0]),
            [(0, Status::Alarm), (2, Status::Warn), (3, Status::Ok)]
        );
    }

    #[test]
    fn a_delay_passes_over_what_is_short_and_nothing_trusted_changes_nothing() {
        let spike = [95.0, 50.0, 95.0, 95.0, 95.0, 95.0];
        assert_eq!(changes(&tag(3.0, 0.0), &spike), [(5, Status::Alarm)]);
        let mut alarm = LimitAlarm::of_tag(&tag(0.0, 0.0)).unwrap();
        assert_eq!(alarm.take(Timestamp::default(), Some(f64::NAN)), None);
        assert_eq!(alarm.take(Timestamp::default(), None), None);
    }
}
