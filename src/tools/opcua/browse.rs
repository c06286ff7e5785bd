//! `opcua_browse`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::actors::Deps;
use crate::driver::{Ask, Reply};
use crate::model::{EndpointName, sanitize};
use crate::tools::ask::{MaxAge, ask, mismatched};
use crate::tools::endpoint::pick;
use crate::tools::provenance::Provenance;
use crate::tools::{Call, Tool, ToolError};

/// The reference's cap on nodes in one answer.
pub(super) const NODES_MAX: u32 = 500;
/// The reference's cap on levels.
pub(super) const DEPTH_MAX: i64 = 6;
/// At the calls' share of a default budget a walk of 500 nodes takes this long.
pub(super) const BROWSE_MAX: Duration = Duration::from_secs(60);

fn objects() -> String {
    "i=85".to_owned()
}

fn two() -> i64 {
    2
}

/// Walks an OPC UA address space, depth first, at most 500 nodes.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct BrowseInput {
    /// Where to start; the Objects folder by default.
    #[arg(default_value = "i=85")]
    #[serde(default = "objects")]
    pub node_id: String,
    /// The endpoint; may be left out where only one speaks OPC UA.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Levels below the start, 0 to 6; more are cut to 6.
    #[arg(long, default_value_t = 2)]
    #[serde(default = "two")]
    pub depth: i64,
    /// Takes a cached answer no older than this many seconds; 0 asks the device now.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<f64>,
}

/// One node.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct NodeOutput {
    node_id: String,
    browse_name: String,
    node_class: String,
    /// The node it was reached from; empty for the start.
    parent: String,
    depth: u8,
}

/// The nodes, the start first.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct BrowseOutput {
    endpoint: EndpointName,
    nodes: Vec<NodeOutput>,
    provenance: Provenance,
}

/// Clamps a depth as the reference does; what makes no sense at all is refused.
pub(super) fn depth(asked: i64, least: i64) -> Result<u8, ToolError> {
    if !(0..=1000).contains(&asked) {
        let text = format!("depth {asked} is outside {least}..{DEPTH_MAX}");
        return Err(ToolError::argument(text));
    }
    Ok(u8::try_from(asked.clamp(least, DEPTH_MAX)).unwrap_or(1))
}

/// The tool.
pub(in crate::tools) struct Browse;

impl Tool for Browse {
    const NAME: &'static str = "opcua_browse";
    const TITLE: &'static str = "Browse an address space";
    const PROTOCOL: Option<&'static str> = Some("opcua");
    type Input = BrowseInput;
    type Output = BrowseOutput;

    fn allowance(_input: &Self::Input) -> Duration {
        BROWSE_MAX
    }

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let target = pick(deps, input.endpoint.as_deref(), "opcua")?;
        let max_age_s = MaxAge { max_age_s: input.max_age_s }.checked()?;
        let question = Ask::Browse {
            root: input.node_id.as_str().into(),
            depth: depth(input.depth, 0)?,
            nodes_max: NODES_MAX,
            values: false,
        };
        let (reply, mut provenance) = ask(deps, &target, &call, question, max_age_s, None).await?;
        let Reply::Browse { nodes, truncated } = reply.as_ref() else { return Err(mismatched()) };
        provenance.truncated = *truncated;
        let node = |node: &crate::driver::BrowseNode| NodeOutput {
            node_id: node.node_id.chars().take(4200).collect(),
            browse_name: sanitize(&node.browse_name, 128),
            node_class: sanitize(&node.node_class, 32),
            parent: node.parent.chars().take(4200).collect(),
            depth: node.depth,
        };
        Ok(BrowseOutput {
            endpoint: target.name,
            nodes: nodes.iter().map(node).collect(),
            provenance,
        })
    }
}
