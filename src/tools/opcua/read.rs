//! `opcua_read_node` and `opcua_read_many`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Form, NodeAnswer, readings};
use crate::actors::Deps;
use crate::model::EndpointName;
use crate::tools::ask::MaxAge;
use crate::tools::endpoint::pick;
use crate::tools::provenance::Provenance;
use crate::tools::{Call, Tool, ToolError};

/// As many nodes as the reference takes; more are an error, not silently dropped.
const NODES_MAX: usize = 100;
/// Node ids are at most 4096 characters of identifier (Part 3, 8.2.4); sane ones stay far below.
const NODE_ID_BYTES_MAX: usize = 4200;

/// Reads one node's value, type, quality and time.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadNodeInput {
    /// The node id: `ns=2;i=5`, `ns=2;s=Tank.Level` or `nsu=urn:vendor;s=Tank.Level`.
    pub node_id: String,
    /// The endpoint; may be left out where only one speaks OPC UA.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Takes a cached answer no older than this many seconds; 0 asks the device now.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<f64>,
}

/// One node's reading.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct ReadNodeOutput {
    endpoint: EndpointName,
    #[serde(flatten)]
    node: NodeAnswer,
    provenance: Provenance,
}

/// The tool for one node.
pub(in crate::tools) struct ReadNode;

impl Tool for ReadNode {
    const NAME: &'static str = "opcua_read_node";
    const TITLE: &'static str = "Read a node";
    const PROTOCOL: Option<&'static str> = Some("opcua");
    const COMMAND: Option<[&'static str; 2]> = Some(["opcua", "read"]);
    type Input = ReadNodeInput;
    type Output = ReadNodeOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let target = pick(deps, input.endpoint.as_deref(), "opcua")?;
        let max_age_s = MaxAge { max_age_s: input.max_age_s }.checked()?;
        let refs = checked(&[input.node_id])?;
        let (read, provenance) =
            readings(deps, &target, &call, &refs, Form::AsRead, max_age_s).await?;
        let reading = read.first().ok_or_else(super::mismatched)?;
        // One node that can't be read is a failed call; among many it is an item.
        if let Some(error) = &reading.error {
            return Err(error.clone().into());
        }
        Ok(ReadNodeOutput { endpoint: target.name, node: reading.into(), provenance })
    }
}

/// Reads up to 100 nodes in as few requests as the server takes.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadManyInput {
    /// Node ids, at most 100; a node that can't be read is an item with its error.
    #[arg(required = true)]
    pub node_ids: Vec<String>,
    /// The endpoint; may be left out where only one speaks OPC UA.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Takes a cached answer no older than this many seconds; 0 asks the device now.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<f64>,
}

/// The nodes' readings, in the order asked.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct ReadManyOutput {
    endpoint: EndpointName,
    items: Vec<NodeAnswer>,
    provenance: Provenance,
}

/// The tool for many nodes.
pub(in crate::tools) struct ReadMany;

impl Tool for ReadMany {
    const NAME: &'static str = "opcua_read_many";
    const TITLE: &'static str = "Read many nodes";
    const PROTOCOL: Option<&'static str> = Some("opcua");
    const COMMAND: Option<[&'static str; 2]> = Some(["opcua", "read-many"]);
    type Input = ReadManyInput;
    type Output = ReadManyOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let target = pick(deps, input.endpoint.as_deref(), "opcua")?;
        let max_age_s = MaxAge { max_age_s: input.max_age_s }.checked()?;
        let refs = checked(&input.node_ids)?;
        let (read, provenance) =
            readings(deps, &target, &call, &refs, Form::AsRead, max_age_s).await?;
        let items = read.iter().map(NodeAnswer::from).collect();
        Ok(ReadManyOutput { endpoint: target.name, items, provenance })
    }
}

fn checked(node_ids: &[String]) -> Result<Vec<Arc<str>>, ToolError> {
    if node_ids.is_empty() {
        return Err(ToolError::argument("node_ids is empty"));
    }
    if node_ids.len() > NODES_MAX {
        let text = format!("{} node ids, at most {NODES_MAX} at once", node_ids.len());
        return Err(ToolError::argument(text));
    }
    if node_ids.iter().any(|id| id.len() > NODE_ID_BYTES_MAX) {
        let text = format!("a node id is longer than {NODE_ID_BYTES_MAX} bytes");
        return Err(ToolError::argument(text));
    }
    Ok(node_ids.iter().map(|id| id.as_str().into()).collect())
}
