//! Answers questions, each from one or two requests of its own beside the stream.

use std::sync::Arc;

use tokio::time::Instant;

use super::devices;
use super::errors;
use super::follow::{self, Follow, Kind, ROWS_MAX};
use super::http::Agent;
use super::items::{Index, Routes};
use super::streams::{self, Header};
use super::times;
use super::values::{self, Reads};
use super::xml::Fault;
use crate::clock;
use crate::driver::{
    Ask, BrowseNode, DriverError, ErrorKind, Identity, ModelDevice, NodeReading, Observations,
    Reply, Toll,
};
use crate::model::{DataType, Quality, Timestamp, Value};

/// One call reads at most this many items, as the reference's bulk reads do.
const READ_REFS_MAX: usize = 100;

/// Who asks, and of whom.
pub(super) struct Caller {
    pub(super) agent: Agent,
    pub(super) model: Option<Arc<Vec<ModelDevice>>>,
    pub(super) is_streamed: bool,
    pub(super) toll: Toll,
    pub(super) deadline: Instant,
}

/// Makes an identity out of what an agent and its model say.
pub(super) fn identity(header: &Header, devices: &[ModelDevice]) -> Identity {
    let names: Vec<&str> = devices.iter().take(20).map(|device| device.name.as_ref()).collect();
    let instance = header.instance.map(|id| id.to_string()).unwrap_or_default();
    Identity {
        product: "MTConnect agent".into(),
        version: header.version.as_str().into(),
        device_time: Timestamp::parse(&header.created).ok(),
        details: vec![
            ("sender", header.sender.as_str().into()),
            ("instance_id", instance.into()),
            ("devices", names.join(", ").into()),
        ],
        ..Identity::default()
    }
}

/// Answers a question.
pub(super) async fn answer(caller: Caller, ask: Ask) -> Result<Reply, DriverError> {
    match ask {
        // A stream is heard of; without one only asking tells whether the agent is there.
        Ask::Connect if caller.is_streamed => Ok(Reply::Connected),
        Ask::Connect => caller.probe().await.map(|_| Reply::Connected),
        Ask::Identify => {
            let (header, devices) = caller.probe().await?;
            Ok(Reply::Identity(identity(&header, &devices)))
        }
        Ask::Model => Ok(Reply::Model(caller.probe().await?.1)),
        Ask::Current => caller.observations("current").await.map(Reply::Observations),
        Ask::Recent { count } => {
            let request = format!("sample?count={count}");
            caller.observations(&request).await.map(Reply::Observations)
        }
        Ask::Assets => {
            let document = caller.get("assets").await?;
            devices::assets(&document.text)
                .map(Reply::Assets)
                .map_err(|fault| errors::document(&document.url, fault))
        }
        Ask::Conditions => {
            let mut follow = Follow::default();
            let document = caller.get("current").await?;
            follow
                .take(&document.text, Kind::Snapshot, &Routes::default(), |_| Ok(()))
                .map_err(|fault| errors::document(&document.url, fault))?;
            Ok(Reply::Conditions(follow.active()))
        }
        Ask::Read { refs, .. } => caller.read(&refs).await.map(Reply::Readings),
        Ask::Browse { root, depth, nodes_max, values } => {
            caller.browse(&root, depth, nodes_max, values).await
        }
        Ask::Block(_) | Ask::History { .. } | Ask::Listen { .. } | Ask::Messages { .. } => {
            Err(DriverError::new(
                ErrorKind::Unsupported,
                "an MTConnect agent has no registers, topics, or history of one item alone",
            )
            .hint("read data items by id with a tag, mtconnect_current or mtconnect_sample"))
        }
    }
}

impl Caller {
    async fn get(&self, request: &str) -> Result<super::http::Document, DriverError> {
        self.agent.get(request, (&self.toll, self.deadline)).await
    }

    async fn probe(&self) -> Result<(Header, Vec<ModelDevice>), DriverError> {
        let document = self.get("probe").await?;
        devices::read(&document.text).map_err(|fault| errors::document(&document.url, fault))
    }

    async fn observations(&self, request: &str) -> Result<Observations, DriverError> {
        let document = self.get(request).await?;
        let mut found = Observations::default();
        let read = streams::read(&document.text, |place, seen| {
            found.total += 1;
            if found.rows.len() < ROWS_MAX {
                found.rows.push(Arc::new(follow::row(place, &seen)));
            }
        });
        read.map_err(|fault| errors::document(&document.url, fault))?;
        Ok(found)
    }

    /// Reads items by their ids or names; one that is not there fails alone.
    async fn read(&self, refs: &[Arc<str>]) -> Result<Vec<NodeReading>, DriverError> {
        if refs.len() > READ_REFS_MAX {
            let what = format!("{} data items are more than {READ_REFS_MAX}", refs.len());
            return Err(DriverError::new(ErrorKind::BadAddress, what).hint("ask in several calls"));
        }
        let index = self.model.as_deref().map(|model| Index::new(model));
        let found: Vec<Result<Target, DriverError>> = refs
            .iter()
            .map(|text| match &index {
                Some(index) => index.find(text).map(|(device, item, _)| Target {
                    device: Some(device.name.clone()),
                    id: item.id.clone(),
                    kind: item.kind.clone(),
                }),
                None => Ok(Target { device: None, id: text.clone(), kind: "".into() }),
            })
            .collect();
        let document = self.get("current").await?;
        let mut newest: Vec<Option<(Value, Quality, Option<Timestamp>)>> = vec![None; refs.len()];
        let read = streams::read(&document.text, |place, seen| {
            for (target, slot) in found.iter().zip(&mut newest) {
                if target.as_ref().is_ok_and(|target| target.is(&place.device, &seen)) {
                    let (value, quality) = on_demand(&seen);
                    *slot = Some((value, quality, times::read(&seen.timestamp)));
                }
            }
        });
        read.map_err(|fault| errors::document(&document.url, fault))?;
        let rows = refs.iter().zip(found).zip(newest);
        Ok(rows.map(|((item, target), newest)| reading(item, target, newest)).collect())
    }

