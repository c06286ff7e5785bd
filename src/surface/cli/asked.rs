//! What a command line of `otctl` may say, and what it asks for.

use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Map, Value, json};

use super::discover::{self, Discovery};
use super::exit::{Exit, Failure};
use super::names::{Shown, names_of};
use super::people::{self, Task};
use super::{certificate, finding, nouns, plot, replay};
use crate::surface::nearest::nearest;
use crate::surface::render::Output;
use crate::tools::{Audience, ToolDef};

/// How long a tool may take that this program does not know.
const ALLOWANCE: Duration = Duration::from_secs(10);
/// Arguments read from stdin: what one line of the wire takes.
const ARGUMENTS_BYTES_MAX: u64 = 1 << 20;

/// What the command line asks for.
#[derive(Debug)]
pub(super) enum Asked {
    Call {
        name: &'static str,
        audience: Audience,
        /// How long it may take.
        within: Duration,
        arguments: Map<String, Value>,
    },
    Tail {
        pattern: String,
        polls: Option<u32>,
    },
    Trust {
        fingerprint: String,
    },
    Task(Task),
    Plot {
        tag: String,
        since: String,
    },
    /// The list of findings, followed.
    Watch {
        arguments: Map<String, Value>,
    },
    Discover {
        what: Discovery,
        /// How long each page may take.
        within: Duration,
    },
    /// Labelled files are played here; no collector is asked.
    Replay(replay::Question),
}

impl Asked {
    /// Tells whether bytes are asked for, where no other form is.
    pub(super) fn wants_der(&self) -> bool {
        matches!(self, Self::Call { name, arguments, .. }
            if *name == certificate::OWN && arguments.get("der") == Some(&Value::Bool(true)))
    }
}

/// Makes the whole command, arguments of a tool only once it is named.
pub(super) fn command(tools: &'static [ToolDef]) -> Command {
    let state = Arg::new("ot-state").long("state").value_name("DIR").global(true);
    let output = Arg::new("ot-output").short('o').long("output").global(true);
    let fail_on = Arg::new("ot-fail-on").long("fail-on").value_name("WORD").global(true);
    let mut root = Command::new("otctl")
        .version(super::VERSION)
        .about(
            "Asks a running collector. Exit codes: 0 ok, 1 finding, 2 usage, 3 unreachable, \
                4 denied, 5 partial",
        )
        .arg_required_else_help(true)
        .subcommand_required(true)
        .arg(state.value_parser(value_parser!(PathBuf)).help("The collector's state directory"))
        .arg(
            output
                .value_parser(clap::builder::EnumValueParser::<Output>::new())
                .default_value("table")
                .help("How the answer is written"),
        )
        .arg(fail_on.value_delimiter(',').action(ArgAction::Append).help(
            "Exit with 1 where the answer has this verdict, status or severity; `finding` is any",
        ))
        .subcommand(Command::new("status").about("The whole plant on one screen, worst first"))
        .subcommand(
            Command::new("tail")
                .about("Prints samples as they come, until interrupted")
                .arg(Arg::new("pattern").required(true).help("Tags, such as site/line1/**"))
                .arg(Arg::new("polls").long("polls").hide(true).value_parser(value_parser!(u32))),
        )
        .subcommand(discover::command())
        .subcommand(finding::why_command())
        .subcommand(plot::command())
        .subcommand(
            Command::new("call")
                .about("Calls any tool by its name, with JSON arguments")
                .arg(Arg::new("tool").required(true).help("Its name, such as tag_read"))
                .arg(
                    Arg::new("json")
                        .long("json")
                        .value_name("ARGS")
                        .default_value("{}")
                        .help("The arguments as a JSON object; - reads them from stdin"),
                ),
        );
    let mut nouns: Vec<(&str, Command)> = Vec::new();
    for name in tools.iter().flat_map(names_of) {
        let verb = Command::new(name.verb).about(name.tool.title).hide(name.shown == Shown::No);
        let verb = verb.defer(match name.tool.name {
            certificate::TRUST => certificate::trust_arguments,
            finding::LIST => finding::list_arguments,
            _ => name.tool.arguments,
        });
        let at = nouns.iter().position(|(noun, _)| *noun == name.noun);
        let noun = match at {
            Some(at) => nouns.remove(at).1,
            None => Command::new(name.noun)
                .about(nouns::about(name.noun))
                .subcommand_required(true)
                .arg_required_else_help(true),
        };
        nouns.insert(at.unwrap_or(nouns.len()), (name.noun, noun.subcommand(verb)));
    }
    for (name, mut noun) in nouns {
        if name == replay::NOUN {
            noun = noun.subcommand(replay::command());
        }
        // A noun whose verbs are all other names is itself one.
        let noun = people::extend(noun.get_name().to_owned().as_str(), noun);
        let is_other = noun.get_subcommands().all(Command::is_hide_set);
        root = root.subcommand(noun.hide(is_other));
    }
    root
}

