//! `endpoint_probe`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::check::{Check, check_line};
use super::line::Ours;
use crate::actors::Deps;
use crate::model::EndpointName;
use crate::tools::endpoint::pick_any;
use crate::tools::provenance::Provenance;
use crate::tools::{Audience, Call, Tool, ToolError};

/// Connecting to a small controller under encryption takes seconds, and a refused one is tried
/// again.
const WITHIN: Duration = Duration::from_secs(20);

/// Checks one endpoint live, within its budget: reach, login, certificate, identity, read, clock.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(in crate::tools) struct ProbeInput {
    /// The endpoint; may be left out where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// How the checks ended.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(in crate::tools) struct ProbeOutput {
    endpoint: EndpointName,
    protocol: &'static str,
    /// In the order they depend on each other.
    checks: Vec<Check>,
    provenance: Provenance,
}

/// The tool.
pub(in crate::tools) struct Probe;

impl Tool for Probe {
    const NAME: &'static str = "endpoint_probe";
    const TITLE: &'static str = "Check an endpoint live";
    const AUDIENCE: Audience = Audience::OperatorsOnly;
    type Input = ProbeInput;
    type Output = ProbeOutput;

    fn allowance(_input: &Self::Input) -> Duration {
        WITHIN
    }

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let target = pick_any(deps, input.endpoint.as_deref())?;
        let mut line = Ours { deps, target: &target, call: &call, requests: 0 };
        let checks = check_line(&mut line, target.spec(), target.link.protocol).await;
        let provenance = Provenance::device(u64::from(line.requests));
        Ok(ProbeOutput {
            protocol: target.link.protocol.name,
            checks,
            provenance,
            endpoint: target.name,
        })
    }
}