    /// Lists machines, components and data items as a tree; data items are its variables.
    async fn browse(
        &self,
        root: &str,
        depth: u8,
        nodes_max: u32,
        with_values: bool,
    ) -> Result<Reply, DriverError> {
        let (_, devices) = self.probe().await?;
        let mut nodes = tree(&devices, root, depth);
        if nodes.is_empty() {
            let what = "the agent's model has no machine or component of that id";
            return Err(DriverError::new(ErrorKind::BadAddress, what)
                .hint("start at devices, which holds everything"));
        }
        let nodes_max = usize::try_from(nodes_max).unwrap_or(usize::MAX);
        let truncated = nodes.len() > nodes_max;
        nodes.truncate(nodes_max);
        if with_values {
            let document = self.get("current").await?;
            let mut values = std::collections::HashMap::new();
            streams::read(&document.text, |_, seen| {
                values.insert(seen.id.to_string(), on_demand(&seen).0);
            })
            .map_err(|fault: Fault| errors::document(&document.url, fault))?;
            for node in nodes.iter_mut().filter(|node| node.node_class.as_ref() == "Variable") {
                node.value = values.get(node.node_id.as_ref()).cloned();
            }
        }
        Ok(Reply::Browse { nodes, truncated })
    }
}

/// What one reference of a read means.
struct Target {
    device: Option<Arc<str>>,
    id: Arc<str>,
    kind: Arc<str>,
}

impl Target {
    fn is(&self, device: &str, seen: &streams::Seen<'_>) -> bool {
        match &self.device {
            Some(own) => **own == *device && *self.id == *seen.id,
            None => *self.id == *seen.id || *self.id == *seen.name,
        }
    }
}

/// The value of an observation without a tag that says its type.
fn on_demand(seen: &streams::Seen<'_>) -> (Value, Quality) {
    match seen.level() {
        _ if seen.is_unavailable() => (Value::Null, values::UNAVAILABLE),
        Some(level) => (Value::text(level.word()), Quality::GOOD),
        None if seen.is_set() => {
            let entries = seen.entries.iter().filter(|entry| !entry.is_removed);
            let fields = entries.map(|entry| (values::key_of(&entry.key), values::entry(entry)));
            (Value::map(fields), Quality::GOOD)
        }
        None if seen.category == crate::driver::Category::Event => {
            values::value(seen, Reads::As(DataType::Native))
        }
        None => values::value(seen, Reads::ByCategory),
    }
}

fn reading(
    item: &Arc<str>,
    target: Result<Target, DriverError>,
    newest: Option<(Value, Quality, Option<Timestamp>)>,
) -> NodeReading {
    let (data_type, error) = match target {
        Ok(target) => (target.kind, None),
        Err(error) => ("".into(), Some(error)),
    };
    let silent = || {
        DriverError::new(ErrorKind::BadAddress, "the agent tells no value of that data item")
            .hint("see mtconnect_current for what it tells")
    };
    let error = error.or_else(|| newest.is_none().then(silent));
    let (value, quality, source_ts) = newest.unwrap_or_else(|| {
        let quality = error.as_ref().map_or(Quality::BAD, DriverError::quality);
        (Value::Null, quality, None)
    });
    let (item, received_ts) = (item.clone(), clock::now());
    NodeReading { item, value, data_type, quality, source_ts, received_ts, error }
}

/// Lists the model depth first, from the node of an id, so many levels deep.
fn tree(devices: &[ModelDevice], root: &str, depth: u8) -> Vec<BrowseNode> {
    let mut all = vec![node("devices", "devices", "Folder", "", 0)];
    for device in devices {
        let mut levels: Vec<u8> = Vec::new();
        for component in &device.components {
            let above = component
                .parent
                .and_then(|at| Some((device.components.get(at)?.id.as_ref(), *levels.get(at)?)));
            let (parent, level) = above.unwrap_or(("devices", 0));
            let level = level.saturating_add(1);
            levels.push(level);
            let name = if component.name.is_empty() { &component.kind } else { &component.name };
            all.push(node(&component.id, name, &component.kind, parent, level));
            for item in &component.items {
                let name = if item.name.is_empty() { &item.kind } else { &item.name };
                let level = level.saturating_add(1);
                all.push(node(&item.id, name, "Variable", &component.id, level));
            }
        }
    }
    let Some(start) = all.iter().find(|node| node.node_id.as_ref() == root).cloned() else {
        return Vec::new();
    };
    let mut within = std::collections::HashSet::from([start.node_id.clone()]);
    let mut kept = vec![BrowseNode { parent: "".into(), depth: 0, ..start.clone() }];
    // Components stand behind the ones they are part of, so one pass finds everything below.
    for node in all {
        if within.contains(&node.parent) && node.node_id != start.node_id {
            within.insert(node.node_id.clone());
            let depth_below = node.depth.saturating_sub(start.depth);
            if depth_below <= depth {
                kept.push(BrowseNode { depth: depth_below, ..node });
            }
        }
    }
    kept
}

fn node(id: &str, name: &str, class: &str, parent: &str, depth: u8) -> BrowseNode {
    BrowseNode {
        node_id: id.into(),
        address: None,
        browse_name: name.into(),
        node_class: class.into(),
        parent: parent.into(),
        depth,
        value: None,
    }
}
