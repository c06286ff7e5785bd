//! `otctl tail`: samples as they come.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::client::Session;
use super::exit::{Exit, Failure};
use crate::surface::render::{Output, Reader, cell, csv_record};

/// How long one poll waits at the collector.
const WAIT_MS: u32 = 10_000;
/// Samples of one poll.
const SAMPLES_MAX: u32 = 500;
/// What a poll may take beyond its wait.
const SPARE: Duration = Duration::from_secs(5);

/// Prints samples until interrupted.
pub(super) async fn tail(
    session: &Session,
    pattern: &str,
    output: Output,
    polls_max: Option<u32>,
) -> Result<(), Failure> {
    if output == Output::Csv {
        writeln!(io::stdout(), "{}", COLUMNS.join(",")).map_err(closed)?;
    }
    let mut cursor = Value::Null;
    let mut width = 0;
    let mut polls = 0;
    while polls_max.is_none_or(|most| polls < most) {
        polls += 1;
        let mut arguments = Map::new();
        arguments.insert("pattern".into(), json!(pattern));
        arguments.insert("wait_ms".into(), json!(WAIT_MS));
        arguments.insert("limit".into(), json!(SAMPLES_MAX));
        if !cursor.is_null() {
            arguments.insert("cursor".into(), cursor);
        }
        let within = Duration::from_millis(u64::from(WAIT_MS)) + SPARE;
        let answer = session.call("tag_watch", arguments, within).await?;
        match answer.get("gap").and_then(Value::as_i64) {
            Some(lost) if lost > 0 => eprintln!("gap: {lost} samples were not read in time"),
            Some(-1) => eprintln!("gap: the collector has restarted"),
            _ => (),
        }
        let samples = answer.get("samples").and_then(Value::as_array);
        let mut out = io::stdout().lock();
        for sample in samples.into_iter().flatten() {
            let line = match output {
                Output::Table => words(sample, &mut width, &Reader::here()),
                Output::Csv => record(sample),
                Output::Json | Output::Jsonl => sample.to_string(),
            };
            writeln!(out, "{line}").map_err(closed)?;
        }
        out.flush().map_err(closed)?;
        cursor = answer.get("cursor").cloned().unwrap_or(Value::Null);
    }
    Ok(())
}

/// The columns of a record, in order.
const COLUMNS: [&str; 6] = ["source_ts", "received_ts", "tag", "value", "unit", "quality"];

/// Writes a sample as one record of RFC 4180.
fn record(sample: &Value) -> String {
    let one = COLUMNS.map(|name| sample.get(name).cloned().unwrap_or(Value::Null));
    csv_record(&one)
}

/// Whoever reads us has seen enough.
fn closed(error: io::Error) -> Failure {
    let exit = if error.kind() == io::ErrorKind::BrokenPipe { Exit::Fine } else { Exit::Usage };
    Failure::new(exit, format!("stdout: {error}"))
}

/// Writes time, tag, value, unit and quality; `width` grows to that of the longest tag.
fn words(sample: &Value, width: &mut usize, reader: &Reader) -> String {
    let get = |name: &str| sample.get(name).unwrap_or(&Value::Null);
    let at = if get("source_ts").is_null() { get("received_ts") } else { get("source_ts") };
    let at: Option<jiff::Timestamp> = at.as_str().and_then(|text| text.parse().ok());
    let at = at.map(|at| at.to_zoned(reader.zone.clone()).strftime("%H:%M:%S%.3f").to_string());
    let tag = cell("tag", get("tag"), reader);
    *width = (*width).max(tag.chars().count());
    let (value, unit) = (cell("value", get("value"), reader), cell("unit", get("unit"), reader));
    let (at, quality) = (at.unwrap_or_default(), cell("quality", get("quality"), reader));
    let width = *width;
    format!("{at:12}  {tag:width$}  {value:>12} {unit:6}  {quality}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_quoted_and_exact() {
        let sample = json!({"tag": "a,b", "value": u64::MAX, "quality": "Good"});
        assert_eq!(record(&sample), ",,\"a,b\",18446744073709551615,,Good");
    }

    #[test]
    fn a_sample_is_one_line_whatever_its_device_says() {
        let reader = Reader { zone: jiff::tz::TimeZone::UTC, ..Reader::here() };
        let sample = json!({
            "tag": "a/b", "value": "x\ny\u{1b}[2J", "unit": "degC", "quality": "Good",
            "received_ts": "2026-06-30T12:00:00.250Z"
        });
        let mut width = 0;
        let line = words(&sample, &mut width, &reader);
        assert_eq!(line, "12:00:00.250  a/b  x\\ny\\u{001b}[2J degC    Good");
        assert_eq!(width, 3);
    }
}
