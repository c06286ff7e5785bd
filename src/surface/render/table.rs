//! An answer as tables: its facts, its lists, and where it comes from.

use comfy_table::Color;
use serde_json::{Map, Value};

use super::cells::{Reader, Times, cell, heading};
use super::grid::{Grid, Slot, joined, pairs};
use super::look::{Look, Paint};
use super::shape::{Fact, List, Parts, is_empty};
use super::{fields, rows};

/// The longest cell on a terminal, a few lines; a pipe gets all of it.
const CELL_CHARS_MAX: usize = 400;
/// Lists within lists within lists; deeper ones are counted.
const DEPTH_MAX: usize = 3;
/// How far what belongs to an item stands to its right.
const INDENT: u16 = 2;

/// Writes an answer as tables: first its single values, then each of its lists, then where it
/// comes from.
pub(crate) fn table(answer: &Value, look: Look, reader: &Reader) -> String {
    let Some(fields) = answer.as_object() else { return format!("{answer}\n") };
    let mut shown = fields.clone();
    // The footer says these.
    for field in ["provenance", "demo"] {
        shown.shift_remove(field);
    }
    if shown.get("truncated").is_some_and(Value::is_boolean) {
        shown.shift_remove("truncated");
    }
    let page = Page { look, reader, depth: 0 };
    let mut out = page.object(&Parts::of(&shown));
    let looked_for = looked_for(answer, &shown);
    if !looked_for.is_empty() {
        out.push(none_of(&looked_for));
    }
    if out.is_empty() {
        out.push("nothing to tell".to_owned());
    }
    let footer = footer(fields, look, reader);
    if !footer.is_empty() {
        out.push(String::new());
    }
    out.extend(footer);
    out.into_iter().map(|line| line + "\n").collect()
}

/// Gives the lists that an answer is about, where nothing is in any: all of them where there is
/// nothing else, or the one that it begins with, or the one that is not just along.
fn looked_for<'a>(answer: &'a Value, shown: &'a Map<String, Value>) -> Vec<&'a str> {
    let lists: Vec<&str> =
        shown.iter().filter(|(_, v)| v.is_array()).map(|(name, _)| name.as_str()).collect();
    if shown.values().all(is_empty) {
        return lists;
    }
    if shown.values().any(|value| value.is_array() && !is_empty(value)) {
        return Vec::new();
    }
    let first = lists.first().filter(|first| shown.keys().next().is_some_and(|key| key == *first));
    first.copied().or_else(|| rows(answer).map(|(name, _)| name)).into_iter().collect()
}

/// Says that there is none of what was looked for.
fn none_of(names: &[&str]) -> String {
    match names {
        [one] => format!("no {}", heading(one).replace('_', " ")),
        several => {
            let names: Vec<String> = several.iter().map(|name| heading(name)).collect();
            format!("none {}", names.join(", "))
        }
    }
}

/// Where on the page something is written.
#[derive(Clone, Copy)]
struct Page<'a> {
    look: Look,
    reader: &'a Reader,
    /// Lists around this one.
    depth: usize,
}

