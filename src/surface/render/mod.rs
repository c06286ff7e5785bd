//! An answer as people and their scripts read it.

mod cells;
mod grid;
mod look;
mod markdown;
mod plot;
mod shape;
mod table;
mod wrap;

use serde_json::{Map, Value};

pub(crate) use cells::{Reader, cell};
pub(crate) use look::Look;
#[cfg(test)]
pub(crate) use look::Paint;
pub(crate) use markdown::markdown;
pub(crate) use plot::{Dot, Series, Size, Trust, plot, sparkline};
pub(crate) use table::table;
pub(crate) use wrap::wrapped;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For eyes: relative times, local clock, fitting the terminal.
    Table,
    /// For eyes, nothing wrapped or cut; `tag read` with the course of ten minutes.
    Wide,
    /// The answer as it is, over several lines.
    Json,
    /// One line per item.
    Jsonl,
    /// One row per item.
    Csv,
}

/// Writes an answer.
pub(crate) fn render(answer: &Value, output: Output, look: Look, reader: &Reader) -> String {
    match output {
        Output::Table => table(answer, look, reader),
        Output::Wide => table(answer, Look { columns: None, ..look }, reader),
        Output::Json => format!("{answer:#}\n"),
        Output::Jsonl => {
            let lines = records(answer).unwrap_or_else(|| vec![answer.clone()]);
            lines.iter().map(|line| format!("{line}\n")).collect()
        }
        Output::Csv => csv(&records(answer).unwrap_or_else(|| vec![answer.clone()])),
    }
}

/// Fields that go along with a list and are not what was asked for.
const ALONG: &[&str] = &[
    "provenance",
    "cursor",
    "gap",
    "note",
    "endpoint",
    "demo",
    "budget",
    "total",
    "truncated",
    "writes_frozen",
    "shelved",
    "suppressed",
    "round",
];

/// Gives the lists of objects in an answer that have something in them.
fn lists(answer: &Map<String, Value>) -> impl Iterator<Item = (&str, &[Value])> {
    let lists = answer.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_array()?)));
    lists
        .filter(|(_, items)| !items.is_empty() && items.iter().all(Value::is_object))
        .map(|(name, items)| (name, items.as_slice()))
}

/// Gives the list that an answer is about: the longest list of objects in it, or the empty list
/// that is all of it.
pub(crate) fn rows(answer: &Value) -> Option<(&str, &[Value])> {
    let answer = answer.as_object()?;
    lists(answer).max_by_key(|(_, items)| items.len()).or_else(|| {
        let (name, items) = answer.iter().find_map(|(name, v)| Some((name, v.as_array()?)))?;
        let is_all = answer.keys().all(|key| key == name || ALONG.contains(&key.as_str()));
        (items.is_empty() && is_all).then_some((name.as_str(), items.as_slice()))
    })
}

/// Gives the rows an answer is made of: those of its one list, or those of all its lists, each
/// with the name of its own; `None` where it has no list.
fn records(answer: &Value) -> Option<Vec<Value>> {
    let several = answer.as_object().map(|object| lists(object).collect::<Vec<_>>());
    match several.unwrap_or_default().as_slice() {
        [] | [_] => rows(answer).map(|(_, rows)| rows.to_vec()),
        several => {
            let named = |name: &str, row: &Value| {
                let first = std::iter::once(("list".to_owned(), Value::from(name)));
                let fields = row.as_object().into_iter().flatten();
                Value::Object(first.chain(fields.map(|(k, v)| (k.clone(), v.clone()))).collect())
            };
            let rows = several.iter().flat_map(|(name, rows)| rows.iter().map(|r| named(name, r)));
            Some(rows.collect())
        }
    }
}

/// What a row is about, by the first of these that it has.
const KEYS: &[&str] = &["tag", "name", "node_id", "ref"];