/// Reads what the command line asks for.
pub(super) fn asked(tools: &'static [ToolDef], matches: &ArgMatches) -> Result<Asked, Failure> {
    let usage = |message: String| Failure::new(Exit::Usage, message);
    let (noun, rest) = matches.subcommand().ok_or_else(|| usage("no command".into()))?;
    match noun {
        "status" => Ok(call(tools, "plant_overview", Map::new())),
        "tail" => {
            let pattern = rest.get_one::<String>("pattern").cloned().unwrap_or_default();
            Ok(Asked::Tail { pattern, polls: rest.get_one("polls").copied() })
        }
        "why" => {
            let tag = rest.get_one::<String>("tag").cloned().unwrap_or_default();
            Ok(call(tools, "tag_why", Map::from_iter([("tag".to_owned(), Value::from(tag))])))
        }
        "plot" => {
            let text = |name: &str| rest.get_one::<String>(name).cloned().unwrap_or_default();
            Ok(Asked::Plot { tag: text("tag"), since: text("since") })
        }
        "discover" => {
            let within = allowance(tools, discover::TOOL, &json!({}));
            Ok(Asked::Discover { what: discover::parse(rest), within })
        }
        "call" => {
            let name = rest.get_one::<String>("tool").map(String::as_str).unwrap_or_default();
            let tool = tools.iter().find(|tool| tool.name == name);
            let name = tool.map(|tool| tool.name).ok_or_else(|| {
                let near = nearest(name, tools.iter().map(|tool| tool.name)).join(" or ");
                usage(format!("no tool is called {name:?}")).hint(match near.as_str() {
                    "" => "tools are called like their commands: tag_read is otctl tag read".into(),
                    near => format!("did you mean {near}?"),
                })
            })?;
            let json = rest.get_one::<String>("json").map(String::as_str).unwrap_or_default();
            Ok(call(tools, name, arguments(json)?))
        }
        noun => {
            let (verb, rest) = rest.subcommand().ok_or_else(|| usage("no verb".into()))?;
            if let Some(task) = people::task(noun, verb, rest)? {
                return Ok(Asked::Task(task));
            }
            if (noun, verb) == (replay::NOUN, replay::VERB) {
                return Ok(Asked::Replay(replay::question(rest)));
            }
            let mut names = tools.iter().flat_map(names_of);
            let found = names.find(|name| name.noun == noun && name.verb == verb);
            let tool = found.ok_or_else(|| usage(format!("no command {noun} {verb}")))?.tool;
            if tool.name == certificate::TRUST && !rest.contains_id("confirm") {
                let fingerprint = rest.get_one::<String>("fingerprint").cloned();
                return Ok(Asked::Trust { fingerprint: fingerprint.unwrap_or_default() });
            }
            let parsed = (tool.parse)(rest).map_err(|error| usage(error.to_string()))?;
            let mut arguments = object(parsed).ok_or_else(|| usage("no arguments".into()))?;
            // What was not given is left to the tool.
            arguments.retain(|_, value| !value.is_null());
            if tool.name == finding::LIST && rest.get_flag("watch") {
                return Ok(Asked::Watch { arguments });
            }
            Ok(call(tools, tool.name, arguments))
        }
    }
}

fn call(tools: &[ToolDef], name: &'static str, arguments: Map<String, Value>) -> Asked {
    let tool = tools.iter().find(|tool| tool.name == name);
    let audience = tool.map_or(Audience::Everyone, |tool| tool.audience);
    let as_json = Value::Object(arguments);
    let within = allowance(tools, name, &as_json);
    let arguments = object(as_json).unwrap_or_default();
    Asked::Call { name, audience, within, arguments }
}

/// Tells how long a tool may take over these arguments.
fn allowance(tools: &[ToolDef], name: &str, arguments: &Value) -> Duration {
    let tool = tools.iter().find(|tool| tool.name == name);
    tool.map_or(ALLOWANCE, |tool| (tool.allowance)(arguments))
}