impl Page<'_> {
    fn object(self, parts: &Parts<'_>) -> Vec<String> {
        let mut sections = Vec::new();
        if !parts.facts.is_empty() {
            let rows: Vec<Vec<Slot>> = parts.facts.iter().map(|fact| self.pair(fact)).collect();
            sections.push(pairs(&rows, self.look));
        }
        sections.extend(parts.lists.iter().map(|list| self.list(list)));
        sections.extend(parts.asides.iter().map(|(name, facts)| self.aside(name, facts)));
        // Air between what stands on its own.
        let air: &[String] = if self.depth == 0 { &[String::new()] } else { &[] };
        sections.join(air)
    }

    fn pair(self, fact: &Fact<'_>) -> Vec<Slot> {
        let head = Slot { text: heading(&fact.name), colour: None };
        vec![head, self.slot(&fact.name, fact.value)]
    }

    fn list(self, list: &List<'_>) -> Vec<String> {
        let shown = list.items.len();
        let count = if list.total > shown {
            format!("{shown} of {}", list.total)
        } else {
            shown.to_string()
        };
        let mut lines = vec![format!("{} ({count})", heading(&list.name))];
        if self.depth >= DEPTH_MAX {
            return lines;
        }
        if !list.items.iter().all(Value::is_object) {
            let texts = list.items.iter().map(|item| cell("", item, self.reader));
            for text in texts {
                let wrapped = joined(std::iter::once(text), "", self.look.indented(1));
                lines.extend(wrapped.into_iter().map(|line| format!(" {line}")));
            }
            return lines;
        }
        let items: Vec<Parts<'_>> = list.items.iter().map(Parts::of_item).collect();
        let is_flat = items.iter().all(|item| item.lists.is_empty());
        let table = if is_flat { self.fitting(&items) } else { None };
        lines.extend(table.unwrap_or_else(|| self.blocks(&items)));
        lines
    }

    /// Writes items as a table, times without their distance where that makes it fit.
    fn fitting(self, items: &[Parts<'_>]) -> Option<Vec<String>> {
        let full = self.grid(items);
        if full.fits(self.look) {
            return full.lines(self.look);
        }
        let reader = Reader { times: Times::Clock, ..self.reader.clone() };
        Page { reader: &reader, ..self }.grid(items).lines(self.look)
    }

    fn grid(self, items: &[Parts<'_>]) -> Grid {
        let names = |item: &'_ Parts<'_>| -> Vec<String> {
            item.facts.iter().map(|fact| fact.name.clone()).collect()
        };
        let names: Vec<Vec<String>> = items.iter().map(names).collect();
        let columns = fields(names.iter().map(|row| row.iter().map(String::as_str)));
        let row = |item: &Parts<'_>| {
            let at = |name: &&str| item.facts.iter().find(|fact| fact.name == *name);
            let slot = |name| at(name).map(|fact| self.slot(&fact.name, fact.value));
            columns.iter().map(|name| slot(name).unwrap_or_default()).collect()
        };
        let heads = columns.iter().map(|name| heading(name)).collect();
        Grid { heads, rows: items.iter().map(row).collect() }
    }

    /// Writes one item below the other, each with its facts and its lists.
    fn blocks(self, items: &[Parts<'_>]) -> Vec<String> {
        let look = self.look.indented(INDENT);
        let within = Page { look, depth: self.depth + 1, ..self };
        let blocks: Vec<Vec<String>> = items.iter().map(|item| within.object(item)).collect();
        let indented = |line: &String| match line.as_str() {
            "" => String::new(),
            line => format!("{:1$}{line}", "", usize::from(INDENT)),
        };
        blocks.join(&String::new()).iter().map(indented).collect()
    }

    /// Writes what goes along with the lists in as few lines as it takes.
    fn aside(self, name: &str, facts: &[Fact<'_>]) -> Vec<String> {
        let fact = |fact: &Fact<'_>| {
            format!("{} {}", heading(&fact.name), self.slot(&fact.name, fact.value).text)
        };
        let facts = facts.iter().map(fact);
        let mut lines = vec![heading(name)];
        let told = joined(facts, "   ", self.look.indented(1));
        lines.extend(told.into_iter().map(|line| format!(" {line}")));
        lines
    }

    fn slot(self, name: &str, value: &Value) -> Slot {
        let field = name.rsplit('.').next().unwrap_or(name);
        let text = cell(field, value, self.reader);
        let text = match self.look.columns {
            Some(_) => cut(text),
            None => text,
        };
        let paint = self.look.paint == Paint::Coloured && JUDGES.contains(&field);
        let colour = paint.then(|| colour_of(field, &text)).flatten();
        Slot { text, colour }
    }
}

fn cut(text: String) -> String {
    match text.char_indices().nth(CELL_CHARS_MAX) {
        None => text,
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
    }
}

/// Fields whose words judge.
const JUDGES: &[&str] =
    &["quality", "verdict", "status", "state", "severity", "overall", "error", "health", "link"];

fn colour_of(field: &str, text: &str) -> Option<Color> {
    let text = text.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.starts_with(word));
    if field == "error" && !text.is_empty() || says(&["bad", "alarm", "fail", "critical", "down"]) {
        return Some(Color::Red);
    }
    says(&["uncertain", "warn", "stale", "degraded", "backoff"]).then_some(Color::Yellow)
}

