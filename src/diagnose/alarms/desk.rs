//! The operator's desk: the state of every alarm, and a bounded journal of what changed
//! (ISA-18.2, the state transition diagram of clause 6).

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::crossing::LimitAlarm;
use super::event::{AlarmEvent, Change};
use crate::diagnose::limits::Status;
use crate::diagnose::number::number;
use crate::model::sanitize;
use crate::model::{ConditionEvent, ConditionId, EndpointName, Sample, Tag, TagId, Timestamp};

/// Events kept: as many as an analysis looks at in 50 ms.
pub const JOURNAL_MAX: usize = 100_000;
/// Conditions whose state is kept.
const CONDITIONS_MAX: usize = 20_000;

/// The state of one alarm (ISA-18.2: A, B, C and D of the diagram).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AlarmState {
    /// Nothing is wrong, or it has gone and was seen.
    #[default]
    Normal,
    /// Active, and nobody has acknowledged it.
    Unacknowledged,
    /// Active and acknowledged.
    Acknowledged,
    /// Gone before anybody acknowledged it.
    ReturnedUnacknowledged,
}

impl AlarmState {
    /// Gives the state after a report, and what changed by it.
    #[must_use]
    pub fn after(self, active: bool, acknowledged: Option<bool>) -> (Self, Option<Change>) {
        let was_active = matches!(self, Self::Unacknowledged | Self::Acknowledged);
        let was_open = matches!(self, Self::Unacknowledged | Self::ReturnedUnacknowledged);
        let next = match (active, acknowledged) {
            (true, Some(true)) => Self::Acknowledged,
            (true, _) => Self::Unacknowledged,
            (false, Some(false)) => Self::ReturnedUnacknowledged,
            (false, _) => Self::Normal,
        };
        let change = match (was_active, active) {
            (false, true) => Some(Change::Active),
            (true, false) => Some(Change::Returned),
            _ if was_open && acknowledged == Some(true) => Some(Change::Acknowledged),
            _ => None,
        };
        (next, change)
    }
}

struct Watched {
    tag: Arc<Tag>,
    alarm: LimitAlarm,
    fed: Option<Timestamp>,
}

/// The state of every alarm, and what changed.
#[derive(Default)]
pub struct AlarmDesk {
    limits: HashMap<TagId, Watched>,
    conditions: HashMap<(EndpointName, ConditionId), (AlarmState, Arc<str>, Arc<str>)>,
    journal: VecDeque<AlarmEvent>,
    since: Option<Timestamp>,
    dropped: u64,
}

impl AlarmDesk {
    /// Watches a tag's limits. A definition that has changed begins anew.
    pub fn watch(&mut self, id: TagId, tag: &Arc<Tag>) -> bool {
        let is_same = |w: &Watched| w.tag.limits == tag.limits && w.tag.alarm == tag.alarm;
        if self.limits.get(&id).is_some_and(is_same) {
            return false;
        }
        match LimitAlarm::of_tag(tag) {
            Some(alarm) => {
                self.limits.insert(id, Watched { tag: tag.clone(), alarm, fed: None });
                true
            }
            None => {
                self.limits.remove(&id);
                false
            }
        }
    }

    /// Forgets tags that are no more.
    pub fn keep(&mut self, is_there: impl Fn(TagId) -> bool) {
        self.limits.retain(|id, _| is_there(*id));
    }

    /// Takes a tag's next sample; one that was taken already changes nothing.
    pub fn sample(&mut self, id: TagId, sample: &Sample) {
        let Some(watched) = self.limits.get_mut(&id) else { return };
        if watched.fed.is_some_and(|fed| sample.received_ts <= fed) {
            return;
        }
        watched.fed = Some(sample.received_ts);
        self.since = Some(self.since.map_or(sample.received_ts, |s| s.min(sample.received_ts)));
        let value = number(&sample.value).filter(|_| !sample.quality.is_bad());
        let Some(status) = watched.alarm.take(sample.received_ts, value) else { return };
        let event = watched.event(status, sample.received_ts);
        self.note(event);
    }

