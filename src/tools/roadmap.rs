//! `ethernetip_status` and `ethercat_status`: what is planned, said as such.

use serde::{Deserialize, Serialize};

use super::{Call, Tool, ToolError};
use crate::actors::Deps;

/// Says whether EtherNet/IP is built in.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(super) struct EthernetIpInput {
    /// Not used: there is nothing to ask yet.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// Says whether EtherCAT is built in.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(super) struct EtherCatInput {
    /// Not used: there is nothing to ask yet.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// A protocol that is not built in.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct RoadmapOutput {
    protocol: &'static str,
    implemented: bool,
    status: &'static str,
    message: &'static str,
    suggested_dependency: &'static str,
}

/// The tool of EtherNet/IP.
pub(super) struct EthernetIp;

impl Tool for EthernetIp {
    const NAME: &'static str = "ethernetip_status";
    const TITLE: &'static str = "EtherNet/IP: planned";
    type Input = EthernetIpInput;
    type Output = RoadmapOutput;

    async fn call(
        _deps: &Deps,
        _call: Call,
        _input: Self::Input,
    ) -> Result<Self::Output, ToolError> {
        Ok(RoadmapOutput {
            protocol: "ethernetip",
            implemented: false,
            status: "preview-stub",
            message: "EtherNet/IP (CIP) is planned and not in this build: no endpoint can be \
                      configured for it. Many Logix controllers are reached over OPC UA meanwhile.",
            suggested_dependency: "rust-ethernet-ip",
        })
    }
}

/// The tool of EtherCAT.
pub(super) struct EtherCat;

impl Tool for EtherCat {
    const NAME: &'static str = "ethercat_status";
    const TITLE: &'static str = "EtherCAT: planned";
    type Input = EtherCatInput;
    type Output = RoadmapOutput;

    async fn call(
        _deps: &Deps,
        _call: Call,
        _input: Self::Input,
    ) -> Result<Self::Output, ToolError> {
        Ok(RoadmapOutput {
            protocol: "ethercat",
            implemented: false,
            status: "preview-stub",
            message: "EtherCAT is planned and not in this build: a master takes over its segment, \
                      so it will be diagnostics of a segment this collector owns, and opt-in. Most \
                      EtherCAT controllers are reached over OPC UA meanwhile.",
            suggested_dependency: "ethercrab",
        })
    }
}
