//! `moc_approve`, `moc_reject` and `moc_undo`: what operators decide.

use serde::{Deserialize, Serialize};

use super::ticket::{StatusOutput, shown};
use super::{Gated, Wish, answer, before, refused};
use crate::actors::Deps;
use crate::model::EndpointName;
use crate::tools::{Audience, Call, Effect, Tool, ToolError};

/// Hands in an approver's signature over a ticket. otctl moc approve shows the ticket and signs it
/// where the approver sits; no passphrase comes this way.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApproveInput {
    /// The ticket: MOC-118.
    pub id: String,
    /// The approver's public key, in hexadecimal.
    #[arg(long)]
    pub key: String,
    /// The signature over the ticket, in hexadecimal.
    #[arg(long)]
    pub signature: String,
}

/// The tool that approves.
pub(in crate::tools) struct Approve;

impl Tool for Approve {
    const NAME: &'static str = "moc_approve";
    const TITLE: &'static str = "Approve a ticket";
    const EFFECT: Effect = Effect::Write;
    const AUDIENCE: Audience = Audience::OperatorsOnly;
    type Input = ApproveInput;
    type Output = StatusOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let ApproveInput { id, key, signature } = input;
        let approved = deps.approve(&id, &key, &signature, &call.principal).await;
        Ok(shown(&approved.map_err(refused)?, false))
    }
}

/// Rejects a ticket; whoever asked hears why.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct RejectInput {
    /// The ticket: MOC-118.
    pub id: String,
    /// Why.
    #[arg(long, default_value = "")]
    #[serde(default)]
    pub reason: String,
}

/// The tool that rejects.
pub(in crate::tools) struct Reject;

impl Tool for Reject {
    const NAME: &'static str = "moc_reject";
    const TITLE: &'static str = "Reject a ticket";
    const EFFECT: Effect = Effect::Administer;
    const AUDIENCE: Audience = Audience::OperatorsOnly;
    type Input = RejectInput;
    type Output = StatusOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let rejected = deps.reject(&input.id, &input.reason, &call.principal).await;
        Ok(shown(&rejected.map_err(refused)?, false))
    }
}

/// Asks for a write to be undone: a ticket of its own, through the same gate, that writes back the
/// value before, as long as the device still has what was written.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct UndoInput {
    /// The ticket whose write is undone: MOC-118.
    pub id: String,
    /// Why, for the people who decide.
    #[arg(long, default_value = "")]
    #[serde(default)]
    pub reason: String,
}

/// The new ticket.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct UndoOutput {
    endpoint: EndpointName,
    undo_of: String,
    before: serde_json::Value,
    would_write: serde_json::Value,
    #[serde(flatten)]
    gated: Gated,
}

/// The tool that undoes.
pub(in crate::tools) struct Undo;

impl Tool for Undo {
    const NAME: &'static str = "moc_undo";
    const TITLE: &'static str = "Ask for a write to be undone";
    const EFFECT: Effect = Effect::Write;
    const AUDIENCE: Audience = Audience::OperatorsOnly;
    type Input = UndoInput;
    type Output = UndoOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let UndoInput { id, reason } = input;
        let undone = deps.undo(&id, &reason, &call.principal, call.deadline).await;
        let (dossier, wish, selected): (_, Wish, _) = undone.map_err(refused)?;
        Ok(UndoOutput {
            endpoint: wish.tag.endpoint.clone(),
            undo_of: id,
            before: before(&selected),
            would_write: dossier.ticket.value.clone(),
            gated: answer(&wish.tag, &selected, Some(&dossier)),
        })
    }
}
