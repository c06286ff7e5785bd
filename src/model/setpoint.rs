//! Setpoints: a wished value of one tag, fitted to the type that the device stores.

use std::sync::Arc;

use super::{DataType, EndpointName, Scalar, Scale, Tag, Value};

/// A scaled value may miss a whole number of counts by this much of it, which is what the
/// arithmetic of doubles loses; more is a fraction that the device can't hold.
const COUNT_SLACK: f64 = 1e-6;

/// Why a wished value can't be written as it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// NaN or an infinity.
    #[error("the value is no finite number")]
    NotFinite,
    /// Text where a number belongs, and the like.
    #[error("the tag is {wants}, and the value is {got}")]
    Kind {
        /// What the tag takes.
        wants: String,
        /// What was given.
        got: &'static str,
    },
    /// An integer can't hold it.
    #[error("the tag holds whole numbers, and the value has a fraction")]
    Fraction,
    /// The type is too narrow.
    #[error("the value is outside what {0} holds")]
    Range(String),
    /// A list or text of another length.
    #[error("the tag takes {wants} elements or bytes, and the value has {got}")]
    Length {
        /// What the tag takes.
        wants: usize,
        /// What was given.
        got: usize,
    },
    /// Control characters have no place in a device's text.
    #[error("the text holds control characters")]
    Controls,
    /// The tag is no value that could be written whole.
    #[error("the tag is a part of a structure, or of a type that is never written")]
    NotWritable,
}

/// A wished write: which tag, which value, and what goes into the device for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Setpoint {
    /// The endpoint the tag is written through.
    pub endpoint: EndpointName,
    /// The tag, with address, order and scale.
    pub tag: Arc<Tag>,
    /// Its type as the device has it; never [`DataType::Native`].
    pub data_type: DataType,
    /// The value as it was asked for, in engineering units.
    pub value: Value,
    /// The value as the device stores it.
    pub raw: Value,
}

impl Setpoint {
    /// Fits a value to a tag.
    ///
    /// # Errors
    /// The value is none of the tag's type, exactly: nothing is rounded, cut or converted.
    pub fn fit(tag: &Arc<Tag>, data_type: DataType, value: Value) -> Result<Self, Misfit> {
        if tag.path.is_some() {
            return Err(Misfit::NotWritable);
        }
        let raw = match (&tag.scale, data_type) {
            (Some(scale), DataType::One(scalar)) => one(&unscaled(scale, &value)?, scalar)?,
            (Some(_), _) => return Err(Misfit::NotWritable),
            (None, DataType::One(scalar)) => one(&value, scalar)?,
            (None, DataType::Array(scalar, count)) => many(&value, scalar, count)?,
            (None, DataType::Text(bytes)) => text(&value, bytes)?,
            (None, DataType::Native) => return Err(Misfit::NotWritable),
        };
        let endpoint = tag.endpoint.clone();
        Ok(Self { endpoint, tag: tag.clone(), data_type, value, raw })
    }

    /// Gives the value that reading back should give, in engineering units.
    #[must_use]
    pub fn expected(&self) -> Value {
        self.tag.scale.map_or_else(|| self.raw.clone(), |scale| scale.apply(&self.raw))
    }
}

/// Tells whether two values are the same within a tolerance; a non-finite number is never.
#[must_use]
pub fn within(a: &Value, b: &Value, tolerance: f64) -> bool {
    match (a, b) {
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| within(a, b, tolerance))
        }
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::I64(_) | Value::U64(_), Value::I64(_) | Value::U64(_)) if tolerance == 0.0 => {
            integer(a) == integer(b)
        }
        (
            Value::I64(_) | Value::U64(_) | Value::F64(_),
            Value::I64(_) | Value::U64(_) | Value::F64(_),
        ) => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() <= tolerance,
            _ => false,
        },
        (Value::Text(a), Value::Text(b)) => a == b,
        _ => false,
    }
}

/// Gives a whole number, whichever width it has.
#[must_use]
pub fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::I64(i) => Some(i128::from(*i)),
        Value::U64(u) => Some(i128::from(*u)),
        _ => None,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::I64(_) | Value::U64(_) => "a whole number",
        Value::F64(_) => "a number",
        Value::Text(_) => "text",
        Value::List(_) => "a list",
        Value::Bytes(_) | Value::Time(_) | Value::Map(_) => "of another kind",
    }
}

