//! One value as people read it.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::surface::text::escaped;

/// When and where the reader is.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    /// Now.
    pub(crate) now: Timestamp,
    /// Where the clock on the wall stands.
    pub(crate) zone: TimeZone,
    /// How much of a time is written.
    pub(crate) times: Times,
}

/// How much of a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Times {
    /// The clock, and how far from now.
    Full,
    /// The clock.
    Clock,
}

impl Reader {
    /// Gives the reader at this machine, now.
    pub(crate) fn here() -> Self {
        let nanos = i128::from(crate::clock::now().nanos());
        let now = Timestamp::from_nanosecond(nanos).unwrap_or_default();
        Self { now, zone: TimeZone::system(), times: Times::Full }
    }
}

/// Writes a value as a cell under its field's name.
pub(crate) fn cell(field: &str, value: &Value, reader: &Reader) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => match instant(field, text) {
            Some(at) => when(field, at, reader),
            None => escaped(text),
        },
        Value::Number(number) if is_age(field) => {
            number.as_f64().map_or_else(|| number.to_string(), age)
        }
        Value::Number(number) if number.is_f64() => {
            number.as_f64().map_or_else(|| number.to_string(), float)
        }
        Value::Array(items) if items.iter().all(is_scalar) => {
            let items: Vec<String> = items.iter().map(|item| cell("", item, reader)).collect();
            items.join(", ")
        }
        other => escaped(&other.to_string()),
    }
}

/// Digits that a reader gets of a number with more: what is beyond them comes of computing with
/// binary fractions.
const DIGITS_MAX: i32 = 9;

/// Writes a float as the device sent it: what is exactly a 32-bit float in its shortest text, and
/// of others no tail of digits behind the point.
fn float(value: f64) -> String {
    #[allow(clippy::cast_possible_truncation, reason = "taken only where nothing is lost")]
    let narrow = value as f32;
    match value {
        // No sign of a zero tells people anything.
        0.0 => "0.0".to_owned(),
        value if f64::from(narrow) == value => format!("{narrow:?}"),
        value => format!("{:?}", tidy(value)),
    }
}

/// Rounds what stands behind the point; what stands before it is left alone.
fn tidy(value: f64) -> f64 {
    #[allow(clippy::cast_possible_truncation, reason = "an exponent of ten has three digits")]
    let before = value.abs().log10().floor() as i32 + 1;
    let behind = DIGITS_MAX - before;
    match usize::try_from(behind) {
        Ok(behind) if before > -DIGITS_MAX => format!("{value:.behind$}").parse().unwrap_or(value),
        _ => value,
    }
}

pub(super) fn is_scalar(value: &Value) -> bool {
    !value.is_array() && !value.is_object()
}

/// Heads a column: the unit of an age stands in its cells.
pub(super) fn heading(field: &str) -> String {
    match field.strip_suffix("_ms") {
        Some(name) if is_age(field) => escaped(name),
        // The reference marks what programs take along.
        _ => escaped(field.trim_start_matches('_')),
    }
}

fn is_age(field: &str) -> bool {
    field == "age_ms" || field.ends_with("_age_ms")
}

/// Names of times that don't say so by their end.
const TIMES: &[&str] = &[
    "at",
    "ts",
    "since",
    "until",
    "time",
    "after",
    "first",
    "last",
    "last_good",
    "started",
    "expires",
    "not_before",
    "not_after",
];

/// Takes only fields that hold times for one: a device's text may look like anything.
fn instant(field: &str, text: &str) -> Option<Timestamp> {
    let is_time = ["_ts", "_at", "_time", "timestamp"].iter().any(|end| field.ends_with(end))
        || TIMES.contains(&field);
    is_time.then(|| text.parse().ok()).flatten()
}

fn when(field: &str, at: Timestamp, reader: &Reader) -> String {
    let local = at.to_zoned(reader.zone.clone());
    let ms = reader.now.duration_since(at).as_millis();
    let day = if ms.unsigned_abs() < 20 * 3_600_000 { "" } else { "%Y-%m-%d " };
    // The points of a series lie closer than a second, and their distance is to each other.
    let is_point = field == "ts";
    let clock = if is_point { "%H:%M:%S%.3f" } else { "%H:%M:%S" };
    let clock = local.strftime(&format!("{day}{clock}")).to_string();
    if is_point || reader.times == Times::Clock {
        return clock;
    }
    #[allow(clippy::cast_precision_loss, reason = "shown to two digits")]
    let span = age(ms.unsigned_abs() as f64);
    if ms < 0 { format!("{clock} (in {span})") } else { format!("{clock} ({span} ago)") }
}

