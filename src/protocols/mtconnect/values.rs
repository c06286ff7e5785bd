//! From the text of an observation to the value of a tag.

use std::sync::Arc;

use super::streams::{Entry, Seen};
use crate::driver::{Category, ModelItem};
use crate::model::{DataType, Quality, Scalar, Tag, VALUE_ITEMS_MAX, Value};

/// The agent has no value because the machine does not give it one: OPC UA's BadNoCommunication
/// says just that (Part 8, 6.3.2: the source is configured and silent). No last value is kept,
/// for MTConnect ends it expressly (Part 2, 5.5).
pub(super) const UNAVAILABLE: Quality = Quality::BAD_NO_COMMUNICATION;
/// A list was longer than a value may be: what is there is right, and there was more.
const CUT: Quality = Quality::from_status(0x4000_0000);

/// Events whose values are numbers, beside those with units, counts and overrides.
const NUMERIC_EVENTS: [&str; 4] = ["LINE", "LINE_NUMBER", "TOOL_OFFSET", "BLOCK_COUNT"];

/// What a tag makes of an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    /// Text as it stands.
    Text,
    /// A number where it is one, text otherwise.
    Number,
    /// As the category says: measurements are numbers, events are text.
    ByCategory,
    /// As the tag's definition says.
    As(DataType),
}

impl Reads {
    /// Decides for a tag, with what the model says of its item.
    pub(super) fn of(tag: &Tag, item: Option<&ModelItem>) -> Self {
        let is_number = item.is_some_and(|item| {
            !item.units.is_empty()
                || item.kind.ends_with("_COUNT")
                || item.kind.ends_with("_OVERRIDE")
                || NUMERIC_EVENTS.contains(&item.kind.as_ref())
        });
        match (tag.data_type, item) {
            (DataType::Native, Some(item)) if item.category.as_ref() == "EVENT" => {
                if is_number {
                    Self::Number
                } else {
                    Self::Text
                }
            }
            (DataType::Native, _) => Self::ByCategory,
            (other, _) => Self::As(other),
        }
    }
}

/// Reads a plain observation: anything but a set or a condition.
pub(super) fn value(seen: &Seen<'_>, reads: Reads) -> (Value, Quality) {
    if seen.is_unavailable() {
        return (Value::Null, UNAVAILABLE);
    }
    let text = seen.text.as_ref();
    match reads {
        Reads::As(data_type) => typed(text, data_type),
        Reads::Text => good(Value::text(text)),
        Reads::Number => good(number(text).unwrap_or_else(|| Value::text(text))),
        Reads::ByCategory if seen.category == Category::Sample => measured(text),
        Reads::ByCategory if seen.element.ends_with("TimeSeries") => measured(text),
        Reads::ByCategory => good(Value::text(text)),
    }
}

fn good(value: Value) -> (Value, Quality) {
    (value, Quality::GOOD)
}

fn bad() -> (Value, Quality) {
    (Value::Null, Quality::BAD_DECODING_ERROR)
}

/// A measured quantity: one number, or several with spaces between (a position in space, a time
/// series).
fn measured(text: &str) -> (Value, Quality) {
    if let Ok(number) = text.parse::<f64>() {
        return good(Value::F64(number));
    }
    list(text, |word| word.parse().ok().map(Value::F64))
}

fn list(text: &str, one: impl Fn(&str) -> Option<Value>) -> (Value, Quality) {
    let words = text.split_ascii_whitespace();
    let Some(items) = words.clone().take(VALUE_ITEMS_MAX).map(one).collect::<Option<Vec<Value>>>()
    else {
        return bad();
    };
    if items.is_empty() {
        return bad();
    }
    let quality = if words.count() > VALUE_ITEMS_MAX { CUT } else { Quality::GOOD };
    (Value::list(items), quality)
}

/// A whole number or another.
fn number(text: &str) -> Option<Value> {
    text.parse().map(Value::I64).or_else(|_| text.parse().map(Value::F64)).ok()
}

