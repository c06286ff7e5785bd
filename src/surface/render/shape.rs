//! What an object consists of: facts, lists, and what stands aside.

use serde_json::{Map, Value};

use super::cells::is_scalar;

/// Deeper objects are shown as they are.
const DEPTH_MAX: usize = 3;

/// A single value under its dotted name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fact<'a> {
    pub(super) name: String,
    pub(super) value: &'a Value,
}

/// A list that is shown by itself: of objects, or of sentences.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct List<'a> {
    pub(super) name: String,
    pub(super) items: &'a [Value],
    /// How many there are in all, where the answer says so.
    pub(super) total: usize,
}

/// What becomes of an object behind a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behind {
    /// It stands aside.
    Aside,
    /// It is taken apart where it stands.
    Within,
}

/// An object taken apart, each part in the order of its fields; what says nothing is left out.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Parts<'a> {
    pub(super) facts: Vec<Fact<'a>>,
    pub(super) lists: Vec<List<'a>>,
    /// Objects behind the first list: they go along with it and are shown in short.
    pub(super) asides: Vec<(String, Vec<Fact<'a>>)>,
}

impl<'a> Parts<'a> {
    /// Takes an answer apart.
    pub(super) fn of(answer: &'a Map<String, Value>) -> Self {
        let mut parts = Self::default();
        parts.take("", answer, Behind::Aside);
        parts
    }

    /// Takes an item of a list apart.
    pub(super) fn of_item(item: &'a Value) -> Self {
        let mut parts = Self::default();
        if let Some(item) = item.as_object() {
            parts.take("", item, Behind::Within);
        }
        parts
    }

    fn take(&mut self, prefix: &str, object: &'a Map<String, Value>, behind: Behind) {
        for (field, value) in object {
            if is_empty(value) || is_counted(field, object) {
                continue;
            }
            let name = if prefix.is_empty() { field.clone() } else { format!("{prefix}.{field}") };
            match value {
                Value::Object(inner) if name.matches('.').count() < DEPTH_MAX => {
                    if behind == Behind::Within || self.lists.is_empty() {
                        self.take(&name, inner, behind);
                        continue;
                    }
                    let mut aside = Self::default();
                    aside.take("", inner, Behind::Within);
                    self.asides.push((name, aside.facts));
                    self.lists.extend(aside.lists);
                }
                Value::Array(items) if stands_alone(items) => {
                    let count = object.get(&counter(field)).and_then(Value::as_u64);
                    let count = count.and_then(|count| usize::try_from(count).ok());
                    let total = count.unwrap_or_default().max(items.len());
                    self.lists.push(List { name, items, total });
                }
                value => self.facts.push(Fact { name, value }),
            }
        }
    }
}

/// Tells what says nothing: null, and texts, lists and objects without content.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Tells lists from cells: objects need columns, sentences need lines.
fn stands_alone(items: &[Value]) -> bool {
    let is_sentence = |item: &Value| item.as_str().is_some_and(|text| text.contains(' '));
    items.iter().all(Value::is_object)
        || (items.iter().all(is_scalar) && items.iter().any(is_sentence))
}

fn counter(list: &str) -> String {
    format!("{list}_count")
}

/// Tells the count of a list beside it: the list's title says it.
fn is_counted(field: &str, object: &Map<String, Value>) -> bool {
    let list = field.strip_suffix("_count").and_then(|list| object.get(list));
    list.and_then(Value::as_array).is_some_and(|items| items.is_empty() || stands_alone(items))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(answer: &Value) -> (Vec<String>, Vec<String>, Vec<String>) {
        let parts = Parts::of(answer.as_object().unwrap());
        (
            parts.facts.into_iter().map(|fact| fact.name).collect(),
            parts.lists.into_iter().map(|list| list.name).collect(),
            parts.asides.into_iter().map(|(name, _)| name).collect(),
        )
    }

    #[test]
    fn parts_keep_the_order_of_fields_and_lose_what_says_nothing() {
        let answer = json!({
            "z": 1, "nothing": null, "text": "", "a": {"y": 1, "b": {"c": 2}}, "gaps": [],
            "rows": [{"k": 1}], "words": ["good", "bad"], "problems": ["line 3 is wrong"],
            "collector": {"tags": 3}, "last": false
        });
        let words = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let (facts, lists, asides) = names(&answer);
        assert_eq!(facts, words(&["z", "a.y", "a.b.c", "words", "last"]));
        assert_eq!(lists, words(&["rows", "problems"]));
        assert_eq!(asides, words(&["collector"]));
    }

    #[test]
    fn an_item_keeps_its_objects_where_they_stand() {
        let item = json!({"rows": [{"k": 1}], "budget": {"burst": 3}, "last": 1});
        let parts = Parts::of_item(&item);
        let facts: Vec<_> = parts.facts.iter().map(|fact| fact.name.as_str()).collect();
        assert_eq!(facts, ["budget.burst", "last"]);
        assert!(parts.asides.is_empty());
    }

    #[test]
    fn a_count_goes_into_the_title_of_its_list() {
        let answer = json!({"rows": [{"k": 1}], "rows_count": 7, "other_count": 2});
        let parts = Parts::of(answer.as_object().unwrap());
        assert_eq!(parts.lists[0].total, 7);
        assert_eq!(parts.facts.len(), 1);
    }
}
