//! The recorded vectors of the reference: the operators that compare, and one file per protocol.

mod diagnose;
mod modbus;
mod mtconnect;
mod opcua;
mod operators;
mod s7;
mod sparkplug;

pub(crate) use operators::matches;

use serde_json::Value;

use crate::peer::package;

/// Reads the vectors of one file of `tests/golden`.
fn vectors(name: &str) -> Vec<Value> {
    let path = package(&format!("tests/golden/{name}.json"));
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let vectors = file["vectors"].as_array().unwrap().clone();
    assert_eq!(Some(vectors.len()), file["count"].as_u64().map(|n| n as usize), "{name}");
    vectors
}
