//! `protocols_supported`.

use serde::{Deserialize, Serialize};

use super::{Call, Tool, ToolError};
use crate::actors::Deps;

/// Lists the protocols of this build, with their tools and settings.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(super) struct ProtocolsInput {}

/// One protocol.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct ProtocolAnswer {
    protocol: &'static str,
    title: &'static str,
    status: &'static str,
    library: &'static str,
    transport: &'static str,
    auth: &'static str,
    read_tools: Vec<&'static str>,
    write_tools: Vec<&'static str>,
    params: Vec<&'static str>,
}

/// Tools by kind.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct ToolCounts {
    protocol_read: usize,
    protocol_write_moc: usize,
    diagnostics: usize,
}

/// What this build speaks.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct ProtocolsOutput {
    tool: &'static str,
    version: &'static str,
    posture: &'static str,
    implemented_protocols: Vec<&'static str>,
    roadmap_stubs: Vec<&'static str>,
    protocols: Vec<ProtocolAnswer>,
    diagnostics: Vec<&'static str>,
    tool_counts: ToolCounts,
    safety: &'static str,
}

/// Protocols that are planned and not built in yet.
const PLANNED: &[(&str, &str)] =
    &[("mqtt", "MQTT and Sparkplug B"), ("ethernetip", "EtherNet/IP"), ("ethercat", "EtherCAT")];

/// The tool.
pub(super) struct Protocols;

impl Tool for Protocols {
    const NAME: &'static str = "protocols_supported";
    const TITLE: &'static str = "List protocols";
    const CORE: bool = true;
    type Input = ProtocolsInput;
    type Output = ProtocolsOutput;

    async fn call(
        deps: &Deps,
        _call: Call,
        _input: Self::Input,
    ) -> Result<Self::Output, ToolError> {
        let built_in = deps.setup.protocols;
        let is_built_in = |name: &str| built_in.iter().any(|p| p.name == name);
        let tools_of = |name: &'static str| {
            super::TOOLS.iter().filter(move |t| t.protocol == Some(name)).map(|t| t.name)
        };
        let mut protocols: Vec<ProtocolAnswer> = built_in
            .iter()
            .map(|p| ProtocolAnswer {
                protocol: p.name,
                title: p.title,
                status: "implemented",
                library: p.library,
                transport: p.transport,
                auth: p.auth,
                read_tools: tools_of(p.name).collect(),
                write_tools: Vec::new(),
                params: p.keys.to_vec(),
            })
            .collect();
        let planned = || PLANNED.iter().filter(|(name, _)| !is_built_in(name));
        protocols.extend(planned().map(|(name, title)| ProtocolAnswer {
            protocol: name,
            title,
            status: "planned, not in this build",
            library: "",
            transport: "",
            auth: "",
            read_tools: Vec::new(),
            write_tools: Vec::new(),
            params: Vec::new(),
        }));
        let protocol_read = built_in.iter().map(|p| tools_of(p.name).count()).sum();
        Ok(ProtocolsOutput {
            tool: "ot-aiops",
            version: env!("CARGO_PKG_VERSION"),
            posture: "read only: this build has no write path",
            implemented_protocols: built_in.iter().map(|p| p.name).collect(),
            roadmap_stubs: planned().map(|(name, _)| *name).collect(),
            protocols,
            diagnostics: super::diagnose::NAMES.to_vec(),
            tool_counts: ToolCounts {
                protocol_read,
                protocol_write_moc: 0,
                diagnostics: super::diagnose::NAMES.len(),
            },
            safety: "Reads are answered from a cache or within each device's request budget. \
                     Nothing is ever written to a device.",
        })
    }
}
