//! The comparison of an answer with what a vector expects.

use serde_json::Value;

/// How far two numbers may be apart, relative to the larger.
const RELATIVE: f64 = 1e-6;

/// Compares an answer with what is expected.
///
/// # Errors
/// The path of the first difference, and both sides.
pub(crate) fn matches(expect: &Value, answer: &Value) -> Result<(), String> {
    compare("$", expect, answer)
}

fn compare(path: &str, expect: &Value, answer: &Value) -> Result<(), String> {
    if let Some((name, operand)) = operator(expect) {
        return apply(path, name, operand, answer);
    }
    if is_error(answer) {
        return Err(format!("{path}: expected {expect}, but the call failed: {answer}"));
    }
    match (expect, answer) {
        (Value::Object(wanted), Value::Object(given)) => {
            // `note` is prose and not compared.
            for (key, wanted) in wanted.iter().filter(|(key, _)| *key != "note") {
                let given = given
                    .get(key)
                    .ok_or_else(|| format!("{path}.{key}: expected {wanted}, but it is missing"))?;
                compare(&format!("{path}.{key}"), wanted, given)?;
            }
            Ok(())
        }
        (Value::Array(wanted), Value::Array(given)) => {
            if wanted.len() != given.len() {
                let (w, g) = (wanted.len(), given.len());
                return Err(format!("{path}: expected {w} items, got {g}: {answer}"));
            }
            for (i, (wanted, given)) in wanted.iter().zip(given).enumerate() {
                compare(&format!("{path}[{i}]"), wanted, given)?;
            }
            Ok(())
        }
        (Value::Number(wanted), Value::Number(given)) if numbers_match(wanted, given) => Ok(()),
        (Value::String(wanted), Value::String(given)) if instants_match(wanted, given) => Ok(()),
        _ if expect == answer => Ok(()),
        _ => Err(format!("{path}: expected {expect}, got {answer}")),
    }
}

fn operator(expect: &Value) -> Option<(&str, &Value)> {
    let object = expect.as_object().filter(|object| object.len() == 1)?;
    object.iter().next().filter(|(key, _)| key.starts_with('$')).map(|(k, v)| (k.as_str(), v))
}

/// An error answer, as the tools give it.
pub(crate) fn is_error(answer: &Value) -> bool {
    answer.get("error").is_some_and(|error| !error.is_null())
}

fn apply(path: &str, name: &str, operand: &Value, answer: &Value) -> Result<(), String> {
    let said = || answer.to_string();
    let holds = match name {
        "$error" => {
            let mentioned = operand.get("mentions").and_then(Value::as_str);
            is_error(answer) && mentioned.is_none_or(|text| said().contains(text))
        }
        "$not" => compare(path, operand, answer).is_err(),
        "$any" => items(operand).iter().any(|e| compare(path, e, answer).is_ok()),
        "$all" => return items(operand).iter().try_for_each(|e| compare(path, e, answer)),
        "$contains" => {
            let wanted = operand.as_array().map_or(std::slice::from_ref(operand), Vec::as_slice);
            answer.as_array().is_some_and(|given| {
                wanted.iter().all(|e| given.iter().any(|item| compare(path, e, item).is_ok()))
            })
        }
        "$nonempty" => match answer {
            Value::Array(list) => !list.is_empty(),
            Value::Object(map) => !map.is_empty() && !is_error(answer),
            Value::String(text) => !text.is_empty(),
            _ => false,
        },
        "$mentions" => {
            let text = operand.as_str().unwrap_or_default().to_lowercase();
            !is_error(answer) && said().to_lowercase().contains(&text)
        }
        other => return Err(format!("{path}: no operator {other}")),
    };
    if holds { Ok(()) } else { Err(format!("{path}: {name} {operand} does not hold of {answer}")) }
}

fn items(operand: &Value) -> &[Value] {
    operand.as_array().map_or(&[], Vec::as_slice)
}

