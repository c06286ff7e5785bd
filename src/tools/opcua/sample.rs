//! `opcua_subscribe_sample` and `anomaly_scan`: a node over a while.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::actors::Deps;
use crate::diagnose::{number, outliers};
use crate::driver::{Ask, DriverError, NodeReading, Reply};
use crate::model::{EndpointName, LinkState, Quality, Tag, Timestamp};
use crate::tools::ask::{ask_device, mismatched};
use crate::tools::call::clamped;
use crate::tools::endpoint::{Target, pick};
use crate::tools::provenance::Provenance;
use crate::tools::values::json;
use crate::tools::{Call, Tool, ToolError};

/// The reference's shortest interval.
const INTERVAL_MIN_MS: i64 = 50;
/// A longer interval than the longest call is a mistake.
const INTERVAL_MAX_MS: i64 = 60_000;
/// The reference's inner limit on an anomaly scan.
const SCAN_S: i64 = 30;

/// Listens to a node on the device until so many samples have come or the time is up.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct SampleInput {
    /// The node id.
    pub node_id: String,
    /// The endpoint; may be left out where only one speaks OPC UA.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Samples wanted, 1 to 200.
    #[arg(long, default_value_t = 5)]
    #[serde(default = "five")]
    pub samples: i64,
    /// Milliseconds between samples, 50 to 60 000.
    #[arg(long, default_value_t = 500)]
    #[serde(default = "half_a_second")]
    pub interval_ms: i64,
    /// Seconds until it ends in any case, 1 to 60.
    #[arg(long, default_value_t = 30)]
    #[serde(default = "thirty")]
    pub timeout_s: i64,
}

fn five() -> i64 {
    5
}
fn twenty() -> i64 {
    20
}
fn thirty() -> i64 {
    30
}
fn half_a_second() -> i64 {
    500
}
fn fifth_of_a_second() -> i64 {
    200
}
fn three() -> f64 {
    3.0
}

/// One sample.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct SampleAnswer {
    value: Json,
    source_timestamp: String,
    #[schemars(with = "String")]
    status_code: Quality,
    received_ts: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What was heard.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct SampleOutput {
    endpoint: EndpointName,
    node_id: String,
    requested_samples: i64,
    collected: usize,
    interval_ms: i64,
    samples: Vec<SampleAnswer>,
    provenance: Provenance,
}

/// Hears what was already heard, then listens on.
async fn listen(
    deps: &Deps,
    target: &Target,
    call: &Call,
    node_id: &str,
    samples: i64,
    interval_ms: i64,
) -> Result<(Vec<NodeReading>, Provenance), ToolError> {
    let wanted = usize::try_from(samples).unwrap_or(1);
    let heard = heard(deps, target, node_id, wanted);
    let missing = wanted.saturating_sub(heard.len());
    if missing == 0 {
        let provenance = Provenance::cache(super::oldest(&heard));
        return Ok((heard, provenance));
    }
    let question = Ask::Listen {
        item: node_id.into(),
        samples: u32::try_from(missing).unwrap_or(1),
        interval_ms: u32::try_from(interval_ms).unwrap_or(1000),
    };
    let (reply, mut provenance) = ask_device(target, call, question).await?;
    let Reply::Readings(arrived) = reply.as_ref() else { return Err(mismatched()) };
    if let Some(error) = arrived.first().and_then(|reading| reading.error.clone()) {
        return Err(error.into());
    }
    let mut all = heard;
    all.extend(arrived.iter().cloned());
    provenance.age_ms = super::oldest(&all).or(Some(0));
    Ok((all, provenance))
}

/// Gives the newest samples of a configured node that this session has heard, where its tag
/// reports them unchanged.
fn heard(deps: &Deps, target: &Target, node_id: &str, wanted: usize) -> Vec<NodeReading> {
    let tags = &target.spec().tags;
    let is_it = |tag: &&Arc<Tag>| tag.address.as_ref() == node_id && super::is_plain(tag);
    let Some(tag) = tags.iter().find(is_it) else { return Vec::new() };
    let report = target.link.report();
    if report.state != LinkState::Up {
        return Vec::new();
    }
    let Some(id) = deps.resolve(&tag.name) else { return Vec::new() };
    let item: Arc<str> = node_id.into();
    let data_type = target.link.type_of(id).unwrap_or_else(|| "".into());
    deps.cache
        .window_last(id, wanted)
        .iter()
        .filter(|sample| sample.received_ts >= report.since)
        .map(|sample| NodeReading {
            item: item.clone(),
            value: sample.value,
            data_type: data_type.clone(),
            quality: sample.quality,
            source_ts: sample.source_ts,
            received_ts: sample.received_ts,
            error: None,
        })
        .collect()
}

fn until(call: &Call, timeout_s: i64) -> Call {
    let seconds = Duration::from_secs(u64::try_from(timeout_s).unwrap_or(1));
    let deadline = call.deadline.min(tokio::time::Instant::now() + seconds);
    Call { deadline, ..call.clone() }
}

/// The tool that listens.
pub(in crate::tools) struct SubscribeSample;

