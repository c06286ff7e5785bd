//! Names that say a truth value is an alarm.

/// Words that mean an alarm when true.
const HINTS: &[&str] = &[
    "alarm",
    "alarms",
    "alert",
    "alerts",
    "fault",
    "faults",
    "faulted",
    "condition",
    "conditions",
    "trip",
    "trips",
    "tripped",
    "fail",
    "fails",
    "failed",
    "failure",
    "failures",
];
/// Words that turn the meaning round, or make it something about the alarm instead.
const OTHERWISE: &[&str] = &[
    "no",
    "not",
    "ok",
    "enabled",
    "enable",
    "disabled",
    "disable",
    "ready",
    "reset",
    "ack",
    "acked",
    "acknowledge",
    "acknowledged",
    "inhibit",
    "inhibited",
    "suppressed",
    "shelved",
    "count",
    "counter",
    "total",
    "limit",
    "limits",
    "delay",
    "setpoint",
    "test",
    "cleared",
    "clear",
    "healthy",
    "normal",
    "free",
    "less",
    "none",
    "without",
    "mask",
    "config",
    "available",
];

/// Tells whether a browse name says that a true value is an active alarm.
///
/// `HighTempAlarm` and `pump_fault` do; `AlarmEnabled`, `NoFault` and `StripeReady` do not.
#[must_use]
pub fn names_an_alarm(browse_name: &str) -> bool {
    let words = words(browse_name);
    let is_hint = |word: &String| {
        HINTS.contains(&word.as_str())
            || (word.ends_with("alarm") || word.ends_with("alert"))
            || (word.ends_with("fault") && word != "default")
    };
    words.iter().any(is_hint) && !words.iter().any(|word| OTHERWISE.contains(&word.as_str()))
}

/// Cuts a name into lower-case words at separators, digits and humps.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    let letters: Vec<char> = name.chars().take(128).collect();
    for (at, c) in letters.iter().copied().enumerate() {
        let next_is_small = letters.get(at + 1).is_some_and(|c| c.is_lowercase());
        let hump = c.is_uppercase() && (before.is_lowercase() || next_is_small);
        if hump || !c.is_alphabetic() {
            words.push(String::new());
        }
        if c.is_alphabetic()
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarm_names_are_told_from_names_about_alarms() {
        for name in
            ["HighTempAlarm", "PumpFault", "pump_fault", "TRIP", "MotorTripped", "hightempalarm"]
        {
            assert!(names_an_alarm(name), "{name}");
        }
        for name in
            ["AlarmEnabled", "NoFault", "StripeReady", "Default", "AirConditioning", "FaultCount"]
        {
            assert!(!names_an_alarm(name), "{name}");
        }
    }
}
