//! `ot-aiops doctor`: what is wrong with this collector's set-up, and what mends it.
//!
//! First what needs no device, then each endpoint live: through the collector where one runs.

mod certificates;
mod files;
mod live;
mod offline;
mod writes;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::exit::{Exit, Failure};
use super::secret::Where;
use super::talk::Talk;
use crate::clock;
use crate::config::{self, Config, Problem, Sources};
use crate::driver::Protocol;
use crate::model::{Secret, Timestamp};
use crate::surface::render::{Look, Output, Reader, render};
use crate::surface::state::StateDir;
use crate::tools::setup::{Check, Verdict};

/// What to check.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Asks no device.
    #[arg(long)]
    skip_probe: bool,
    /// How the report is written.
    #[arg(short, long, default_value = "table")]
    output: Output,
    #[command(flatten)]
    pub(super) at: Where,
}

/// What every check may look at.
pub(super) struct Facts {
    pub(super) protocols: &'static [Protocol],
    /// The configuration's file; `None` where there is none.
    pub(super) path: Option<PathBuf>,
    /// What was read of it, or why nothing could be.
    pub(super) config: Result<Config, Vec<Problem>>,
    pub(super) state: StateDir,
    pub(super) master: Option<Secret>,
    pub(super) now: Timestamp,
}

/// One check of one subject: an endpoint, or a part of the set-up.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) subject: String,
    pub(super) check: Check,
}

impl Row {
    pub(super) fn new(subject: &str, check: Check) -> Self {
        Self { subject: subject.to_owned(), check }
    }
}

/// A check that needs no device.
type Offline = fn(&Facts) -> Vec<Row>;

/// The checks that need no device, in the order of the report. A rule about who may do what, such
/// as the separation of writing, is one more line here.
const OFFLINE: &[Offline] = &[
    offline::configuration,
    offline::secrets,
    files::state,
    certificates::trusted,
    certificates::named_by_settings,
    offline::budgets,
    writes::policy,
];

/// Checks, and says so; the exit code is 1 where there is a fault.
pub(super) fn run(protocols: &'static [Protocol], what: &Doctor) -> Result<ExitCode, Failure> {
    let usage = |text: String| Failure::new(Exit::Usage, text);
    let state = StateDir::find(what.at.state.as_deref()).map_err(|e| usage(e.to_string()))?;
    let master = Talk::on_stdio(what.at.master_fd).master_where_needed(state.path())?;
    let env = |name: &str| std::env::var(name).ok();
    let path = config::find(what.config.as_deref(), &env);
    let sources =
        Sources { protocols, env: &env, state_dir: state.path(), master: master.as_ref() };
    let config = config::load(path.as_deref(), sources);
    let facts = Facts { protocols, path, config, state, master, now: clock::now() };
    let mut rows: Vec<Row> = OFFLINE.iter().flat_map(|check| check(&facts)).collect();
    if !what.skip_probe {
        rows.extend(live::probe(&facts)?);
    }
    let report = match what.output {
        Output::Table | Output::Wide => what.at.wording().answer(&report(&rows)),
        Output::Json | Output::Jsonl | Output::Csv => report(&rows),
    };
    print!("{}", render(&report, what.output, Look::of_stdout(), &Reader::here()));
    let is_faulty = rows.iter().any(|row| row.check.verdict == Verdict::Fault);
    Ok(ExitCode::from(u8::from(is_faulty)))
}

fn report(rows: &[Row]) -> Value {
    let count = |verdict: Verdict| rows.iter().filter(|row| row.check.verdict == verdict).count();
    let list: Vec<Value> = rows
        .iter()
        .map(|Row { subject, check }| {
            json!({
                "subject": subject,
                "check": check.check,
                "verdict": check.verdict,
                "detail": check.detail,
                "fix": check.fix,
            })
        })
        .collect();
    json!({
        "faults": count(Verdict::Fault),
        "warnings": count(Verdict::Warning),
        "checks": list,
    })
}