/// Writes a span of milliseconds in the largest unit that leaves a digit before the point.
fn age(ms: f64) -> String {
    let (amount, unit) = match ms {
        ms if ms < 1_000.0 => return format!("{ms:.0} ms"),
        ms if ms < 120_000.0 => (ms / 1_000.0, "s"),
        ms if ms < 7_200_000.0 => (ms / 60_000.0, "min"),
        ms if ms < 172_800_000.0 => (ms / 3_600_000.0, "h"),
        ms => (ms / 86_400_000.0, "d"),
    };
    if amount < 10.0 { format!("{amount:.1} {unit}") } else { format!("{amount:.0} {unit}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reader() -> Reader {
        let now = "2026-06-30T12:00:00Z".parse().unwrap();
        Reader { now, zone: TimeZone::fixed(jiff::tz::offset(2)), times: Times::Full }
    }

    #[test]
    fn times_are_relative_and_local() {
        let show = |field: &str, text: &str| cell(field, &json!(text), &reader());
        assert_eq!(show("source_ts", "2026-06-30T11:59:57Z"), "13:59:57 (3.0 s ago)");
        assert_eq!(show("since", "2026-06-20T12:00:00Z"), "2026-06-20 14:00:00 (10 d ago)");
        assert_eq!(show("expires_at", "2026-06-30T12:05:00Z"), "14:05:00 (in 5.0 min)");
        assert_eq!(show("ts", "2026-06-30T11:59:57.25Z"), "13:59:57.250");
        // A device's text stays as it is.
        assert_eq!(show("value", "2026-06-30T11:59:57Z"), "2026-06-30T11:59:57Z");
    }

    #[test]
    fn ages_take_their_unit_along() {
        let show = |ms: u64| cell("age_ms", &json!(ms), &reader());
        assert_eq!(show(12), "12 ms");
        assert_eq!(show(1_500), "1.5 s");
        assert_eq!(show(600_000), "10 min");
        assert_eq!(heading("age_ms"), "age");
        assert_eq!(heading("scan_ms"), "scan_ms");
        assert_eq!(heading("_undo_id"), "undo_id");
    }

    #[test]
    fn a_devices_text_cannot_steer_the_terminal() {
        let hostile = json!("\u{1b}[2J\u{202e}evil\r\n");
        assert_eq!(cell("value", &hostile, &reader()), "\\u{001b}[2J\\u{202e}evil\\r\\n");
        let nested = json!({"a": "\u{1b}[2J", "b": "\u{202e}"});
        let shown = cell("value", &nested, &reader());
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown}");
    }

    #[test]
    fn a_float_is_as_short_as_the_device_sent_it() {
        let show = |value: Value| cell("value", &value, &reader());
        assert_eq!(show(json!(f64::from(600.2_f32))), "600.2");
        assert_eq!(show(json!(63.3)), "63.3");
        let sent = json!(f64::from(21.86_f32)).to_string();
        assert_eq!(show(serde_json::from_str(&sent).unwrap()), "21.86");
        assert_eq!(show(json!(504.225_166_086_872_2)), "504.225166");
        assert_eq!(show(json!(3.000_000_000_4)), "3.0");
        assert_eq!(show(json!(0.1 + 0.2)), "0.3");
        assert_eq!(show(json!(1.234_567_890_123_4e-7)), "1.23456789e-7");
        assert_eq!(show(json!(12_345_678_901.234_5)), "12345678901.2345");
        assert_eq!(show(json!([20.0, -0.0, 1e300])), "20.0, 0.0, 1e300");
        assert_eq!(show(json!(f64::from(f32::MAX))), "3.4028235e38");
    }

    #[test]
    fn integers_stay_exact() {
        assert_eq!(cell("value", &json!(u64::MAX), &reader()), u64::MAX.to_string());
    }
}
