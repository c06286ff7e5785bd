//! The life of each alarm in a log: standing, fleeting, chattering, repeated activations.

use super::event::{AlarmEvent, Change};
use crate::model::Timestamp;

/// An alarm that goes within this time needed nobody (EEMUA 191, fleeting alarms).
const FLEETING_MS: i64 = 10_000;

/// What a source's events come to, in the order of time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Life {
    /// The times it became active.
    pub activations: Vec<Timestamp>,
    /// Activations, those without a time too.
    pub count: usize,
    /// Active since, where it has not gone.
    pub active_since: Option<Timestamp>,
    /// The log says the state of this source itself.
    pub is_stated: bool,
    /// Activations that went within ten seconds and that nobody acknowledged.
    pub fleeting: usize,
    /// Activations of what was active already, by a log that says when alarms go.
    pub repeated: usize,
    is_acknowledged: bool,
    has_returned: bool,
}

impl Life {
    /// Takes the source's next event.
    pub fn take(&mut self, event: &AlarmEvent) {
        self.is_stated |= event.is_stated;
        match event.change {
            Change::Active => {
                self.count += 1;
                let Some(at) = event.at else { return };
                self.activations.push(at);
                self.repeated += usize::from(self.active_since.is_some());
                self.active_since.get_or_insert(at);
                self.is_acknowledged = false;
            }
            Change::Returned => {
                self.has_returned = true;
                if let (Some(since), Some(at)) = (self.active_since.take(), event.at) {
                    let is_short = at.millis_since(since) < FLEETING_MS;
                    self.fleeting += usize::from(is_short && !self.is_acknowledged);
                }
            }
            Change::Acknowledged => self.is_acknowledged = true,
            Change::SetAside => {}
        }
    }

    /// Tells whether any three activations in a row lie within the window.
    #[must_use]
    pub fn is_chattering(&self, window_s: f64) -> bool {
        let third = self.activations.iter().skip(2);
        self.activations.iter().zip(third).any(|(first, third)| {
            #[allow(clippy::cast_precision_loss, reason = "seconds are compared, not counted")]
            let apart = third.nanos().saturating_sub(first.nanos()) as f64 / 1e9;
            apart <= window_s
        })
    }

    /// Tells whether it has been active for longer than that.
    ///
    /// A source whose state the log never says may have gone unseen: it is held against the
    /// log's own end. One that is said to be active is, until it is said to be gone.
    #[must_use]
    pub fn is_standing(&self, standing_s: f64, log_end: Timestamp, now: Timestamp) -> bool {
        let until = if self.is_stated { now } else { log_end };
        self.active_since.is_some_and(|since| {
            #[allow(clippy::cast_precision_loss, reason = "seconds are compared, not counted")]
            let stood = until.nanos().saturating_sub(since.nanos()) as f64 / 1e9;
            stood > standing_s
        })
    }

    /// Gives repeated activations; none where the log never says that this alarm has gone.
    #[must_use]
    pub fn repeated(&self) -> usize {
        if self.has_returned { self.repeated } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(events: &[(i64, Change)]) -> Life {
        let mut life = Life::default();
        for (s, change) in events {
            life.take(&AlarmEvent {
                source: "a".into(),
                priority: "low".into(),
                at: Some(Timestamp::from_millis(s * 1000)),
                change: *change,
                is_stated: true,
            });
        }
        life
    }

    #[test]
    fn an_old_return_does_not_end_a_new_alarm_and_an_acknowledgement_ends_none() {
        let (now, day) = (Timestamp::from_millis(200_000_000), 86_400.0);
        let life = life(&[
            (0, Change::Active),
            (5, Change::Returned),
            (100, Change::Active),
            (110, Change::Acknowledged),
        ]);
        assert!(life.is_standing(day, now, now));
        assert_eq!((life.count, life.fleeting), (2, 1));
    }

    #[test]
    fn three_within_a_minute_chatter_and_acknowledgements_do_not_count() {
        let calm = [(0, Change::Active), (20, Change::Acknowledged), (40, Change::Active)];
        assert!(!life(&calm).is_chattering(60.0));
        let busy = [(0, Change::Active), (30, Change::Active), (60, Change::Active)];
        assert!(life(&busy).is_chattering(60.0));
    }
}
