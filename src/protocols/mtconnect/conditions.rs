//! Follows conditions: several may be active for one data item at a time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::streams::{Place, Seen};
use super::times;
use super::values::UNAVAILABLE;
use crate::driver::Level;
use crate::model::{ConditionEvent, ConditionId, Quality, Timestamp};

/// Severities on OPC UA's scale of 1 to 1000 (Part 5, 6.4.2): the machine's own severity has no
/// scale that is known.
const SEVERITY_WARNING: u16 = 500;
const SEVERITY_FAULT: u16 = 900;
/// Active conditions of one data item; a control lists its alarms, some dozens at the worst.
const ACTIVE_MAX: usize = 256;
/// Data items with conditions.
const ITEMS_MAX: usize = 20_000;

/// The state of every condition of one agent.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    items: HashMap<Box<str>, Item>,
}

#[derive(Debug)]
struct Item {
    level: Level,
    /// By the condition's id, or the machine's own code.
    active: BTreeMap<Box<str>, ConditionEvent>,
}

impl Conditions {
    /// Takes one report, and says what it changes.
    pub(super) fn take(
        &mut self,
        place: &Place<'_>,
        seen: &Seen<'_>,
        source_ts: Option<Timestamp>,
        received_ts: Timestamp,
        out: &mut Vec<ConditionEvent>,
    ) {
        let Some(level) = seen.level() else { return };
        if self.items.len() >= ITEMS_MAX && !self.items.contains_key(seen.id.as_ref()) {
            return;
        }
        let rare = seen.rare();
        let key: &str =
            if rare.condition_id.is_empty() { &rare.native_code } else { &rare.condition_id };
        let new = || Item { level, active: BTreeMap::new() };
        let item = self.items.entry(seen.id.as_ref().into()).or_insert_with(new);
        match level {
            Level::Warning | Level::Fault => {
                let event = event(place, seen, key, level, source_ts, received_ts);
                if item.active.len() < ACTIVE_MAX || item.active.contains_key(key) {
                    item.active.insert(key.into(), event.clone());
                }
                out.push(event);
            }
            // A normal with a code ends that one alone (MTConnect Part 2, 14.4.1).
            Level::Normal if !key.is_empty() => {
                out.extend(item.active.remove(key).map(|event| over(event, seen, received_ts)));
            }
            Level::Normal | Level::Unavailable => {
                let all = std::mem::take(&mut item.active).into_values();
                out.extend(all.map(|event| over(event, seen, received_ts)));
            }
        }
        let worst = item.active.values().map(|event| match event.severity {
            SEVERITY_FAULT => Level::Fault,
            _ => Level::Warning,
        });
        item.level = worst.max().unwrap_or(match level {
            Level::Unavailable => Level::Unavailable,
            _ => Level::Normal,
        });
    }

    /// Gives the worst level of a data item.
    pub(super) fn level(&self, id: &str) -> Option<Level> {
        self.items.get(id).map(|item| item.level)
    }

    /// Gives everything that is active.
    pub(super) fn active(&self) -> Vec<ConditionEvent> {
        let all = self.items.values().flat_map(|item| item.active.values().cloned());
        let mut all: Vec<_> = all.collect();
        all.sort_by(|a, b| a.id.condition.cmp(&b.id.condition));
        all
    }
}

fn event(
    place: &Place<'_>,
    seen: &Seen<'_>,
    key: &str,
    level: Level,
    source_ts: Option<Timestamp>,
    received_ts: Timestamp,
) -> ConditionEvent {
    let short = |text: &str| -> Arc<str> { text.chars().take(256).collect::<String>().into() };
    let mut condition = format!("{}/{}", place.device, seen.id);
    if !key.is_empty() {
        condition.push('/');
        condition.push_str(key);
    }
    ConditionEvent {
        id: ConditionId { condition: short(&condition), branch: "".into() },
        name: short(&seen.rare().kind),
        source: short(if seen.name.is_empty() { &place.component } else { &seen.name }),
        active: Some(true),
        acknowledged: None,
        retain: true,
        severity: if level == Level::Fault { SEVERITY_FAULT } else { SEVERITY_WARNING },
        message: short(&seen.text),
        quality: Quality::GOOD,
        source_ts,
        received_ts,
    }
}

/// Ends a condition: normal again, or nobody knows any more.
fn over(event: ConditionEvent, seen: &Seen<'_>, received_ts: Timestamp) -> ConditionEvent {
    let is_known = seen.level() != Some(Level::Unavailable);
    ConditionEvent {
        active: is_known.then_some(false),
        retain: false,
        quality: if is_known { Quality::GOOD } else { UNAVAILABLE },
        source_ts: times::read(&seen.timestamp),
        received_ts,
        ..event
    }
}
