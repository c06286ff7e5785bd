//! `writes_freeze` and `writes_thaw`.

use serde::{Deserialize, Serialize};

use super::refused;
use crate::actors::{Deps, Statement};
use crate::tools::{Audience, Call, Effect, Tool, ToolError};

/// Freezes every write before the next message to a device; reads go on.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct FreezeInput {
    /// Why.
    #[arg(long, default_value = "")]
    #[serde(default)]
    pub reason: String,
}

/// Whether anything can be written.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct FrozenOutput {
    /// `frozen`, or `open` where the policy says what may be written.
    writes: &'static str,
    /// Why nothing is written now; null where approved writes go out.
    writes_frozen: Option<String>,
}

impl FrozenOutput {
    fn of(deps: &Deps) -> Self {
        let writes_frozen = deps.frozen();
        Self { writes: if writes_frozen.is_some() { "frozen" } else { "open" }, writes_frozen }
    }
}

/// The tool that freezes.
pub(in crate::tools) struct Freeze;

impl Tool for Freeze {
    const NAME: &'static str = "writes_freeze";
    const TITLE: &'static str = "Freeze all writes";
    const EFFECT: Effect = Effect::Administer;
    const AUDIENCE: Audience = Audience::OperatorsOnly;
    type Input = FreezeInput;
    type Output = FrozenOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        deps.freeze_writes(&input.reason, &call.principal).await.map_err(refused)?;
        Ok(FrozenOutput::of(deps))
    }
}

/// Lifts the freeze. Where a write rule exists, an approver signs it.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct ThawInput {
    /// An approver's signature, where a write rule exists.
    #[arg(skip)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<Statement>,
}

/// The tool that thaws.
pub(in crate::tools) struct Thaw;

impl Tool for Thaw {
    const NAME: &'static str = "writes_thaw";
    const TITLE: &'static str = "Lift the freeze of writes";
    const EFFECT: Effect = Effect::Administer;
    const AUDIENCE: Audience = Audience::OperatorsOnly;
    type Input = ThawInput;
    type Output = FrozenOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        deps.thaw_writes(input.signed.as_ref(), &call.principal).await.map_err(refused)?;
        Ok(FrozenOutput::of(deps))
    }
}
