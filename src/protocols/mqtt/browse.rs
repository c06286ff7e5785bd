//! What a broker has to offer: topics with the parts of their JSON, and the metrics of births.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::address::metric_ref;
use super::collect::{Caller, Wanted, collect};
use super::hub::{Known, message};
use super::payload;
use super::sparkplug::topic::Topic;
use crate::driver::{BrowseNode, Content, DriverError, Message, Reply};
use crate::model::Value;

/// Retained messages come at once, and what is sent every few seconds comes too.
const LISTEN: Duration = Duration::from_secs(5);
/// Topics that are looked at.
const TOPICS_MAX: u32 = 10_000;
/// Parts of one message's JSON that become nodes.
const PARTS_MAX: usize = 200;

/// Walks topics as a tree.
struct Tree {
    nodes: Vec<BrowseNode>,
    folders: BTreeSet<String>,
    most: usize,
    values: bool,
    is_cut: bool,
}

impl Tree {
    fn push(&mut self, id: String, name: &str, class: &str, parent: &str, value: Option<Value>) {
        if self.nodes.len() >= self.most {
            self.is_cut = true;
            return;
        }
        self.nodes.push(BrowseNode {
            depth: depth_below(parent),
            node_id: id.into(),
            address: None,
            browse_name: name.into(),
            node_class: class.into(),
            parent: parent.into(),
            value: value.filter(|_| self.values),
        });
    }

    /// Makes the levels above a topic, each once; gives the last one's id.
    fn folder(&mut self, levels: &str) -> String {
        if !self.folders.insert(levels.to_owned()) {
            return levels.to_owned();
        }
        let (above, name) = match levels.rsplit_once('/') {
            Some((above, name)) => (self.folder(above), name),
            None => (String::from("#"), levels),
        };
        self.push(levels.to_owned(), name, "Folder", &above, None);
        levels.to_owned()
    }

    fn plain(&mut self, message: &Message) {
        let topic = message.topic.as_ref();
        let (parent, name) = match topic.rsplit_once('/') {
            Some((above, name)) => (self.folder(above), name),
            None => (String::from("#"), topic),
        };
        match &message.content {
            Content::Json(json) => {
                let folder = self.folder(topic);
                for (path, value) in payload::leaves(json, PARTS_MAX) {
                    let id = format!("{topic}#{path}");
                    self.push(id, &path, "Variable", &folder, Some(value));
                }
            }
            Content::Text(text) => {
                let bytes = text.as_bytes();
                let read = payload::read(bytes);
                let native = crate::model::DataType::Native;
                let (value, _) = payload::value(&read, bytes, None, native);
                self.push(topic.to_owned(), name, "Variable", &parent, Some(value));
            }
            Content::Empty | Content::Metrics { .. } | Content::Binary { .. } => {
                self.push(topic.to_owned(), name, "Variable", &parent, None);
            }
        }
    }
}

/// Counts levels: what stands at the root is one below it.
fn depth_below(parent: &str) -> u8 {
    match parent {
        "#" => 1,
        levels => u8::try_from(levels.split('/').count() + 1).unwrap_or(u8::MAX),
    }
}

/// Listens for a while and gives what was heard.
pub(super) async fn browse(
    caller: Caller,
    root: Arc<str>,
    nodes_max: u32,
    values: bool,
) -> Result<Reply, DriverError> {
    let filter = if root.is_empty() { "#".into() } else { root.clone() };
    let wanted = Wanted { filter, count: TOPICS_MAX, per_topic: 1, wait: LISTEN };
    let hub = caller.hub.clone();
    let (messages, is_cut) = collect(caller, wanted).await?;
    let most = usize::try_from(nodes_max).unwrap_or(usize::MAX);
    let mut tree = Tree { nodes: Vec::new(), folders: BTreeSet::new(), most, values, is_cut };
    let plain = |m: &&Message| !Topic::parse(&m.topic).is_some_and(|t| t.is_protobuf());
    for message in messages.iter().filter(plain) {
        tree.plain(message);
    }
    let wants_metrics = ["#", "spBv1.0"].iter().any(|start| root.starts_with(start));
    if wants_metrics || root.is_empty() {
        metrics(&mut tree, &hub.known.lock());
    }
    Ok(Reply::Browse { nodes: tree.nodes, truncated: tree.is_cut })
}

fn metrics(tree: &mut Tree, known: &Known) {
    let mut births: Vec<_> = known.nodes.births().collect();
    births.sort_by_key(|(source, device, _)| (*source, *device));
    for (source, device, names) in births {
        let place = match device {
            None => format!("spBv1.0/{source}"),
            Some(device) => format!("spBv1.0/{source}/{device}"),
        };
        let folder = tree.folder(&place);
        let values = newest(known, source, device);
        let mut metrics: Vec<_> = names.all().collect();
        metrics.sort();
        for metric in metrics {
            // The session's own bookkeeping is no value of the plant.
            if metric.as_ref() == "bdSeq" || metric.starts_with("Node Control/") {
                continue;
            }
            let id = metric_ref(source, device, metric);
            let value = values.get(metric).cloned().unwrap_or(Value::Null);
            tree.push(id, metric, "Variable", &folder, Some(value));
        }
    }
}

/// Gives the newest value of each metric, as far as messages of its source are kept.
fn newest(known: &Known, source: &str, device: Option<&str>) -> HashMap<Arc<str>, Value> {
    let Some((group, node)) = source.split_once('/') else { return HashMap::new() };
    let (words, tail) = match device {
        None => (["NBIRTH", "NDATA"], node.to_owned()),
        Some(device) => (["DBIRTH", "DDATA"], format!("{node}/{device}")),
    };
    let mut kept: Vec<_> = words
        .iter()
        .flat_map(|word| known.store.find(&format!("spBv1.0/{group}/{word}/{tail}"), 16, 16).0)
        .collect();
    kept.sort_by_key(|message| message.order);
    let mut values = HashMap::new();
    for kept in &kept {
        let Content::Metrics { metrics, .. } = message(kept).content else { continue };
        for metric in metrics.iter().filter(|m| m.error.is_none() && !m.is_historical) {
            values.insert(metric.name.clone(), metric.value.clone());
        }
    }
    values
}