/// Says where an answer comes from, and whether it is all.
fn footer(answer: &Map<String, Value>, look: Look, reader: &Reader) -> Vec<String> {
    let is_true = |value: Option<&Value>| value == Some(&Value::Bool(true));
    let provenance = answer.get("provenance");
    let get = |name: &str| provenance.and_then(|given| given.get(name));
    let mut words = Vec::new();
    if is_true(answer.get("demo")) {
        words.push("simulated plant".to_owned());
    }
    if let Some(source) = get("source") {
        words.push(format!("from the {}", cell("source", source, reader)));
    }
    if let Some(requests) = get("device_requests").and_then(Value::as_u64) {
        let s = if requests == 1 { "" } else { "s" };
        words.push(format!("{requests} device request{s}"));
    }
    if let Some(age) = get("age_ms").filter(|age| !age.is_null()) {
        words.push(format!("oldest value {}", cell("age_ms", age, reader)));
    }
    if get("clock_skew") == Some(&Value::Bool(true)) {
        words.push("ages unknown, the clock has gone back".to_owned());
    }
    let mut lines = joined(words.into_iter(), ", ", look);
    if get("budget").is_some() {
        lines.push("the device's budget kept a newer answer back".to_owned());
    }
    if is_true(answer.get("truncated")) || is_true(get("truncated")) {
        lines.push("TRUNCATED: ask for less, or go on with a cursor".to_owned());
    }
    lines
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
    fn an_item_with_lists_of_its_own_is_a_block() {
        let answer = json!({
            "endpoints": [{
                "endpoint": "plc2",
                "plan": [{"unit_id": 1, "scan_ms": 500}, {"unit_id": 2, "scan_ms": null}],
                "budget": {"requests_per_s": 20.0, "burst": 10},
                "quarantined": [],
                "quarantined_count": 0
            }],
            "demo": true,
            "truncated": false
        });
        let want = "endpoints (1)\n   endpoint               plc2\n   \
            budget.requests_per_s  20.0\n   budget.burst           10\n  plan (2)\n   \
            UNIT_ID  SCAN_MS\n   1        500\n   2\n\nsimulated plant\n";
        assert_eq!(show(&answer, Look::PLAIN), want);
    }

    #[test]
    fn the_overview_is_lists_first_and_the_collector_last() {
        let answer = json!({
            "config_problems": ["plant.toml:3: no endpoint is called x"],
            "endpoints": [{"endpoint": "plc2", "health": "ok", "hint": "", "at": null}],
            "tags_in_trouble": [{"tag": "a/b", "quality": "Bad"}],
            "tags_in_trouble_count": 40,
            "collector": {"version": "0.2.0", "tags": 40, "last_commit_age_ms": 40}
        });
        let want = "config_problems (1)\n plant.toml:3: no endpoint is called x\n\n\
            endpoints (1)\n ENDPOINT  HEALTH\n plc2      ok\n\n\
            tags_in_trouble (1 of 40)\n TAG  QUALITY\n a/b  Bad\n\n\
            collector\n version 0.2.0   tags 40   last_commit_age 40 ms\n";
        assert_eq!(show(&answer, Look::PLAIN), want);
    }

    #[test]
    fn times_lose_their_distance_before_a_table_wraps() {
        let row = json!({"tag": "a/b", "source_ts": "2026-06-30T11:59:57Z"});
        let answer = json!({"items": [row]});
        let reader = Reader { now: "2026-06-30T12:00:00Z".parse().unwrap(), ..Reader::here() };
        let reader = Reader { zone: jiff::tz::TimeZone::UTC, ..reader };
        let shown = |columns| {
            let look = Look { columns: Some(columns), paint: Paint::Plain };
            table(&answer, look, &reader).lines().last().map(str::to_owned)
        };
        assert_eq!(shown(40).unwrap(), " a/b  11:59:57 (3.0 s ago)");
        assert_eq!(shown(20).unwrap(), " a/b  11:59:57");
    }

    #[test]
    fn the_footer_says_what_may_mislead() {
        let provenance = json!({
            "source": "cache", "device_requests": 0, "age_ms": null, "truncated": false,
            "budget": {"requests_per_s": 1.0}, "clock_skew": true
        });
        let shown = show(&json!({"value": 1, "provenance": provenance}), Look::PLAIN);
        assert!(shown.contains("ages unknown, the clock has gone back\n"), "{shown}");
        assert!(shown.contains("budget kept a newer answer back\n"), "{shown}");
    }

    #[test]
    fn an_empty_answer_says_so() {
        let none = json!({"tags": [], "total": 0, "cursor": null, "demo": true});
        assert_eq!(show(&none, Look::PLAIN), " total  0\nno tags\n\nsimulated plant\n");
        let none = json!({"added": [], "removed": []});
        assert_eq!(show(&none, Look::PLAIN), "none added, removed\n");
        let none = json!({"tickets": [], "writes_frozen": null, "demo": true});
        assert_eq!(show(&none, Look::PLAIN), "no tickets\n\nsimulated plant\n");
        assert_eq!(show(&json!({}), Look::PLAIN), "nothing to tell\n");
        let none = json!({"approvers": [], "after": 12, "also": []});
        assert_eq!(show(&none, Look::PLAIN), " after  12\nno approvers\n");
        let some = json!({"added": [], "unchanged": ["plc"]});
        assert_eq!(show(&some, Look::PLAIN), " unchanged  plc\n");
    }

    #[test]
    fn a_terminal_gets_long_cells_cut_and_a_pipe_never() {
        let long = json!({"value": "y".repeat(5_000)});
        let terminal = Look { columns: Some(80), paint: Paint::Plain };
        let shown = show(&long, terminal);
        assert_eq!(shown.matches('y').count(), CELL_CHARS_MAX);
        assert!(shown.contains("..."));
        assert_eq!(show(&long, Look::PLAIN).matches('y').count(), 5_000);
    }

    #[test]
    fn a_table_of_too_many_columns_is_written_item_by_item() {
        let row: Map<String, Value> =
            (0..12).map(|at| (format!("field_{at:02}"), json!("0123456789".repeat(4)))).collect();
        let terminal = Look { columns: Some(60), paint: Paint::Plain };
        let shown = show(&json!({"rows": [row]}), terminal);
        assert!(shown.contains("   field_11  0123456789"), "{shown}");
    }

    #[test]
    fn objects_within_are_taken_apart_and_hostile_names_escaped() {
        let shown = show(&json!({"counts": {"ok": 3}, "\u{1b}[2J": {"\u{202e}": 1}}), Look::PLAIN);
        assert!(shown.contains("counts.ok"), "{shown}");
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown}");
    }
}
