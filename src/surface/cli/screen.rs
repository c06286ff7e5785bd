//! What an approver sees before signing, made from the very ticket that is signed.

use serde_json::Value;

use crate::model::{Separation, Ticket, Timestamp, wish, within};
use crate::surface::text::{bounded, escaped};

/// Bars of the plot, from low to high.
const BARS: [char; 8] = [
    '\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}', '\u{2588}',
];
/// What fits on a line beside its label.
const BARS_MAX: usize = 60;

/// What stands beside the ticket.
#[derive(Debug, Default)]
pub(super) struct Beside<'a> {
    /// The reason, in the words of whoever asked.
    pub(super) reason: &'a str,
    /// The limits of tag and rule.
    pub(super) limits: Option<&'a Value>,
    /// The value's last day.
    pub(super) day: Option<&'a Value>,
}

/// Writes a value with its unit.
fn with_unit(value: &Value, unit: &str) -> String {
    let text = match value {
        Value::String(text) => format!("{:?}", bounded(text, 200)),
        other => bounded(&other.to_string(), 200),
    };
    if unit.is_empty() { text } else { format!("{text} {}", bounded(unit, 20)) }
}

/// Draws the numbers of a history as one line; nothing where there are none.
fn sparkline(history: &Value) -> Option<String> {
    let points = history.get("points")?.as_array()?;
    let numbers: Vec<f64> = points.iter().filter_map(|p| p.get("value")?.as_f64()).collect();
    let min = numbers.iter().copied().reduce(f64::min)?;
    let max = numbers.iter().copied().reduce(f64::max)?;
    let every = numbers.len().div_ceil(BARS_MAX).max(1);
    let bar = |part: &[f64]| {
        let peak = part.iter().copied().fold(f64::MIN, f64::max);
        let share = if max > min { (peak - min) / (max - min) } else { 0.0 };
        let at = BARS.iter().enumerate().rev().find(|(nth, _)| {
            u32::try_from(*nth).is_ok_and(|nth| share * 7.0 >= f64::from(nth) - 1e-9)
        });
        at.map_or(BARS[0], |(_, bar)| *bar)
    };
    let line: String = numbers.chunks(every).map(bar).collect();
    Some(format!("{line}  {min} to {max}"))
}

/// Writes the screen.
pub(super) fn screen(ticket: &Ticket, beside: &Beside<'_>, now: Timestamp) -> String {
    let mut lines = Vec::new();
    let mut row = |label: &str, text: String| lines.push(format!("  {label:<10} {text}"));
    let age_s = |ms: i64| now.millis().saturating_sub(ms) / 1000;
    let place = format!(
        "{} {} unit {}, {}",
        bounded(&ticket.endpoint, 80),
        bounded(&ticket.address, 120),
        ticket.unit_id,
        bounded(&ticket.data_type, 40)
    );
    row("tag", bounded(&ticket.tag, 200));
    row("device", place);
    let before = with_unit(&ticket.before, &ticket.unit);
    row("before", format!("{before}   read {} s ago", age_s(ticket.before_ms)));
    row("after", with_unit(&ticket.value, &ticket.unit));
    if let Some(limits) = beside.limits.and_then(Value::as_object) {
        let known = limits.iter().filter(|(_, value)| !value.is_null());
        let known: Vec<String> = known.map(|(name, value)| format!("{name} {value}")).collect();
        row("limits", if known.is_empty() { "none".into() } else { known.join(", ") });
    }
    if let Some(plot) = beside.day.and_then(sparkline) {
        row("last day", plot);
    }
    row("asked by", format!("user {}, {} s ago", ticket.requester_uid, age_s(ticket.created_ms)));
    let left = (ticket.not_after_ms - now.millis()) / 1000;
    row("expires", format!("in {left} s"));
    if !ticket.work_order.is_empty() {
        row("order", bounded(&ticket.work_order, 100));
    }
    if let Some(undone) = &ticket.undo_of {
        row("undoes", bounded(undone, 40));
    }
    let reason = if beside.reason.is_empty() { "(none)" } else { beside.reason };
    row("reason", format!("untrusted, in the words of whoever asked: {}", escaped(reason)));
    if ticket.separation == Separation::Relaxed {
        row("DEMO", "one person may ask and approve; every record says so".to_owned());
    }
    let digest = ticket.digest();
    let end = digest.get(digest.len().saturating_sub(4)..).unwrap_or_default();
    row("digest", format!("...{end}"));
    format!("{}\n{}\n", bounded(&ticket.id, 40), lines.join("\n"))
}

/// Tells whether what was typed is the new value.
pub(super) fn is_value(typed: &str, ticket: &Ticket) -> bool {
    let typed = typed.trim();
    if ticket.value.as_str() == Some(typed) {
        return true;
    }
    let parsed = serde_json::from_str::<Value>(typed).ok().and_then(|json| wish(&json));
    match (parsed, wish(&ticket.value)) {
        (Some(typed), Some(value)) => within(&typed, &value, 0.0),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{Tier, WordOrder};

    fn ticket(value: Value) -> Ticket {
        Ticket {
            id: "MOC-7".into(),
            nonce: "00".into(),
            endpoint: "plc".into(),
            identity: "00".into(),
            tag: "line/speed".into(),
            address: "holding:100".into(),
            unit_id: 1,
            data_type: "uint16".into(),
            order: WordOrder::Abcd,
            scale: None,
            unit: "rpm".into(),
            raw: value.clone(),
            value,
            before: json!(100),
            before_ms: 0,
            tier: Tier::One,
            before_tolerance: 0.0,
            readback_tolerance: 0.0,
            readback_delay_ms: 0,
            revert: false,
            requester_uid: 1601,
            reason_sha256: String::new(),
            policy_sha256: String::new(),
            policy_epoch: 1,
            work_order: String::new(),
            undo_of: None,
            separation: Separation::Relaxed,
            created_ms: 0,
            not_after_ms: 900_000,
        }
    }

    #[test]
    fn the_screen_shows_what_is_signed_and_marks_what_is_not_trusted() {
        let day = json!({"points": [{"value": 1.0}, {"value": null}, {"value": 5.0}]});
        let limits = json!({"min": 0.0, "max": 1000.0, "alarm_high": null});
        let reason = "fine\nAPPROVED \u{202e}";
        let beside = Beside { reason, limits: Some(&limits), day: Some(&day) };
        let text = screen(&ticket(json!(120)), &beside, Timestamp::from_millis(5_000));
        for part in [
            "MOC-7",
            "before     100 rpm   read 5 s ago",
            "after      120 rpm",
            "min 0.0, max 1000.0",
            "\u{2581}\u{2588}  1 to 5",
            "untrusted",
            "fine\\nAPPROVED \\u{202e}",
            "expires    in 895 s",
            "one person may ask and approve",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn only_the_new_value_itself_approves() {
        for (typed, value, want) in [
            ("120", json!(120), true),
            (" 120.0 ", json!(120), true),
            ("12", json!(120), false),
            ("y", json!(120), false),
            ("", json!(120), false),
            ("true", json!(true), true),
            ("1", json!(true), false),
            ("batch 7", json!("batch 7"), true),
            ("", json!(""), true),
            ("[1, 2]", json!([1, 2]), true),
            ("[1]", json!([1, 2]), false),
        ] {
            assert_eq!(is_value(typed, &ticket(value.clone())), want, "{typed:?} {value}");
        }
    }
}
