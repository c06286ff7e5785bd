//! What `otctl finding` does beyond calling its tools: it follows the list, and plots evidence.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use clap::{Arg, ArgAction, Command};
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::client::Session;
use super::exit::{Exit, Failure};
use super::plot;
use crate::surface::render::{Look, Output, Reader, cell, csv_record, render, wrapped};
use crate::tools::TOOLS;

/// The tool that lists.
pub(super) const LIST: &str = "finding_list";
/// The tool that shows one.
pub(super) const SHOW: &str = "finding_show";
/// What listing may take.
const WITHIN: Duration = Duration::from_secs(10);
/// How often the list is looked at: a finding lasts longer.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Findings of one page.
const PAGE: u32 = 80;

/// Makes the short form of `tag_why`.
pub(super) fn why_command() -> Command {
    Command::new("why")
        .about("Says why a tag is as it is: every step of its way, the first broken one")
        .arg(Arg::new("tag").required(true).help("Its name"))
}

/// Adds the arguments of the tool that lists, and the one that follows it.
pub(super) fn list_arguments(command: Command) -> Command {
    let tool = TOOLS.iter().find(|tool| tool.name == LIST);
    let command = match tool {
        Some(tool) => (tool.arguments)(command),
        None => command,
    };
    command.arg(
        Arg::new("watch")
            .long("watch")
            .action(ArgAction::SetTrue)
            .help("Prints each opening and closing as it comes, until interrupted"),
    )
}

/// How a finding may stand, in the words of the tool.
const STATES: [&str; 3] = ["open", "shelved", "suppressed"];

/// Prints what is open, then each change, until interrupted.
pub(super) async fn watch(
    session: &Session,
    arguments: &Map<String, Value>,
    output: Output,
) -> Result<(), Failure> {
    if output == Output::Csv {
        writeln!(io::stdout(), "{}", COLUMNS.join(",")).map_err(closed)?;
    }
    let mut known: BTreeMap<String, Value> = BTreeMap::new();
    // Only what is read by people is broken into lines.
    let look = match output {
        Output::Table => Look::of_stdout(),
        _ => Look::PLAIN,
    };
    loop {
        let now = all(session, arguments).await?;
        let opened = now.iter().filter(|(id, _)| !known.contains_key(*id));
        let gone: Vec<_> = known.iter().filter(|(id, _)| !now.contains_key(*id)).collect();
        // What left the list may have been laid aside: it is not over.
        let lasting = if gone.is_empty() { BTreeMap::new() } else { lasting(session).await? };
        let left = gone.into_iter().map(|(id, one)| match lasting.get(id) {
            Some(state) => (*state, one),
            None => ("closed", one),
        });
        let reader = Reader::here();
        let mut out = io::stdout().lock();
        let changes = opened.map(|(_, one)| (None, one)).chain(left.map(|(s, one)| (Some(s), one)));
        for (state, finding) in changes {
            let mut finding = finding.clone();
            if let (Some(state), Some(fields)) = (state, finding.as_object_mut()) {
                fields.insert("state".into(), json!(state));
            }
            let line = wrapped(&line(&finding, output, &reader), look, 4);
            writeln!(out, "{line}").map_err(closed)?;
        }
        out.flush().map_err(closed)?;
        drop(out);
        known = now;
        sleep(LOOK_EVERY).await;
    }
}

/// Gives how each finding stands that is not over.
async fn lasting(session: &Session) -> Result<BTreeMap<String, &'static str>, Failure> {
    let mut lasting = BTreeMap::new();
    for state in STATES {
        let mut arguments = Map::new();
        arguments.insert("state".into(), json!(state));
        lasting.extend(all(session, &arguments).await?.into_keys().map(|id| (id, state)));
    }
    Ok(lasting)
}

/// Gives all findings of the list, page by page, by their names.
async fn all(
    session: &Session,
    arguments: &Map<String, Value>,
) -> Result<BTreeMap<String, Value>, Failure> {
    let mut found = BTreeMap::new();
    let mut cursor = Value::Null;
    loop {
        let mut arguments = arguments.clone();
        arguments.insert("limit".into(), json!(PAGE));
        if !cursor.is_null() {
            arguments.insert("cursor".into(), cursor);
        }
        let mut answer = session.call(LIST, arguments, WITHIN).await?;
        let items = answer.get_mut("findings").and_then(Value::as_array_mut);
        for finding in items.map(std::mem::take).into_iter().flatten() {
            let id = finding.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
            found.insert(id, finding);
        }
        cursor = answer.get("cursor").cloned().unwrap_or(Value::Null);
        if cursor.is_null() {
            return Ok(found);
        }
    }
}

/// The columns of a line, in order.
const COLUMNS: [&str; 7] = ["since", "state", "severity", "verdict", "tag", "endpoint", "id"];

fn line(finding: &Value, output: Output, reader: &Reader) -> String {
    let field = |name: &str| finding.get(name).cloned().unwrap_or(Value::Null);
    match output {
        Output::Json | Output::Jsonl => finding.to_string(),
        Output::Csv => csv_record(&COLUMNS.map(field)),
        Output::Table | Output::Wide => {
            let text = |name: &str| cell(name, &field(name), reader);
            let about = if field("tag").is_null() { text("endpoint") } else { text("tag") };
            let summary = finding.get("evidence").and_then(|e| e.get("summary"));
            format!(
                "{}  {:6}  {:6}  {:16}  {}  {}  {}",
                text("since"),
                text("state"),
                text("severity"),
                text("verdict"),
                text("id"),
                about,
                cell("summary", summary.unwrap_or(&Value::Null), reader)
            )
        }
    }
}

/// Writes one finding with its evidence plotted; other outputs get the answer as it is.
pub(super) fn page(answer: &Value, output: Output, look: Look, reader: &Reader) -> Option<String> {
    if !matches!(output, Output::Table | Output::Wide) {
        return None;
    }
    let mut facts = answer.clone();
    let fields = facts.as_object_mut()?;
    fields.shift_remove("points");
    let history = fields.shift_remove("history");
    // They are in the plot; other outputs name each.
    let evidence = facts.pointer_mut("/finding/evidence").and_then(Value::as_object_mut);
    evidence.map(|evidence| evidence.shift_remove("samples"));
    let plot = history.map(|history| plot::drawn(&history, look, reader) + "\n");
    let plot = plot.unwrap_or_default();
    Some(plot + &render(&facts, output, look, reader))
}

/// Whoever reads us has seen enough.
fn closed(error: io::Error) -> Failure {
    let exit = if error.kind() == io::ErrorKind::BrokenPipe { Exit::Fine } else { Exit::Usage };
    Failure::new(exit, format!("stdout: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_whatever_its_device_says() {
        let finding = json!({
            "id": "F-1", "tag": null, "endpoint": "plc", "verdict": "endpoint_down",
            "severity": "high", "state": "closed", "since": "2026-06-30T12:00:00Z",
            "evidence": {"summary": "refused\n\u{1b}[2J"}
        });
        let reader = Reader::here();
        let shown = line(&finding, Output::Table, &reader);
        assert!(shown.contains("F-1  plc  refused\\n\\u{001b}[2J"), "{shown}");
        let record = line(&finding, Output::Csv, &reader);
        assert_eq!(record, "2026-06-30T12:00:00Z,closed,high,endpoint_down,,plc,F-1");
        assert_eq!(line(&finding, Output::Jsonl, &reader), finding.to_string());
    }
}
