//! `s7_cpu_info`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::actors::Deps;
use crate::driver::{Ask, Reply};
use crate::model::{EndpointName, sanitize};
use crate::protocols::s7::{self, RUN, STOP};
use crate::tools::ask::{MaxAge, ask, mismatched};
use crate::tools::endpoint::pick;
use crate::tools::provenance::Provenance;
use crate::tools::{Call, Tool, ToolError};

/// Longest of the names a CPU gives itself that is shown.
const NAME_CHARS: usize = 64;

/// Says which S7 CPU it is and whether it runs.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct CpuInfoInput {
    /// The endpoint; may be left out where only one speaks S7.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Takes a cached answer no older than this many seconds; 0 asks the device now.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<f64>,
}

/// The CPU.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct CpuInfoOutput {
    endpoint: EndpointName,
    rack: u8,
    slot: u8,
    /// `RUN`, `STOP`, or `unknown` where the CPU doesn't say.
    cpu_status: &'static str,
    /// What the CPU says of itself, by name; `info_error` where it refuses.
    cpu_info: BTreeMap<&'static str, String>,
    provenance: Provenance,
}

/// The tool.
pub(in crate::tools) struct CpuInfo;

impl Tool for CpuInfo {
    const NAME: &'static str = "s7_cpu_info";
    const TITLE: &'static str = "Identify an S7 CPU";
    const PROTOCOL: Option<&'static str> = Some("s7");
    const COMMAND: Option<[&'static str; 2]> = Some(["s7", "cpu"]);
    type Input = CpuInfoInput;
    type Output = CpuInfoOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let target = pick(deps, input.endpoint.as_deref(), "s7")?;
        let max_age_s = MaxAge { max_age_s: input.max_age_s }.checked()?;
        let (reply, provenance) = ask(deps, &target, &call, Ask::Identify, max_age_s, None).await?;
        let Reply::Identity(identity) = reply.as_ref() else { return Err(mismatched()) };
        let (rack, slot) = s7::place(&target.spec().settings).ok_or_else(mismatched)?;
        let info = identity.details.iter().map(|(name, text)| (*name, sanitize(text, NAME_CHARS)));
        Ok(CpuInfoOutput {
            rack,
            slot,
            cpu_status: match identity.state {
                Some(RUN) => "RUN",
                Some(STOP) => "STOP",
                _ => "unknown",
            },
            cpu_info: info.collect(),
            endpoint: target.name,
            provenance,
        })
    }
}
