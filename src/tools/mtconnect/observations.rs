//! `mtconnect_current` and `mtconnect_sample`.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::current;
use crate::actors::Deps;
use crate::driver::{Ask, Observation, Observations, Reply};
use crate::model::{EndpointName, Value, sanitize};
use crate::tools::ask::{MaxAge, ask, mismatched};
use crate::tools::endpoint::pick;
use crate::tools::provenance::Provenance;
use crate::tools::{Call, Tool, ToolError};

/// The reference's cap on observations in one answer.
const OBSERVATIONS_MAX: i64 = 500;

/// One observation.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct ObservationAnswer {
    data_item_id: String,
    /// The element's name; of a condition, its data item's type.
    #[serde(rename = "type")]
    kind: String,
    name: String,
    /// The device's own time.
    timestamp: String,
    sequence: String,
    /// Text as the agent wrote it; an object where it is a set or a table.
    value: Json,
    device: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    sub_type: String,
    /// NORMAL, WARNING, FAULT or UNAVAILABLE, of a condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<&'static str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    native_code: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    native_severity: String,
}

/// Writes a value as it is shown: nothing in its texts that acts on a reader.
fn shown(value: &Value) -> Json {
    match value {
        Value::Text(text) => Json::String(sanitize(text, 256)),
        Value::Map(fields) => {
            fields.iter().map(|(key, value)| (sanitize(key, 64), shown(value))).collect()
        }
        other => serde_json::to_value(other).unwrap_or(Json::Null),
    }
}

impl From<&Observation> for ObservationAnswer {
    fn from(row: &Observation) -> Self {
        let condition = row.condition.as_ref();
        Self {
            data_item_id: sanitize(&row.item, 64),
            kind: sanitize(&row.kind, 48),
            name: sanitize(&row.name, 64),
            timestamp: sanitize(&row.timestamp, 40),
            sequence: row.sequence.map(|n| n.to_string()).unwrap_or_default(),
            value: shown(&row.value),
            device: sanitize(&row.device, 64),
            sub_type: sanitize(&row.sub_type, 48),
            level: condition.map(|condition| condition.level.word()),
            native_code: condition.map(|c| sanitize(&c.native_code, 48)).unwrap_or_default(),
            native_severity: condition
                .map(|c| sanitize(&c.native_severity, 48))
                .unwrap_or_default(),
        }
    }
}

/// Cuts to so many, and says whether there were more.
fn answers(found: &Observations, most: i64) -> (Vec<ObservationAnswer>, bool) {
    let most = usize::try_from(most).unwrap_or_default();
    let rows: Vec<_> = found.rows.iter().take(most).map(|row| row.as_ref().into()).collect();
    let truncated = rows.len() < found.total;
    (rows, truncated)
}

/// Gives the newest observation of every data item, at most 500.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct CurrentInput {
    /// The endpoint; may be left out where only one speaks MTConnect.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Only this device's.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Takes a cached answer no older than this many seconds; 0 asks the agent now.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<f64>,
}

/// The present state.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct CurrentOutput {
    endpoint: EndpointName,
    observation_count: usize,
    observations: Vec<ObservationAnswer>,
    /// There are more.
    truncated: bool,
    /// How many there are.
    total: usize,
    provenance: Provenance,
}

/// The tool for the present state.
pub(in crate::tools) struct Current;

impl Tool for Current {
    const NAME: &'static str = "mtconnect_current";
    const TITLE: &'static str = "Read the present state";
    const PROTOCOL: Option<&'static str> = Some("mtconnect");
    type Input = CurrentInput;
    type Output = CurrentOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let target = pick(deps, input.endpoint.as_deref(), "mtconnect")?;
        let max_age_s = MaxAge { max_age_s: input.max_age_s }.checked()?;
        let (reply, mut provenance) = current(deps, &target, &call, max_age_s).await?;
        let Reply::Observations(found) = reply.as_ref() else { return Err(mismatched()) };
        let found = match &input.device {
            None => found.clone(),
            Some(device) => {
                let of_device = found.rows.iter().filter(|row| *row.device == **device);
                let rows: Vec<_> = of_device.cloned().collect();
                Observations { total: rows.len(), rows }
            }
        };
        let (observations, truncated) = answers(&found, OBSERVATIONS_MAX);
        provenance.truncated = truncated;
        Ok(CurrentOutput {
            endpoint: target.name,
            observation_count: observations.len(),
            observations,
            truncated,
            total: found.total,
            provenance,
        })
    }
}

/// Reads observations from the agent's buffer, oldest first.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct SampleInput {
    /// The endpoint; may be left out where only one speaks MTConnect.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Observations wanted, 1 to 500; more are cut to 500.
    #[arg(long, default_value_t = 100)]
    #[serde(default = "hundred")]
    pub count: i64,
    /// Takes a cached answer no older than this many seconds; 0 asks the agent now.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<f64>,
}

fn hundred() -> i64 {
    100
}

/// A stretch of the buffer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct SampleOutput {
    endpoint: EndpointName,
    requested_count: i64,
    observation_count: usize,
    observations: Vec<ObservationAnswer>,
    /// The agent sent more than was asked for.
    truncated: bool,
    total: usize,
    provenance: Provenance,
}

/// The tool for a stretch of the buffer.
pub(in crate::tools) struct Sample;

impl Tool for Sample {
    const NAME: &'static str = "mtconnect_sample";
    const TITLE: &'static str = "Read the agent's buffer";
    const PROTOCOL: Option<&'static str> = Some("mtconnect");
    type Input = SampleInput;
    type Output = SampleOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let target = pick(deps, input.endpoint.as_deref(), "mtconnect")?;
        let max_age_s = MaxAge { max_age_s: input.max_age_s }.checked()?;
        let count = input.count.clamp(1, OBSERVATIONS_MAX);
        let question = Ask::Recent { count: u32::try_from(count).unwrap_or(1) };
        let (reply, mut provenance) = ask(deps, &target, &call, question, max_age_s, None).await?;
        let Reply::Observations(found) = reply.as_ref() else { return Err(mismatched()) };
        let (observations, truncated) = answers(found, OBSERVATIONS_MAX);
        provenance.truncated = truncated;
        Ok(SampleOutput {
            endpoint: target.name,
            requested_count: count,
            observation_count: observations.len(),
            observations,
            truncated,
            total: found.total,
            provenance,
        })
    }
}
