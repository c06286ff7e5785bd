//! What counts as a number: devices deliver numbers as text more often than one would like.

use crate::model::Value;

/// Takes a number out of a value; a truth value counts as 0 or 1, text is read as a number.
///
/// The result may be infinite or NaN: the caller says what that means.
#[must_use]
pub fn number(value: &Value) -> Option<f64> {
    match value {
        Value::F64(x) => Some(*x),
        Value::Text(text) => number_from_text(text),
        _ => value.as_f64(),
    }
}

/// Reads a number as the reference does: blanks around it, `1_000`, `nan` and `inf` are taken,
/// hexadecimal is not.
#[must_use]
pub fn number_from_text(text: &str) -> Option<f64> {
    let trimmed = text.trim();
    let digits_around = |at: usize| {
        let bytes = trimmed.as_bytes();
        let digit = |i: Option<usize>| i.and_then(|i| bytes.get(i)).is_some_and(u8::is_ascii_digit);
        digit(at.checked_sub(1)) && digit(Some(at + 1))
    };
    if !trimmed.match_indices('_').all(|(at, _)| digits_around(at)) {
        return None;
    }
    trimmed.replace('_', "").parse().ok()
}

/// Reads a bound: a number, or a number as text; blank text is no bound.
///
/// # Errors
/// The text that is neither.
pub fn bound(json: &serde_json::Value) -> Result<Option<f64>, String> {
    let read = match json {
        serde_json::Value::Null => return Ok(None),
        serde_json::Value::Number(n) => n.as_f64(),
        serde_json::Value::String(text) if text.trim().is_empty() => return Ok(None),
        serde_json::Value::String(text) => number_from_text(text),
        _ => None,
    };
    read.filter(|x| x.is_finite()).map(Some).ok_or_else(|| format!("{json} is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_counts_as_a_number_where_the_reference_takes_it() {
        for (text, expected) in
            [("4.5", Some(4.5)), (" 7 ", Some(7.0)), ("1_000", Some(1000.0)), ("1e3", Some(1e3))]
        {
            assert_eq!(number(&Value::text(text)), expected, "{text}");
        }
        for text in ["0x10", "", "_1", "1__0", "abc", "1_"] {
            assert_eq!(number_from_text(text), None, "{text}");
        }
        assert!(number_from_text("nan").unwrap().is_nan());
        assert_eq!(number(&Value::Bool(true)), Some(1.0));
        assert_eq!(number(&Value::Null), None);
    }

    #[test]
    fn a_blank_bound_is_none_and_a_word_is_an_error() {
        assert_eq!(bound(&serde_json::json!("15")), Ok(Some(15.0)));
        assert_eq!(bound(&serde_json::json!("")), Ok(None));
        assert!(bound(&serde_json::json!("high")).is_err());
        assert!(bound(&serde_json::json!("nan")).is_err());
    }
}
