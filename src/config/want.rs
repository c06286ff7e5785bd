//! What a key wants, and how it says that it found something else.
//!
//! Nothing and empty text count as not given, and numbers may be text, as in the reference.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::node::{Kind, Node};

/// The longest text of one setting: a description, an URL, a node id. It ends up in answers.
pub(super) const TEXT_BYTES_MAX: usize = 4096;

/// As much of a wrong value as an error shows.
const SHOWN_CHARS_MAX: usize = 40;

/// Characters that hide, or turn the text around them.
const BIDI: [RangeInclusive<char>; 3] =
    ['\u{200B}'..='\u{200F}', '\u{202A}'..='\u{202E}', '\u{2066}'..='\u{2069}'];

/// A wish that wasn't met: what was wanted and what was found.
pub(super) type Wanted<T> = Result<Option<T>, String>;

/// Says what stands there, escaped and cut.
pub(super) fn found(node: &Node) -> String {
    match node.kind {
        Kind::Null => "nothing".to_owned(),
        Kind::List(_) => "a list".to_owned(),
        Kind::Table(_) => "a table".to_owned(),
        Kind::Bool(_) | Kind::Integer(_) | Kind::Float(_) => node.text.to_string(),
        Kind::Text => format!("`{}`", shown(&node.text)),
    }
}

/// Escapes and cuts a name or value for a message: controls and bidi marks could make a
/// terminal show another one.
pub(super) fn shown(text: &str) -> String {
    let cut = text.char_indices().nth(SHOWN_CHARS_MAX).map(|(at, _)| at);
    let start = text.get(..cut.unwrap_or(text.len())).unwrap_or_default();
    let mut out = String::new();
    for c in start.chars() {
        match c {
            c if BIDI.iter().any(|range| range.contains(&c)) => out.extend(c.escape_unicode()),
            '\'' | '"' => out.push(c),
            c => out.extend(c.escape_debug()),
        }
    }
    if cut.is_some() {
        out.push_str("...");
    }
    out
}

/// Wants text; numbers stand for themselves.
pub(super) fn text(node: &Node) -> Wanted<Arc<str>> {
    match node.kind {
        Kind::Null => Ok(None),
        Kind::Text | Kind::Integer(_) | Kind::Float(_) => {
            if node.text.len() > TEXT_BYTES_MAX {
                return Err(format!("text of at most {TEXT_BYTES_MAX} bytes"));
            }
            Ok(Some(node.text.clone()).filter(|text| !text.is_empty()))
        }
        _ => Err(format!("text, not {}", found(node))),
    }
}

/// Wants a whole number in a range.
pub(super) fn whole(node: &Node, range: RangeInclusive<i64>) -> Wanted<i64> {
    let parsed = match &node.kind {
        Kind::Null => return Ok(None),
        Kind::Text if node.text.trim().is_empty() => return Ok(None),
        Kind::Text => node.text.trim().parse().ok(),
        Kind::Integer(n) => Some(*n),
        _ => None,
    };
    match parsed.filter(|n| range.contains(n)) {
        Some(n) => Ok(Some(n)),
        None => {
            let (low, high) = range.into_inner();
            Err(format!("a whole number from {low} to {high}, not {}", found(node)))
        }
    }
}

/// Wants a finite number.
pub(super) fn number(node: &Node) -> Wanted<f64> {
    let parsed = match &node.kind {
        Kind::Null => return Ok(None),
        Kind::Text if node.text.trim().is_empty() => return Ok(None),
        Kind::Text => float(node.text.trim()),
        #[allow(clippy::cast_precision_loss, reason = "a bound takes the nearest double")]
        Kind::Integer(n) => Some(*n as f64),
        Kind::Float(x) => Some(*x),
        _ => None,
    };
    match parsed.filter(|x| x.is_finite()) {
        Some(x) => Ok(Some(x)),
        None if has_decimal_comma(&node.text) => {
            Err(format!("a number with a decimal point, not the decimal comma of {}", found(node)))
        }
        None => Err(format!("a number, not {}", found(node))),
    }
}

/// Reads a number as the reference does: `1_000` is one.
fn float(text: &str) -> Option<f64> {
    if text.contains('_') {
        let digits = text.split('_').all(|part| part.contains(|c: char| c.is_ascii_digit()));
        return digits.then(|| text.replace('_', "").parse().ok()).flatten();
    }
    text.parse().ok()
}

/// Tells whether text would be a number with a point for its comma.
pub(super) fn has_decimal_comma(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    text.trim()
        .trim_start_matches(['-', '+'])
        .split_once(',')
        .is_some_and(|(whole, rest)| digits(whole) && digits(rest))
}

/// Wants yes or no; the reference's words for them count.
pub(super) fn flag(node: &Node) -> Wanted<bool> {
    let word = match node.kind {
        Kind::Null => return Ok(None),
        Kind::Bool(flag) => return Ok(Some(flag)),
        Kind::Text | Kind::Integer(_) => node.text.trim().to_ascii_lowercase(),
        _ => String::from("?"),
    };
    match word.as_str() {
        "" => Ok(None),
        "true" | "1" | "yes" | "on" => Ok(Some(true)),
        "false" | "0" | "no" | "off" => Ok(Some(false)),
        _ => Err(format!("true or false, not {}", found(node))),
    }
}

/// Turns a setting of the protocol's own into plain JSON; it is the protocol's to judge.
pub(super) fn json(node: &Node) -> Result<serde_json::Value, String> {
    use serde_json::Value;
    Ok(match &node.kind {
        Kind::Null => Value::Null,
        Kind::Bool(flag) => Value::Bool(*flag),
        Kind::Integer(n) => Value::from(*n),
        Kind::Float(x) => match serde_json::Number::from_f64(*x) {
            Some(number) => Value::Number(number),
            None => return Err(format!("a finite number, not {}", found(node))),
        },
        Kind::Text if node.text.len() > TEXT_BYTES_MAX => {
            return Err(format!("text of at most {TEXT_BYTES_MAX} bytes"));
        }
        Kind::Text => Value::String(node.text.to_string()),
        Kind::List(items) => Value::Array(items.iter().map(json).collect::<Result<_, _>>()?),
        Kind::Table(entries) => {
            let pair = |e: &super::node::Entry| Ok((e.key.to_string(), json(&e.value)?));
            Value::Object(entries.iter().map(pair).collect::<Result<_, String>>()?)
        }
    })
}