/// Gives the fields of all rows in the order in which rows define them, the key before all.
pub(super) fn fields<'a>(
    rows: impl Iterator<Item = impl DoubleEndedIterator<Item = &'a str>>,
) -> Vec<&'a str> {
    let mut fields: Vec<&str> = Vec::new();
    for row in rows {
        // A field that earlier rows lack stands before the one it precedes in its own row.
        let mut next = None;
        for field in row.rev() {
            let known = fields.iter().position(|known| *known == field);
            next = known.or_else(|| {
                let at = next.unwrap_or(fields.len());
                fields.insert(at, field);
                Some(at)
            });
        }
    }
    let key = KEYS.iter().find_map(|key| fields.iter().position(|field| field == key));
    if let Some(at) = key {
        let key = fields.remove(at);
        fields.insert(0, key);
    }
    fields
}

/// Writes rows as RFC 4180, values exact.
fn csv<'a>(rows: &'a [Value]) -> String {
    let keys = |row: &'a Map<String, Value>| row.keys().map(String::as_str);
    let fields = fields(rows.iter().filter_map(Value::as_object).map(keys));
    let head: Vec<Value> = fields.iter().map(|field| Value::from(*field)).collect();
    let records = rows.iter().map(|row| {
        let one = fields.iter().map(|field| row.get(field).cloned().unwrap_or(Value::Null));
        csv_record(&one.collect::<Vec<_>>())
    });
    std::iter::once(csv_record(&head)).chain(records).map(|line| line + "\n").collect()
}

/// Writes one record without its end.
pub(crate) fn csv_record(values: &[Value]) -> String {
    let quoted = |text: &str| {
        if text.contains(['"', ',', '\n', '\r']) {
            return format!("\"{}\"", text.replace('"', "\"\""));
        }
        text.to_owned()
    };
    let cells = values.iter().map(|value| match value {
        Value::Null => String::new(),
        Value::String(text) => quoted(text),
        other => quoted(&other.to_string()),
    });
    cells.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn write(answer: &Value, output: Output) -> String {
        render(answer, output, Look::PLAIN, &Reader::here())
    }

    #[test]
    fn csv_is_exact_and_quoted() {
        let answer = json!({"items": [
            {"tag": "a", "value": u64::MAX}, {"tag": "b,\"c\"", "error": "x\ny"}
        ]});
        let want = "tag,value,error\na,18446744073709551615,\n\"b,\"\"c\"\"\",,\"x\ny\"\n";
        assert_eq!(write(&answer, Output::Csv), want);
    }

    #[test]
    fn an_answer_of_several_lists_loses_none_of_them() {
        let answer = json!({"words": [{"device": "D1"}], "dwords": [{"device": "D2", "value": 1}],
            "none": []});
        assert_eq!(write(&answer, Output::Csv), "list,device,value\nwords,D1,\ndwords,D2,1\n");
        let lines = "{\"list\":\"words\",\"device\":\"D1\"}\n\
            {\"list\":\"dwords\",\"device\":\"D2\",\"value\":1}\n";
        assert_eq!(write(&answer, Output::Jsonl), lines);
    }

    #[test]
    fn fields_stand_as_they_are_defined_behind_the_key() {
        let order =
            |rows: &[&[&'static str]]| fields(rows.iter().map(|row| row.iter().copied())).join(" ");
        assert_eq!(order(&[&["z", "a"], &["z", "m", "a", "b"]]), "z m a b");
        assert_eq!(order(&[&["unit", "tag", "name"]]), "tag unit name");
        assert_eq!(order(&[&["value"], &["error"]]), "value error");
    }

    #[test]
    fn jsonl_is_a_line_an_item_or_the_whole_answer() {
        let answer = json!({"items": [{"a": 1}, {"a": 2}], "note": "x"});
        assert_eq!(write(&answer, Output::Jsonl), "{\"a\":1}\n{\"a\":2}\n");
        assert_eq!(write(&json!({"a": [1, 2]}), Output::Jsonl), "{\"a\":[1,2]}\n");
        assert_eq!(write(&json!({"items": [], "provenance": {}}), Output::Jsonl), "");
        assert_eq!(
            write(&json!({"mean": 1, "out": []}), Output::Jsonl),
            "{\"mean\":1,\"out\":[]}\n"
        );
    }
}
