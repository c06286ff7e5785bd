//! The configuration, the secret store and the budgets.

use std::os::unix::fs::PermissionsExt;

use super::{Facts, Row};
use crate::config::secret::{MASTER_CHARS_MIN, SecretStore};
use crate::config::{self, Problem, Severity};
use crate::model::counted;
use crate::tools::setup::{Check, Verdict};

/// The bits of a mode that let others write.
const OTHERS_WRITE: u32 = 0o022;

/// Reads the configuration as the collector would.
pub(super) fn configuration(facts: &Facts) -> Vec<Row> {
    let row = |check: Check| Row::new("configuration", check);
    let Some(path) = &facts.path else {
        let none = Check::new("file", Verdict::Fault, "there is no configuration file");
        return vec![row(none.fix("ot-aiops init writes one"))];
    };
    let shown = path.display();
    let mut out = Vec::new();
    let mode = path.metadata().map_or(0, |facts| facts.permissions().mode());
    if mode & OTHERS_WRITE != 0 {
        let text = format!("{shown} may be written by others than its owner");
        out.push(
            row(Check::new("file", Verdict::Warning, text).fix(format!("chmod go-w {shown}"))),
        );
    }
    let problems = match &facts.config {
        Err(problems) => problems,
        Ok(config) => {
            let tags: usize = config.endpoints.iter().map(|spec| spec.tags.len()).sum();
            let text = format!(
                "{shown}: {}, {}",
                counted(config.endpoints.len(), "endpoint"),
                counted(tags, "tag")
            );
            out.push(row(Check::new("file", Verdict::Ok, text)));
            &config.problems
        }
    };
    out.extend(problems.iter().map(problem));
    out
}

fn problem(problem: &Problem) -> Row {
    let verdict = match problem.severity {
        Severity::Error => Verdict::Fault,
        Severity::Warning => Verdict::Warning,
    };
    let place = if problem.line > 0 { format!("line {}: ", problem.line) } else { String::new() };
    let name = problem.file.file_name().unwrap_or_default().to_string_lossy();
    let fix = match problem.hint.as_str() {
        "" => format!("correct {name}, then ot-aiops config check"),
        hint => hint.to_owned(),
    };
    let subject = problem.endpoint.as_deref().unwrap_or("configuration");
    let key = if problem.key.is_empty() { "file" } else { problem.key.as_str() };
    let detail = format!("{name} {place}{}", problem.message);
    Row::new(subject, Check::new(key, verdict, detail).fix(fix))
}

/// Opens the secret store.
pub(super) fn secrets(facts: &Facts) -> Vec<Row> {
    let row = |check: Check| Row::new("secrets", check);
    let store = match SecretStore::find(facts.state.path()) {
        Ok(None) => {
            let text = "there is no secret store, and none is needed without passwords";
            return vec![row(Check::new("store", Verdict::Skipped, text))];
        }
        Err(error) => {
            let fix = "restore it from a copy, or remove it and set the secrets again";
            return vec![row(Check::new("store", Verdict::Fault, error.to_string()).fix(fix))];
        }
        Ok(Some(store)) => store,
    };
    let count = counted(store.names().count(), "secret");
    let mut out = vec![row(match &facts.master {
        None => Check::new("store", Verdict::Warning, format!("{count}, not opened"))
            .fix("give the master password: at a terminal, --master-fd, OT_AIOPS_MASTER_PASSWORD"),
        Some(master) => match store.open(master) {
            Ok(_) => Check::new("store", Verdict::Ok, format!("{count}, opened")),
            Err(error) => Check::new("store", Verdict::Fault, error.to_string()).fix(
                "give the right one; if it is lost, remove the store and set the secrets again",
            ),
        },
    })];
    let is_short = |text: &str| text.chars().count() < MASTER_CHARS_MIN;
    if facts.master.as_ref().is_some_and(|master| is_short(master.reveal())) {
        let text = format!("the master password has fewer than {MASTER_CHARS_MIN} characters");
        out.push(row(Check::new("master", Verdict::Warning, text).fix("ot-aiops secret rotate")));
    }
    out
}

/// Holds each scan plan against what its device may be asked.
pub(super) fn budgets(facts: &Facts) -> Vec<Row> {
    let Ok(config) = &facts.config else { return Vec::new() };
    let plans = config::check(config, facts.protocols);
    let rows = plans.into_iter().filter(|plan| !plan.scan_classes.is_empty()).map(|plan| {
        let text = format!(
            "scans need {:.1} of {:.1} requests a second",
            plan.requests_per_s_needed, plan.budget_requests_per_s
        );
        let check = if plan.over_budget {
            Check::new("budget", Verdict::Warning, text)
                .fix("raise scan_ms, or budget.requests_per_s where the device can bear it")
        } else {
            Check::new("budget", Verdict::Ok, text)
        };
        Row::new(&plan.endpoint, check)
    });
    rows.collect()
}