impl Tool for SubscribeSample {
    const NAME: &'static str = "opcua_subscribe_sample";
    const TITLE: &'static str = "Listen to a node";
    const PROTOCOL: Option<&'static str> = Some("opcua");
    const COMMAND: Option<[&'static str; 2]> = Some(["opcua", "sample"]);
    type Input = SampleInput;
    type Output = SampleOutput;

    fn allowance(input: &Self::Input) -> Duration {
        Duration::from_secs(u64::try_from(input.timeout_s.clamp(1, 60)).unwrap_or(60))
    }

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let target = pick(deps, input.endpoint.as_deref(), "opcua")?;
        let samples = clamped("samples", input.samples, 1, 200)?;
        let interval = clamped("interval_ms", input.interval_ms, INTERVAL_MIN_MS, INTERVAL_MAX_MS)?;
        let timeout_s = clamped("timeout_s", input.timeout_s, 1, 60)?;
        let call = until(&call, timeout_s);
        let (read, provenance) =
            listen(deps, &target, &call, &input.node_id, samples, interval).await?;
        let answer = |r: &NodeReading| SampleAnswer {
            value: json(&r.value),
            source_timestamp: r.source_ts.map(Timestamp::to_rfc3339).unwrap_or_default(),
            status_code: r.quality,
            received_ts: r.received_ts,
            error: r.error.as_ref().map(DriverError::with_hint),
        };
        Ok(SampleOutput {
            endpoint: target.name,
            node_id: input.node_id,
            requested_samples: samples,
            collected: read.len(),
            interval_ms: interval,
            samples: read.iter().map(answer).collect(),
            provenance,
        })
    }
}

/// Looks for outliers in a run of samples of one node.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnomalyInput {
    /// The node id.
    pub node_id: String,
    /// The endpoint; may be left out where only one speaks OPC UA.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Samples wanted, 2 to 200.
    #[arg(long, default_value_t = 20)]
    #[serde(default = "twenty")]
    pub samples: i64,
    /// Milliseconds between samples, 50 to 60 000.
    #[arg(long, default_value_t = 200)]
    #[serde(default = "fifth_of_a_second")]
    pub interval_ms: i64,
    /// How many standard deviations off is an outlier; at least 0.5.
    #[arg(long, default_value_t = 3.0)]
    #[serde(default = "three")]
    pub sigma: f64,
}

/// Mean less and plus sigma standard deviations.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct Band {
    low: f64,
    high: f64,
}

/// One outlier.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct OutlierAnswer {
    value: f64,
    /// Its distance from the mean.
    deviation: f64,
}

/// The run and its outliers.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct AnomalyOutput {
    endpoint: EndpointName,
    node_id: String,
    samples: usize,
    mean: f64,
    stddev: f64,
    min: f64,
    max: f64,
    sigma: f64,
    band: Band,
    outlier_count: usize,
    outliers: Vec<OutlierAnswer>,
    /// Samples that were no finite number, and are in none of the figures.
    non_finite_count: usize,
    provenance: Provenance,
}

/// The tool that looks for outliers.
pub(in crate::tools) struct AnomalyScan;

impl Tool for AnomalyScan {
    const NAME: &'static str = "anomaly_scan";
    const TITLE: &'static str = "Find outliers of a node";
    const PROTOCOL: Option<&'static str> = Some("opcua");
    const COMMAND: Option<[&'static str; 2]> = Some(["opcua", "anomaly"]);
    type Input = AnomalyInput;
    type Output = AnomalyOutput;

    fn allowance(_input: &Self::Input) -> Duration {
        Duration::from_secs(30)
    }

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let target = pick(deps, input.endpoint.as_deref(), "opcua")?;
        let samples = clamped("samples", input.samples, 2, 200)?;
        let interval = clamped("interval_ms", input.interval_ms, INTERVAL_MIN_MS, INTERVAL_MAX_MS)?;
        if !input.sigma.is_finite() || input.sigma < 0.0 {
            return Err(ToolError::argument("sigma must be a positive number"));
        }
        let sigma = input.sigma.max(0.5);
        let call = until(&call, SCAN_S);
        let (read, provenance) =
            listen(deps, &target, &call, &input.node_id, samples, interval).await?;
        // A Bad sample judges nothing.
        let usable = read.iter().filter(|r| !r.quality.is_bad() || r.value.is_non_finite());
        let numbers: Vec<f64> = usable.filter_map(|r| number(&r.value)).collect();
        let finite: Vec<f64> = numbers.iter().copied().filter(|x| x.is_finite()).collect();
        let found = outliers(&finite, sigma).ok_or_else(|| {
            ToolError::new(
                crate::tools::Code::NotFound,
                "Not enough numeric samples to compute statistics (need >= 2).",
                "ask for more samples, a shorter interval, or a node that holds numbers",
            )
        })?;
        Ok(AnomalyOutput {
            endpoint: target.name,
            node_id: input.node_id,
            samples: finite.len(),
            mean: round6(found.mean),
            stddev: round6(found.stddev),
            min: found.min,
            max: found.max,
            sigma,
            band: Band { low: round6(found.band.0), high: round6(found.band.1) },
            outlier_count: found.outliers.len(),
            outliers: found
                .outliers
                .iter()
                .map(|(value, deviation)| OutlierAnswer {
                    value: *value,
                    deviation: round6(*deviation),
                })
                .collect(),
            non_finite_count: numbers.len() - finite.len(),
            provenance,
        })
    }
}

/// Rounds to six decimals, as the reference shows them; numbers too large for that stay.
fn round6(x: f64) -> f64 {
    let scaled = (x * 1e6).round() / 1e6;
    if scaled.is_finite() { scaled } else { x }
}
