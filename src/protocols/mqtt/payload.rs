//! What a plain payload holds: JSON, text or bytes; pure and bounded.

use serde_json::Value as Json;

use super::errors::decode;
use crate::driver::DriverError;
use crate::model::{
    DataType, Quality, Scalar, VALUE_BYTES_MAX, VALUE_DEPTH_MAX, VALUE_ITEMS_MAX, Value,
};

/// A longer payload is a file and no value.
pub(super) const PAYLOAD_BYTES_MAX: usize = 256 * 1024;
/// Deeper JSON is made to exhaust a stack, or by mistake.
const JSON_DEPTH_MAX: usize = 32;
/// More JSON nodes than this is a table that belongs in a file.
const JSON_NODES_MAX: usize = 10_000;
/// No such part, or a null: OPC UA's BadNoData.
const NO_DATA: Quality = Quality::from_status(0x809B_0000);

/// A payload, read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Body<'a> {
    Empty,
    /// An object or an array.
    Json(Json),
    Text(&'a str),
    Binary,
}

/// Reads a payload.
///
/// # Errors
/// It is longer, deeper or larger than is taken.
pub(super) fn read(payload: &[u8]) -> Result<Body<'_>, DriverError> {
    if payload.is_empty() {
        return Ok(Body::Empty);
    }
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(decode(format!("the payload has {} bytes; 262144 are taken", payload.len())));
    }
    let Ok(text) = std::str::from_utf8(payload) else { return Ok(Body::Binary) };
    if text.trim_start().starts_with(['{', '[']) {
        check_json(payload)?;
        if let Ok(json) = serde_json::from_str(text) {
            return Ok(Body::Json(json));
        }
    }
    let is_text = !text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r'));
    Ok(if is_text { Body::Text(text) } else { Body::Binary })
}

/// Counts depth and nodes before anything is built of them.
fn check_json(bytes: &[u8]) -> Result<(), DriverError> {
    let (mut depth, mut nodes, mut in_text, mut is_escaped) = (0_usize, 1_usize, false, false);
    for byte in bytes {
        if in_text {
            match (is_escaped, byte) {
                (true, _) => is_escaped = false,
                (false, b'\\') => is_escaped = true,
                (false, b'"') => in_text = false,
                (false, _) => {}
            }
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'[' | b'{' => {
                depth += 1;
                nodes += 1;
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => nodes += 1,
            _ => {}
        }
        if depth > JSON_DEPTH_MAX {
            return Err(decode(format!("the JSON is nested deeper than {JSON_DEPTH_MAX} levels")));
        }
        if nodes > JSON_NODES_MAX {
            return Err(decode(format!("the JSON has more than {JSON_NODES_MAX} nodes")));
        }
    }
    Ok(())
}

/// Picks a tag's value out of a payload.
pub(super) fn value(
    body: &Result<Body<'_>, DriverError>,
    payload: &[u8],
    path: Option<&str>,
    data_type: DataType,
) -> (Value, Quality) {
    let bad = (Value::Null, Quality::BAD_DECODING_ERROR);
    let Ok(body) = body else { return bad };
    let native = match (body, path) {
        (Body::Empty, _) => return (Value::Null, NO_DATA),
        (Body::Json(json), path) => match pick(json, path.unwrap_or_default()) {
            None | Some(Json::Null) => return (Value::Null, NO_DATA),
            Some(part) => of_json(part, 0),
        },
        (_, Some(_)) => None,
        (Body::Text(text), None) => of_text(text, data_type),
        (Body::Binary, None) if payload.len() <= VALUE_BYTES_MAX => Some(Value::bytes(payload)),
        (Body::Binary, None) => None,
    };
    match native.and_then(|value| fit(value, data_type)) {
        Some(value) => (value, Quality::GOOD),
        None => bad,
    }
}

/// Follows a path such as `a.b[3]`; a key that holds dots is found whole.
fn pick<'a>(json: &'a Json, path: &str) -> Option<&'a Json> {
    let mut here = json;
    let mut rest = path;
    while !rest.is_empty() {
        if let Json::Object(fields) = here
            && let Some(whole) = fields.get(rest)
        {
            return Some(whole);
        }
        let (step, left) = match rest.strip_prefix('[') {
            Some(index) => index.split_once(']')?,
            None => {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                (rest.get(..end)?, rest.get(end..)?)
            }
        };
        here = match here {
            Json::Array(items) => items.get(step.parse::<usize>().ok()?)?,
            Json::Object(fields) => fields.get(step)?,
            _ => return None,
        };
        rest = left.strip_prefix('.').unwrap_or(left);
    }
    Some(here)
}

