//! `otctl discover`: what could be read on an endpoint, as a table and as a file of tags.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Map, Value, json};

use super::client::Session;
use super::exit::{Exit, Failure};
use super::wording::Wording;
use crate::model::counted;
use crate::surface::text::escaped;

/// The tool that walks.
pub(super) const TOOL: &str = "endpoint_discover";
/// Tags of one page.
const PAGE: u32 = 500;
/// Pages of one walk: the tool walks 10 000 nodes at most.
const PAGES_MAX: usize = 21;

/// What is asked for.
#[derive(Debug)]
pub(super) struct Discovery {
    endpoint: Option<String>,
    root: Option<String>,
    standard: bool,
    csv: Option<PathBuf>,
    force: bool,
}

/// Makes the command.
pub(super) fn command() -> Command {
    Command::new("discover")
        .about("Finds what could be read on an endpoint, and writes it as tags")
        .arg(Arg::new("endpoint").help("The endpoint; may be left out where there is only one"))
        .arg(Arg::new("root").long("root").value_name("ID").help("Where to start"))
        .arg(
            Arg::new("standard")
                .long("standard")
                .action(ArgAction::SetTrue)
                .help("Lists the nodes that the protocol's standard defines too"),
        )
        .arg(
            Arg::new("csv")
                .long("csv")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Writes the tags as a file that tags_csv takes"),
        )
        .arg(
            Arg::new("force")
                .long("force")
                .action(ArgAction::SetTrue)
                .help("Overwrites FILE where it is there already"),
        )
}

/// Reads its arguments.
pub(super) fn parse(matches: &ArgMatches) -> Discovery {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    Discovery {
        endpoint: text("endpoint"),
        root: text("root"),
        standard: matches.get_flag("standard"),
        csv: matches.get_one::<PathBuf>("csv").cloned(),
        force: matches.get_flag("force"),
    }
}

/// Walks page by page, and gives one answer.
pub(super) async fn discover(
    session: &Session,
    what: &Discovery,
    within: Duration,
    wording: &Wording,
) -> Result<Value, Failure> {
    if let Some(path) = what.csv.as_deref().filter(|path| !what.force && path.exists()) {
        return Err(Failure::new(Exit::Usage, format!("{} is there already", path.display()))
            .hint("nothing was asked; --force overwrites it"));
    }
    let mut arguments = Map::new();
    arguments.insert("limit".into(), json!(PAGE));
    arguments.insert("standard".into(), json!(what.standard));
    for (name, value) in [("endpoint", &what.endpoint), ("root", &what.root)] {
        if let Some(value) = value {
            arguments.insert(name.into(), json!(value));
        }
    }
    let mut answer = session.call(TOOL, arguments.clone(), within).await?;
    for _ in 0..PAGES_MAX {
        let cursor = answer.get("cursor").cloned().unwrap_or(Value::Null);
        if cursor.is_null() {
            break;
        }
        arguments.insert("cursor".into(), cursor);
        let page = session.call(TOOL, arguments.clone(), within).await?;
        join(&mut answer, page);
    }
    if let Some(map) = answer.as_object_mut() {
        map.shift_remove("cursor");
    }
    if let Some(path) = &what.csv {
        let reload = wording.text("otctl collector reload");
        write(path, &answer, what.force, &reload)?;
    }
    Ok(answer)
}

/// Adds a later page to what is there.
fn join(answer: &mut Value, mut page: Value) {
    let more = page.get_mut("tags").and_then(Value::as_array_mut).map(std::mem::take);
    if let (Some(tags), Some(more)) = (answer.get_mut("tags").and_then(Value::as_array_mut), more) {
        tags.extend(more);
    }
    if let Some(cursor) = answer.get_mut("cursor") {
        *cursor = page.get_mut("cursor").map_or(Value::Null, Value::take);
    }
}

/// Writes the tags in the columns that the configuration reads.
fn write(path: &Path, answer: &Value, force: bool, reload: &str) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        Failure::new(Exit::Usage, format!("{} can't be written: {error}", path.display()))
    };
    let tags = answer.get("tags").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut open = OpenOptions::new();
    open.write(true).create_new(!force).create(force).truncate(force);
    let mut file = open.open(path).map_err(failed)?;
    file.write_all(&table(tags)?).and_then(|()| file.sync_all()).map_err(failed)?;
    let name = answer.get("endpoint").and_then(Value::as_str).unwrap_or_default();
    eprintln!(
        "wrote {} to {}; take out what you don't need, then set tags_csv = {:?} at endpoint \
         {} and run {reload}",
        counted(tags.len(), "tag"),
        path.display(),
        path.display().to_string(),
        escaped(name),
    );
    Ok(())
}

fn table(tags: &[Value]) -> Result<Vec<u8>, Failure> {
    let failed = |error: csv::Error| Failure::new(Exit::Usage, error.to_string());
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record(["name", "ref"]).map_err(failed)?;
    for tag in tags {
        let text = |key: &str| tag.get(key).and_then(Value::as_str).unwrap_or_default();
        out.write_record([text("name"), text("ref")]).map_err(failed)?;
    }
    out.into_inner().map_err(|error| Failure::new(Exit::Usage, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_become_one_answer() {
        let mut answer = json!({"tags": [{"name": "a", "ref": "1"}], "cursor": 1});
        join(&mut answer, json!({"tags": [{"name": "b", "ref": "2,\"x\""}], "cursor": null}));
        assert_eq!(answer["tags"].as_array().unwrap().len(), 2);
        assert!(answer["cursor"].is_null());
        let csv = table(answer["tags"].as_array().unwrap()).unwrap();
        assert_eq!(String::from_utf8(csv).unwrap(), "name,ref\na,1\nb,\"2,\"\"x\"\"\"\n");
    }

    #[test]
    fn a_file_that_is_there_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tags.csv");
        let answer = json!({"endpoint": "e", "tags": []});
        write(&path, &answer, false, "").unwrap();
        assert!(write(&path, &answer, false, "").is_err());
        write(&path, &answer, true, "").unwrap();
    }
}
