//! A list that a call carries, or that a command reads from a file.

use std::io::Read;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// What one line of the wire takes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Items of any shape: the tool says which it takes.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub(crate) struct List(pub(super) Vec<Json>);

/// Reads a list from a file of JSON, `-` for stdin: the list itself, or an object that holds
/// nothing but one.
pub(super) fn list_from_file(path: &str) -> Result<List, String> {
    let mut text = String::new();
    let read = match path {
        "-" => std::io::stdin().take(FILE_BYTES_MAX + 1).read_to_string(&mut text),
        path => std::fs::File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)),
    };
    read.map_err(|error| format!("{path}: {error}"))?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        return Err(format!("{path}: more than {FILE_BYTES_MAX} bytes; give a part of it"));
    }
    let json: Json = serde_json::from_str(&text).map_err(|error| format!("{path}: {error}"))?;
    match json {
        Json::Array(items) => Ok(List(items)),
        Json::Object(fields) => {
            let mut lists = fields.into_iter().filter_map(|(_, value)| match value {
                Json::Array(items) => Some(List(items)),
                _ => None,
            });
            match (lists.next(), lists.next()) {
                (Some(list), None) => Ok(list),
                _ => Err(format!("{path}: no list, and no object with one list")),
            }
        }
        _ => Err(format!("{path}: a JSON list is wanted")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_a_list_or_an_object_with_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("in.json");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            list_from_file(path.to_str().unwrap()).map(|list| list.0.len())
        };
        assert_eq!(read("[1, 2]"), Ok(2));
        assert_eq!(read(r#"{"series": [1], "gap_threshold_s": 5}"#), Ok(1));
        assert!(read(r#"{"a": [1], "b": [2]}"#).is_err());
        assert!(read("7").is_err() && read("[1").is_err());
        assert!(list_from_file("no/such/file").is_err());
    }
}
