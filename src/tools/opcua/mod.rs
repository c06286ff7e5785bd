//! The OPC UA tools: nodes by their ids.

mod alarms;
mod browse;
mod identity;
mod read;
mod sample;

pub(super) use alarms::ReadAlarms;
pub(super) use browse::Browse;
pub(super) use identity::ServerInfo;
pub(super) use read::{ReadMany, ReadNode};
pub(super) use sample::{AnomalyScan, SubscribeSample};

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value as Json;

use super::ask::{ask, mismatched};
use super::endpoint::Target;
use super::provenance::Provenance;
use super::values::json;
use super::{Call, ToolError};
use crate::actors::{Deps, age_ms};
use crate::clock;
use crate::driver::{Ask, DriverError, ErrorKind, NodeReading, Reply};
use crate::model::{Quality, Tag, Timestamp, Value};

/// One node's reading in the reference's shape.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub(super) struct NodeAnswer {
    node_id: String,
    /// The value; null where there is none, or where it is no finite number.
    value: Json,
    /// The server's name of the value's type, such as `Double`; empty where it is not known.
    datatype: String,
    /// The device's time, RFC 3339; empty where it gave none.
    source_timestamp: String,
    /// The quality's standard name.
    #[schemars(with = "String")]
    status_code: Quality,
    /// Whether the quality is Good.
    good: bool,
    /// When this collector received it.
    received_ts: Timestamp,
    /// Why there is no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl From<&NodeReading> for NodeAnswer {
    fn from(reading: &NodeReading) -> Self {
        Self {
            node_id: reading.item.to_string(),
            value: json(&reading.value),
            datatype: reading.data_type.to_string(),
            source_timestamp: reading.source_ts.map(Timestamp::to_rfc3339).unwrap_or_default(),
            status_code: reading.quality,
            good: reading.quality.is_good(),
            received_ts: reading.received_ts,
            error: reading.error.as_ref().map(DriverError::with_hint),
        }
    }
}

/// Says why a subscribed node has no value, where the server knows no such node.
fn unknown_node(quality: Quality) -> Option<DriverError> {
    let is_unknown = [Quality::BAD_NODE_ID_UNKNOWN, Quality::BAD_NODE_ID_INVALID]
        .iter()
        .any(|known| known.status() >> 16 == quality.status() >> 16);
    is_unknown.then(|| {
        DriverError::new(ErrorKind::BadAddress, format!("the server answers {}", quality.name()))
            .hint("browse for the node id with opcua_browse")
            .status(quality.status())
    })
}

/// In which form a configured node's value is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As the server gives it.
    AsRead,
    /// As its tag reports it: the part picked out, scaled.
    AsTag,
}

/// Reads nodes: what is subscribed or scanned from the cache, the rest in one demand.
pub(super) async fn readings(
    deps: &Deps,
    target: &Target,
    call: &Call,
    refs: &[Arc<str>],
    form: Form,
    max_age_s: Option<f64>,
) -> Result<(Vec<NodeReading>, Provenance), ToolError> {
    let mut provenance = Provenance::cache(None);
    let mut found: Vec<Option<NodeReading>> = Vec::with_capacity(refs.len());
    let mut missing: Vec<Arc<str>> = Vec::new();
    for reference in refs {
        let cached = subscribed(deps, target, reference, form, max_age_s);
        if let Some((_, part)) = &cached {
            provenance.join(part);
        } else {
            missing.push(reference.clone());
        }
        found.push(cached.map(|(reading, _)| reading));
    }
    if !missing.is_empty() {
        let question = Ask::Read { refs: missing, unit: None };
        let (reply, part) = ask(deps, target, call, question, max_age_s, None).await?;
        provenance.join(&part);
        let Reply::Readings(read) = reply.as_ref() else { return Err(mismatched()) };
        let mut read = read.iter().map(|reading| match form {
            Form::AsRead => reading.clone(),
            Form::AsTag => as_tag(target, reading),
        });
        for place in found.iter_mut().filter(|place| place.is_none()) {
            *place = read.next();
        }
    }
    let all: Option<Vec<NodeReading>> = found.into_iter().collect();
    Ok((all.ok_or_else(mismatched)?, provenance))
}

/// Gives a configured node's reading from the cache, where the tag reports it in that form.
fn subscribed(
    deps: &Deps,
    target: &Target,
    reference: &Arc<str>,
    form: Form,
    max_age_s: Option<f64>,
) -> Option<(NodeReading, Provenance)> {
    let does =
        |tag: &&Arc<Tag>| tag.address == *reference && (form == Form::AsTag || is_plain(tag));
    let tag = target.spec().tags.iter().find(does)?;
    let id = deps.resolve(&tag.name)?;
    let latest = deps.cache.latest(id)?;
    let age = age_ms(&latest);
    #[allow(clippy::cast_precision_loss, reason = "ages in seconds are compared, not counted")]
    let is_new =
        max_age_s.is_none_or(|max| max > 0.0 && age.is_some_and(|ms| ms as f64 <= max * 1000.0));
    if !is_new {
        return None;
    }
    let reading = NodeReading {
        item: reference.clone(),
        value: latest.sample.value.clone(),
        data_type: target.link.type_of(id).unwrap_or_else(|| "".into()),
        quality: latest.sample.quality,
        source_ts: latest.sample.source_ts,
        received_ts: latest.sample.received_ts,
        error: unknown_node(latest.sample.quality),
    };
    let mut provenance = Provenance::cache(age);
    provenance.clock_skew = age.is_none();
    Some((reading, provenance))
}

/// Tells whether a tag reports its node's values unchanged.
fn is_plain(tag: &Tag) -> bool {
    tag.scale.is_none() && tag.deadband.is_none() && tag.path.is_none()
}

/// Makes of a reading what the node's tag would report.
fn as_tag(target: &Target, reading: &NodeReading) -> NodeReading {
    let tag = target.spec().tags.iter().find(|tag| tag.address == reading.item);
    let Some(tag) = tag.filter(|_| !reading.quality.is_bad()) else { return reading.clone() };
    let reported = reported(tag, &reading.value);
    let quality = if reported.is_some() { reading.quality } else { Quality::BAD_DECODING_ERROR };
    NodeReading { value: reported.unwrap_or(Value::Null), quality, ..reading.clone() }
}

/// Picks the tag's part out of its node's value, and scales it; `None` where there is no such
/// part.
pub(in crate::tools) fn reported(tag: &Tag, value: &Value) -> Option<Value> {
    let part = match &tag.path {
        Some(path) => value.pick(path)?,
        None => value,
    };
    Some(tag.scale.as_ref().map_or_else(|| part.clone(), |scale| scale.apply(part)))
}

/// Gives the age of what was received, for answers that carry no cached time of their own.
pub(super) fn oldest(readings: &[NodeReading]) -> Option<u64> {
    let oldest = readings.iter().map(|reading| reading.received_ts).min()?;
    u64::try_from(clock::now().millis_since(oldest)).ok()
}