fn arguments(json: &str) -> Result<Map<String, Value>, Failure> {
    let usage = |error: String| {
        Failure::new(Exit::Usage, format!("--json: {error}"))
            .hint("an object is wanted, such as {\"tags\": [\"a/b\"]}")
    };
    let text = if json == "-" {
        let mut text = String::new();
        let read = io::stdin().take(ARGUMENTS_BYTES_MAX).read_to_string(&mut text);
        read.map_err(|error| usage(error.to_string()))?;
        text
    } else {
        json.to_owned()
    };
    let value: Value = serde_json::from_str(&text).map_err(|error| usage(error.to_string()))?;
    object(value).ok_or_else(|| usage("not an object".into()))
}

fn object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(map) => Some(map),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::surface::testing::TEST_TOOLS;
    use crate::tools::TOOLS;

    fn asked_by(line: &str) -> (String, Value) {
        let words = line.split_whitespace();
        let matches = command(TEST_TOOLS).try_get_matches_from(words).unwrap();
        match asked(TEST_TOOLS, &matches).unwrap() {
            Asked::Call { name, arguments, .. } => (name.to_owned(), Value::Object(arguments)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_noun_that_help_shows_says_what_it_is_about() {
        let root = command(TOOLS);
        for noun in root.get_subcommands().filter(|noun| !noun.is_hide_set()) {
            assert!(noun.get_about().is_some(), "{}", noun.get_name());
        }
    }

    #[test]
    fn every_tool_is_a_command_by_both_its_names() {
        for tools in [TOOLS, TEST_TOOLS] {
            command(tools).debug_assert();
            let mut names: Vec<(&str, String)> =
                tools.iter().flat_map(names_of).map(|name| (name.noun, name.verb)).collect();
            let count = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), count, "two tools share a command");
            assert!(
                !names
                    .iter()
                    .any(|(noun, _)| ["status", "tail", "why", "plot", "call"].contains(noun))
            );
        }
        assert_eq!(asked_by("otctl mb try"), ("modbus_test".into(), json!({})));
        assert_eq!(asked_by("otctl modbus test"), ("modbus_test".into(), json!({})));
    }

    #[test]
    fn arguments_become_what_mcp_would_carry() {
        let want = ("test_echo".to_owned(), json!({"text": "hi", "count": 2}));
        assert_eq!(asked_by("otctl -o json test echo hi --count 2"), want);
        let want = ("test_echo".to_owned(), json!({"text": "hi"}));
        assert_eq!(asked_by("otctl test echo hi -o csv"), want);
        let want = ("test_echo".to_owned(), json!({"a": 1}));
        assert_eq!(asked_by(r#"otctl call test_echo --json {"a":1}"#), want);
        assert_eq!(asked_by("otctl status").0, "plant_overview");
    }

    #[test]
    fn an_unknown_tool_is_answered_with_near_names() {
        let asked = |name: &str| {
            let line = ["otctl", "call", name];
            let matches = command(TEST_TOOLS).try_get_matches_from(line).unwrap();
            asked(TEST_TOOLS, &matches).unwrap_err()
        };
        let near = asked("test_ecko");
        assert_eq!(near.exit, Exit::Usage);
        assert!(near.hint.unwrap().starts_with("did you mean test_echo"));
        assert!(asked("zzzz").hint.unwrap().contains("tag_read"));
    }

    #[test]
    fn trust_without_confirmation_is_asked_for_and_der_is_bytes() {
        let asked = |line: &str| {
            let matches = command(TOOLS).try_get_matches_from(line.split_whitespace()).unwrap();
            asked(TOOLS, &matches).unwrap()
        };
        assert!(matches!(asked("otctl cert trust a1b2c3d4"),
            Asked::Trust { fingerprint } if fingerprint == "a1b2c3d4"));
        assert!(matches!(
            asked("otctl cert trust a1b2c3d4 --confirm 01020304"),
            Asked::Call { name: "cert_trust", .. }
        ));
        assert!(asked("otctl cert own --der").wants_der());
        assert!(!asked("otctl cert own").wants_der());
    }

    #[test]
    fn wrong_json_is_a_usage_error() {
        for wrong in ["[1]", "{", "7"] {
            assert_eq!(arguments(wrong).unwrap_err().exit, Exit::Usage);
        }
    }
}
