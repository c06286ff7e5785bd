//! The vectors of the diagnostics, held against the functions the tools are made of.

use ot_aiops::diagnose::alarms::{AlarmEvent, AlarmQuestion, bad_actors};
use ot_aiops::diagnose::{
    FlowEvidence, FlowRead, Given, Grade, bound, dataflow, flow_freshness, instant, series_health,
    tag_health, tags_overall,
};
use ot_aiops::model::{Limits, Timestamp};
use serde_json::{Value, json};

use super::{matches, vectors};

/// Writes non-finite numbers as the text that JSON can carry.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(map) if map.contains_key("$float") => map["$float"].clone(),
        Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), plain(v))).collect(),
        Value::Array(items) => items.iter().map(plain).collect(),
        other => other.clone(),
    }
}

fn now(input: &Value) -> Timestamp {
    instant(&input["$now"]).unwrap()
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// Holds every vector of a file against what `answer` makes of its input.
fn hold(file: &str, answer: impl Fn(&str, &Value) -> Value) {
    let mut faults = Vec::new();
    for vector in vectors(file) {
        let expect = match vector.get("expect") {
            Some(expect) => expect.clone(),
            None if vector["seed_wrong"] == true => continue,
            None => vector["output"].clone(),
        };
        let function = vector["function"].as_str().unwrap();
        let answer = answer(function, &plain(&vector["input"]));
        if let Err(difference) = matches(&expect, &answer) {
            faults.push(format!("{}: {difference}\n    {answer}", vector["name"]));
        }
    }
    assert!(faults.is_empty(), "{file}:\n  {}", faults.join("\n  "));
}

fn or_error(answer: Option<impl serde::Serialize>) -> Value {
    match answer {
        Some(answer) => serde_json::to_value(answer).unwrap(),
        None => json!({"error": {"code": "bad_arguments"}}),
    }
}

#[test]
fn historian_health_answers_every_vector() {
    hold("historian_health", |_, input| {
        let series = Given::series(&list(&input["series"]));
        let gap = input["gap_threshold_s"].as_f64().unwrap_or(60.0);
        let eps = input["flatline_eps"].as_f64().unwrap_or(1e-9);
        or_error(series_health(&series, gap, eps))
    });
}

#[test]
fn alarm_bad_actors_answers_every_vector() {
    hold("alarm_bad_actors", |_, input| {
        let events: Vec<_> = list(&input["events"]).iter().filter_map(AlarmEvent::read).collect();
        let top_n = input["top_n"].as_i64().unwrap_or(10);
        let question = AlarmQuestion {
            looked_minutes: None,
            window_minutes: input["window_minutes"].as_f64(),
            chatter_window_s: input["chatter_window_s"].as_f64().unwrap_or(60.0),
            standing_s: input["standing_s"].as_f64().unwrap_or(86_400.0),
            top_n: usize::try_from(top_n).unwrap_or(1),
            now: now(input),
        };
        or_error(bad_actors(&events, &question))
    });
}

fn limits(bounds: &Value) -> Limits {
    let read = |name: &str| bound(&bounds[name]).unwrap_or(None);
    Limits {
        warn_low: read("warn_low"),
        warn_high: read("warn_high"),
        alarm_low: read("alarm_low"),
        alarm_high: read("alarm_high"),
    }
}

#[test]
fn tag_health_answers_every_vector() {
    hold("tag_health", |_, input| {
        let tags: Vec<Value> = list(&input["tags"]).into_iter().filter(Value::is_object).collect();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let judge = |tag: &Value| {
            let name = text(tag.get("ref").unwrap_or(&tag["tag"]));
            let bounds = input["thresholds"].get(&name).unwrap_or(tag);
            let samples = Given::series(&list(&tag["samples"]));
            tag_health(name, text(&bounds["label"]), &limits(bounds), &samples)
        };
        let results: Vec<_> = tags.iter().map(judge).collect();
        let mut offenders: Vec<_> = results.iter().filter(|tag| tag.severity > 0).collect();
        offenders.sort_by_key(|tag| std::cmp::Reverse(tag.severity));
        or_error((!results.is_empty()).then(|| {
            json!({
                "evaluated": results.len(),
                "overall": tags_overall(&results),
                "offender_count": offenders.len(),
                "offenders": offenders,
                "results": results,
            })
        }))
    });
}

#[test]
fn diagnose_dataflow_answers_every_vector() {
    hold("diagnose_dataflow", |function, input| {
        let threshold = &input["freshness_threshold_s"];
        let threshold = threshold.as_f64().or(input["threshold_s"].as_f64()).unwrap_or(60.0);
        if function == "_check_freshness" {
            let found = flow_freshness(instant(&input["timestamp"]), threshold, now(input));
            return serde_json::to_value(found).unwrap();
        }
        let detail = input["connect"]["detail"].as_str().unwrap_or_default().to_owned();
        // A device that answers with an exception is connected: the driver reports it as such.
        let is_answer = detail.contains("ExceptionResponse");
        let connect = match input["connect"]["ok"] == true || is_answer {
            true => Ok(detail),
            false => Err(detail),
        };
        let reference = input["ref"].as_str();
        let read = &input["read_result"];
        let value = match read["value"].as_f64() {
            Some(number) => format!("{number:?}"),
            None => String::new(),
        };
        let outcome = FlowRead::Value {
            text: value,
            is_null: read["value"].is_null() && !is_answer,
            grade: if read["good"] == false { Grade::Bad } else { Grade::Good },
            source: instant(&read["source_timestamp"]),
        };
        let series = input.get("series").map(|series| Given::series(&list(series)));
        let found = dataflow(&FlowEvidence {
            protocol: input["protocol"].as_str().unwrap(),
            connect,
            read: reference.map(|reference| (reference, outcome)),
            series: series.as_deref(),
            freshness_threshold_s: threshold,
            flatline_eps: input["flatline_eps"].as_f64().unwrap_or(1e-9),
            now: now(input),
        });
        serde_json::to_value(found).unwrap()
    });
}
