//! `policy_test`: what the policy in force says of a write, without asking a device.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{Wish, typed};
use crate::actors::Deps;
use crate::model::{Check, Tier};
use crate::tools::tag::resolve;
use crate::tools::{Audience, Call, Tool, ToolError};

/// Says what every rule of the policy in force makes of a write, from cached values; no device is
/// asked and no ticket opened.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestInput {
    /// The tag.
    pub tag: String,
    /// The new value.
    #[arg(value_parser = typed, allow_hyphen_values = true)]
    pub value: Json,
    /// The work order that would be named.
    #[arg(long, default_value = "")]
    #[serde(default)]
    pub work_order: String,
}

/// The verdict.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct TestOutput {
    /// `allowed` or `denied`, by the policy alone.
    verdict: &'static str,
    checks: Vec<Check>,
    tier: Tier,
    policy_epoch: u64,
    policy_sha256: String,
    writes_frozen: Option<String>,
    separation_fault: Option<String>,
}

/// The tool.
pub(in crate::tools) struct Test;

impl Tool for Test {
    const NAME: &'static str = "policy_test";
    const TITLE: &'static str = "Ask the policy";
    const AUDIENCE: Audience = Audience::OperatorsOnly;
    type Input = TestInput;
    type Output = TestOutput;

    async fn call(deps: &Deps, _call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let (_, tag) = resolve(deps, &input.tag)?;
        let (reason, work_order) = (String::new(), input.work_order);
        let wish = Wish { tag, value: input.value, reason, work_order };
        let verdict = deps.test_policy(&wish).await;
        Ok(TestOutput {
            verdict: if verdict.is_allowed() { "allowed" } else { "denied" },
            checks: verdict.checks,
            tier: verdict.tier,
            policy_epoch: verdict.policy_epoch,
            policy_sha256: verdict.policy_sha256,
            writes_frozen: deps.frozen(),
            separation_fault: deps.separation_fault(),
        })
    }
}
