//! Conditions the OPC UA server reports: a fault of the filler, and a full accumulation table.
//!
//! The server's library reports events but answers neither ConditionRefresh nor Acknowledge,
//! so a condition acknowledges itself when it ends.

use opcua::core_namespace::events::{
    AlarmConditionType, ExclusiveLevelAlarmType, LimitAlarmType, OffNormalAlarmType,
    TwoStateVariableType,
};
use opcua::nodes::Event;
use opcua::types::{ByteString, DateTime, NamespaceMap, NodeId, UAString};

use super::frame::Frame;
use super::points;
use crate::model::Value;

/// The accumulation alarm comes above the first percentage and goes below the second.
const ACCUMULATION: (f64, f64) = (90.0, 75.0);
const FAULT_SEVERITY: u16 = 800;
const ACCUMULATION_SEVERITY: u16 = 400;

/// What the conditions were when they were last reported.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    fault: bool,
    accumulation: bool,
    sent: u64,
}

/// A condition that has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    /// Which.
    pub(crate) condition: Condition,
    /// Whether it is active now.
    pub(crate) active: bool,
    /// Tells this report from every other.
    pub(crate) number: u64,
}

/// The conditions of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// The filler stands with a fault.
    FillerFault,
    /// The accumulation table is nearly full.
    Accumulation,
}

impl Alarms {
    /// Gives the conditions that have changed since the last frame.
    pub(crate) fn changes(&mut self, frame: &Frame) -> Vec<Change> {
        let fault = shown(frame, "filler/fault") == Some(&Value::Bool(true));
        let percent = shown(frame, "conveyor/accumulation").and_then(Value::as_f64);
        let bound = if self.accumulation { ACCUMULATION.1 } else { ACCUMULATION.0 };
        let full = percent.is_some_and(|percent| percent > bound);
        let mut changes = Vec::new();
        let states = [
            (Condition::FillerFault, &mut self.fault, fault),
            (Condition::Accumulation, &mut self.accumulation, full),
        ];
        for (condition, was, active) in states {
            if *was != active {
                *was = active;
                self.sent += 1;
                changes.push(Change { condition, active, number: self.sent });
            }
        }
        changes
    }
}

fn shown<'a>(frame: &'a Frame, name: &str) -> Option<&'a Value> {
    let index = points::all().position(|point| point.name == name)?;
    frame.cells.get(index).map(|cell| &cell.value)
}

impl Condition {
    /// Gives the path of the node it is about.
    pub(crate) fn source_path(self) -> &'static str {
        match self {
            Self::FillerFault => "Filler/FillerFault",
            Self::Accumulation => "Conveyor/Accumulation",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::FillerFault => "FillerFault",
            Self::Accumulation => "AccumulationHigh",
        }
    }
}

/// Makes the event that reports a change.
pub(crate) fn event(
    change: Change,
    source: &NodeId,
    at: DateTime,
    spaces: &NamespaceMap,
) -> Box<dyn Event> {
    let id = ByteString::from(change.number.to_be_bytes().to_vec());
    let Change { condition, active, .. } = change;
    match condition {
        Condition::FillerFault => {
            let message = if active { "filler stopped by a fault" } else { "filler is clear" };
            let kind = OffNormalAlarmType::event_type_id();
            let mut event = OffNormalAlarmType::new_event(kind, id, message, spaces, at);
            describe(&mut event.base.base, change, source, FAULT_SEVERITY);
            Box::new(event)
        }
        Condition::Accumulation => {
            let message = if active { "accumulation nearly full" } else { "accumulation normal" };
            let kind = ExclusiveLevelAlarmType::event_type_id();
            let mut event = ExclusiveLevelAlarmType::new_event(kind, id, message, spaces, at);
            event.base.active_state = two_state(active, "Active", "Inactive");
            let limits: &mut LimitAlarmType = &mut event.base.base;
            limits.high_limit = ACCUMULATION.0;
            describe(&mut limits.base, change, source, ACCUMULATION_SEVERITY);
            Box::new(event)
        }
    }
}

fn describe(alarm: &mut AlarmConditionType, change: Change, source: &NodeId, severity: u16) {
    alarm.active_state = two_state(change.active, "Active", "Inactive");
    alarm.enabled_state = two_state(true, "Enabled", "Disabled");
    alarm.input_node = source.clone();
    let acked = &mut alarm.base;
    acked.acked_state = two_state(!change.active, "Acknowledged", "Unacknowledged");
    acked.enabled_state = two_state(true, "Enabled", "Disabled");
    let condition = &mut acked.base;
    condition.condition_name = change.condition.name().into();
    condition.enabled_state = two_state(true, "Enabled", "Disabled");
    // It wants attention as long as it is active (Part 9, 5.5.2.21).
    condition.retain = change.active;
    let base = &mut condition.base;
    base.source_node = source.clone();
    base.source_name = UAString::from(change.condition.source_path());
    base.severity = severity;
}

fn two_state(truth: bool, yes: &str, no: &str) -> TwoStateVariableType {
    let mut state = TwoStateVariableType { id: truth, ..Default::default() };
    state.base.value = if truth { yes } else { no }.into();
    state
}

#[cfg(test)]
mod tests {
    use super::super::frame::Cell;
    use super::*;
    use crate::model::Timestamp;

    fn frame(fault: bool, percent: f64) -> Frame {
        let cells = points::all()
            .map(|point| match point.name {
                "filler/fault" => Value::Bool(fault),
                "conveyor/accumulation" => Value::F64(percent),
                _ => Value::Null,
            })
            .map(|value| Cell { value, source_ts: Timestamp::default(), status: None })
            .collect();
        Frame { cells, dead_unit: None }
    }

    #[test]
    fn a_condition_is_reported_once_when_it_comes_and_once_when_it_goes() {
        let mut alarms = Alarms::default();
        assert!(alarms.changes(&frame(false, 50.0)).is_empty());
        let came = alarms.changes(&frame(true, 50.0));
        let report = |active, number| Change { condition: Condition::FillerFault, active, number };
        assert_eq!(came, [report(true, 1)]);
        assert!(alarms.changes(&frame(true, 50.0)).is_empty());
        assert_eq!(alarms.changes(&frame(false, 50.0)), [report(false, 2)]);
    }

    #[test]
    fn the_accumulation_alarm_goes_only_well_below_where_it_came() {
        let mut alarms = Alarms::default();
        let active = |alarms: &mut Alarms, percent| -> Vec<bool> {
            alarms.changes(&frame(false, percent)).iter().map(|change| change.active).collect()
        };
        assert_eq!(active(&mut alarms, 91.0), [true]);
        assert!(active(&mut alarms, 80.0).is_empty());
        assert_eq!(active(&mut alarms, 74.0), [false]);
    }
}
