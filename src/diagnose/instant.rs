//! Instants as callers write them: ISO 8601 with or without a zone, or seconds since 1970.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value as Json;

use crate::model::Timestamp;

/// Numbers below this are too small for seconds since 1970: they are something else.
const EPOCH_MIN: f64 = 1e8;
/// From here on a number counts milliseconds, then microseconds, then nanoseconds.
const UNITS: [(f64, f64); 4] = [(1e11, 1e9), (1e14, 1e6), (1e17, 1e3), (9.2e18, 1.0)];

/// Reads an instant; one without a zone is taken as UTC. `None` where it is none.
#[must_use]
pub fn instant(json: &Json) -> Option<Timestamp> {
    match json {
        Json::Number(n) => epoch(n.as_f64()?),
        Json::String(text) => instant_from_text(text),
        _ => None,
    }
}

/// Reads an instant out of text.
#[must_use]
pub fn instant_from_text(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if text.len() > 64 {
        return None;
    }
    if text.len() > 8 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return epoch(text.parse().ok()?);
    }
    if let Ok(at) = Timestamp::parse(text) {
        return Some(at);
    }
    let local: DateTime = text.parse().ok()?;
    let at = local.to_zoned(TimeZone::UTC).ok()?.timestamp();
    i64::try_from(at.as_nanosecond()).ok().map(Timestamp::from_nanos)
}

fn epoch(number: f64) -> Option<Timestamp> {
    if !number.is_finite() || number < EPOCH_MIN {
        return None;
    }
    let (_, nanos) = UNITS.into_iter().find(|(below, _)| number < *below)?;
    let whole = number.trunc();
    let rest = ((number - whole) * nanos).round();
    #[allow(clippy::cast_possible_truncation, reason = "below 9.2e18, checked by the table")]
    let total = (whole as i64).checked_mul(nanos as i64)?.checked_add(rest as i64)?;
    Some(Timestamp::from_nanos(total))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_instant_is_read_in_every_form_and_without_a_zone_as_utc() {
        let noon = Timestamp::parse("2026-06-30T12:00:00Z").unwrap();
        for form in [
            json!("2026-06-30T12:00:00Z"),
            json!("2026-06-30 12:00:00"),
            json!("2026-06-30T20:00:00+08:00"),
            json!("2026-06-30 12:00:00+00:00"),
            json!("2026-06-30T12:00"),
            json!("20260630T120000"),
            json!(1_782_820_800),
            json!(1_782_820_800_000_i64),
            json!("1782820800"),
        ] {
            assert_eq!(instant(&form), Some(noon), "{form}");
        }
        let midnight = Timestamp::parse("2026-06-30T00:00:00Z").unwrap();
        assert_eq!(instant(&json!("2026-06-30")), Some(midnight));
    }

    #[test]
    fn what_is_no_instant_is_none() {
        for form in [
            json!(null),
            json!(7),
            json!(-1e12),
            json!(1e300),
            json!("30/06/2026 10:00"),
            json!("yesterday"),
            json!(""),
            json!([1]),
        ] {
            assert_eq!(instant(&form), None, "{form}");
        }
    }
}
