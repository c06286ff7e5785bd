//! `otctl plot`, and the sparklines of `otctl tag read -o wide`.

use std::time::Duration;

use clap::{Arg, Command};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::client::Session;
use super::exit::Failure;
use crate::surface::render::{Dot, Look, Output, Reader, Series, Size, Trust, plot, sparkline};
use crate::surface::text::escaped;

/// What history may take: it may come from disk.
const WITHIN: Duration = Duration::from_secs(15);
/// As many points as `tag_history` gives.
const POINTS_MAX: u32 = 400;
/// Lines of a plot.
const DOWN: usize = 14;
/// Columns where nobody says how wide the terminal is.
const ACROSS: u16 = 80;
/// Columns of a sparkline, over so long.
const SPARK_ACROSS: usize = 16;
const SPARK_SINCE: &str = "-10m";
/// Items that get a sparkline: a screen.
const SPARKS_MAX: usize = 60;

/// Makes the command.
pub(super) fn command() -> Command {
    Command::new("plot")
        .about("Draws a tag's history, with its limits, gaps and Bad stretches")
        .arg(Arg::new("tag").required(true).help("Its name"))
        .arg(
            Arg::new("since")
                .long("since")
                .value_name("SPAN")
                .allow_hyphen_values(true)
                .default_value("1h")
                .help("From: 15m, 1h, 7d, or RFC 3339"),
        )
}

/// Gives a tag's history for a plot.
pub(super) async fn history(session: &Session, tag: &str, since: &str) -> Result<Value, Failure> {
    let is_span = since.starts_with(|c: char| c.is_ascii_digit()) && !since.contains([':', 'T']);
    let since = if is_span { format!("-{since}") } else { since.to_owned() };
    let mut arguments = Map::new();
    arguments.insert("tag".into(), json!(tag));
    arguments.insert("since".into(), json!(since));
    arguments.insert("max_points".into(), json!(POINTS_MAX));
    session.call("tag_history", arguments, WITHIN).await
}

/// Adds what the tag shows now where nothing came in the stretch: an outage is one mark, and may
/// lie before it.
pub(super) async fn with_present(session: &Session, mut answer: Value) -> Result<Value, Failure> {
    let is_empty = answer.get("points").and_then(Value::as_array).is_some_and(Vec::is_empty);
    let (Some(tag), true) = (answer.get("tag").cloned(), is_empty) else { return Ok(answer) };
    let mut arguments = Map::new();
    arguments.insert("tags".into(), json!([tag]));
    let present = session.call("tag_read", arguments, WITHIN).await?;
    let quality = present.pointer("/items/0/quality").and_then(Value::as_str).unwrap_or_default();
    if quality.starts_with("Bad")
        && let Some(since) = answer.get("since").cloned()
        && let Some(points) = answer.get_mut("points").and_then(Value::as_array_mut)
    {
        points.push(json!({"ts": since, "value": null, "quality": quality}));
    }
    Ok(answer)
}

/// Adds to a finding the history that its evidence lies in, with limits and gaps.
pub(super) async fn with_history(session: &Session, mut answer: Value) -> Result<Value, Failure> {
    let tag = answer.pointer("/finding/tag").filter(|tag| tag.is_string()).cloned();
    let first = answer.pointer("/points/0/ts").cloned();
    let (Some(tag), Some(since)) = (tag, first) else { return Ok(answer) };
    let mut arguments = Map::new();
    arguments.insert("tag".into(), tag);
    arguments.insert("since".into(), since);
    arguments.insert("max_points".into(), json!(POINTS_MAX));
    let history = session.call("tag_history", arguments, WITHIN).await?;
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("history".into(), history);
    }
    Ok(answer)
}

/// Draws what `tag_history` answered.
pub(super) fn drawn(answer: &Value, look: Look, reader: &Reader) -> String {
    let across = usize::from(look.columns.unwrap_or(ACROSS));
    plot(&series(answer), Size { across, down: DOWN }, reader)
}

