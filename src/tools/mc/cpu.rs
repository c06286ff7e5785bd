//! `mc_cpu_status`.

use serde::{Deserialize, Serialize};

use crate::actors::Deps;
use crate::driver::{Ask, Reply};
use crate::model::{EndpointName, sanitize};
use crate::protocols::mc::series_of;
use crate::tools::ask::{MaxAge, ask, mismatched};
use crate::tools::endpoint::pick;
use crate::tools::provenance::Provenance;
use crate::tools::{Call, Tool, ToolError};

/// Says which Mitsubishi CPU it is.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct CpuStatusInput {
    /// The endpoint; may be left out where only one speaks MC.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Takes a cached answer no older than this many seconds; 0 asks the device now.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<f64>,
}

/// The CPU's model.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct CpuStatusOutput {
    endpoint: EndpointName,
    /// The series: configured, or told by the model; `unknown` where neither says it.
    plctype: String,
    /// The model's name.
    cpu_type: String,
    /// The model's code, four hexadecimal digits.
    cpu_code: String,
    provenance: Provenance,
}

/// The tool.
pub(in crate::tools) struct CpuStatus;

impl Tool for CpuStatus {
    const NAME: &'static str = "mc_cpu_status";
    const TITLE: &'static str = "Identify a Mitsubishi CPU";
    const PROTOCOL: Option<&'static str> = Some("mc");
    const COMMAND: Option<[&'static str; 2]> = Some(["mc", "cpu"]);
    type Input = CpuStatusInput;
    type Output = CpuStatusOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let target = pick(deps, input.endpoint.as_deref(), "mc")?;
        let max_age_s = MaxAge { max_age_s: input.max_age_s }.checked()?;
        let (reply, provenance) = ask(deps, &target, &call, Ask::Identify, max_age_s, None).await?;
        let Reply::Identity(identity) = reply.as_ref() else { return Err(mismatched()) };
        let configured = target.spec().settings.get("plctype").and_then(serde_json::Value::as_str);
        let plctype = configured.or_else(|| series_of(&identity.product)).unwrap_or("unknown");
        Ok(CpuStatusOutput {
            plctype: plctype.to_owned(),
            cpu_type: sanitize(&identity.product, 64),
            cpu_code: sanitize(&identity.version, 16),
            endpoint: target.name,
            provenance,
        })
    }
}
