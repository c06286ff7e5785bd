//! `sparkplug_node_list`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{Wish, allowance, collect, five_hundred, ten};
use crate::actors::Deps;
use crate::driver::{Content, Message};
use crate::model::{EndpointName, Timestamp, Value, sanitize};
use crate::protocols::mqtt::{Kind, Topic};
use crate::tools::endpoint::pick;
use crate::tools::provenance::Provenance;
use crate::tools::{Call, Tool, ToolError};

/// The reference's cut of an id.
const ID_MAX: usize = 128;
/// Nodes, and devices of one, in an answer.
const NODES_MAX: usize = 200;
const DEVICES_MAX: usize = 100;
const NOTE: &str = "Discovered from births, data and deaths that were heard. Births are not kept \
                    by the broker: a node that was born before the subscription shows by its \
                    data alone (birth_seen false). Re-run with a longer timeout_s where nodes \
                    publish infrequently.";

/// Lists Sparkplug edge nodes with their devices, and whether they are online.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodesInput {
    /// The endpoint; may be left out where only one speaks MQTT.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Seconds until it ends in any case, 1 to 60.
    #[arg(long, default_value_t = 10)]
    #[serde(default = "ten")]
    pub timeout_s: i64,
    /// Topics after which it ends, 1 to 500.
    #[arg(long, default_value_t = 500)]
    #[serde(default = "five_hundred")]
    pub count: i64,
}

/// One edge node.
#[derive(Debug, Default, Serialize, schemars::JsonSchema)]
pub(super) struct NodeAnswer {
    group_id: String,
    edge_node_id: String,
    /// Its birth was heard, and no death since.
    born: bool,
    /// Its birth was heard.
    birth_seen: bool,
    /// The last that was heard of it was not its death.
    online: bool,
    devices: BTreeSet<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_birth: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_death: Option<Timestamp>,
    /// The number that ties its death to its birth.
    #[serde(skip)]
    bd_seq: Option<u64>,
}

/// One host application.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct HostAnswer {
    host_id: String,
    /// What its last STATE says; null where that can't be read.
    online: Option<bool>,
}

/// The nodes that were heard.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct NodesOutput {
    endpoint: EndpointName,
    node_count: usize,
    nodes: Vec<NodeAnswer>,
    hosts: Vec<HostAnswer>,
    note: &'static str,
    provenance: Provenance,
}

/// The tool.
pub(in crate::tools) struct NodeList;

impl Tool for NodeList {
    const NAME: &'static str = "sparkplug_node_list";
    const TITLE: &'static str = "List Sparkplug nodes";
    const PROTOCOL: Option<&'static str> = Some("mqtt");
    const COMMAND: Option<[&'static str; 2]> = Some(["mqtt", "nodes"]);
    type Input = NodesInput;
    type Output = NodesOutput;

    fn allowance(input: &Self::Input) -> Duration {
        allowance(input.timeout_s)
    }

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let target = pick(deps, input.endpoint.as_deref(), "mqtt")?;
        let wish = Wish::checked(input.count, 1, input.timeout_s)?;
        let filters = ["spBv1.0/#".to_owned()];
        let (found, mut provenance) = collect(&target, &call, &filters, wish).await?;
        let (mut nodes, hosts) = listed(&found);
        let node_count = nodes.len();
        provenance.truncated |= node_count > NODES_MAX;
        nodes.truncate(NODES_MAX);
        for node in &mut nodes {
            provenance.truncated |= node.devices.len() > DEVICES_MAX;
            node.devices =
                std::mem::take(&mut node.devices).into_iter().take(DEVICES_MAX).collect();
        }
        Ok(NodesOutput { endpoint: target.name, node_count, nodes, hosts, note: NOTE, provenance })
    }
}

/// Makes nodes and hosts of messages, in the order they came.
fn listed(messages: &[Message]) -> (Vec<NodeAnswer>, Vec<HostAnswer>) {
    let mut nodes: BTreeMap<(&str, &str), NodeAnswer> = BTreeMap::new();
    let mut hosts: BTreeMap<&str, Option<bool>> = BTreeMap::new();
    for message in messages {
        let Some(topic) = Topic::parse(&message.topic) else { continue };
        match topic.kind {
            // What a host commands says nothing of whether the node is there.
            Kind::NodeCommand | Kind::DeviceCommand => continue,
            Kind::State => {
                hosts.insert(topic.node, state(message));
                continue;
            }
            _ => {}
        }
        let node = nodes.entry((topic.group, topic.node)).or_insert_with(|| NodeAnswer {
            group_id: sanitize(topic.group, ID_MAX),
            edge_node_id: sanitize(topic.node, ID_MAX),
            ..NodeAnswer::default()
        });
        if let Some(device) = topic.device {
            node.devices.insert(sanitize(device, ID_MAX));
        }
        note(node, topic.kind, message);
    }
    let hosts = hosts.into_iter().map(|(host, online)| {
        let host_id = sanitize(host, ID_MAX);
        HostAnswer { host_id, online }
    });
    (nodes.into_values().collect(), hosts.collect())
}

fn note(node: &mut NodeAnswer, kind: Kind, message: &Message) {
    match kind {
        Kind::NodeBirth => {
            (node.born, node.birth_seen, node.online) = (true, true, true);
            node.last_birth = Some(message.received_ts);
            node.bd_seq = bd_seq(message);
        }
        Kind::NodeDeath => {
            let of_death = bd_seq(message);
            // The will of a session before this one says nothing of this one.
            let is_older = of_death.is_some() && node.bd_seq.is_some() && of_death != node.bd_seq;
            if !is_older {
                (node.born, node.online) = (false, false);
                node.last_death = Some(message.received_ts);
            }
        }
        _ => node.online = true,
    }
}

fn bd_seq(message: &Message) -> Option<u64> {
    let Content::Metrics { metrics, .. } = &message.content else { return None };
    match metrics.iter().find(|metric| metric.name.as_ref() == "bdSeq")?.value {
        Value::U64(number) => Some(number),
        Value::I64(number) => u64::try_from(number).ok(),
        _ => None,
    }
}

/// Reads a STATE: JSON since 3.0, a word before.
fn state(message: &Message) -> Option<bool> {
    match &message.content {
        Content::Json(document) => document.get("online").and_then(Json::as_bool),
        Content::Text(word) => match word.trim() {
            "ONLINE" => Some(true),
            "OFFLINE" => Some(false),
            _ => None,
        },
        _ => None,
    }
}