fn misfit(wants: impl ToString, value: &Value) -> Misfit {
    Misfit::Kind { wants: wants.to_string(), got: kind(value) }
}

/// Turns engineering units back into what the device stores.
fn unscaled(scale: &Scale, value: &Value) -> Result<Value, Misfit> {
    if value.is_non_finite() {
        return Err(Misfit::NotFinite);
    }
    let number = match value {
        Value::I64(_) | Value::U64(_) | Value::F64(_) => value.as_f64(),
        _ => None,
    };
    let eu = number.ok_or_else(|| misfit("a number", value))?;
    let back = Scale::new(scale.eu, scale.raw).ok_or(Misfit::NotWritable)?;
    match back.apply(&Value::F64(eu)) {
        Value::F64(raw) if (raw - raw.round()).abs() <= COUNT_SLACK * raw.abs().max(1.0) => {
            Ok(Value::F64(raw.round()))
        }
        raw => Ok(raw),
    }
}

/// The whole numbers a type holds; `None` for those that are none.
fn range(scalar: Scalar) -> Option<(i128, i128)> {
    Some(match scalar {
        Scalar::UInt8 => (0, i128::from(u8::MAX)),
        Scalar::Int8 => (i128::from(i8::MIN), i128::from(i8::MAX)),
        Scalar::UInt16 => (0, i128::from(u16::MAX)),
        Scalar::Int16 => (i128::from(i16::MIN), i128::from(i16::MAX)),
        Scalar::UInt32 => (0, i128::from(u32::MAX)),
        Scalar::Int32 => (i128::from(i32::MIN), i128::from(i32::MAX)),
        Scalar::UInt64 => (0, i128::from(u64::MAX)),
        Scalar::Int64 => (i128::from(i64::MIN), i128::from(i64::MAX)),
        Scalar::Bool | Scalar::Float32 | Scalar::Float64 => return None,
    })
}

#[allow(clippy::cast_possible_truncation, reason = "whole and far inside the range of i128")]
fn whole(value: &Value) -> Result<i128, Misfit> {
    match value {
        Value::F64(f) if !f.is_finite() => Err(Misfit::NotFinite),
        Value::F64(f) if f.fract() != 0.0 => Err(Misfit::Fraction),
        // Beyond 2^53 a double no longer says which whole number was meant.
        Value::F64(f) if f.abs() <= 9_007_199_254_740_992.0 => Ok(*f as i128),
        Value::F64(_) => Err(Misfit::Range("a double exactly".to_owned())),
        _ => integer(value).ok_or_else(|| misfit("a whole number", value)),
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "the nearest number of the tag's own type is what is written, and it is checked"
)]
fn one(value: &Value, scalar: Scalar) -> Result<Value, Misfit> {
    let out = || Misfit::Range(scalar.word().to_owned());
    if let Some((min, max)) = range(scalar) {
        let number = whole(value)?;
        if !(min..=max).contains(&number) {
            return Err(out());
        }
        return match min {
            0 => u64::try_from(number).map(Value::U64).map_err(|_| out()),
            _ => i64::try_from(number).map(Value::I64).map_err(|_| out()),
        };
    }
    match (scalar, value) {
        (Scalar::Bool, Value::Bool(_)) => Ok(value.clone()),
        (Scalar::Bool, _) => Err(misfit("true or false", value)),
        (_, Value::F64(f)) if !f.is_finite() => Err(Misfit::NotFinite),
        (_, Value::I64(_) | Value::U64(_) | Value::F64(_)) => {
            let number = value.as_f64().ok_or(Misfit::NotFinite)?;
            if scalar == Scalar::Float64 {
                return Ok(Value::F64(number));
            }
            let narrow = number as f32;
            if !narrow.is_finite() {
                return Err(out());
            }
            Ok(Value::F64(f64::from(narrow)))
        }
        _ => Err(misfit("a number", value)),
    }
}

fn many(value: &Value, scalar: Scalar, count: u16) -> Result<Value, Misfit> {
    let Value::List(items) = value else { return Err(misfit("a list", value)) };
    let wants = usize::from(count);
    if items.len() != wants {
        return Err(Misfit::Length { wants, got: items.len() });
    }
    let items: Result<Vec<Value>, Misfit> = items.iter().map(|item| one(item, scalar)).collect();
    Ok(Value::list(items?))
}

