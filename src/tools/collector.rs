//! `collector_reload`.

use serde::{Deserialize, Serialize};

use super::{Audience, Call, Code, Effect, Tool, ToolError, write};
use crate::actors::{Budgets, Deps, SetupError, Statement};
use crate::config::Change;
use crate::model::EndpointName;

/// Reads the configuration again and applies the difference; unchanged endpoints miss no scan.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(super) struct ReloadInput {
    /// An approver's signature, where a write rule exists.
    #[arg(skip)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signed: Option<Statement>,
}

/// What a reload did.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct ReloadOutput {
    added: Vec<EndpointName>,
    removed: Vec<EndpointName>,
    /// Endpoints that were restarted.
    changed: Vec<EndpointName>,
    /// Endpoints that noticed nothing.
    unchanged: Vec<EndpointName>,
    /// What is wrong with the file, which runs on as it was before or is left out; and with the
    /// policy, which freezes writes.
    problems: Vec<String>,
}

/// The tool.
pub(super) struct Reload;

impl Tool for Reload {
    const NAME: &'static str = "collector_reload";
    const TITLE: &'static str = "Reload the configuration";
    const EFFECT: Effect = Effect::Administer;
    const AUDIENCE: Audience = Audience::OperatorsOnly;
    type Input = ReloadInput;
    type Output = ReloadOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let budgets = match input.signed {
            None => Budgets::Kept,
            Some(given) => {
                let by = &call.principal;
                let stated = deps.stated("reload", "budgets", Some(&given), by).await;
                let approver = stated.map_err(write::refused)?;
                deps.budgets_opened(by, approver.as_deref()).await.map_err(write::refused)?;
                Budgets::Opened
            }
        };
        let reloaded = deps.reload(budgets).await.map_err(|error| match error {
            SetupError::Config(_) => ToolError::new(
                Code::Misconfigured,
                error.to_string(),
                "nothing has changed; correct the file and reload again",
            ),
            SetupError::Store(_) | SetupError::Ledger(_) => {
                ToolError::new(Code::Storage, error.to_string(), "see the collector's log")
            }
            SetupError::Actors(_) => {
                ToolError::new(Code::Internal, error.to_string(), "see the collector's log")
            }
        })?;
        let mut output = ReloadOutput {
            added: Vec::new(),
            removed: Vec::new(),
            changed: Vec::new(),
            unchanged: Vec::new(),
            problems: reloaded.problems.iter().map(ToString::to_string).collect(),
        };
        let frozen = reloaded.policy_fault.map(|why| format!("writes are frozen by {why}"));
        output.problems.extend(frozen);
        for change in reloaded.changes {
            match change {
                Change::Added(name) => output.added.push(name),
                Change::Removed(name) => output.removed.push(name),
                Change::Changed(name) => output.changed.push(name),
                Change::Unchanged(name) => output.unchanged.push(name),
            }
        }
        Ok(output)
    }
}
