//! Required conditions on other tags: `press1/mode == 2`, `fresh(press1/mode) < 2s`.

use std::fmt;

use crate::model::{Value, integer};

/// A condition's tag may be this old where no rule says otherwise: two scans at the default rate.
pub(super) const FRESH_MS: u64 = 2_000;

/// What a tag shows at the moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The value.
    pub value: Value,
    /// Whether its quality is Good.
    pub is_good: bool,
    /// How old it is; `None` where nobody can tell.
    pub age_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

/// The operators, the longer ones first.
const OPS: [(&str, Op); 6] =
    [("==", Op::Eq), ("!=", Op::Ne), ("<=", Op::Le), (">=", Op::Ge), ("<", Op::Lt), (">", Op::Gt)];

/// One condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    text: String,
    /// The tag it asks for.
    pub tag: String,
    op: Op,
    right: Right,
}

#[derive(Debug, Clone, PartialEq)]
enum Right {
    Value(Value),
    AgeMs(u64),
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = || {
            format!(
                "{text:?} is no condition such as \"line/mode == 2\" or \"fresh(line/mode) < 2s\""
            )
        };
        let (at, sign, op) = OPS
            .iter()
            .filter_map(|(sign, op)| Some((text.find(&format!(" {sign} "))?, *sign, *op)))
            .min_by_key(|(at, ..)| *at)
            .ok_or_else(form)?;
        let left = text.get(..at).map(str::trim).filter(|t| !t.is_empty()).ok_or_else(form)?;
        let right = text.get(at + sign.len() + 2..).map(str::trim).ok_or_else(form)?;
        if right.is_empty() {
            return Err(form());
        }
        if let Some(tag) = left.strip_prefix("fresh(").and_then(|rest| rest.strip_suffix(')')) {
            let ms = duration_ms(right).filter(|_| matches!(op, Op::Lt | Op::Le));
            let right = Right::AgeMs(ms.ok_or_else(form)?);
            return Ok(Self { text: text.to_owned(), tag: tag.trim().to_owned(), op, right });
        }
        let value = literal(right).ok_or_else(form)?;
        let is_ordered = matches!(value, Value::I64(_) | Value::U64(_) | Value::F64(_));
        if !is_ordered && !matches!(op, Op::Eq | Op::Ne) {
            return Err(format!("{text:?}: only numbers are less or greater"));
        }
        let right = Right::Value(value);
        Ok(Self { text: text.to_owned(), tag: left.to_owned(), op, right })
    }

    /// Tells whether it holds now; what can't be judged does not hold.
    pub fn holds(&self, now: Option<&Reading>, fresh_ms: u64) -> Result<(), String> {
        let Some(now) = now else { return Err(format!("no tag is called {}", self.tag)) };
        if !now.is_good {
            return Err(format!("{} is not Good", self.tag));
        }
        let age = now.age_ms.ok_or_else(|| format!("nobody can tell how old {} is", self.tag))?;
        let value = match &self.right {
            Right::AgeMs(ms) if age < *ms => return Ok(()),
            Right::AgeMs(_) => return Err(format!("{} is {age} ms old", self.tag)),
            Right::Value(value) => value,
        };
        if age > fresh_ms {
            return Err(format!("{} is {age} ms old, above {fresh_ms} ms", self.tag));
        }
        match self.compare(&now.value, value) {
            Some(true) => Ok(()),
            Some(false) => Err(format!("{} is something else now", self.tag)),
            None => Err(format!("{} is of another kind", self.tag)),
        }
    }

    fn compare(&self, now: &Value, want: &Value) -> Option<bool> {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let order = match (now, want) {
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::Text(a), Value::Text(b)) => a.cmp(b),
            (Value::Bool(_) | Value::Text(_), _) | (_, Value::Bool(_) | Value::Text(_)) => {
                return None;
            }
            (a, b) => match (integer(a), integer(b)) {
                (Some(a), Some(b)) => a.cmp(&b),
                _ => a.as_f64()?.partial_cmp(&b.as_f64()?)?,
            },
        };
        Some(match self.op {
            Op::Eq => order == Equal,
            Op::Ne => order != Equal,
            Op::Lt => order == Less,
            Op::Le => order != Greater,
            Op::Gt => order == Greater,
            Op::Ge => order != Less,
        })
    }

    /// Gives the age that this condition allows, where it speaks of one.
    #[must_use]
    pub fn allowed_age_ms(&self) -> Option<u64> {
        if let Right::AgeMs(ms) = self.right { Some(ms) } else { None }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

/// Reads `500ms`, `2s`, `10m`, `1h`.
pub(super) fn duration_ms(text: &str) -> Option<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(at)?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor).filter(|ms| *ms <= 366 * 24 * 3_600_000)
}

fn literal(text: &str) -> Option<Value> {
    match text {
        "true" => return Some(Value::Bool(true)),
        "false" => return Some(Value::Bool(false)),
        _ => {}
    }
    if let Some(text) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        return (!text.contains('"')).then(|| Value::text(text));
    }
    if let Ok(whole) = text.parse::<i64>() {
        return Some(Value::I64(whole));
    }
    let plain = text.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c));
    text.parse::<f64>().ok().filter(|f| plain && f.is_finite()).map(Value::F64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(value: Value) -> Reading {
        Reading { value, is_good: true, age_ms: Some(100) }
    }

    #[test]
    fn a_condition_holds_for_a_good_and_fresh_value_alone() {
        let mode = Condition::parse("press1/mode == 2").unwrap();
        let two = now(Value::U64(2));
        assert!(mode.holds(Some(&two), FRESH_MS).is_ok());
        assert!(mode.holds(Some(&now(Value::F64(2.0))), FRESH_MS).is_ok());
        for bad in [
            Reading { is_good: false, ..two.clone() },
            Reading { age_ms: Some(2_001), ..two.clone() },
            Reading { age_ms: None, ..two.clone() },
            now(Value::U64(3)),
            now(Value::text("2")),
            now(Value::F64(f64::NAN)),
            now(Value::Null),
        ] {
            assert!(mode.holds(Some(&bad), FRESH_MS).is_err(), "{bad:?}");
        }
        assert!(mode.holds(None, FRESH_MS).is_err());
        let fresh = Condition::parse("fresh(press1/mode) < 2s").unwrap();
        assert!(fresh.holds(Some(&two), FRESH_MS).is_ok());
        assert!(fresh.holds(Some(&Reading { age_ms: Some(2_000), ..two }), FRESH_MS).is_err());
    }

    #[test]
    fn every_operator_compares() {
        for (text, value, want) in [
            ("t < 3", 2, true),
            ("t < 3", 3, false),
            ("t <= 3", 3, true),
            ("t > 3", 3, false),
            ("t >= 3", 3, true),
            ("t != 3", 3, false),
            ("t != 3", 4, true),
            ("t == -1", -1, true),
        ] {
            let holds = Condition::parse(text).unwrap().holds(Some(&now(Value::I64(value))), 1_000);
            assert_eq!(holds.is_ok(), want, "{text} {value}");
        }
        let stopped = Condition::parse("line/state == \"stopped\"").unwrap();
        assert!(stopped.holds(Some(&now(Value::text("stopped"))), 1_000).is_ok());
    }

    #[test]
    fn what_is_no_condition_is_an_error() {
        for wrong in [
            "",
            "a",
            "a = 2",
            "a == ",
            " == 2",
            "a == b",
            "a < true",
            "fresh(a) > 2s",
            "fresh(a) < 2",
            "a == nan",
            "a == inf",
        ] {
            assert!(Condition::parse(wrong).is_err(), "{wrong}");
        }
    }
}
