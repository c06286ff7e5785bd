//! Edge nodes and their devices: births, sequence numbers, deaths (Sparkplug 3.0, 5 and 6.4).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::super::tags::{Tags, Told};
use super::metric::{RawMetric, RawPayload, type_name};
use super::names::Names;
use super::topic::{Kind, Topic};
use crate::driver::DriverError;
use crate::model::{Quality, Timestamp, Value};

/// Edge nodes of one broker; messages of more are shown and not followed.
const NODES_MAX: usize = 1000;
/// Devices of one node.
const DEVICES_MAX: usize = 1000;
/// Names of all births together, about 60 MB.
const NAMES_MAX: usize = 500_000;
/// Sequence numbers go from 0 to 255 and begin anew (6.4.4).
const SEQ_MOD: u64 = 256;

/// A node's or a device's metrics.
#[derive(Debug, Default)]
struct Source {
    names: Arc<Names>,
    /// The tags that follow a metric.
    tags: HashMap<Arc<str>, Vec<usize>>,
    is_born: bool,
    /// Something was lost, or it died: nothing it says is complete until its next birth.
    needs_birth: bool,
}

/// An edge node.
#[derive(Debug, Default)]
struct Node {
    own: Source,
    devices: HashMap<String, Source>,
    seq: Option<u64>,
    /// The number of the session that the birth began; `None` where it had none.
    bd_seq: Option<u64>,
    digest: u64,
}

/// Every node that was heard of, or that a tag follows.
#[derive(Debug, Default)]
pub(in super::super) struct Nodes {
    nodes: HashMap<String, Node>,
    names: usize,
    wanting: BTreeSet<(String, String)>,
}

fn key(group: &str, node: &str) -> String {
    format!("{group}/{node}")
}

impl Source {
    fn stale(&mut self, tags: &mut Tags, now: Timestamp) {
        self.needs_birth = true;
        for at in self.tags.values().flatten() {
            tags.stale(*at, now);
        }
    }

    /// Takes what a message says of each metric.
    fn take(&self, payload: &RawPayload<'_>, tags: &mut Tags, now: Timestamp) -> Taken {
        let mut taken = Taken::Whole;
        for metric in &payload.metrics {
            // A value of the past is none of now.
            if metric.is_historical {
                continue;
            }
            match self.names.find(metric) {
                Ok(named) => {
                    let Some(followers) = self.tags.get(named.name) else { continue };
                    let is_sure = !self.needs_birth && (self.is_born || named.is_self_told);
                    let read = metric.value(named.kind);
                    for at in followers {
                        tags.learn(*at, type_name(named.kind));
                        tell(tags, *at, metric, &read, is_sure, now);
                    }
                }
                Err(_) => taken = Taken::WithUnknown,
            }
        }
        taken
    }
}

/// Whether every metric of a message was one that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Whole,
    WithUnknown,
}

fn tell(
    tags: &mut Tags,
    at: usize,
    metric: &RawMetric<'_>,
    read: &Result<(Value, Quality), DriverError>,
    is_sure: bool,
    received_ts: Timestamp,
) {
    let Some(bound) = tags.get(at) else { return };
    let (value, quality) = match (read, bound.path.as_deref()) {
        (Err(_), _) => (Value::Null, Quality::BAD_DECODING_ERROR),
        (Ok((value, quality)), None) => (value.clone(), *quality),
        (Ok((value, quality)), Some(path)) => match value.pick(path) {
            Some(part) => (part.clone(), *quality),
            None => (Value::Null, Quality::BAD_DECODING_ERROR),
        },
    };
    let quality =
        if is_sure || quality.is_bad() { quality } else { Quality::UNCERTAIN_LAST_USABLE };
    tags.tell(at, value, quality, Told { source_ts: metric.source_ts(), received_ts });
}

impl Node {
    fn source(&mut self, device: Option<&str>) -> Option<&mut Source> {
        let Some(device) = device else { return Some(&mut self.own) };
        if !self.devices.contains_key(device) {
            if self.devices.len() >= DEVICES_MAX {
                return None;
            }
            self.devices.insert(device.to_owned(), Source::default());
        }
        self.devices.get_mut(device)
    }