/// Lists every plain value of a JSON document with its path, up to so many.
pub(super) fn leaves(json: &Json, most: usize) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), json)];
    while let Some((path, here)) = open.pop() {
        match here {
            Json::Object(fields) => {
                let dot = if path.is_empty() { "" } else { "." };
                let step = |(key, value)| (format!("{path}{dot}{key}"), value);
                open.extend(fields.iter().rev().map(step));
            }
            Json::Array(items) => {
                let step = |(at, value)| (format!("{path}[{at}]"), value);
                open.extend(items.iter().enumerate().rev().map(step));
            }
            leaf => found.extend(of_json(leaf, 0).map(|value| (path, value))),
        }
        if found.len() >= most {
            break;
        }
    }
    found
}

/// Converts JSON; `None` where it is more than a value holds: nothing is cut.
fn of_json(json: &Json, depth: usize) -> Option<Value> {
    let fits = |items: usize| items <= VALUE_ITEMS_MAX && depth < VALUE_DEPTH_MAX;
    Some(match json {
        Json::Null => Value::Null,
        Json::Bool(on) => Value::Bool(*on),
        Json::Number(number) => of_number(number)?,
        Json::String(text) if text.len() <= VALUE_BYTES_MAX => Value::text(text),
        Json::Array(items) if fits(items.len()) => {
            let items: Option<Vec<Value>> =
                items.iter().map(|item| of_json(item, depth + 1)).collect();
            Value::list(items?)
        }
        Json::Object(fields) if fits(fields.len()) => {
            let field = |(key, value): (&String, &Json)| {
                Some((key.as_str().into(), of_json(value, depth + 1)?))
            };
            let fields: Option<Vec<_>> = fields.iter().map(field).collect();
            Value::map(fields?)
        }
        _ => return None,
    })
}

fn of_number(number: &serde_json::Number) -> Option<Value> {
    if let Some(i) = number.as_i64() {
        return Some(Value::I64(i));
    }
    number.as_u64().map(Value::U64).or_else(|| number.as_f64().map(Value::F64))
}

/// Reads a text as what the tag wants, or as the number or truth value that it spells.
fn of_text(text: &str, data_type: DataType) -> Option<Value> {
    let word = text.trim();
    let whole = || (text.len() <= VALUE_BYTES_MAX).then(|| Value::text(text));
    match data_type {
        DataType::Text(_) => whole(),
        DataType::One(Scalar::Bool) => match word.to_ascii_lowercase().as_str() {
            "true" | "1" | "on" => Some(Value::Bool(true)),
            "false" | "0" | "off" => Some(Value::Bool(false)),
            _ => None,
        },
        DataType::One(_) => of_number(&serde_json::from_str(word).ok()?),
        DataType::Array(..) => None,
        DataType::Native => match serde_json::from_str::<Json>(word) {
            Ok(Json::Number(number)) => of_number(&number),
            Ok(Json::Bool(on)) => Some(Value::Bool(on)),
            _ => whole(),
        },
    }
}

/// Holds a value against the tag's type: nothing is rounded or cut.
fn fit(value: Value, data_type: DataType) -> Option<Value> {
    match data_type {
        DataType::Native => Some(value),
        DataType::One(scalar) => one(value, scalar),
        DataType::Text(most) => match &value {
            Value::Text(text) if text.len() <= usize::from(most) => Some(value),
            _ => None,
        },
        DataType::Array(scalar, count) => match value {
            Value::List(items) if items.len() == usize::from(count) => {
                let items: Option<Vec<Value>> =
                    items.iter().map(|item| one(item.clone(), scalar)).collect();
                items.map(Value::list)
            }
            _ => None,
        },
    }
}

