//! `health_summary`: OPC UA nodes against their limits.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::ask::MaxAge;
use super::endpoint::{Target, pick};
use super::opcua::{Form, readings};
use super::provenance::Provenance;
use super::thresholds::{Thresholds, bounds};
use super::values::json;
use super::{Call, Tool, ToolError};
use crate::actors::Deps;
use crate::diagnose::{Status, classify, number, overall};
use crate::model::{EndpointName, Quality, Tag, sanitize};

/// As many nodes as the reference takes; more are an error, not silently dropped.
const NODES_MAX: usize = 100;

/// How many results stand where.
#[derive(Debug, Default, Serialize, schemars::JsonSchema)]
pub(super) struct Counts {
    ok: usize,
    warn: usize,
    alarm: usize,
    unknown: usize,
}

impl Counts {
    /// Counts.
    #[must_use]
    pub(super) fn of(statuses: impl Iterator<Item = Status>) -> Self {
        let mut counts = Self::default();
        for status in statuses {
            match status {
                Status::Ok => counts.ok += 1,
                Status::Warn => counts.warn += 1,
                Status::Alarm => counts.alarm += 1,
                Status::Unknown => counts.unknown += 1,
            }
        }
        counts
    }
}

/// Judges OPC UA nodes against their limits; without node ids, the endpoint's configured tags.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(super) struct HealthInput {
    /// The endpoint; may be left out where only one speaks OPC UA.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Node ids, at most 100.
    #[arg(long = "node-id")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_ids: Option<Vec<String>>,
    /// Limits by node id: {"ns=2;i=5": {"alarm_high": 90}}. They replace the configured ones.
    #[arg(skip)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<Thresholds>,
    /// Takes a cached answer no older than this many seconds; 0 asks the device now.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<f64>,
}

/// One judged node.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub(super) struct Judged {
    #[serde(rename = "ref")]
    reference: String,
    label: String,
    value: Json,
    status: Status,
    /// How far the value can be trusted.
    #[schemars(with = "String")]
    quality: Quality,
}

/// The nodes' health.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct HealthOutput {
    endpoint: EndpointName,
    overall: Status,
    counts: Counts,
    evaluated: usize,
    offenders: Vec<Judged>,
    results: Vec<Judged>,
    /// Bounds of the call that are no number and so don't hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored_bounds: Vec<String>,
    provenance: Provenance,
}

/// The tool.
pub(super) struct Health;

impl Tool for Health {
    const NAME: &'static str = "health_summary";
    const TITLE: &'static str = "Judge nodes against limits";
    const PROTOCOL: Option<&'static str> = Some("opcua");
    const COMMAND: Option<[&'static str; 2]> = Some(["opcua", "health"]);
    type Input = HealthInput;
    type Output = HealthOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let target = pick(deps, input.endpoint.as_deref(), "opcua")?;
        let max_age_s = MaxAge { max_age_s: input.max_age_s }.checked()?;
        let refs = asked(&target, input.node_ids)?;
        let (read, provenance) =
            readings(deps, &target, &call, &refs, Form::AsTag, max_age_s).await?;
        let mut ignored = Vec::new();
        let mut results = Vec::with_capacity(refs.len());
        for (reference, reading) in refs.iter().zip(&read) {
            let tag = tag_of(&target, reference);
            let bounds = bounds(input.thresholds.as_ref(), reference, tag);
            ignored.extend(bounds.ignored);
            // A Bad value is shown and not judged.
            let judged = (!reading.quality.is_bad()).then(|| number(&reading.value)).flatten();
            results.push(Judged {
                reference: sanitize(reference, 128),
                label: bounds.label,
                value: json(&reading.value),
                status: classify(&bounds.limits, judged),
                quality: reading.quality,
            });
        }
        let offends = |judged: &&Judged| matches!(judged.status, Status::Warn | Status::Alarm);
        Ok(HealthOutput {
            endpoint: target.name,
            overall: overall(results.iter().map(|judged| judged.status)),
            counts: Counts::of(results.iter().map(|judged| judged.status)),
            evaluated: results.len(),
            offenders: results.iter().filter(offends).cloned().collect(),
            results,
            ignored_bounds: ignored,
            provenance,
        })
    }
}

fn tag_of<'a>(target: &'a Target, reference: &str) -> Option<&'a Tag> {
    target.spec().tags.iter().find(|tag| tag.address.as_ref() == reference).map(AsRef::as_ref)
}

fn asked(target: &Target, node_ids: Option<Vec<String>>) -> Result<Vec<Arc<str>>, ToolError> {
    let is_given = node_ids.is_some();
    let refs: Vec<Arc<str>> = match node_ids {
        Some(given) => given.iter().map(|id| id.as_str().into()).collect(),
        None => target.spec().tags.iter().map(|tag| tag.address.clone()).collect(),
    };
    if refs.is_empty() {
        return Err(ToolError::argument(
            "No tags to evaluate. Pass node_ids or add 'tags' to the endpoint's config entry.",
        ));
    }
    if refs.len() > NODES_MAX && is_given {
        let text = format!("{} node ids, at most {NODES_MAX} at once", refs.len());
        return Err(ToolError::argument(text));
    }
    Ok(refs.into_iter().take(NODES_MAX).collect())
}