    fn stale(&mut self, tags: &mut Tags, now: Timestamp) {
        self.own.stale(tags, now);
        self.devices.values_mut().for_each(|device| device.stale(tags, now));
    }

    /// Holds a message's number against the one before. Gives how many were lost; `None` where
    /// it is the same message once more, as overlapping subscriptions bring it.
    fn follow(&mut self, seq: Option<u64>, digest: u64) -> Option<u64> {
        let Some(seq) = seq else { return Some(0) };
        let before = self.seq.replace(seq);
        let before_digest = std::mem::replace(&mut self.digest, digest);
        let Some(before) = before else { return Some(0) };
        if seq == before && digest == before_digest {
            return None;
        }
        let missed = (seq + SEQ_MOD - (before + 1) % SEQ_MOD) % SEQ_MOD;
        // A step back is a node that began anew, or a late message: at least one is missing.
        Some(if missed < SEQ_MOD / 2 { missed } else { 1 })
    }
}

impl Nodes {
    /// Lets a tag follow a metric.
    pub(in super::super) fn follow(
        &mut self,
        (group, node, device): (&str, &str, Option<&str>),
        metric: &str,
        tag: usize,
    ) {
        let node = self.nodes.entry(key(group, node)).or_default();
        let source = match device {
            None => &mut node.own,
            Some(device) => node.devices.entry(device.to_owned()).or_default(),
        };
        source.tags.entry(metric.into()).or_default().push(tag);
    }

    /// Lists the nodes that tags follow, for a rebirth at the beginning.
    pub(in super::super) fn want_all(&mut self) {
        let of_key = |key: &String| {
            let (group, node) = key.split_once('/')?;
            Some((group.to_owned(), node.to_owned()))
        };
        self.wanting = self.nodes.keys().filter_map(of_key).collect();
    }

    /// Takes the nodes whose birth is missing.
    pub(in super::super) fn take_wanting(&mut self) -> BTreeSet<(String, String)> {
        std::mem::take(&mut self.wanting)
    }

    /// Takes a message; gives the names that its metrics have.
    ///
    /// # Errors
    /// Its payload is no Sparkplug payload.
    pub(in super::super) fn hear(
        &mut self,
        topic: &Topic<'_>,
        payload: &[u8],
        tags: &mut Tags,
        now: Timestamp,
    ) -> Result<Arc<Names>, DriverError> {
        let key = key(topic.group, topic.node);
        if !topic.is_exact() || matches!(topic.kind, Kind::NodeCommand | Kind::DeviceCommand) {
            return Ok(self.known(&key, topic.device));
        }
        if !self.nodes.contains_key(&key) && self.nodes.len() >= NODES_MAX {
            return Ok(Arc::default());
        }
        let read = RawPayload::read(payload);
        let node = self.nodes.entry(key).or_default();
        let read = match read {
            Ok(read) if read.seq.is_none_or(|seq| seq < SEQ_MOD) => read,
            // Whatever it said is lost.
            failed => {
                tags.lose(1);
                node.stale(tags, now);
                self.wanting.insert((topic.group.to_owned(), topic.node.to_owned()));
                return match failed {
                    Ok(_) => Err(super::super::errors::decode("a sequence number is above 255")),
                    Err(error) => Err(error),
                };
            }
        };
        let (wants, names) = node.take(topic, &read, payload, tags, now, self.names);
        self.names = names.1;
        if wants {
            self.wanting.insert((topic.group.to_owned(), topic.node.to_owned()));
        }
        Ok(names.0)
    }

    fn known(&self, key: &str, device: Option<&str>) -> Arc<Names> {
        let source = self.nodes.get(key).and_then(|node| match device {
            None => Some(&node.own),
            Some(device) => node.devices.get(device),
        });
        source.map(|source| source.names.clone()).unwrap_or_default()
    }

