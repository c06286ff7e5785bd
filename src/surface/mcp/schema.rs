//! Schemas as short as an agent's context wants them.

use std::sync::Arc;

use rmcp::model::JsonObject;
use schemars::Schema;
use serde_json::{Map, Value, json};

/// Whose schema is trimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// What an agent fills in: descriptions and bounds stay.
    Input,
    /// What it reads: names stay, and types where they are the answer's own; every object is
    /// open for later fields.
    Output,
}

/// Arguments that many tools take: the constant instructions say once what they mean.
const EXPLAINED_ONCE: [&str; 2] = ["endpoint", "max_age_s"];

/// Splits the schema of the arguments into the tool's description and the rest.
pub(super) fn input(schema: Schema) -> (String, Arc<JsonObject>) {
    let mut map = object(schema.to_value());
    let description = map.remove("description");
    let description = description.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
    trim_object(&mut map, Side::Input);
    if let Some(Value::Object(fields)) = map.get_mut("properties") {
        for name in EXPLAINED_ONCE {
            if let Some(Value::Object(field)) = fields.get_mut(name) {
                field.remove("description");
            }
        }
    }
    map.entry("type").or_insert_with(|| json!("object"));
    (description, Arc::new(map))
}

/// Makes the schema of an answer: the result or a failure.
pub(super) fn output(schema: Schema) -> Arc<JsonObject> {
    let mut result = object(schema.to_value());
    let required = result.get("required").and_then(|fields| fields.get(0)).cloned();
    trim_object(&mut result, Side::Output);
    // Said once, of both.
    result.remove("type");
    // One field tells a result from a failure; below the answer itself names are enough.
    if let Some(first) = required {
        result.insert("required".to_owned(), json!([first]));
    }
    if let Some(Value::Object(fields)) = result.get_mut("properties") {
        if let Some(provenance) = fields.get_mut("provenance") {
            // The instructions say what stands in it.
            *provenance = json!({"type": "object"});
        }
        fields.values_mut().for_each(keep_names);
    }
    let failure = json!({"properties": {"error": {"type": "object"}}, "required": ["error"]});
    Arc::new(object(json!({"type": "object", "anyOf": [result, failure]})))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        // `true` is the schema of anything.
        _ => Map::new(),
    }
}

fn trim(schema: &mut Value, side: Side) {
    match schema {
        Value::Object(map) => trim_object(map, side),
        Value::Array(items) => items.iter_mut().for_each(|item| trim(item, side)),
        _ => {}
    }
}

fn trim_object(map: &mut Map<String, Value>, side: Side) {
    for key in ["title", "$schema", "format"] {
        map.remove(key);
    }
    if map.get("default").is_some_and(Value::is_null) {
        map.remove("default");
    }
    if side == Side::Output {
        for key in ["description", "minimum", "maximum", "default", "required"] {
            map.remove(key);
        }
        if map.get("additionalProperties") == Some(&Value::Bool(false)) {
            map.remove("additionalProperties");
        }
    }
    join_constants(map);
    for (key, value) in map.iter_mut() {
        match (key.as_str(), value) {
            // Below these stand names of fields, which may well be called `title`.
            ("properties" | "patternProperties" | "$defs", Value::Object(fields)) => {
                fields.values_mut().for_each(|field| trim(field, side));
            }
            ("items" | "additionalProperties" | "anyOf" | "oneOf" | "allOf" | "prefixItems", v) => {
                trim(v, side);
            }
            _ => {}
        }
    }
}

/// Leaves the names of what stands in a field's objects, and nothing more of them.
fn keep_names(field: &mut Value) {
    let Value::Object(map) = field else { return };
    if let Some(Value::Object(inner)) = map.get_mut("properties") {
        inner.values_mut().for_each(|schema| *schema = json!({}));
    }
    if let Some(items) = map.get_mut("items") {
        keep_names(items);
    }
}

/// Writes a choice of documented words as a plain list of them: `otctl` shows what each means.
fn join_constants(map: &mut Map<String, Value>) {
    let Some(Value::Array(options)) = map.get("oneOf") else { return };
    let words: Option<Vec<Value>> = options.iter().map(|o| o.get("const").cloned()).collect();
    if let Some(words) = words {
        map.remove("oneOf");
        map.insert("type".to_owned(), json!("string"));
        map.insert("enum".to_owned(), Value::Array(words));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(schemars::JsonSchema)]
    #[allow(dead_code, reason = "only its schema is looked at")]
    struct Answer {
        /// A field whose name is a keyword.
        title: String,
        /// Counted.
        count: u32,
        /// Below it nothing is said to be required.
        items: Vec<Item>,
        /// Explained in the instructions.
        provenance: Item,
    }

    #[derive(schemars::JsonSchema)]
    #[allow(dead_code, reason = "only its schema is looked at")]
    #[schemars(inline)]
    struct Item {
        value: f64,
    }

    #[derive(schemars::JsonSchema)]
    #[allow(dead_code, reason = "only its schema is looked at")]
    struct Arguments {
        /// Which one.
        endpoint: Option<String>,
        /// How many.
        count: u32,
    }

    #[test]
    fn what_every_tool_takes_is_explained_once() {
        let (_, schema) = input(schemars::schema_for!(Arguments));
        assert_eq!(schema["properties"]["endpoint"], json!({"type": ["string", "null"]}));
        assert_eq!(schema["properties"]["count"]["description"], "How many.");
    }

    #[test]
    fn an_answer_keeps_fields_named_like_keywords_and_loses_prose() {
        let schema = Value::Object(output(schemars::schema_for!(Answer)).as_ref().clone());
        let result = &schema["anyOf"][0];
        assert_eq!(result["properties"]["title"], json!({"type": "string"}));
        assert_eq!(result["properties"]["count"], json!({"type": "integer"}));
        assert_eq!(result["required"], json!(["title"]));
        let item = json!({"type": "object", "properties": {"value": {}}});
        assert_eq!(result["properties"]["items"]["items"], item);
        assert_eq!(result["properties"]["provenance"], json!({"type": "object"}));
        assert_eq!(schema["anyOf"][1]["required"], json!(["error"]));
    }

    #[test]
    fn documented_words_become_a_list() {
        let mut map = object(json!({"oneOf": [{"const": "a"}, {"const": "b"}]}));
        trim_object(&mut map, Side::Output);
        assert_eq!(Value::Object(map), json!({"type": "string", "enum": ["a", "b"]}));
    }
}
