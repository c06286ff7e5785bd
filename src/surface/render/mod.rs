//! An answer as people and their scripts read it.

mod cells;
mod table;

use serde_json::{Map, Value};

pub(crate) use cells::{Reader, cell};
pub(crate) use table::{Look, table};

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For eyes: relative times, local clock, fitting the terminal.
    Table,
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
        Output::Json => format!("{answer:#}\n"),
        Output::Jsonl => {
            let lines = match rows(answer) {
                Some((_, rows)) => rows.iter().map(Value::to_string).collect(),
                None => vec![answer.to_string()],
            };
            lines.iter().map(|line| format!("{line}\n")).collect()
        }
        Output::Csv => match rows(answer) {
            Some((_, rows)) => csv(rows),
            None => csv(std::slice::from_ref(answer)),
        },
    }
}

/// Gives the list that an answer is about: the longest list of objects in it.
pub(crate) fn rows(answer: &Value) -> Option<(&str, &[Value])> {
    let lists = answer.as_object()?.iter().filter_map(|(name, value)| {
        let items = value.as_array()?;
        let are_objects = !items.is_empty() && items.iter().all(Value::is_object);
        are_objects.then_some((name.as_str(), items.as_slice()))
    });
    lists.max_by_key(|(_, items)| items.len())
}

/// Fields that people look for first, in this order; the others follow by name.
const FIRST: &[&str] = &[
    "tag",
    "name",
    "id",
    "endpoint",
    "node_id",
    "browse_name",
    "ref",
    "address",
    "label",
    "value",
    "unit",
    "quality",
    "status",
    "state",
    "verdict",
    "severity",
    "age_ms",
    "source_ts",
    "received_ts",
];

/// Gives the fields of all rows.
pub(super) fn fields(rows: &[Value]) -> Vec<&str> {
    let mut fields: Vec<&str> =
        rows.iter().filter_map(Value::as_object).flat_map(Map::keys).map(String::as_str).collect();
    fields.sort_unstable();
    fields.dedup();
    fields.sort_by_key(|field| FIRST.iter().position(|first| first == field).unwrap_or(usize::MAX));
    fields
}

/// Writes rows as RFC 4180, values exact.
fn csv(rows: &[Value]) -> String {
    let fields = fields(rows);
    let mut out = csv::Writer::from_writer(Vec::new());
    let mut written = out.write_record(&fields);
    for row in rows {
        let record = fields.iter().map(|field| match row.get(field) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        });
        written = written.and_then(|()| out.write_record(record));
    }
    // Writing to memory fails only by a bug in the number of columns.
    debug_assert!(written.is_ok());
    let bytes = out.into_inner().unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
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
    fn jsonl_is_a_line_an_item_or_the_whole_answer() {
        let answer = json!({"items": [{"a": 1}, {"a": 2}], "note": "x"});
        assert_eq!(write(&answer, Output::Jsonl), "{\"a\":1}\n{\"a\":2}\n");
        assert_eq!(write(&json!({"a": [1, 2]}), Output::Jsonl), "{\"a\":[1,2]}\n");
    }
}
