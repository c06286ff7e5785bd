//! `otctl audit tail` for eyes: a record a row.

use serde_json::{Map, Value, json};

use crate::surface::render::{Look, Output, Reader, render};

/// The tool that lists records.
pub(super) const TAIL: &str = "audit_tail";

/// Writes the records as one table; other outputs get the answer as it is, and `wide` all of it.
pub(super) fn page(answer: &Value, output: Output, look: Look, reader: &Reader) -> Option<String> {
    if output != Output::Table {
        return None;
    }
    let mut shown = answer.clone();
    let records = shown.get_mut("records")?.as_array_mut()?;
    // A record that still counts began before some that have their number already.
    records.sort_by_key(instant);
    for record in records.iter_mut() {
        *record = row(record);
    }
    Some(render(&shown, output, look, reader))
}

fn instant(record: &Value) -> Option<jiff::Timestamp> {
    record.get("at").and_then(Value::as_str).and_then(|at| at.parse().ok())
}

/// Says what a record says, in the order in which it is looked for.
fn row(record: &Value) -> Value {
    let field = |name: &str| record.get(name).cloned().unwrap_or(Value::Null);
    let text = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default();
    let who = record.get("who").and_then(Value::as_object).map(|who| {
        let part = |name: &str| who.get(name).cloned().unwrap_or(Value::Null);
        format!("{} {}", part("uid"), part("door").as_str().unwrap_or_default())
    });
    // A call says most by the tool that was called.
    let what = if text("what") == "tool_call" { text("tool") } else { text("what") };
    let outcome = [text("outcome"), text("code")];
    let outcome: Vec<&str> = outcome.into_iter().filter(|word| !word.is_empty()).collect();
    let count = record.get("count").filter(|count| **count != json!(1)).cloned();
    let mut row = Map::new();
    let mut put = |name: &str, value: Value| drop(row.insert(name.to_owned(), value));
    let seq = if field("seq").is_null() { json!("counting") } else { field("seq") };
    put("seq", seq);
    put("at", field("at"));
    put("what", json!(what));
    put("by", json!(who.unwrap_or_default()));
    put("outcome", json!(outcome.join(" ")));
    put("ticket", field("ticket"));
    let about = if field("tag").is_null() { field("endpoint") } else { field("tag") };
    put("about", about);
    put("count", json!(count));
    put("detail", json!(detail(record)));
    Value::Object(row)
}

/// Writes the details as words; what they are called in the record stands before each.
fn detail(record: &Value) -> String {
    let mut parts: Vec<String> = Vec::new();
    if record.get("unreadable") == Some(&Value::Bool(true)) {
        parts.push("unreadable".to_owned());
    }
    if let Some(requests) = record.get("device_requests") {
        parts.push(format!("device_requests {requests}"));
    }
    let details = record.get("detail").and_then(Value::as_object);
    for (name, value) in details.into_iter().flatten() {
        parts.push(match value {
            Value::String(text) => format!("{name} {text}"),
            other => format!("{name} {other}"),
        });
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::surface::render::Paint;

    fn answer() -> Value {
        json!({
            "records": [
                {"seq": 7, "at": "2026-06-30T12:00:00Z", "up_ms": 5, "what": "tool_call",
                 "who": {"uid": 1601, "pid": 3, "door": "agent", "session": 2},
                 "tool": "tag_history", "outcome": "ok", "count": 9,
                 "detail": {"arguments": {"tag": "line1/one", "since": "-1h"}}, "hash": "ab"},
                {"seq": 8, "at": "2026-06-30T12:00:01Z", "up_ms": 6, "what": "ticket_approved",
                 "who": {"uid": 1502, "pid": 4, "door": "operator", "session": 3},
                 "ticket": "MOC-1", "endpoint": "plc", "tag": "line/speed", "count": 1,
                 "detail": {"state": "approved", "evil\u{1b}[2J": "\u{202e}x"}, "hash": "cd",
                 "documents": [{"kind": "ticket", "id": "MOC-1", "sha256": "ef"}]}
            ],
            "before": 7, "newest": 8, "lost": 0, "frozen": null
        })
    }

    #[test]
    fn records_are_rows_that_fit_the_terminal() {
        let look = Look { columns: Some(100), paint: Paint::Plain };
        let shown = page(&answer(), Output::Table, look, &Reader::here()).unwrap();
        assert!(shown.lines().all(|line| line.chars().count() <= 100), "{shown}");
        let rows: Vec<&str> =
            shown.lines().skip_while(|line| !line.contains("SEQ")).skip(1).collect();
        assert!(rows[0].starts_with(" 7 ") && rows[0].contains("tag_history"), "{shown}");
        assert!(rows[0].contains("1601 agent") && rows[0].contains(" ok "), "{shown}");
        let approved = rows.iter().find(|row| row.starts_with(" 8 ")).unwrap();
        assert!(approved.contains("ticket_approved") && approved.contains("MOC-1"), "{shown}");
        assert!(shown.contains("state approved") && shown.contains("\"since\":\"-1h\""), "{shown}");
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown}");
    }

    #[test]
    fn the_newest_record_is_the_last_and_one_that_counts_says_so() {
        let answer = json!({"records": [
            {"seq": 8, "at": "2026-06-30T12:00:01Z", "what": "tool_call", "tool": "newer"},
            {"seq": null, "at": "2026-06-30T12:00:00Z", "what": "tool_call", "tool": "older"},
        ]});
        let shown = page(&answer, Output::Table, Look::PLAIN, &Reader::here()).unwrap();
        let at = |word: &str| shown.find(word).unwrap();
        assert!(at("older") < at("newer"), "{shown}");
        assert!(shown.lines().any(|l| l.contains("counting") && l.contains("older")), "{shown}");
    }

    #[test]
    fn other_outputs_get_the_answer_as_it_is() {
        let reader = Reader::here();
        for output in [Output::Json, Output::Jsonl, Output::Csv, Output::Wide] {
            assert_eq!(page(&answer(), output, Look::PLAIN, &reader), None);
        }
    }
}
