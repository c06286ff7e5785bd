//! `ot-aiops`: runs a collector, or pumps MCP to one.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use serde_json::{Value, json};
use tokio::runtime::Builder;

use super::doctor::{self, Doctor};
use super::exit::{Failure, say};
use super::import::{self, Import};
use super::init::{self, Init};
use super::names::begins_command;
use super::secret::{self, SecretWhat, Where};
use super::talk::Talk;
use super::wording::{Wording, quoted};
use crate::actors::Plant;
use crate::config::{self, Severity, Sources};
use crate::driver::Protocol;
use crate::surface::bridge::{BridgeError, BridgeOptions, Starting, pump};
use crate::surface::log;
use crate::surface::mcp::Toolset;
use crate::surface::nearest::nearest;
use crate::surface::render::{Look, Reader, markdown, table};
use crate::surface::run::{self, RunOptions};
use crate::surface::state::StateDir;

/// A tap into a plant's control systems, for agents and plant engineers.
#[derive(Debug, Parser)]
#[command(name = "ot-aiops", version = super::VERSION, arg_required_else_help = true)]
struct Line {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Runs the collector in the foreground.
    Run {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// The state directory.
        #[arg(long, value_name = "DIR")]
        state: Option<PathBuf>,
        /// Ends this many seconds after the last session.
        #[arg(long, value_name = "S")]
        exit_idle: Option<u32>,
        /// Reads the secret store's master password from this file descriptor.
        #[arg(long, value_name = "N")]
        master_fd: Option<u32>,
        /// Writes the log to a file of bounded size instead of stderr.
        #[arg(long, value_name = "FILE", hide = true)]
        log: Option<PathBuf>,
    },
    /// Runs a collector and a simulated plant in one process.
    Demo {
        /// The state directory.
        #[arg(long, value_name = "DIR")]
        state: Option<PathBuf>,
        /// Faults to begin with; `list` names them.
        #[arg(long, value_name = "NAME")]
        fault: Vec<String>,
    },
    /// Speaks MCP on stdio, pumped to the collector that owns the state directory.
    Mcp {
        /// The configuration of the collector, if one must be started.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// The state directory.
        #[arg(long, value_name = "DIR")]
        state: Option<PathBuf>,
        /// Never starts a collector.
        #[arg(long)]
        attach: bool,
        /// Which tools are listed: auto, core, all, or names of tools and nouns.
        #[arg(long, value_name = "SET", default_value = "auto")]
        toolset: Toolset,
    },
    /// Looks at the configuration.
    #[command(subcommand)]
    Config(ConfigWhat),
    /// Sets up endpoints by question and answer, each proved before it is saved.
    Init(Init),
    /// Checks the set-up, then each endpoint live; exits with 1 on any fault.
    Doctor(Doctor),
    /// Keeps passwords of endpoints, sealed under a master password.
    #[command(subcommand)]
    Secret(SecretWhat),
    /// Lists the protocols, or shows the page of one; as Markdown where it goes into a pipe.
    Protocols {
        /// Its name.
        name: Option<String>,
    },
    #[command(external_subcommand)]
    Other(Vec<String>),
}

#[derive(Debug, Subcommand)]
enum ConfigWhat {
    /// Checks it without asking any device; exits with 1 on any fault.
    Check {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// The state directory.
        #[arg(long, value_name = "DIR")]
        state: Option<PathBuf>,
    },
    /// Takes over a configuration of ot-aiops 0.1, with the secret store beside it.
    Import(Import),
}

/// Runs the simulated plant in a state directory, with these faults.
pub type RunDemo = fn(Option<&Path>, &[String]) -> ExitCode;

/// What this build is made of.
#[derive(Clone, Copy)]
pub struct Build {
    /// Its protocols.
    pub protocols: &'static [Protocol],
    /// The simulated plant; `None` in builds without it.
    pub demo: Option<RunDemo>,
}

