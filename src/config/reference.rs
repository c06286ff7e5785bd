//! What the reference's `config.yaml` means: its keys, its defaults, its names of protocols.

use serde_json::Value;

use super::problem::Desk;
use super::section::Section;
use super::want;
use crate::driver::{Protocol, Settings};

/// Protocols with a place in the configuration, whether or not this build carries them.
pub(super) const PROTOCOLS: [&str; 8] =
    ["opcua", "modbus", "s7", "mc", "mtconnect", "mqtt", "ethernetip", "ethercat"];

/// What a key of the reference holds.
#[derive(Clone, Copy)]
enum Holds {
    Text,
    Whole(i64, i64),
    Flag,
}

/// The endpoint keys of the reference beside `name`, `protocol` and `tags`, with what it takes
/// where they are missing. It accepts each of them whatever the protocol.
const KEYS: [(&str, Holds, &str); 14] = [
    ("endpoint_url", Holds::Text, ""),
    ("host", Holds::Text, ""),
    ("broker", Holds::Text, ""),
    ("port", Holds::Whole(1, 65_535), ""),
    ("unit_id", Holds::Whole(0, 255), "1"),
    ("security_mode", Holds::Text, "None"),
    ("security_policy", Holds::Text, "None"),
    ("username", Holds::Text, ""),
    ("rack", Holds::Whole(0, 255), "0"),
    ("slot", Holds::Whole(0, 255), "1"),
    ("plctype", Holds::Text, "Q"),
    ("agent_url", Holds::Text, ""),
    ("topic", Holds::Text, ""),
    ("use_tls", Holds::Flag, "false"),
];

/// Names the keys of the reference.
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|(key, ..)| *key)
}

/// Gives the port that a protocol is served at where none is configured.
fn port(protocol: &str, settings: &Settings) -> Option<u16> {
    if settings.contains_key("serial") {
        return None;
    }
    let use_tls = settings.get("use_tls").and_then(Value::as_bool).unwrap_or_default();
    match (protocol, use_tls) {
        ("opcua", _) => Some(4840),
        ("modbus", _) => Some(502),
        ("s7", _) => Some(102),
        ("mc", _) => Some(5007),
        ("mtconnect", _) => Some(5000),
        ("mqtt", false) => Some(1883),
        ("mqtt", true) => Some(8883),
        _ => None,
    }
}

/// Reads the reference's keys with their types, whoever uses them. `broker` becomes `host`.
pub(super) fn read(section: Section<'_>, desk: &mut Desk) -> Settings {
    let mut out = Settings::new();
    for (key, holds, _) in KEYS {
        let value = match holds {
            Holds::Text => section.text(key, desk).map(|text| Value::from(text.as_ref())),
            Holds::Whole(low, high) => {
                section.read(key, desk, |node| want::whole(node, low..=high)).map(Value::from)
            }
            Holds::Flag => section.flag(key, desk).map(Value::from),
        };
        // `host` comes before its alias and wins, as in the reference.
        let name = if key == "broker" { "host" } else { key };
        if let Some(value) = value {
            out.entry(name).or_insert(value);
        }
    }
    out
}

/// Leaves only what the protocol understands, and fills in the reference's defaults for that.
pub(super) fn adapt(
    settings: &mut Settings,
    protocol: &Protocol,
    section: Section<'_>,
    desk: &mut Desk,
) {
    for (key, _, default) in KEYS {
        if protocol.keys.contains(&key) {
            if !default.is_empty() && matches!(key, "unit_id" | "rack" | "slot" | "plctype") {
                let value = default.parse::<u8>().map_or_else(|_| default.into(), Value::from);
                settings.entry(key).or_insert(value);
            }
        } else if let Some(value) = settings.remove(key) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            if text != default {
                let message =
                    format!("`{key}` has no meaning for {} and is ignored", protocol.name);
                desk.warn(section.place(key), key, message, "");
            }
        }
    }
    if protocol.keys.contains(&"port")
        && let Some(port) = port(protocol.name, settings)
    {
        settings.entry("port").or_insert(port.into());
    }
}
