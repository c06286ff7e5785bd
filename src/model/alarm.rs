//! Conditions as a device reports them (OPC UA Part 9, MTConnect conditions).

use std::sync::Arc;

use super::{Quality, Timestamp};

/// What tells two conditions of one endpoint apart: the condition's own id, and its branch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConditionId {
    /// The condition's node id, or its source and name where the server gives none.
    pub condition: Arc<str>,
    /// The branch; empty for the current state.
    pub branch: Arc<str>,
}

/// One report of a condition's state.
#[derive(Debug, Clone, PartialEq)]
pub struct ConditionEvent {
    /// Which condition.
    pub id: ConditionId,
    /// Its display name, such as `LevelAlarm`.
    pub name: Arc<str>,
    /// What it is about, such as the tank.
    pub source: Arc<str>,
    /// Whether the condition is active now; `None` where the server did not say.
    pub active: Option<bool>,
    /// Whether somebody acknowledged it; `None` where the server did not say.
    pub acknowledged: Option<bool>,
    /// Whether it still wants attention (Part 9, 5.5.2.21).
    pub retain: bool,
    /// 1 to 1000 (Part 5, 6.4.2).
    pub severity: u16,
    /// The device's message. Untrusted text.
    pub message: Arc<str>,
    /// The quality of the condition's source.
    pub quality: Quality,
    /// The device's time.
    pub source_ts: Option<Timestamp>,
    /// Ours.
    pub received_ts: Timestamp,
}