/// Runs the command line of this process.
#[must_use]
pub fn main(build: Build) -> ExitCode {
    match Line::parse().command {
        What::Run { config, state, exit_idle, master_fd, log } => {
            let at = Where { state, master_fd };
            run(build, config.as_deref(), &at, exit_idle, log.as_deref())
        }
        What::Demo { state, fault } => match build.demo {
            Some(demo) => demo(state.as_deref(), &fault),
            None => failed(2, "this build has no simulated plant: build with the feature `demo`"),
        },
        What::Mcp { config, state, attach, toolset } => {
            mcp(config.as_deref(), state.as_deref(), attach, toolset)
        }
        What::Config(ConfigWhat::Check { config, state }) => {
            check(build, config.as_deref(), state.as_deref())
        }
        What::Config(ConfigWhat::Import(what)) => {
            ended(import::run(build.protocols, &what), &what.at.wording())
        }
        What::Init(what) => ended(init::run(build.protocols, &what), &what.at.wording()),
        What::Doctor(what) => match doctor::run(build.protocols, &what) {
            Ok(code) => code,
            Err(failure) => ended(Err(failure), &what.at.wording()),
        },
        What::Secret(what) => {
            let wording = what.at().wording();
            ended(secret::run(what, &wording), &wording)
        }
        What::Protocols { name } => protocols(build.protocols, name.as_deref()),
        What::Other(words) => failed(2, &elsewhere(&words)),
    }
}

fn failed(code: u8, message: &str) -> ExitCode {
    say("error", message);
    ExitCode::from(code)
}

fn ended(done: Result<(), Failure>, wording: &Wording) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report(wording);
            failure.exit.into()
        }
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn run(
    build: Build,
    config: Option<&Path>,
    at: &Where,
    exit_idle: Option<u32>,
    log: Option<&Path>,
) -> ExitCode {
    let state = match StateDir::find(at.state.as_deref()) {
        Ok(state) => state,
        Err(error) => return failed(2, &error.to_string()),
    };
    let master = match Talk::on_stdio(at.master_fd).master_where_needed(state.path()) {
        Ok(master) => master,
        Err(failure) => return ended(Err(failure), &at.wording()),
    };
    if let Err(error) = log::start(log) {
        return failed(2, &format!("the log can't be written: {error}"));
    }
    run::run(RunOptions {
        config: config::find(config, &environment),
        state,
        exit_idle: exit_idle.map(|seconds| Duration::from_secs(seconds.into())),
        plant: Plant::Real,
        protocols: build.protocols,
        master,
    })
}

fn mcp(config: Option<&Path>, state: Option<&Path>, attach: bool, toolset: Toolset) -> ExitCode {
    let state = match StateDir::find(state) {
        Ok(state) => state,
        Err(error) => return failed(2, &error.to_string()),
    };
    let starting = if attach {
        Starting::Attach
    } else {
        let program = match std::env::current_exe() {
            Ok(program) => program,
            Err(error) => return failed(2, &format!("this program can't be found: {error}")),
        };
        let config = config::find(config, &environment);
        let config = config.map(|path| std::path::absolute(&path).unwrap_or(path));
        Starting::Start { program, config }
    };
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(2, &error.to_string()),
    };
    let options = BridgeOptions { state, starting, toolset };
    let pumped = runtime.block_on(pump(options, tokio::io::stdin(), tokio::io::stdout()));
    // A read of stdin that is under way in its own thread would hold up the end.
    runtime.shutdown_background();
    match pumped {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ BridgeError::Unreachable { .. }) => failed(3, &error.to_string()),
        Err(error @ BridgeError::Denied { .. }) => failed(4, &error.to_string()),
    }
}

