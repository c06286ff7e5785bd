//! `otctl tail`: samples as they come.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::client::Session;
use super::exit::{Exit, Failure};
use crate::model::counted;
use crate::surface::render::{Look, Output, Reader, cell, csv_record};

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
    let (look, mut widths) = (Look::of_stdout(), Widths::default());
    let (mut polls, mut not_followed) = (0, 0);
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
            Some(lost) if lost > 0 => {
                let lost = counted(usize::try_from(lost).unwrap_or(usize::MAX), "sample");
                eprintln!("gap: {lost} not read in time");
            }
            Some(-1) => eprintln!("gap: the collector has restarted"),
            _ => (),
        }
        let left_out = answer.get("not_followed").and_then(Value::as_u64).unwrap_or_default();
        if std::mem::replace(&mut not_followed, left_out) != left_out {
            let tags = counted(usize::try_from(left_out).unwrap_or(usize::MAX), "tag");
            eprintln!("not shown of {pattern}: {tags}; tail fewer, an area at a time");
        }
        let samples = answer.get("samples").and_then(Value::as_array);
        let reader = Reader::here();
        widths.grow(samples.into_iter().flatten(), &reader);
        let mut out = io::stdout().lock();
        for sample in samples.into_iter().flatten() {
            let line = match output {
                Output::Table | Output::Wide => words(sample, &widths, look, &reader),
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

/// The widest cells so far, in characters: lines stand below each other.
#[derive(Debug, Default)]
struct Widths {
    tag: usize,
    value: usize,
    unit: usize,
}

impl Widths {
    /// A value wider than this moves its own line, not all that follow.
    const VALUE_MAX: usize = 16;

    fn grow<'a>(&mut self, samples: impl Iterator<Item = &'a Value>, reader: &Reader) {
        for sample in samples {
            let width = |name: &str| {
                let value = sample.get(name).unwrap_or(&Value::Null);
                cell(name, value, reader).chars().count()
            };
            self.tag = self.tag.max(width("tag"));
            self.unit = self.unit.max(width("unit"));
            let value = width("value");
            if value <= Self::VALUE_MAX {
                self.value = self.value.max(value);
            }
        }
    }
}

/// Writes time, tag, value, unit and quality on one line.
fn words(sample: &Value, widths: &Widths, look: Look, reader: &Reader) -> String {
    let get = |name: &str| sample.get(name).unwrap_or(&Value::Null);
    let at = if get("source_ts").is_null() { get("received_ts") } else { get("source_ts") };
    let at: Option<jiff::Timestamp> = at.as_str().and_then(|text| text.parse().ok());
    let at = at.map(|at| at.to_zoned(reader.zone.clone()).strftime("%H:%M:%S%.3f").to_string());
    let [tag, value, unit, quality] =
        ["tag", "value", "unit", "quality"].map(|name| cell(name, get(name), reader));
    let Widths { tag: tag_width, value: value_width, unit: unit_width } = *widths;
    let line = format!(
        "{:12}  {tag:tag_width$}  {value:>value_width$} {unit:unit_width$}  {quality}",
        at.unwrap_or_default()
    );
    let line = line.trim_end();
    match look.columns.map(usize::from) {
        Some(columns) if line.chars().count() > columns => {
            line.chars().take(columns.saturating_sub(3)).collect::<String>() + "..."
        }
        _ => line.to_owned(),
    }
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
        let mut widths = Widths::default();
        widths.grow([&sample].into_iter(), &reader);
        let line = words(&sample, &widths, Look::PLAIN, &reader);
        assert_eq!(line, "12:00:00.250  a/b  x\\ny\\u{001b}[2J degC  Good");
    }

    #[test]
    fn lines_stand_below_each_other_and_end_at_the_edge_of_a_terminal() {
        let reader = Reader { zone: jiff::tz::TimeZone::UTC, ..Reader::here() };
        let sample = |tag: &str, value: Value| {
            json!({"tag": tag, "value": value, "unit": "", "quality": "Good",
                "received_ts": "2026-06-30T12:00:00Z"})
        };
        let samples = [
            sample("a", json!(1.5)),
            sample("a/b", json!(600)),
            sample("c", json!([1.0, 2.0, 3.0, 4.0])),
        ];
        let mut widths = Widths::default();
        widths.grow(samples.iter(), &reader);
        let look = Look { columns: Some(34), ..Look::PLAIN };
        let lines = samples.each_ref().map(|one| words(one, &widths, look, &reader));
        let at = "12:00:00.000";
        assert_eq!(lines[0], format!("{at}  a    1.5   Good"));
        assert_eq!(lines[1], format!("{at}  a/b  600   Good"));
        assert_eq!(lines[2], format!("{at}  c    1.0, 2.0, 3...."));
        assert_eq!(lines[2].chars().count(), 34);
    }
}
