//! Tables that fit the terminal.

use std::fmt::Write;

use comfy_table::{Cell, Color, ContentArrangement, Table, presets};
use serde_json::{Map, Value};

use super::cells::{Reader, cell, heading, is_scalar};
use super::fields;

/// How tables may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// Columns of the terminal; `None` where nobody looks, and nothing is wrapped.
    pub(crate) columns: Option<u16>,
    /// Whether words may have colours.
    pub(crate) paint: Paint,
}

/// Whether words may have colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// They may.
    Coloured,
    /// They may not: a pipe, or `NO_COLOR` (no-color.org).
    Plain,
}

impl Look {
    /// For pipes.
    pub(crate) const PLAIN: Self = Self { columns: None, paint: Paint::Plain };

    /// Looks at where stdout goes.
    pub(crate) fn of_stdout() -> Self {
        let mut probe = Table::new();
        probe.set_content_arrangement(ContentArrangement::Dynamic);
        if !probe.is_tty() {
            return Self::PLAIN;
        }
        let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let paint = if is_plain { Paint::Plain } else { Paint::Coloured };
        Self { columns: probe.width(), paint }
    }
}

/// Writes an answer as tables: first its single values, then each of its lists, then where it
/// comes from.
pub(crate) fn table(answer: &Value, look: Look, reader: &Reader) -> String {
    let Some(answer) = answer.as_object() else { return format!("{answer}\n") };
    let mut out = String::new();
    let mut single = Map::new();
    let mut lists: Vec<(String, &[Value])> = Vec::new();
    spread("", answer, &mut single, &mut lists);
    if !single.is_empty() {
        let mut table = started(look);
        let one = [Value::Object(single)];
        for name in fields(&one) {
            let value = one.first().and_then(|map| map.get(name)).unwrap_or(&Value::Null);
            let field = name.rsplit('.').next().unwrap_or(name);
            table.add_row([Cell::new(heading(name)), painted(field, value, look, reader)]);
        }
        put(&mut out, &table);
    }
    for (name, rows) in lists {
        if !out.is_empty() {
            out.push('\n');
        }
        line(&mut out, &format!("{} ({})", heading(&name), rows.len()));
        if rows.is_empty() {
            continue;
        }
        let columns = fields(rows);
        let mut table = started(look);
        table.set_header(columns.iter().map(|field| heading(field).to_uppercase()));
        for row in rows {
            let value = |field: &str| row.get(field).unwrap_or(&Value::Null);
            table.add_row(columns.iter().map(|field| painted(field, value(field), look, reader)));
        }
        put(&mut out, &table);
    }
    if let Some(provenance) = answer.get("provenance") {
        line(&mut out, &footer(provenance, reader));
    }
    out
}

/// Parts an object into single values and lists of objects; inner objects are taken apart too.
fn spread<'a>(
    prefix: &str,
    object: &'a Map<String, Value>,
    single: &mut Map<String, Value>,
    lists: &mut Vec<(String, &'a [Value])>,
) {
    /// Deeper objects are shown as they are.
    const DEPTH_MAX: usize = 3;
    for (name, value) in object {
        if prefix.is_empty() && name == "provenance" {
            continue;
        }
        let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            Value::Object(inner) if name.matches('.').count() < DEPTH_MAX && !inner.is_empty() => {
                spread(&name, inner, single, lists);
            }
            Value::Array(items)
                if !items.iter().all(is_scalar) && items.iter().all(Value::is_object) =>
            {
                lists.push((name, items));
            }
            value => {
                single.insert(name, value.clone());
            }
        }
    }
}

fn started(look: Look) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    match look.columns {
        Some(columns) => {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns);
        }
        None => {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
    }
    match look.paint {
        Paint::Coloured => table.enforce_styling(),
        Paint::Plain => table.force_no_tty(),
    };
    table
}

fn painted(field: &str, value: &Value, look: Look, reader: &Reader) -> Cell {
    let text = cell(field, value, reader);
    let judges = ["quality", "verdict", "status", "state", "severity", "overall", "error"];
    let colour = (look.paint == Paint::Coloured && judges.contains(&field))
        .then(|| colour_of(field, &text))
        .flatten();
    match colour {
        Some(colour) => Cell::new(text).fg(colour),
        None => Cell::new(text),
    }
}

fn colour_of(field: &str, text: &str) -> Option<Color> {
    let text = text.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.starts_with(word));
    if field == "error" && !text.is_empty() || says(&["bad", "alarm", "fail", "critical", "down"]) {
        return Some(Color::Red);
    }
    says(&["uncertain", "warn", "stale", "degraded", "backoff"]).then_some(Color::Yellow)
}

fn footer(provenance: &Value, reader: &Reader) -> String {
    let get = |name: &str| provenance.get(name).unwrap_or(&Value::Null);
    let source = cell("source", get("source"), reader);
    let requests = get("device_requests").as_u64().unwrap_or_default();
    let mut text = format!("\nfrom the {source}, {requests} device requests");
    if !get("age_ms").is_null() {
        let age = cell("age_ms", get("age_ms"), reader);
        if write!(text, ", oldest value {age}").is_err() {
            return text;
        }
    }
    if get("truncated") == &Value::Bool(true) {
        text.push_str("\nTRUNCATED: ask for less, or go on with a cursor");
    }
    text
}

fn put(out: &mut String, table: &Table) {
    for row in table.lines() {
        line(out, row.trim_end());
    }
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn show(answer: &Value, look: Look) -> String {
        table(answer, look, &Reader::here())
    }

    fn answer() -> Value {
        json!({
            "endpoint": "plc2",
            "items": [
                {"tag": "a/b", "value": 1.5, "unit": "degC", "quality": "Good"},
                {"tag": "a/c", "value": "x".repeat(300), "quality": "BadNoCommunication"}
            ],
            "provenance":
                {"source": "cache", "device_requests": 0, "age_ms": 1500, "truncated": true}
        })
    }

    #[test]
    fn a_table_fits_the_terminal_and_loses_nothing() {
        let look = Look { columns: Some(80), paint: Paint::Plain };
        let shown = show(&answer(), look);
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        assert_eq!(shown.matches('x').count(), 300);
        assert!(shown.contains("TAG") && shown.contains("items (2)"), "{shown}");
        assert!(shown.contains("from the cache, 0 device requests, oldest value 1.5 s\nTRUNCATED"));
    }

    #[test]
    fn a_pipe_gets_each_row_on_one_line() {
        let shown = show(&answer(), Look::PLAIN);
        assert!(shown.lines().any(|line| line.contains(&"x".repeat(300))), "{shown}");
        assert!(!shown.contains('\u{1b}'));
    }

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        let coloured = Look { columns: Some(80), paint: Paint::Coloured };
        assert!(show(&answer(), coloured).contains('\u{1b}'));
        let plain = Look { columns: Some(80), paint: Paint::Plain };
        assert!(!show(&answer(), plain).contains('\u{1b}'));
    }

    #[test]
    fn objects_within_are_taken_apart_and_hostile_names_escaped() {
        let shown = show(&json!({"counts": {"ok": 3}, "\u{1b}[2J": {"\u{202e}": 1}}), Look::PLAIN);
        assert!(shown.contains("counts.ok"), "{shown}");
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown}");
    }
}
