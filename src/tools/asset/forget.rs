//! `asset_forget`.

use serde::{Deserialize, Serialize};

use crate::actors::Deps;
use crate::model::sanitize;
use crate::tools::{Audience, Call, Code, Effect, Tool, ToolError};

/// Forgets what was learnt of an asset: it is judged no more.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForgetInput {
    /// The asset.
    pub name: String,
}

/// What was forgotten.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct ForgetOutput {
    forgotten: String,
}

/// The tool.
pub(in crate::tools) struct Forget;

impl Tool for Forget {
    const NAME: &'static str = "asset_forget";
    const TITLE: &'static str = "Judge a learnt asset no more";
    const EFFECT: Effect = Effect::Administer;
    const AUDIENCE: Audience = Audience::OperatorsOnly;
    type Input = ForgetInput;
    type Output = ForgetOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let forgotten = deps.forget_asset(&input.name, &call.principal).await;
        let forgotten = forgotten.map_err(|error| {
            let hint = "it is judged as before: see the collector's log";
            ToolError::new(Code::Storage, error.to_string(), hint)
        })?;
        let shown = sanitize(&input.name, 64);
        if !forgotten {
            let message = format!("no asset is called {shown:?}");
            return Err(ToolError::new(Code::NotFound, message, "see otctl asset list"));
        }
        tracing::info!(asset = %shown, uid = call.principal.uid, "forgotten");
        Ok(ForgetOutput { forgotten: shown })
    }
}
