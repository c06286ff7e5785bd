//! Endpoints as the text of a configuration, for commands that write one.

use serde_json::Value;

use super::Config;
use crate::driver::EndpointSpec;
use crate::model::{Budget, DataType, Scale, Tag, UnitId, WordOrder};

/// The scan class that needs no words.
const SCAN_MS_DEFAULT: u32 = 1000;

/// Whether an endpoint runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runs {
    Yes,
    No,
}

/// Writes a whole configuration, without any password.
#[must_use]
pub fn to_toml(config: &Config) -> String {
    let mut out = String::new();
    let default = super::History::default();
    let super::History { keep_days, keep_bytes, commit_ms } = config.history;
    if config.history != default {
        out.push_str("[history]\n");
        key(&mut out, "keep_days", &keep_days.into());
        key(&mut out, "keep_bytes", &keep_bytes.into());
        key(&mut out, "commit_ms", &commit_ms.into());
        out.push('\n');
    }
    let groups = [
        ("agent_group", &config.doors.agent_group),
        ("operator_group", &config.doors.operator_group),
    ];
    if groups.iter().any(|(_, group)| group.is_some()) {
        out.push_str("[doors]\n");
        for (name, group) in groups {
            if let Some(group) = group {
                key(&mut out, name, &group.as_str().into());
            }
        }
        out.push('\n');
    }
    let running = config.endpoints.iter().map(|spec| (spec, Runs::Yes));
    let resting = config.disabled.iter().map(|spec| (spec, Runs::No));
    for (spec, runs) in running.chain(resting) {
        out.push_str(&endpoint(spec, runs));
        out.push('\n');
    }
    out
}

/// Writes one endpoint with its tags, without its password.
#[must_use]
pub fn endpoint_toml(spec: &EndpointSpec) -> String {
    endpoint(spec, Runs::Yes)
}

fn endpoint(spec: &EndpointSpec, runs: Runs) -> String {
    let mut out = String::from("[[endpoints]]\n");
    key(&mut out, "name", &spec.name.as_ref().into());
    key(&mut out, "protocol", &spec.protocol.into());
    if runs == Runs::No {
        key(&mut out, "enabled", &false.into());
    }
    for (name, value) in &spec.settings {
        key(&mut out, name, value);
    }
    budget(&mut out, &spec.budget);
    let unit = spec.settings.get("unit_id").and_then(Value::as_u64);
    let unit = UnitId(unit.and_then(|unit| u8::try_from(unit).ok()).unwrap_or_default());
    for each in &spec.tags {
        out.push('\n');
        tag(&mut out, each, unit);
    }
    out
}

fn budget(out: &mut String, budget: &Budget) {
    if *budget == Budget::default() {
        return;
    }
    let table = serde_json::json!({
        "requests_per_s": budget.requests_per_s,
        "burst": budget.burst,
        "connections": budget.connections,
        "on_demand_share": budget.on_demand_share,
    });
    key(out, "budget", &table);
}

fn tag(out: &mut String, tag: &Tag, unit: UnitId) {
    out.push_str("[[endpoints.tags]]\n");
    key(out, "name", &tag.name.as_ref().into());
    key(out, "ref", &tag.address.as_ref().into());
    if !tag.was.is_empty() {
        let was: Vec<Value> = tag.was.iter().map(|name| name.as_ref().into()).collect();
        key(out, "was", &Value::Array(was));
    }
    if tag.unit != unit {
        key(out, "unit_id", &tag.unit.0.into());
    }
    if tag.data_type != DataType::Native {
        key(out, "type", &tag.data_type.to_string().into());
    }
    if tag.order != WordOrder::default() {
        key(out, "order", &format!("{:?}", tag.order).to_uppercase().into());
    }
    if tag.scan.scan_ms != SCAN_MS_DEFAULT {
        key(out, "scan_ms", &tag.scan.scan_ms.into());
    }
    if let Some(Scale { raw, eu }) = tag.scale {
        key(out, "scale", &serde_json::json!({"raw": [raw.0, raw.1], "eu": [eu.0, eu.1]}));
    }
    let alarm = &tag.alarm;
    let texts = [
        ("path", tag.path.as_ref()),
        ("unit", Some(&tag.unit_text)),
        ("description", Some(&tag.description)),
        ("area", Some(&tag.area)),
        ("label", Some(&tag.label)),
        ("priority", alarm.priority.as_ref()),
    ];
    for (name, text) in texts {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            key(out, name, &text.as_ref().into());
        }
    }
    let limits = &tag.limits;
    let numbers = [
        ("deadband", tag.deadband),
        ("warn_low", limits.warn_low),
        ("warn_high", limits.warn_high),
        ("alarm_low", limits.alarm_low),
        ("alarm_high", limits.alarm_high),
        ("alarm_delay_s", alarm.delay_s),
        ("alarm_hysteresis", alarm.hysteresis),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            key(out, name, &number.into());
        }
    }
}

/// Sets a key; the names of settings are bare keys.
fn key(out: &mut String, name: &str, value: &Value) {
    out.push_str(name);
    out.push_str(" = ");
    out.push_str(&text(value));
    out.push('\n');
}

/// Writes a value as TOML has it.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "\"\"".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => toml::Value::String(text.clone()).to_string(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(text).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) => {
            let pair = |(name, value): (&String, &Value)| {
                let name = Value::from(name.as_str());
                format!("{} = {}", text(&name), text(value))
            };
            let pairs: Vec<String> = map.iter().map(pair).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
    }
}