fn text(value: &Value, bytes: u16) -> Result<Value, Misfit> {
    let Value::Text(text) = value else { return Err(misfit("text", value)) };
    if text.len() > usize::from(bytes) {
        return Err(Misfit::Length { wants: usize::from(bytes), got: text.len() });
    }
    if text.chars().any(char::is_control) {
        return Err(Misfit::Controls);
    }
    Ok(value.clone())
}

/// Reads a JSON value as a wish; objects and `null` are none.
#[must_use]
pub fn wish(json: &serde_json::Value) -> Option<Value> {
    Some(match json {
        serde_json::Value::Bool(b) => Value::Bool(*b),
        serde_json::Value::Number(n) => match (n.as_u64(), n.as_i64(), n.as_f64()) {
            (Some(u), ..) => Value::U64(u),
            (_, Some(i), _) => Value::I64(i),
            (.., Some(f)) => Value::F64(f),
            _ => return None,
        },
        serde_json::Value::String(s) if s.len() <= super::VALUE_BYTES_MAX => Value::text(s),
        serde_json::Value::Array(items) if items.len() <= super::VALUE_ITEMS_MAX => {
            let items: Option<Vec<Value>> = items.iter().map(wish).collect();
            Value::list(items?)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(data_type: &str, value: Value) -> Result<Value, Misfit> {
        let tag = Arc::new(Tag::new("t", "e", "0"));
        Setpoint::fit(&tag, DataType::parse(data_type).unwrap(), value).map(|s| s.raw)
    }

    #[test]
    fn nothing_is_rounded_cut_or_converted() {
        use Misfit::{Controls, Fraction, Kind, Length, NotFinite, Range};
        assert!(matches!(fit("float32", Value::F64(f64::NAN)), Err(NotFinite)));
        assert!(matches!(fit("int16", Value::F64(f64::INFINITY)), Err(NotFinite)));
        assert!(matches!(fit("float32", Value::F64(1e300)), Err(Range(_))));
        assert!(matches!(fit("int16", Value::F64(3.99)), Err(Fraction)));
        assert!(matches!(fit("int16", Value::I64(1_000_000_000)), Err(Range(_))));
        assert!(matches!(fit("uint16", Value::I64(-1)), Err(Range(_))));
        assert!(matches!(fit("bool", Value::text("false")), Err(Kind { .. })));
        assert!(matches!(fit("bool", Value::U64(1)), Err(Kind { .. })));
        assert!(matches!(fit("float64", Value::text("1")), Err(Kind { .. })));
        assert!(matches!(fit("float64", Value::Bool(true)), Err(Kind { .. })));
        assert!(matches!(fit("uint16[2]", Value::list([Value::U64(1)])), Err(Length { .. })));
        assert!(matches!(fit("string(2)", Value::text("abc")), Err(Length { .. })));
        assert!(matches!(fit("string(9)", Value::text("a\nb")), Err(Controls)));
        assert_eq!(fit("int16", Value::F64(-7.0)), Ok(Value::I64(-7)));
        assert_eq!(fit("uint64", Value::U64(u64::MAX)), Ok(Value::U64(u64::MAX)));
        assert_eq!(fit("bool", Value::Bool(true)), Ok(Value::Bool(true)));
    }

    #[test]
    fn engineering_units_become_whole_counts_or_are_refused() {
        let mut tag = Tag::new("t", "e", "0");
        tag.scale = Scale::new((0.0, 1000.0), (0.0, 10.0));
        let tag = Arc::new(tag);
        let fit = |eu: f64| Setpoint::fit(&tag, DataType::One(Scalar::UInt16), Value::F64(eu));
        let good = fit(2.37).unwrap();
        assert_eq!(good.raw, Value::U64(237));
        assert!(within(&good.expected(), &Value::F64(2.37), 1e-9));
        assert_eq!(fit(2.375).unwrap_err(), Misfit::Fraction);
        assert!(matches!(fit(700.0), Err(Misfit::Range(_))));
    }

    #[test]
    fn large_integers_are_compared_exactly() {
        let (a, b) = (Value::U64(u64::MAX), Value::U64(u64::MAX - 1));
        assert!(!within(&a, &b, 0.0) && within(&a, &a, 0.0));
        assert!(!within(&Value::F64(f64::NAN), &Value::F64(f64::NAN), 1.0));
        assert!(!within(&Value::Bool(true), &Value::U64(1), 0.0));
    }
}