/// Writes a plot under the name of its tag; other outputs get the answer as it is.
pub(super) fn page(answer: &Value, output: Output, look: Look, reader: &Reader) -> Option<String> {
    if !matches!(output, Output::Table | Output::Wide) {
        return None;
    }
    let name = answer.get("tag").and_then(Value::as_str).unwrap_or_default();
    Some(format!("{}\n{}", escaped(name), drawn(answer, look, reader)))
}

fn series(answer: &Value) -> Series {
    let list = |name: &str| answer.get(name).and_then(Value::as_array).into_iter().flatten();
    let time = |value: Option<&Value>| value?.as_str()?.parse::<Timestamp>().ok();
    let limit =
        |name: &'static str| Some((name, answer.get("limits")?.get(name).and_then(Value::as_f64)?));
    let names = ["alarm_high", "warn_high", "warn_low", "alarm_low"];
    Series {
        dots: list("points").filter_map(dot).collect(),
        limits: names.into_iter().filter_map(limit).collect(),
        gaps: list("gaps")
            .filter_map(|gap| Some((time(gap.get("since"))?, time(gap.get("until"))?)))
            .collect(),
        unit: escaped(answer.get("unit").and_then(Value::as_str).unwrap_or_default()),
        until: time(answer.get("until")),
    }
}

fn dot(point: &Value) -> Option<Dot> {
    let at = point.get("ts")?.as_str()?.parse().ok()?;
    let quality = point.get("quality").and_then(Value::as_str).unwrap_or("Bad");
    let value = match point.get("value") {
        Some(Value::Bool(truth)) => Some(f64::from(u8::from(*truth))),
        other => other.and_then(Value::as_f64),
    };
    let trust = match quality {
        quality if quality.starts_with("Good") => Trust::Good,
        quality if quality.starts_with("Uncertain") => Trust::Uncertain,
        _ => Trust::Bad,
    };
    Some(Dot { at, value, trust })
}

/// Adds the course of the last ten minutes to each item of `tag_read`.
pub(super) async fn with_trends(session: &Session, mut answer: Value) -> Result<Value, Failure> {
    let items = answer.get_mut("items").and_then(Value::as_array_mut);
    for item in items.into_iter().flatten().take(SPARKS_MAX) {
        let Some(fields) = item.as_object_mut() else { continue };
        let Some(tag) = fields.get("tag").and_then(Value::as_str) else { continue };
        if fields.contains_key("error") {
            continue;
        }
        let history = history(session, tag, SPARK_SINCE).await?;
        let trend = sparkline(&series(&history).dots, SPARK_ACROSS);
        fields.insert("trend".to_owned(), Value::from(trend));
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_becomes_dots_limits_and_gaps() {
        let answer = json!({
            "tag": "a/b", "unit": "bar", "limits": {"warn_high": 9.5},
            "points": [
                {"ts": "2026-06-30T12:00:00Z", "value": 1.5, "quality": "Good"},
                {"ts": "2026-06-30T12:00:01Z", "value": true,
                    "quality": "UncertainLastUsableValue"},
                {"ts": "2026-06-30T12:00:02Z", "value": null, "quality": "BadNoCommunication"},
                {"ts": "never", "value": 1, "quality": "Good"}
            ],
            "gaps": [{"since": "2026-06-30T12:00:01Z", "until": "2026-06-30T12:00:02Z", "lost": 1}]
        });
        let Series { dots, limits, gaps, unit, until } = series(&answer);
        assert_eq!(until, None);
        let seen: Vec<_> = dots.iter().map(|dot| (dot.value, dot.trust)).collect();
        let want = [(Some(1.5), Trust::Good), (Some(1.0), Trust::Uncertain), (None, Trust::Bad)];
        assert_eq!(seen, want);
        assert_eq!((limits, gaps.len(), unit.as_str()), (vec![("warn_high", 9.5)], 1, "bar"));
        assert!(page(&answer, Output::Json, Look::PLAIN, &Reader::here()).is_none());
        let shown = page(&answer, Output::Table, Look::PLAIN, &Reader::here()).unwrap();
        assert!(shown.starts_with("a/b\n"), "{shown}");
    }
}