fn numbers_match(wanted: &serde_json::Number, given: &serde_json::Number) -> bool {
    let (Some(w), Some(g)) = (wanted.as_f64(), given.as_f64()) else { return false };
    if w.abs() < f64::from(f32::MIN_POSITIVE) {
        // Below float32's normal range: the same float32.
        return w as f32 == g as f32;
    }
    (w - g).abs() <= RELATIVE * w.abs().max(g.abs())
}

fn instants_match(wanted: &str, given: &str) -> bool {
    let full = |text: &str| {
        let dated = text.len() > 10 && text.as_bytes().get(4) == Some(&b'-');
        dated.then(|| text.replacen(' ', "T", 1).parse::<jiff::Timestamp>().ok()).flatten()
    };
    wanted == given || full(wanted).is_some_and(|instant| full(given) == Some(instant))
}

#[cfg(test)]
mod tests {
    use super::matches;
    use serde_json::json;

    #[test]
    fn objects_may_have_more_keys_and_lists_may_not_have_more_items() {
        assert!(matches(&json!({"a": 1}), &json!({"a": 1, "b": 2})).is_ok());
        assert!(matches(&json!({"a": 1, "b": 2}), &json!({"a": 1})).is_err());
        assert!(matches(&json!([1]), &json!([1, 2])).is_err());
        assert!(matches(&json!({"note": "x"}), &json!({"note": "y"})).is_ok());
    }

    #[test]
    fn numbers_match_by_a_millionth_and_tiny_ones_as_float32() {
        assert!(matches(&json!(8.717798), &json!(8.717_797_9)).is_ok());
        assert!(matches(&json!(8.7178), &json!(8.7)).is_err());
        assert!(matches(&json!(1), &json!(1.0)).is_ok());
        assert!(matches(&json!(1.401298464324817e-45), &json!(1.4e-45)).is_ok());
        assert!(matches(&json!(0.0), &json!(1e-8)).is_err());
        assert!(matches(&json!(1), &json!(true)).is_err());
        assert!(matches(&json!(null), &json!(0)).is_err());
        assert!(matches(&json!(0.0), &json!(-0.0)).is_ok());
    }

    #[test]
    fn two_full_date_times_compare_as_instants() {
        let (a, b) = (json!("2026-06-30 10:00:10+00:00"), json!("2026-06-30T12:00:10.000+02:00"));
        assert!(matches(&a, &b).is_ok());
        assert!(matches(&json!("2026-06-30T10:00:10Z"), &json!("2026-06-30")).is_err());
    }

    #[test]
    fn an_error_answer_matches_nothing_but_error() {
        let failed = json!({"error": {"code": "bad_arguments", "message": "decode: float9"}});
        assert!(matches(&json!({"$error": true}), &failed).is_ok());
        assert!(matches(&json!({"$error": {"mentions": "float9"}}), &failed).is_ok());
        assert!(matches(&json!({"$error": {"mentions": "float8"}}), &failed).is_err());
        assert!(matches(&json!({}), &failed).is_err());
        assert!(matches(&json!({"$error": true}), &json!({"decoded": []})).is_err());
    }

    #[test]
    fn the_operators_combine() {
        let answer = json!({"v": ["flat", "late"], "text": "A Trip"});
        for (expect, holds) in [
            (json!({"v": {"$contains": "late"}}), true),
            (json!({"v": {"$contains": ["late", "flat"]}}), true),
            (json!({"v": {"$contains": ["late", "x"]}}), false),
            (json!({"v": {"$nonempty": true}}), true),
            (json!({"text": {"$any": ["B", {"$not": "C"}]}}), true),
            (json!({"text": {"$all": [{"$not": "B"}, "A"]}}), false),
            (json!({"$mentions": "trip"}), true),
            (json!({"$mentions": "stop"}), false),
        ] {
            assert_eq!(matches(&expect, &answer).is_ok(), holds, "{expect}");
        }
    }
}
