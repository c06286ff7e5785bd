//! Alarm events as a log has them.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::diagnose::instant::instant;
use crate::model::{Timestamp, sanitize};

/// Words that say an alarm has gone.
const RETURNED: &[&str] = &[
    "rtn",
    "return",
    "returned",
    "return_to_normal",
    "normal",
    "cleared",
    "clear",
    "inactive",
    "ok",
    "off",
    "false",
    "0",
];
/// Words that say somebody has seen it.
const ACKNOWLEDGED: &[&str] = &["ack", "acked", "acknowledge", "acknowledged", "confirmed"];
/// Words that say it was taken out of sight.
const SET_ASIDE: &[&str] = &[
    "shelved",
    "unshelved",
    "suppressed",
    "unsuppressed",
    "disabled",
    "enabled",
    "out_of_service",
    "in_service",
    "comment",
    "reset",
];

/// What an event says of its alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// It has become active.
    Active,
    /// Its cause has gone.
    Returned,
    /// Somebody has seen it.
    Acknowledged,
    /// It was shelved, suppressed or otherwise set aside, or the reverse.
    SetAside,
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct AlarmEvent {
    /// What the alarm is about. Untrusted text, sanitised.
    pub source: Arc<str>,
    /// Its priority, in lower case.
    pub priority: Arc<str>,
    /// When.
    pub at: Option<Timestamp>,
    /// What has changed.
    pub change: Change,
    /// The log says the state itself; without one each event counts as an activation.
    pub is_stated: bool,
}

impl AlarmEvent {
    /// Reads one event; `None` for what is no object.
    ///
    /// The reference's names: `source` or else `tag`, `timestamp`, `state`, `priority`.
    #[must_use]
    pub fn read(item: &Json) -> Option<Self> {
        let fields = item.as_object()?;
        let source = fields.get("source").or_else(|| fields.get("tag"));
        let source = source.map_or_else(|| "unknown".to_owned(), |json| text(json, 96));
        let priority = fields.get("priority").filter(|json| !json.is_null());
        let priority = priority.map_or_else(|| "unspecified".to_owned(), |json| text(json, 24));
        let state = fields.get("state").filter(|json| !json.is_null());
        let state = state.map(|json| text(json, 48).trim().to_lowercase().replace([' ', '-'], "_"));
        let state = state.unwrap_or_default();
        let time = ["timestamp", "source_ts", "received_ts", "ts"];
        let at = time.iter().find_map(|name| fields.get(*name)).and_then(instant);
        Some(Self {
            source: source.into(),
            priority: priority.to_lowercase().into(),
            at,
            change: Change::of_word(&state),
            is_stated: !state.is_empty(),
        })
    }
}

impl Change {
    /// Takes what is no word for anything else as an activation, as the reference takes all.
    fn of_word(word: &str) -> Self {
        match word {
            _ if RETURNED.contains(&word) => Self::Returned,
            _ if ACKNOWLEDGED.contains(&word) => Self::Acknowledged,
            _ if SET_ASIDE.contains(&word) => Self::SetAside,
            _ => Self::Active,
        }
    }
}

/// Writes a field as text, as the reference does.
fn text(json: &Json, chars: usize) -> String {
    match json {
        Json::String(text) => sanitize(text, chars),
        Json::Null => "None".to_owned(),
        other => sanitize(&other.to_string(), chars),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_not_gone_seen_or_set_aside_is_an_activation() {
        for (state, change) in [
            (json!("ACTIVE"), Change::Active),
            (json!("HIHI"), Change::Active),
            (json!(null), Change::Active),
            (json!("RTN"), Change::Returned),
            (json!("Return to normal"), Change::Returned),
            (json!("ACK"), Change::Acknowledged),
            (json!("Shelved"), Change::SetAside),
        ] {
            let event = AlarmEvent::read(&json!({"source": "a", "state": state})).unwrap();
            assert_eq!(event.change, change, "{state}");
        }
        assert_eq!(AlarmEvent::read(&json!(7)), None);
    }

    #[test]
    fn a_priority_is_lower_case_and_may_be_a_number() {
        let event = AlarmEvent::read(&json!({"tag": "t", "priority": 1})).unwrap();
        assert_eq!((&*event.source, &*event.priority), ("t", "1"));
        let event = AlarmEvent::read(&json!({"priority": "High"})).unwrap();
        assert_eq!((&*event.source, &*event.priority), ("unknown", "high"));
    }
}
