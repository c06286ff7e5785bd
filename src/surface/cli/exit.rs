//! What `otctl` says to its shell when it ends.

use std::process::ExitCode;

use serde_json::Value;

use super::wording::Wording;
use crate::surface::render::{Look, wrapped};
use crate::surface::text::escaped;
use crate::tools::Code;

/// How a command ended. The numbers are part of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// It answered.
    Fine = 0,
    /// It answered, and the answer holds what `--fail-on` names.
    Finding = 1,
    /// It was asked wrongly.
    Usage = 2,
    /// The collector or the device was not reached.
    Unreachable = 3,
    /// It may not.
    Denied = 4,
    /// It answered in part.
    Partial = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Fine => 0,
            Exit::Finding => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
            Exit::Denied => 4,
            Exit::Partial => 5,
        })
    }
}

/// Why a command came to nothing.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// The tool's own answer, for scripts.
    pub(super) answer: Option<Box<Value>>,
}

impl Failure {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None, answer: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Makes a failure of a tool's error answer.
    pub(super) fn of_answer(answer: Value) -> Self {
        let error = answer.get("error").unwrap_or(&Value::Null);
        let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
        let exit = exit_of(text("code"));
        let mut hint = text("hint").to_owned();
        let near: Vec<&str> = error
            .get("did_you_mean")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        if !near.is_empty() {
            hint = format!("did you mean {}? {hint}", near.join(" or "));
        }
        let message = format!("{} ({})", text("message"), text("code"));
        Self { exit, message, hint: Some(hint), answer: Some(Box::new(answer)) }
    }

    /// Writes it on stderr.
    pub(super) fn report(&self, wording: &Wording) {
        say("error", &wording.text(&self.message));
        if let Some(hint) = &self.hint {
            say("hint", &wording.text(hint));
        }
    }
}

/// Writes what is wrong, or what to do, on stderr, as wide as the terminal is.
pub(super) fn say(what: &str, text: &str) {
    for line in text.lines() {
        eprintln!("{}", wrapped(&format!("{what}: {}", escaped(line)), Look::of_stderr(), 4));
    }
}

fn exit_of(code: &str) -> Exit {
    match serde_json::from_value::<Code>(Value::from(code)) {
        Ok(
            Code::BadArguments
            | Code::UnknownTool
            | Code::UnknownEndpoint
            | Code::AmbiguousEndpoint
            | Code::WrongProtocol
            | Code::UnknownTag
            | Code::BadAddress
            | Code::NotFound
            | Code::Unsupported
            | Code::Misconfigured,
        ) => Exit::Usage,
        Ok(Code::Denied) => Exit::Denied,
        // Whatever a newer collector may add is no answer either.
        _ => Exit::Unreachable,
    }
}

/// Judges an answer: does it hold what the shell wants to hear of, and is it whole?
pub(super) fn judge(answer: &Value, fail_on: &[String]) -> Exit {
    if !fail_on.is_empty() && holds(answer, fail_on) {
        return Exit::Finding;
    }
    // A configuration that was taken in part, or not at all.
    let has_problems =
        answer.get("problems").and_then(Value::as_array).is_some_and(|p| !p.is_empty());
    if has_problems {
        return Exit::Partial;
    }
    let lists = answer.as_object().into_iter().flat_map(|map| map.values());
    let items = lists.filter_map(Value::as_array).flatten();
    let has_failed = |item: &Value| item.get("error").is_some_and(|error| !error.is_null());
    if items.into_iter().any(has_failed) { Exit::Partial } else { Exit::Fine }
}

/// Looks for a verdict by its word; `finding` stands for any entry of a list of findings.
fn holds(value: &Value, words: &[String]) -> bool {
    let is_verdict = |field: &str| {
        ["verdict", "overall", "severity", "status", "state", "quality"].contains(&field)
            || field.ends_with("_verdict")
    };
    match value {
        Value::Object(map) => map.iter().any(|(field, value)| match value {
            Value::String(word) => is_verdict(field) && words.contains(word),
            Value::Array(items) if field == "findings" && !items.is_empty() => {
                words.iter().any(|word| word == "finding") || holds(value, words)
            }
            value => holds(value, words),
        }),
        Value::Array(items) => items.iter().any(|item| holds(item, words)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_code_decides_the_exit_code() {
        let exit = |code: &str| Failure::of_answer(json!({"error": {"code": code}})).exit;
        assert_eq!(exit("unknown_tag"), Exit::Usage);
        assert_eq!(exit("device_timeout"), Exit::Unreachable);
        assert_eq!(exit("denied"), Exit::Denied);
        assert_eq!(exit("a_code_of_the_future"), Exit::Unreachable);
    }

    #[test]
    fn a_finding_is_a_verdict_by_its_word() {
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let answer = json!({"overall": "alarm", "results": [{"status": "warn", "label": "ok"}]});
        assert_eq!(judge(&answer, &words(&["warn"])), Exit::Finding);
        assert_eq!(judge(&answer, &words(&["ok"])), Exit::Fine);
        assert_eq!(judge(&json!({"findings": [{}]}), &words(&["finding"])), Exit::Finding);
        assert_eq!(judge(&json!({"findings": []}), &words(&["finding"])), Exit::Fine);
        assert_eq!(judge(&answer, &[]), Exit::Fine);
    }

    #[test]
    fn one_failed_item_makes_an_answer_partial() {
        let answer = json!({"items": [{"value": 1}, {"error": "no such node"}]});
        assert_eq!(judge(&answer, &[]), Exit::Partial);
    }
}
