//! The recorded vectors of the reference: `tests/golden/config.json`.

use serde_json::{Value, json};

use super::*;

const VECTORS: &str = include_str!("../../../tests/golden/config.json");

/// Every key that any protocol of the reference reads.
const KEYS: &[&str] = &[
    "endpoint_url",
    "host",
    "port",
    "unit_id",
    "security_mode",
    "security_policy",
    "username",
    "rack",
    "slot",
    "plctype",
    "agent_url",
    "topic",
    "use_tls",
];

/// The vectors parse, and parse only: nothing of them is complete enough to connect.
const PROTOCOLS: [Protocol; 6] = [
    protocol("opcua", KEYS),
    protocol("modbus", KEYS),
    protocol("s7", KEYS),
    protocol("mc", KEYS),
    protocol("mtconnect", KEYS),
    protocol("mqtt", KEYS),
];

/// Shows an endpoint with the names of the reference.
fn parsed(spec: &EndpointSpec) -> Value {
    let mut out = json!({"name": &*spec.name, "protocol": spec.protocol});
    let empty = ["endpoint_url", "host", "username", "agent_url", "topic"];
    for key in empty {
        out[key] = "".into();
    }
    out["security_mode"] = "None".into();
    out["security_policy"] = "None".into();
    out["use_tls"] = false.into();
    for (key, value) in &spec.settings {
        out[key] = value.clone();
    }
    let tag = |tag: &std::sync::Arc<Tag>| {
        json!({
            "ref": &*tag.address, "label": &*tag.label,
            "warn_high": tag.limits.warn_high, "warn_low": tag.limits.warn_low,
            "alarm_high": tag.limits.alarm_high, "alarm_low": tag.limits.alarm_low,
        })
    };
    out["tags"] = spec.tags.iter().map(tag).collect();
    out
}

/// Tells whether every key of the expected value is there and the same.
fn holds(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Object(keys), _) => {
            keys.iter().all(|(key, value)| found.get(key).is_some_and(|here| holds(value, here)))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| holds(a, b))
        }
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        _ => expected == found,
    }
}

#[test]
fn the_vectors_of_the_reference_hold() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let plant = Plant::new();
    let mut seen = 0;
    for vector in vectors["vectors"].as_array().unwrap() {
        let (name, expected) = (&vector["name"], &vector["expect"]);
        seen += 1;
        if vector["function"] == "password_env_var" {
            let endpoint = vector["input"]["name"].as_str().unwrap();
            assert_eq!(Some(password_env_var(endpoint).as_str()), expected.as_str(), "{name}");
            continue;
        }
        // JSON is YAML.
        let text = json!({"endpoints": [vector["input"]]}).to_string();
        let path = plant.write("c.yaml", text);
        let config = load_with(&path, &PROTOCOLS, &|_| None).unwrap();
        let failed = config.problems.iter().any(|p| p.severity == Severity::Error);
        if expected.get("$error").is_some() {
            assert!(failed && config.endpoints.is_empty(), "{name}");
        } else {
            assert!(!failed, "{name}: {:?}", config.problems);
            let found = parsed(&config.endpoints[0]);
            assert!(holds(expected, &found), "{name}: {expected} {found}");
        }
    }
    assert_eq!(Some(seen), vectors["count"].as_u64());
}