fn check(build: Build, config: Option<&Path>, state: Option<&Path>) -> ExitCode {
    let path = config::find(config, &environment);
    let wording = Wording::new(state);
    let state = StateDir::find(state).unwrap_or_else(|_| StateDir::at("."));
    let master = match Talk::on_stdio(None).master_where_needed(state.path()) {
        Ok(master) => master,
        Err(failure) => return ended(Err(failure), &wording),
    };
    let sources = Sources {
        protocols: build.protocols,
        env: &environment,
        state_dir: state.path(),
        master: master.as_ref(),
    };
    let loaded = match config::load(path.as_deref(), sources) {
        Ok(loaded) => loaded,
        Err(problems) => {
            problems.iter().for_each(|problem| say("error", &wording.text(&problem.to_string())));
            return ExitCode::from(1);
        }
    };
    for problem in &loaded.problems {
        let word = match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        say(word, &wording.text(&problem.to_string()));
    }
    let plan: Vec<Value> = config::check(&loaded, build.protocols)
        .into_iter()
        .flat_map(|endpoint| {
            endpoint.scan_classes.clone().into_iter().map(move |class| {
                json!({
                    "endpoint": endpoint.endpoint,
                    "tags": class.tags,
                    "requests": class.requests,
                    "scan_ms": class.scan_ms,
                    "real_scan_ms": class.real_scan_ms,
                    "needs_per_s": (endpoint.requests_per_s_needed * 100.0).round() / 100.0,
                    "budget_per_s": endpoint.budget_requests_per_s,
                })
            })
        })
        .collect();
    print!("{}", table(&json!({ "scan_plan": plan }), Look::of_stdout(), &Reader::here()));
    let is_faulty = loaded.problems.iter().any(|problem| problem.severity == Severity::Error);
    ExitCode::from(u8::from(is_faulty))
}

fn protocols(protocols: &[Protocol], name: Option<&str>) -> ExitCode {
    let Some(name) = name else {
        let rows: Vec<Value> = protocols
            .iter()
            .map(|p| json!({"name": p.name, "title": p.title, "transport": p.transport}))
            .collect();
        print!("{}", table(&json!({ "protocols": rows }), Look::of_stdout(), &Reader::here()));
        return ExitCode::SUCCESS;
    };
    match protocols.iter().find(|protocol| protocol.name == name) {
        Some(protocol) => {
            let (readme, sample) = (protocol.readme.trim_end(), protocol.sample.trim_end());
            match Look::of_stdout() {
                // A pipe gets the page as it is written.
                Look { columns: None, .. } => println!("{readme}\n\n{sample}"),
                look => print!("{}\nA SAMPLE\n{sample}\n", markdown(readme, look)),
            }
            ExitCode::SUCCESS
        }
        None => {
            let near = nearest(name, protocols.iter().map(|protocol| protocol.name));
            let known: Vec<&str> = protocols.iter().map(|protocol| protocol.name).collect();
            let near = near.first().map_or(String::new(), |name| format!(" did you mean {name}?"));
            failed(2, &format!("no protocol {name:?};{near} there are: {}", known.join(", ")))
        }
    }
}

/// Says where a command stands that is not ours: the tools are `otctl`'s.
fn elsewhere(words: &[String]) -> String {
    let noun = words.first().map(String::as_str).unwrap_or_default();
    if begins_command(noun) {
        let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        return format!("tools are asked with otctl: otctl {}", words.join(" "));
    }
    let ours = ["run", "demo", "mcp", "config", "init", "doctor", "protocols", "secret"];
    let near = nearest(noun, ours.into_iter());
    let near = near.first().map_or(String::new(), |name| format!("; did you mean {name}?"));
    format!("no command {noun:?}{near} (see ot-aiops --help)")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn words(line: &[&str]) -> Vec<String> {
        line.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn the_command_line_is_sound() {
        Line::command().debug_assert();
    }

    #[test]
    fn a_tools_command_is_answered_with_the_line_to_use() {
        let answer = elsewhere(&words(&["call", "opcua_read_node", "--json", r#"{"a":"it's"}"#]));
        let want = r#"otctl call opcua_read_node --json '{"a":"it'\''s"}'"#;
        assert!(answer.ends_with(want), "{answer}");
        assert!(elsewhere(&words(&["rum"])).contains("did you mean run?"));
    }

    #[test]
    fn the_toolset_is_checked_where_it_is_given() {
        let parsed = Line::try_parse_from(["ot-aiops", "mcp", "--toolset", "nonsense"]);
        assert!(parsed.unwrap_err().to_string().contains("no tool or noun"));
    }
}