    /// Gives what the birth of a node or device named.
    pub(in super::super) fn births(
        &self,
    ) -> impl Iterator<Item = (&str, Option<&str>, &Arc<Names>)> {
        self.nodes.iter().flat_map(|(key, node)| {
            let own = std::iter::once((key.as_str(), None, &node.own));
            let devices = node.devices.iter().map(|(d, s)| (key.as_str(), Some(d.as_str()), s));
            own.chain(devices)
                .filter(|(_, _, source)| source.is_born)
                .map(|(k, d, s)| (k, d, &s.names))
        })
    }

    /// Gives the names of one node or device, where it is born.
    #[cfg(feature = "writes")]
    pub(in super::super) fn names(
        &self,
        (group, node, device): (&str, &str, Option<&str>),
    ) -> Arc<Names> {
        self.known(&key(group, node), device)
    }
}

impl Node {
    /// Takes a message. Tells whether a birth is wanted, and gives the names of its source with
    /// how many names are kept from now on.
    fn take(
        &mut self,
        topic: &Topic<'_>,
        payload: &RawPayload<'_>,
        bytes: &[u8],
        tags: &mut Tags,
        now: Timestamp,
        kept: usize,
    ) -> (bool, (Arc<Names>, usize)) {
        if topic.kind == Kind::NodeDeath {
            // The will of a session before this one says nothing of this one (6.4.19).
            if self.bd_seq.is_none() || payload.bd_seq().is_none_or(|n| self.bd_seq == Some(n)) {
                self.stale(tags, now);
                self.seq = None;
                self.own.is_born = false;
            }
            return (false, (self.own.names.clone(), kept));
        }
        let mut wants = false;
        if topic.kind == Kind::NodeBirth {
            self.seq = payload.seq;
            self.digest = xxhash_rust::xxh3::xxh3_64(bytes);
            self.bd_seq = payload.bd_seq();
            // Its devices are born anew after it (6.4.19).
            for device in self.devices.values_mut() {
                device.stale(tags, now);
                device.is_born = false;
            }
        } else {
            match self.follow(payload.seq, xxhash_rust::xxh3::xxh3_64(bytes)) {
                None => {
                    let names = self.source(topic.device).map(|source| source.names.clone());
                    return (false, (names.unwrap_or_default(), kept));
                }
                Some(0) => {}
                Some(lost) => {
                    tags.lose(lost);
                    self.stale(tags, now);
                    wants = true;
                }
            }
        }
        let Some(source) = self.source(topic.device) else {
            return (false, (Arc::default(), kept));
        };
        let kept = match topic.kind {
            Kind::NodeBirth | Kind::DeviceBirth => source.born(payload, tags, now, kept),
            Kind::DeviceDeath => {
                source.stale(tags, now);
                source.is_born = false;
                return (wants, (source.names.clone(), kept));
            }
            _ => kept,
        };
        if source.take(payload, tags, now) == Taken::WithUnknown {
            // Before its first birth here nothing of it is followed, so that nothing is lost.
            if source.is_born {
                tags.lose(1);
            }
            source.stale(tags, now);
        }
        // A node whose birth was missed says less than there is.
        wants |= !source.is_born || source.needs_birth;
        (wants, (source.names.clone(), kept))
    }
}

impl Source {
    /// Takes a birth: from here on everything is known, as far as it has room.
    fn born(
        &mut self,
        payload: &RawPayload<'_>,
        tags: &mut Tags,
        now: Timestamp,
        kept: usize,
    ) -> usize {
        let names = Names::of_birth(payload);
        let kept = kept.saturating_sub(self.names.len());
        let has_room = kept + names.len() <= NAMES_MAX;
        self.names = Arc::new(if has_room { names } else { Names::default() });
        self.is_born = true;
        self.needs_birth = false;
        for (metric, followers) in &self.tags {
            if self.names.has(metric) {
                continue;
            }
            for at in followers {
                let told = Told { source_ts: None, received_ts: now };
                tags.tell(*at, Value::Null, Quality::BAD_NODE_ID_UNKNOWN, told);
            }
        }
        kept + self.names.len()
    }
}
