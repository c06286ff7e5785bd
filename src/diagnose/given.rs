//! Samples as a caller gives them: numbers, or objects with value, time and quality.

use serde_json::Value as Json;

use super::instant::instant;
use super::number::{number, number_from_text};
use crate::model::{Quality, Timestamp, Value, Window};

/// As many samples of one series as the reference looks at.
pub const SERIES_MAX: usize = 2000;
/// Names under which a sample's time is given, the reference's own first.
const TIMES: [&str; 5] = ["timestamp", "source_timestamp", "source_ts", "received_ts", "ts"];
/// Words of the reference that say a quality is good.
const GOOD: [&str; 4] = ["ok", "1", "true", "valid"];

/// How far a given sample may be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    /// As measured.
    Good,
    /// Usable with doubt.
    Uncertain,
    /// Not to be judged by.
    Bad,
}

/// One given sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    /// A finite number.
    pub number: Option<f64>,
    /// The value is a truth value: there is nothing between its states.
    pub is_truth: bool,
    /// How far to trust it.
    pub grade: Grade,
    /// When it was taken.
    pub at: Option<Timestamp>,
    /// It carries a time that can't be read.
    pub is_time_unreadable: bool,
}

impl Grade {
    /// Grades a quality.
    #[must_use]
    pub fn of(quality: Quality) -> Self {
        match () {
            () if quality.is_good() => Self::Good,
            () if quality.is_uncertain() => Self::Uncertain,
            () => Self::Bad,
        }
    }

    /// Grades a status as it is written: a word, an OPC quality (192 is good) or a StatusCode.
    fn of_json(status: &Json) -> Option<Self> {
        match status {
            Json::Bool(is_good) => Some(if *is_good { Self::Good } else { Self::Bad }),
            Json::Number(n) => Some(n.as_u64().map_or(Self::Bad, Self::of_code)),
            Json::String(text) => Self::of_text(text.trim()),
            _ => None,
        }
    }

    fn of_text(text: &str) -> Option<Self> {
        let word = text.to_ascii_lowercase();
        if word.is_empty() {
            return None;
        }
        let hex = word.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
        Some(match word.parse::<u64>().ok().or(hex) {
            _ if GOOD.contains(&word.as_str()) || word.starts_with("good") => Self::Good,
            Some(code) => Self::of_code(code),
            None if word.starts_with("uncertain") => Self::Uncertain,
            None => Self::Bad,
        })
    }

    /// OPC DA has the two bits of its quality in 0xC0; 1 is the reference's own good. Larger
    /// numbers are StatusCodes.
    fn of_code(code: u64) -> Self {
        match code {
            1 | 192..=255 => Self::Good,
            64..=127 => Self::Uncertain,
            0..=255 => Self::Bad,
            _ => u32::try_from(code).map_or(Self::Bad, |c| Self::of(Quality::from_status(c))),
        }
    }
}

impl Given {
    /// Reads one sample.
    #[must_use]
    pub fn read(item: &Json) -> Self {
        let Json::Object(fields) = item else { return Self::plain(item) };
        let value = fields.get("value").unwrap_or(&Json::Null);
        let plain = Self::plain(value);
        let stated = match fields.get("good") {
            // As the reference: only `false` itself says that a sample is not good.
            Some(good) => Some(if good == &Json::Bool(false) { Grade::Bad } else { Grade::Good }),
            None => fields.get("quality").and_then(Grade::of_json),
        };
        let by_value = if value.is_null() { Grade::Bad } else { Grade::Good };
        let time = TIMES.iter().find_map(|name| fields.get(*name).filter(|t| !t.is_null()));
        let at = time.and_then(instant);
        Self {
            // What is no finite number is no measurement, whatever is said of it.
            grade: if plain.grade == Grade::Bad { Grade::Bad } else { stated.unwrap_or(by_value) },
            is_time_unreadable: time.is_some() && at.is_none(),
            at,
            ..plain
        }
    }

    fn plain(value: &Json) -> Self {
        let read = match value {
            Json::Bool(truth) => Some(f64::from(u8::from(*truth))),
            Json::Number(n) => n.as_f64(),
            Json::String(text) => number_from_text(text),
            _ => None,
        };
        let is_non_finite = read.is_some_and(|x| !x.is_finite());
        Self {
            number: read.filter(|x| x.is_finite()),
            is_truth: value.is_boolean(),
            grade: if is_non_finite { Grade::Bad } else { Grade::Good },
            at: None,
            is_time_unreadable: false,
        }
    }

    /// Reads a series.
    #[must_use]
    pub fn series(items: &[Json]) -> Vec<Self> {
        items.iter().map(Self::read).collect()
    }

    /// Takes the samples of a window, as the cache or the store has them.
    #[must_use]
    pub fn of_window(window: &Window) -> Vec<Self> {
        let sample = |((value, quality), at): ((&Value, &Quality), &Timestamp)| {
            let read = number(value);
            let is_non_finite = read.is_some_and(|x| !x.is_finite());
            let is_bad = is_non_finite || matches!(value, Value::Null);
            Self {
                number: read.filter(|x| x.is_finite()),
                is_truth: matches!(value, Value::Bool(_)),
                grade: if is_bad { Grade::Bad } else { Grade::of(*quality) },
                at: Some(*at),
                is_time_unreadable: false,
            }
        };
        window.values.iter().zip(&window.qualities).zip(&window.received).map(sample).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_status_is_graded_in_every_notation() {
        for (item, grade) in [
            (json!({"value": 1}), Grade::Good),
            (json!({"value": null}), Grade::Bad),
            (json!({"value": 1, "good": false, "quality": "Good"}), Grade::Bad),
            (json!({"value": 1, "good": null, "quality": "Bad"}), Grade::Good),
            (json!({"value": 1, "quality": "GoodClamped"}), Grade::Good),
            (json!({"value": 1, "quality": "valid"}), Grade::Good),
            (json!({"value": 1, "quality": 192}), Grade::Good),
            (json!({"value": 1, "quality": "0x80000000"}), Grade::Bad),
            (json!({"value": 1, "quality": 0x4090_0000}), Grade::Uncertain),
            (json!({"value": 1, "quality": 0}), Grade::Bad),
            (json!({"value": 1, "quality": "UncertainLastUsableValue"}), Grade::Uncertain),
            (json!({"value": 1, "quality": ""}), Grade::Good),
            (json!({"value": "nan", "quality": "Good"}), Grade::Bad),
            (json!("inf"), Grade::Bad),
            (json!("text"), Grade::Good),
        ] {
            assert_eq!(Given::read(&item).grade, grade, "{item}");
        }
    }

    #[test]
    fn a_time_that_cannot_be_read_is_told_from_none() {
        let read = Given::read(&json!({"value": 1, "timestamp": "30/06/2026"}));
        assert!(read.is_time_unreadable && read.at.is_none());
        assert!(!Given::read(&json!({"value": 1})).is_time_unreadable);
    }
}
