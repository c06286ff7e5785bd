//! The conditions of an endpoint that are active or want attention.

use std::collections::HashMap;

use crate::model::{ConditionEvent, ConditionId};

/// Conditions kept per endpoint, oldest out: a plant that stands in a flood has some hundreds.
const CONDITIONS_MAX: usize = 4096;

/// One endpoint's conditions.
#[derive(Default)]
pub(super) struct Conditions {
    kept: HashMap<ConditionId, (u64, ConditionEvent)>,
    next_order: u64,
}

impl Conditions {
    pub(super) fn put(&mut self, event: ConditionEvent) {
        if !event.retain && event.active != Some(true) {
            self.kept.remove(&event.id);
            return;
        }
        let order = self.next_order;
        self.next_order += 1;
        self.kept.insert(event.id.clone(), (order, event));
        if self.kept.len() > CONDITIONS_MAX {
            let oldest = self.kept.iter().min_by_key(|(_, (order, _))| *order);
            if let Some(id) = oldest.map(|(id, _)| id.clone()) {
                self.kept.remove(&id);
            }
        }
    }

    /// Takes these for all there are.
    pub(super) fn replace(&mut self, all: Vec<ConditionEvent>) {
        self.kept.clear();
        all.into_iter().for_each(|event| self.put(event));
    }

    pub(super) fn all(&self) -> Vec<ConditionEvent> {
        let mut all: Vec<_> = self.kept.values().map(|(_, event)| event.clone()).collect();
        all.sort_by(|a, b| {
            let key = |event: &ConditionEvent| {
                (event.source.clone(), event.name.clone(), event.id.condition.clone())
            };
            (key(a), &a.id.branch).cmp(&(key(b), &b.id.branch))
        });
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Quality, Timestamp};

    fn event(name: usize, active: Option<bool>, retain: bool) -> ConditionEvent {
        ConditionEvent {
            id: ConditionId { condition: name.to_string().into(), branch: "".into() },
            name: "LevelAlarm".into(),
            source: "tank".into(),
            active,
            acknowledged: Some(false),
            retain,
            severity: 500,
            message: "high".into(),
            quality: Quality::GOOD,
            source_ts: None,
            received_ts: Timestamp::default(),
        }
    }

    #[test]
    fn a_condition_stays_while_it_is_active_or_wants_attention() {
        let mut conditions = Conditions::default();
        conditions.put(event(1, Some(true), true));
        conditions.put(event(2, Some(false), true));
        conditions.put(event(3, None, false));
        assert_eq!(conditions.all().len(), 2);
        conditions.put(event(1, Some(true), false));
        assert_eq!(conditions.all().len(), 2);
        conditions.put(event(1, Some(false), false));
        conditions.put(event(2, Some(false), false));
        assert!(conditions.all().is_empty());
    }

    #[test]
    fn what_a_whole_account_does_not_name_is_over() {
        let mut conditions = Conditions::default();
        conditions.put(event(1, Some(true), true));
        conditions.replace(vec![event(2, Some(true), true)]);
        let left: Vec<_> = conditions.all().into_iter().map(|event| event.id.condition).collect();
        assert_eq!(left, ["2".into()]);
    }

    #[test]
    fn a_flood_is_bounded_and_the_oldest_goes() {
        let mut conditions = Conditions::default();
        (0..=CONDITIONS_MAX).for_each(|n| conditions.put(event(n, Some(true), true)));
        assert_eq!(conditions.all().len(), CONDITIONS_MAX);
        assert!(conditions.all().iter().all(|event| &*event.id.condition != "0"));
    }
}