    /// Takes all conditions of an endpoint as they are now; what is no longer among them has
    /// gone.
    pub fn conditions(&mut self, endpoint: &EndpointName, now: &[ConditionEvent], at: Timestamp) {
        for condition in now.iter().filter(|c| c.id.branch.is_empty()) {
            let Some(active) = condition.active else { continue };
            let key = (endpoint.clone(), condition.id.clone());
            let is_known = self.conditions.contains_key(&key);
            if !is_known && self.conditions.len() >= CONDITIONS_MAX {
                self.dropped += 1;
                continue;
            }
            let source: Arc<str> =
                sanitize(&format!("{}/{}", condition.source, condition.name), 96).into();
            let priority: Arc<str> = priority(condition.severity).into();
            let known = self
                .conditions
                .entry(key)
                .or_insert_with(|| (AlarmState::Normal, source.clone(), priority.clone()));
            let (next, change) = known.0.after(active, condition.acknowledged);
            *known = (next, source.clone(), priority.clone());
            let when = condition.source_ts.unwrap_or(condition.received_ts);
            if let Some(change) = change {
                self.note(AlarmEvent { source, priority, at: Some(when), change, is_stated: true });
            }
        }
        let stated = now.iter().filter(|c| c.active.is_some());
        let is_now: HashSet<&ConditionId> = stated.map(|c| &c.id).collect();
        let gone: Vec<_> = self
            .conditions
            .iter()
            .filter(|((of, id), _)| of == endpoint && !is_now.contains(id))
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            let Some((state, source, priority)) = self.conditions.remove(&key) else { continue };
            if let (_, Some(change)) = state.after(false, None) {
                self.note(AlarmEvent { source, priority, at: Some(at), change, is_stated: true });
            }
        }
    }

    /// Gives the events of a stretch, oldest first.
    #[must_use]
    pub fn events(&self, since: Timestamp, until: Timestamp) -> Vec<AlarmEvent> {
        let is_in = |event: &&AlarmEvent| event.at.is_some_and(|at| at >= since && at < until);
        let mut events: Vec<AlarmEvent> = self.journal.iter().filter(is_in).cloned().collect();
        events.sort_by_key(|event| event.at);
        events
    }

    /// Gives the times of the activations of a stretch, in order.
    #[must_use]
    pub fn activations(&self, since: Timestamp, until: Timestamp) -> Vec<Timestamp> {
        let active = self.journal.iter().filter(|event| event.change == Change::Active);
        let times = active.filter_map(|event| event.at);
        let mut times: Vec<Timestamp> = times.filter(|at| (since..until).contains(at)).collect();
        times.sort_unstable();
        times
    }

    /// Gives since when limits have been watched; `None` where none are.
    #[must_use]
    pub fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// Counts events and conditions that had no room.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn note(&mut self, event: AlarmEvent) {
        if self.journal.len() >= JOURNAL_MAX {
            self.journal.pop_front();
            self.dropped += 1;
        }
        self.journal.push_back(event);
    }
}

impl Watched {
    fn event(&self, status: Status, at: Timestamp) -> AlarmEvent {
        let by_level = if status == Status::Alarm { "high" } else { "low" };
        let priority = self.tag.alarm.priority.clone().unwrap_or_else(|| by_level.into());
        let change = if status == Status::Ok { Change::Returned } else { Change::Active };
        AlarmEvent {
            source: self.tag.name.clone(),
            priority,
            at: Some(at),
            change,
            is_stated: true,
        }
    }
}

/// Part 5, 6.4.2 leaves the words to the server: these are the usual thirds.
fn priority(severity: u16) -> &'static str {
    match severity {
        0..=333 => "low",
        334..=666 => "medium",
        _ => "high",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Quality, Value};

    fn at(s: i64) -> Timestamp {
        Timestamp::from_millis(s * 1000)
    }

    fn condition(active: bool, acknowledged: bool, s: i64) -> ConditionEvent {
        ConditionEvent {
            id: ConditionId { condition: "1".into(), branch: "".into() },
            name: "LevelAlarm".into(),
            source: "tank".into(),
            active: Some(active),
            acknowledged: Some(acknowledged),
            retain: true,
            severity: 700,
            message: "".into(),
            quality: Quality::GOOD,
            source_ts: Some(at(s)),
            received_ts: at(s),
        }
    }

    fn changes(desk: &AlarmDesk) -> Vec<(Change, i64)> {
        let events = desk.events(at(0), at(1_000));
        events.iter().map(|e| (e.change, e.at.unwrap().millis() / 1000)).collect()
    }

    #[test]
    fn a_condition_walks_through_its_states_and_each_step_is_one_event() {
        let (mut desk, plc) = (AlarmDesk::default(), "plc".into());
        for now in [
            condition(true, false, 10),
            condition(true, false, 11),
            condition(true, true, 20),
            condition(false, true, 30),
            condition(true, false, 40),
        ] {
            desk.conditions(&plc, &[now], at(99));
        }
        desk.conditions(&plc, &[], at(50));
        let want = [
            (Change::Active, 10),
            (Change::Acknowledged, 20),
            (Change::Returned, 30),
            (Change::Active, 40),
            (Change::Returned, 50),
        ];
        assert_eq!(changes(&desk), want);
        assert_eq!(desk.activations(at(0), at(35)), [at(10)]);
    }

    #[test]
    fn what_went_unseen_waits_for_its_acknowledgement() {
        let (state, change) = AlarmState::Unacknowledged.after(false, Some(false));
        assert_eq!((state, change), (AlarmState::ReturnedUnacknowledged, Some(Change::Returned)));
        let (state, change) = state.after(false, Some(true));
        assert_eq!((state, change), (AlarmState::Normal, Some(Change::Acknowledged)));
    }

    #[test]
    fn limits_are_followed_sample_by_sample_and_no_sample_counts_twice() {
        let mut tag = Tag::new("t", "e", "1");
        tag.limits.alarm_high = Some(90.0);
        let (mut desk, tag) = (AlarmDesk::default(), Arc::new(tag));
        assert!(desk.watch(TagId(1), &tag) && !desk.watch(TagId(1), &tag));
        let sample = |s, value| Sample {
            value: Value::F64(value),
            quality: Quality::GOOD,
            source_ts: None,
            received_ts: at(s),
        };
        for one in [sample(1, 50.0), sample(2, 95.0), sample(2, 50.0), sample(3, 50.0)] {
            desk.sample(TagId(1), &one);
        }
        desk.sample(TagId(7), &sample(4, 99.0));
        assert_eq!(changes(&desk), [(Change::Active, 2), (Change::Returned, 3)]);
        assert_eq!(desk.since(), Some(at(1)));
    }
}
