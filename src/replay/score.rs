//! How often a detector was right.

use std::ops::AddAssign;

/// Rows by what was said and what was so, and the events among them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Score {
    /// Alarmed, and wrong indeed.
    pub hits: u64,
    /// Alarmed, and all was well.
    pub false_alarms: u64,
    /// Not alarmed, and something was wrong.
    pub misses: u64,
    /// Not alarmed, and all was well.
    pub quiet: u64,
    /// Stretches in which something was wrong.
    pub events: u64,
    /// Of them, those with an alarm.
    pub events_found: u64,
    /// Seconds from the start of each that was found to its first alarm.
    pub delays_s: Vec<f64>,
}

impl AddAssign<&Self> for Score {
    fn add_assign(&mut self, other: &Self) {
        self.hits += other.hits;
        self.false_alarms += other.false_alarms;
        self.misses += other.misses;
        self.quiet += other.quiet;
        self.events += other.events;
        self.events_found += other.events_found;
        self.delays_s.extend(&other.delays_s);
    }
}

#[allow(clippy::cast_precision_loss, reason = "rows of a corpus, far below 2^53")]
fn share(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}

impl Score {
    /// Right alarms among all alarms.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        share(self.hits, self.hits + self.false_alarms)
    }

    /// Rows found among those that were wrong.
    #[must_use]
    pub fn recall(&self) -> Option<f64> {
        share(self.hits, self.hits + self.misses)
    }

    /// The harmonic mean of both; 0 where nothing was found.
    #[must_use]
    pub fn f1(&self) -> f64 {
        let all = 2 * self.hits + self.false_alarms + self.misses;
        share(2 * self.hits, all).unwrap_or(0.0)
    }

    /// Alarmed rows among those where all was well; 0 where there was none.
    #[must_use]
    pub fn false_alarm_rate(&self) -> f64 {
        share(self.false_alarms, self.false_alarms + self.quiet).unwrap_or(0.0)
    }

    /// The median delay of the events that were found.
    #[must_use]
    pub fn delay_s(&self) -> Option<f64> {
        crate::diagnose::median(&mut self.delays_s.clone())
    }
}

/// Counts row by row.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub(super) score: Score,
    /// Since when something has been wrong, and whether that was found.
    event: Option<(f64, bool)>,
}

impl Tally {
    pub(super) fn count(&mut self, at_s: f64, is_alarmed: bool, is_wrong: bool) {
        match (is_alarmed, is_wrong) {
            (true, true) => self.score.hits += 1,
            (true, false) => self.score.false_alarms += 1,
            (false, true) => self.score.misses += 1,
            (false, false) => self.score.quiet += 1,
        }
        if !is_wrong {
            self.event = None;
            return;
        }
        if self.event.is_none() {
            self.event = Some((at_s, false));
            self.score.events += 1;
        }
        if let Some((since, is_found)) = &mut self.event
            && is_alarmed
            && !*is_found
        {
            *is_found = true;
            self.score.events_found += 1;
            self.score.delays_s.push(at_s - *since);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_events_are_counted_apart() {
        let mut tally = Tally::default();
        let rows = [(false, false), (true, false), (false, true), (true, true), (true, true)];
        for (second, (alarmed, wrong)) in (0_u32..).zip(rows) {
            tally.count(f64::from(second), alarmed, wrong);
        }
        tally.count(5.0, false, false);
        tally.count(6.0, false, true);
        let score = tally.score;
        assert_eq!((score.hits, score.false_alarms, score.misses, score.quiet), (2, 1, 2, 2));
        assert_eq!((score.events, score.events_found, score.delay_s()), (2, 1, Some(1.0)));
        assert!((score.f1() - 4.0 / 7.0).abs() < 1e-12);
        assert!((score.false_alarm_rate() - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(Score::default().precision(), None);
        assert_eq!(Score::default().f1(), 0.0);
    }
}
