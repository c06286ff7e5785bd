//! `approver_enrol`, `approver_list` and `approver_revoke`: whose signature counts.

use serde::{Deserialize, Serialize};

use super::refused;
use crate::actors::{Deps, Statement};
use crate::model::{self, Separation};
use crate::tools::{Audience, Call, Effect, Tool, ToolError};

/// Enrols an approver by a public key that otctl approver new made. Where a write rule exists,
/// another approver signs it.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnrolInput {
    /// The person.
    pub id: String,
    /// The public key, in hexadecimal.
    pub public_key: String,
    /// The user the person has on this machine.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The key is kept on another machine: its signature alone proves another person.
    #[arg(long)]
    #[serde(default)]
    pub offline: bool,
    /// An approver's signature, where a write rule exists.
    #[arg(skip)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<Statement>,
}

/// One approver.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct Approver {
    id: String,
    key: String,
    uid: Option<u32>,
    offline: bool,
}

impl From<model::Approver> for Approver {
    fn from(approver: model::Approver) -> Self {
        let model::Approver { id, key, uid, offline } = approver;
        Self { id, key, uid, offline }
    }
}

/// The approver it is about.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct ApproverOutput {
    approver: Approver,
}

/// The tool that enrols.
pub(in crate::tools) struct Enrol;

impl Tool for Enrol {
    const NAME: &'static str = "approver_enrol";
    const TITLE: &'static str = "Enrol an approver";
    const EFFECT: Effect = Effect::Administer;
    const AUDIENCE: Audience = Audience::OperatorsOnly;
    type Input = EnrolInput;
    type Output = ApproverOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let EnrolInput { id, public_key, uid, offline, signed } = input;
        let public = public_key.trim().trim_start_matches("ed25519:").to_ascii_lowercase();
        let approver = model::Approver { id, key: public, uid, offline };
        let done = deps.enrol(approver.clone(), signed.as_ref(), &call.principal).await;
        done.map_err(refused)?;
        Ok(ApproverOutput { approver: approver.into() })
    }
}

/// Lists everybody who may approve.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListInput {}

/// The approvers.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct ListOutput {
    approvers: Vec<Approver>,
    /// Whether thawing, enrolling and the like need one's signature.
    signature_needed: bool,
    /// The audit record that such a signature follows.
    after: u64,
    separation: Separation,
    /// Why requester and approver can't be different people here, where that is so.
    separation_fault: Option<String>,
}

/// The tool that lists.
pub(in crate::tools) struct List;

impl Tool for List {
    const NAME: &'static str = "approver_list";
    const TITLE: &'static str = "List approvers";
    const AUDIENCE: Audience = Audience::OperatorsOnly;
    type Input = ListInput;
    type Output = ListOutput;

    async fn call(
        deps: &Deps,
        _call: Call,
        _input: Self::Input,
    ) -> Result<Self::Output, ToolError> {
        Ok(ListOutput {
            approvers: deps.approvers().into_iter().map(Approver::from).collect(),
            signature_needed: deps.needs_statement(),
            after: deps.statement_after(),
            separation: deps.separation(),
            separation_fault: deps.separation_fault(),
        })
    }
}

/// Revokes an approver at once; tickets signed by the key are no longer approved.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevokeInput {
    /// The person.
    pub id: String,
}

/// The tool that revokes.
pub(in crate::tools) struct Revoke;

impl Tool for Revoke {
    const NAME: &'static str = "approver_revoke";
    const TITLE: &'static str = "Revoke an approver";
    const EFFECT: Effect = Effect::Administer;
    const AUDIENCE: Audience = Audience::OperatorsOnly;
    type Input = RevokeInput;
    type Output = ApproverOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let revoked = deps.revoke(&input.id, &call.principal).await.map_err(refused)?;
        Ok(ApproverOutput { approver: revoked.into() })
    }
}
