//! What a collector says to agents, said to whoever types commands: a tool's name becomes its
//! command, and a command is written as it works when it is copied.

use std::path::Path;

use serde_json::Value;

use super::names::{begins_command, command_of};

/// Fields that say what to do, in our own words.
const ADVICE: &[&str] = &[
    "hint",
    "next",
    "enrol",
    "fix",
    "message",
    "note",
    "why",
    "problem",
    "problems",
    "config_problems",
    "writes_frozen",
    "separation_fault",
    "tell_the_operator",
];

/// Fields that hold what a device says, whatever that looks like.
const DEVICE: &[&str] = &["value", "payload"];

/// A word beside one of these is part of a path, a name or a text that is quoted.
const GLUE: [char; 8] = ['/', '-', '.', '=', ':', '"', '\'', '_'];

/// How commands are written here.
#[derive(Debug, Clone)]
pub(super) struct Wording {
    otctl: String,
}

impl Wording {
    /// Writes commands for the state directory that was named, or for the usual one.
    pub(super) fn new(state: Option<&Path>) -> Self {
        let state = state.map(|dir| format!(" --state {}", quoted(&dir.display().to_string())));
        Self { otctl: format!("otctl{}", state.unwrap_or_default()) }
    }

    /// Writes a text with commands in place of the tools it names.
    pub(super) fn text(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let (mut rest, mut before) = (text, "");
        while let Some(start) = rest.find(is_of_word) {
            let (gap, from) = rest.split_at(start);
            let (word, after) = from.split_at(from.find(|c| !is_of_word(c)).unwrap_or(from.len()));
            out.push_str(gap);
            let stands_alone = !out.ends_with(GLUE) && !is_glued(after);
            match command_of(word).filter(|_| stands_alone && before != "call") {
                Some(command) => out.push_str(&format!("{} {command}", self.otctl)),
                None if stands_alone && word == "otctl" && begins_command(next_word(after)) => {
                    out.push_str(&self.otctl);
                }
                None => out.push_str(word),
            }
            (rest, before) = (after, word);
        }
        out + rest
    }

    /// Writes an answer so, as far as it says what to do.
    pub(super) fn answer(&self, answer: &Value) -> Value {
        self.value(answer, false)
    }

    fn value(&self, value: &Value, is_advice: bool) -> Value {
        let field = |(name, value): (&String, &Value)| {
            let value = match DEVICE.contains(&name.as_str()) {
                true => value.clone(),
                false => self.value(value, ADVICE.contains(&name.as_str())),
            };
            (name.clone(), value)
        };
        match value {
            Value::String(text) if is_advice => Value::String(self.text(text)),
            Value::Array(items) => items.iter().map(|item| self.value(item, is_advice)).collect(),
            Value::Object(fields) => Value::Object(fields.iter().map(field).collect()),
            plain => plain.clone(),
        }
    }
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Tells whether a word goes on in what follows it; the end of a sentence is none of it.
fn is_glued(after: &str) -> bool {
    let mut following = after.chars();
    following.next().is_some_and(|c| GLUE.contains(&c)) && following.next().is_some_and(is_of_word)
}

fn next_word(after: &str) -> &str {
    let word = after.strip_prefix(' ').unwrap_or_default();
    word.split(|c: char| !is_of_word(c) && c != '-').next().unwrap_or_default()
}

/// Quotes a word so that a shell takes it as one.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tool_is_named_by_its_command() {
        let wording = Wording::new(None);
        for (said, want) in [
            ("search with tag_find", "search with otctl tag find"),
            ("see plant_overview for the endpoints", "see otctl status for the endpoints"),
            ("see moc_list.", "see otctl moc list."),
            ("tag_find lists, tag_read reads", "otctl tag find lists, otctl tag read reads"),
            ("`opcua_browse`, then", "`otctl opcua browse`, then"),
            // Names of other things that look like it.
            ("no tag \"tag_find\" is configured", "no tag \"tag_find\" is configured"),
            ("a/tag_find and tag_find/b", "a/tag_find and tag_find/b"),
            ("otctl call tag_read --json '{}'", "otctl call tag_read --json '{}'"),
        ] {
            assert_eq!(wording.text(said), want);
        }
    }

    #[test]
    fn a_command_goes_to_the_state_directory_that_was_named() {
        let wording = Wording::new(Some(Path::new("/tmp/a b")));
        let state = "otctl --state '/tmp/a b'";
        for (said, want) in [
            ("otctl why line/temp", format!("{state} why line/temp")),
            (
                "see `otctl cert list`; otctl status",
                format!("see `{state} cert list`; {state} status"),
            ),
            ("search with tag_find", format!("search with {state} tag find")),
            ("add --approver to the otctl command", "add --approver to the otctl command".into()),
        ] {
            assert_eq!(wording.text(said), want);
        }
    }

    #[test]
    fn only_what_says_what_to_do_is_put_in_other_words() {
        let answer = json!({
            "next": "otctl status", "tag": "otctl status", "n": 1,
            "items": [{"hint": "see tag_find", "value": {"hint": "see tag_find"}}],
            "problems": ["see tag_find"],
        });
        let want = json!({
            "next": "otctl --state s status", "tag": "otctl status", "n": 1,
            "items": [{"hint": "see otctl --state s tag find", "value": {"hint": "see tag_find"}}],
            "problems": ["see otctl --state s tag find"],
        });
        assert_eq!(Wording::new(Some(Path::new("s"))).answer(&answer), want);
    }
}