fn typed(text: &str, data_type: DataType) -> (Value, Quality) {
    let read = match data_type {
        DataType::Native => number(text).or_else(|| Some(Value::text(text))),
        DataType::Text(_) => Some(Value::text(text)),
        DataType::One(scalar) => scalar_value(text, scalar),
        DataType::Array(scalar, length) => {
            let (value, quality) = list(text, |word| scalar_value(word, scalar));
            let is_whole = matches!(&value, Value::List(l) if l.len() == usize::from(length));
            return if is_whole { (value, quality) } else { bad() };
        }
    };
    read.map_or_else(bad, good)
}

/// Reads one element; what does not fit its type is no value.
fn scalar_value(text: &str, scalar: Scalar) -> Option<Value> {
    let signed = |bits: u32| {
        let value: i64 = text.parse().ok()?;
        let fits = bits == 64 || (-(1_i64 << (bits - 1))..1_i64 << (bits - 1)).contains(&value);
        fits.then_some(Value::I64(value))
    };
    let unsigned = |bits: u32| {
        let value: u64 = text.parse().ok()?;
        (bits == 64 || value < 1_u64 << bits).then_some(Value::U64(value))
    };
    match scalar {
        Scalar::Bool => match text.to_ascii_uppercase().as_str() {
            "TRUE" | "ON" | "1" => Some(Value::Bool(true)),
            "FALSE" | "OFF" | "0" => Some(Value::Bool(false)),
            _ => None,
        },
        Scalar::UInt8 => unsigned(8),
        Scalar::UInt16 => unsigned(16),
        Scalar::UInt32 => unsigned(32),
        Scalar::UInt64 => unsigned(64),
        Scalar::Int8 => signed(8),
        Scalar::Int16 => signed(16),
        Scalar::Int32 => signed(32),
        Scalar::Int64 => signed(64),
        Scalar::Float32 | Scalar::Float64 => text.parse().ok().map(Value::F64),
    }
}

/// The value of one entry of a set: a number where it is one, a map where it is a row of a table.
pub(super) fn entry(entry: &Entry<'_>) -> Value {
    let one = |text: &str| number(text).unwrap_or_else(|| Value::text(text));
    if entry.cells.is_empty() {
        return one(&entry.text);
    }
    Value::map(entry.cells.iter().map(|(key, text)| (key_of(key), one(text))))
}

/// The same with every text as it was written, for answers that show the document.
pub(super) fn written(seen: &Seen<'_>) -> Value {
    if seen.entries.is_empty() {
        return Value::text(&seen.text);
    }
    Value::map(seen.entries.iter().filter(|entry| !entry.is_removed).map(|entry| {
        let value = if entry.cells.is_empty() {
            Value::text(&entry.text)
        } else {
            Value::map(entry.cells.iter().map(|(key, text)| (key_of(key), Value::text(text))))
        };
        (key_of(&entry.key), value)
    }))
}

/// Bounds the key of an entry.
pub(super) fn key_of(key: &str) -> Arc<str> {
    key.chars().take(256).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_is_a_number_or_a_row_of_them_and_nothing_else() {
        assert_eq!(measured("-1.5e3"), good(Value::F64(-1500.0)));
        let row = Value::list([Value::F64(1.0), Value::F64(2.0)]);
        assert_eq!(measured(" 1 2.0 "), good(row));
        assert_eq!(measured("1 x"), bad());
        assert_eq!(measured(""), bad());
        let long = "1 ".repeat(VALUE_ITEMS_MAX + 1);
        assert!(measured(&long).1.is_uncertain(), "what was cut is not called whole");
    }

    #[test]
    fn a_value_that_does_not_fit_its_type_is_bad() {
        let read = |text, name| typed(text, DataType::parse(name).unwrap());
        assert_eq!(read("255", "uint8"), good(Value::U64(255)));
        assert_eq!(read("256", "uint8"), bad());
        assert_eq!(read("-128", "int8"), good(Value::I64(-128)));
        assert_eq!(read("-129", "int8"), bad());
        assert_eq!(read("18446744073709551615", "uint64"), good(Value::U64(u64::MAX)));
        assert_eq!(read("ON", "bool"), good(Value::Bool(true)));
        assert_eq!(read("ACTIVE", "bool"), bad());
        assert_eq!(read("1 2", "float64[3]"), bad());
        assert_eq!(read("1.5", "int32"), bad());
    }
}