fn one(value: Value, scalar: Scalar) -> Option<Value> {
    let whole = crate::model::integer(&value);
    let signed = |low: i64, high: i64| {
        let whole = i64::try_from(whole?).ok()?;
        (low..=high).contains(&whole).then_some(Value::I64(whole))
    };
    let unsigned = |high: u64| {
        let whole = u64::try_from(whole?).ok()?;
        (whole <= high).then_some(Value::U64(whole))
    };
    match scalar {
        Scalar::Bool => matches!(value, Value::Bool(_)).then_some(value),
        Scalar::UInt8 => unsigned(u8::MAX.into()),
        Scalar::UInt16 => unsigned(u16::MAX.into()),
        Scalar::UInt32 => unsigned(u32::MAX.into()),
        Scalar::UInt64 => unsigned(u64::MAX),
        Scalar::Int8 => signed(i8::MIN.into(), i8::MAX.into()),
        Scalar::Int16 => signed(i16::MIN.into(), i16::MAX.into()),
        Scalar::Int32 => signed(i32::MIN.into(), i32::MAX.into()),
        Scalar::Int64 => signed(i64::MIN, i64::MAX),
        Scalar::Float32 | Scalar::Float64 => match value {
            Value::I64(_) | Value::U64(_) | Value::F64(_) => value.as_f64().map(Value::F64),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(payload: &str, path: Option<&str>, kind: &str) -> (Value, Quality) {
        let data_type = DataType::parse(kind).unwrap_or(DataType::Native);
        value(&read(payload.as_bytes()), payload.as_bytes(), path, data_type)
    }

    #[test]
    fn a_plain_number_is_a_number_and_a_word_is_text() {
        let good = |text, value| assert_eq!(tag(text, None, ""), (value, Quality::GOOD), "{text}");
        good("23.5", Value::F64(23.5));
        good(" -7\n", Value::I64(-7));
        good("18446744073709551615", Value::U64(u64::MAX));
        good("true", Value::Bool(true));
        good("RUN", Value::text("RUN"));
        good("\"hi\"", Value::text("\"hi\""));
        assert_eq!(tag("", None, "").1, NO_DATA);
        assert!(tag("NaN", None, "float64").1.is_bad());
        assert_eq!(tag("on", None, "bool").0, Value::Bool(true));
        assert!(tag("70000", None, "uint16").1.is_bad());
        assert_eq!(tag("12", None, "string(9)").0, Value::text("12"));
    }

    #[test]
    fn a_path_picks_a_part_of_json_and_a_missing_one_is_bad() {
        let json =
            r#"{"a": {"b": [1, {"c": -2.5}]}, "x.y": 7, "n": null, "big": 9007199254740993}"#;
        assert_eq!(tag(json, Some("a.b[1].c"), "").0, Value::F64(-2.5));
        assert_eq!(tag(json, Some("x.y"), "").0, Value::I64(7));
        assert_eq!(tag(json, Some("big"), "").0, Value::I64(9_007_199_254_740_993));
        for missing in ["a.c", "a.b[9]", "n"] {
            assert_eq!(tag(json, Some(missing), "").1, NO_DATA, "{missing}");
        }
        assert!(tag("plain", Some("a"), "").1.is_bad());
        let leaves = leaves(&serde_json::from_str(json).unwrap(), 100);
        let paths: Vec<&str> = leaves.iter().map(|leaf| leaf.0.as_str()).collect();
        assert_eq!(paths, ["a.b[0]", "a.b[1].c", "x.y", "n", "big"]);
    }

    #[test]
    fn what_is_deeper_larger_or_longer_than_is_taken_is_refused_by_name() {
        let why = |text: &str| read(text.as_bytes()).unwrap_err().message;
        assert!(why(&"[".repeat(200_000)).contains("nested deeper than 32"));
        assert!(why(&format!("[{}1]", "1,".repeat(10_000))).contains("more than 10000 nodes"));
        assert!(why(&"x".repeat(PAYLOAD_BYTES_MAX + 1)).contains("262144"));
        let quoted = format!("{{\"a\": \"{}\"}}", "[".repeat(1000));
        assert!(read(quoted.as_bytes()).is_ok(), "brackets in a text are text");
    }

    #[test]
    fn ten_thousand_spoilt_payloads_are_values_or_refused() {
        let whole = br#"{"a": [1, 2.5, "x\u00e9", null, {"b": [[[]]]}], "t": "2026-06-30"}"#;
        let mut state = 88_172_645_463_325_252_u64;
        for nth in 0..10_000_usize {
            let mut bytes = whole.to_vec();
            for _ in 0..=nth % 3 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let at = usize::try_from(state % 1000).unwrap() % bytes.len();
                bytes[at] = u8::try_from(state >> 32 & 0xFF).unwrap();
            }
            if nth % 2 == 0 {
                bytes.truncate(nth % whole.len());
            }
            let body = read(&bytes);
            let (value, quality) = value(&body, &bytes, Some("a[1]"), DataType::Native);
            assert!(quality.is_good() != (value == Value::Null));
        }
    }
}
