//! Values of devices as they stand in answers.

use serde_json::Value as Json;

use crate::model::{Value, escape};

/// Writes a value as JSON, with nothing in its texts that acts on a reader.
pub(super) fn json(value: &Value) -> Json {
    match value {
        Value::Text(text) => Json::String(escape(text)),
        Value::List(items) => Json::Array(items.iter().map(json).collect()),
        Value::Map(fields) => {
            fields.iter().map(|(name, value)| (escape(name), json(value))).collect()
        }
        // Scalars, octets and times have no text of the device in them.
        plain => serde_json::to_value(plain).unwrap_or(Json::Null),
    }
}
