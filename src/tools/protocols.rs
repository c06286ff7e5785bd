//! `protocols_supported`.

use serde::{Deserialize, Serialize};

use super::{Call, Effect, Tool, ToolError};
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
        let tools_of = |name: &'static str, writes: bool| {
            let own = super::TOOLS.iter().filter(move |t| t.protocol == Some(name));
            own.filter(move |t| (t.effect == Effect::Write) == writes).map(|t| t.name)
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
                read_tools: tools_of(p.name, false).collect(),
                write_tools: tools_of(p.name, true).collect(),
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
        let count = |writes: bool| built_in.iter().map(|p| tools_of(p.name, writes).count()).sum();
        let posture = match (cfg!(feature = "writes"), deps.policy().opens_anything()) {
            (false, _) => "read only: this build has no write path",
            (true, false) => "read only: no policy allows a write",
            (true, true) => "supervised: what a rule allows and people approve is written",
        };
        Ok(ProtocolsOutput {
            tool: "ot-aiops",
            version: env!("CARGO_PKG_VERSION"),
            posture,
            implemented_protocols: built_in.iter().map(|p| p.name).collect(),
            roadmap_stubs: planned().map(|(name, _)| *name).collect(),
            protocols,
            diagnostics: super::diagnose::NAMES.to_vec(),
            tool_counts: ToolCounts {
                protocol_read: count(false),
                protocol_write_moc: count(true),
                diagnostics: super::diagnose::NAMES.len(),
            },
            safety: "Reads are answered from a cache or within each device's request budget. \
                     Nothing is written to a device without a rule for that tag and people's \
                     approval of that value.",
        })
    }
}
