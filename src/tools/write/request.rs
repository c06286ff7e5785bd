//! `moc_request`.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{Proposed, Terms, proposed, typed};
use crate::actors::Deps;
use crate::model::EndpointName;
use crate::tools::tag::resolve;
use crate::tools::{Call, Effect, Tool, ToolError};

/// Opens a ticket to write a value to a tag. It writes nothing: an operator has to approve it.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestInput {
    /// Its name.
    pub tag: String,
    /// In the tag's unit.
    #[arg(value_parser = typed, allow_hyphen_values = true)]
    pub value: Json,
    /// For the people who decide.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The plant's number.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_order: Option<String>,
    /// Only asks the rules.
    #[arg(long)]
    #[serde(default)]
    pub dry_run: bool,
}

/// What would be written, and what stands against it.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct RequestOutput {
    endpoint: EndpointName,
    #[serde(flatten)]
    proposed: Proposed<Json, Json>,
}

/// The tool.
pub(in crate::tools) struct Request;

impl Tool for Request {
    const NAME: &'static str = "moc_request";
    const TITLE: &'static str = "Ask for a write";
    const EFFECT: Effect = Effect::Write;
    const CORE: bool = true;
    type Input = RequestInput;
    type Output = RequestOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let (_, tag) = resolve(deps, &input.tag)?;
        let RequestInput { value, reason, work_order, dry_run, .. } = input;
        let terms = Terms { dry_run, reason, work_order };
        let endpoint = tag.endpoint.clone();
        let wished = (tag, value.clone());
        let proposed = proposed(deps, &call, wished, terms, (|before| before, value)).await?;
        Ok(RequestOutput { endpoint, proposed })
    }
}
