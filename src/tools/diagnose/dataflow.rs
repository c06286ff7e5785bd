//! `diagnose_dataflow`.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::list::List;
use super::{a_minute, flat_eps};
use crate::actors::{Deps, LinkReport, age_ms};
use crate::clock;
use crate::diagnose::{FlowDiagnosis, FlowEvidence, FlowRead, Given, Grade, dataflow};
use crate::driver::{Ask, ErrorKind, NodeReading, Reply};
use crate::model::{EndpointName, LinkState, Quality, Tag, Value, Window, escape};
use crate::tools::ask::ask;
use crate::tools::endpoint::{Target, pick_any};
use crate::tools::provenance::Provenance;
use crate::tools::{Call, Code, Tool, ToolError};

/// Samples of the cache that say whether a tag moves.
const WINDOW: usize = 512;
/// With fewer the cache has too little history to call a tag flat or moving.
const WINDOW_MIN: usize = 120;
/// The newest part of it, which is held against the part before.
const RECENT: usize = 60;

/// Finds where data stops on its way: connection, value, age, movement. What is scanned is judged
/// by the cache and costs the device nothing.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct FlowInput {
    /// The endpoint; may be left out where there is only one.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The protocol's own address, or a configured tag's name.
    #[arg(long = "ref")]
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The oldest, by the device's own time, that is fresh.
    #[arg(long = "freshness-s", default_value_t = 60.0)]
    #[serde(default = "a_minute")]
    pub freshness_threshold_s: f64,
    /// Samples whose movement is judged; a configured tag's own history where left out.
    #[arg(skip)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<List>,
    /// The widest range that is flat.
    #[arg(long, default_value_t = 1e-9)]
    #[serde(default = "flat_eps")]
    pub flatline_eps: f64,
}

/// Where the data stops.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct FlowOutput {
    endpoint: EndpointName,
    #[serde(flatten)]
    diagnosis: FlowDiagnosis,
    provenance: Provenance,
}

/// The tool.
pub(in crate::tools) struct DataFlow;

impl Tool for DataFlow {
    const NAME: &'static str = "diagnose_dataflow";
    const TITLE: &'static str = "Find where data stops";
    const COMMAND: Option<[&'static str; 2]> = Some(["diag", "dataflow"]);
    type Input = FlowInput;
    type Output = FlowOutput;

    fn allowance(_input: &Self::Input) -> Duration {
        Duration::from_secs(15)
    }

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        if input.freshness_threshold_s < 0.0 {
            return Err(ToolError::argument("freshness_threshold_s must be 0 or more"));
        }
        let target = pick_any(deps, input.endpoint.as_deref())?;
        let mut provenance = Provenance::cache(None);
        let tag = input.reference.as_deref().and_then(|wanted| tag_of(&target, wanted));
        let mut connect = connect(deps, &target, &call, &mut provenance).await?;
        let read = match (&input.reference, &connect) {
            (Some(reference), Ok(_)) => {
                let read = read(deps, &target, &call, reference, tag, &mut provenance).await?;
                // The link went while the value was read: that is the first thing wrong.
                if let (FlowRead::Failed(why), false) = (&read, is_up(&target)) {
                    connect = Err(why.clone());
                }
                Some((reference.as_str(), read))
            }
            _ => None,
        };
        let series = match &input.series {
            Some(List(items)) => Some(Given::series(items)),
            None => tag.and_then(|tag| own_series(deps, tag)),
        };
        let diagnosis = dataflow(&FlowEvidence {
            protocol: target.link.protocol.name,
            connect,
            read,
            series: series.as_deref(),
            freshness_threshold_s: input.freshness_threshold_s,
            flatline_eps: input.flatline_eps,
            now: clock::now(),
        });
        Ok(FlowOutput { endpoint: target.name, diagnosis, provenance })
    }
}

fn is_up(target: &Target) -> bool {
    target.link.report().state == LinkState::Up
}

fn tag_of<'a>(target: &'a Target, wanted: &str) -> Option<&'a Arc<Tag>> {
    let tags = &target.spec().tags;
    let by_name = tags.iter().find(|tag| tag.name.as_ref() == wanted);
    by_name.or_else(|| tags.iter().find(|tag| tag.address.as_ref() == wanted))
}

/// Says whether the device answers: by the link's own state where it is scanned, by asking else.
async fn connect(
    deps: &Deps,
    target: &Target,
    call: &Call,
    provenance: &mut Provenance,
) -> Result<Result<String, String>, ToolError> {
    let report = target.link.report();
    match report.state {
        LinkState::Up if report.last_good.is_some() => return Ok(Ok(detail(target, &report))),
        LinkState::Backoff | LinkState::Quarantined | LinkState::Disabled => {
            let why = report.last_error.map(|fault| fault.error.message);
            let why = why.unwrap_or_else(|| "the endpoint is switched off".to_owned());
            return Ok(Err(why));
        }
        _ => {}
    }
    let question = match target.link.protocol.name {
        "opcua" => Ask::Identify,
        _ => Ask::Connect,
    };
    match ask(deps, target, call, question, Some(0.0), None).await {
        Ok((_, part)) => {
            provenance.join(&part);
            Ok(Ok(detail(target, &target.link.report())))
        }
        Err(error) if error.code == Code::Busy => Err(error),
        Err(error) => {
            provenance.join(&Provenance::device(u64::from(error.device_requests)));
            // An answer is an answer, whatever it says.
            let is_answer = matches!(error.code, Code::DeviceFault | Code::Unsupported);
            Ok(if is_answer { Ok(error.message) } else { Err(error.message) })
        }
    }
}

/// Says what is known of the device that answers.
fn detail(target: &Target, report: &LinkReport) -> String {
    let state = report.identity.as_ref().and_then(|identity| identity.state);
    let title = target.link.protocol.title;
    match (target.link.protocol.name, state) {
        ("opcua", Some(state)) => format!("OPC-UA state={state}"),
        _ => format!("{title}: the device answers"),
    }
}

/// Reads the value: from the cache where it is scanned, from the device else.
async fn read(
    deps: &Deps,
    target: &Target,
    call: &Call,
    reference: &str,
    tag: Option<&Arc<Tag>>,
    provenance: &mut Provenance,
) -> Result<FlowRead, ToolError> {
    if let Some(tag) = tag
        && let Some(latest) = deps.resolve(&tag.name).and_then(|id| deps.cache.latest(id))
    {
        let age = age_ms(&latest);
        provenance.join(&Provenance::cache(age));
        provenance.clock_skew |= age.is_none();
        let sample = latest.sample;
        if is_refused(sample.quality) {
            return Ok(FlowRead::Failed(format!("the device answers {}", sample.quality.name())));
        }
        return Ok(FlowRead::Value {
            text: words(&sample.value),
            is_null: sample.value == Value::Null,
            grade: Grade::of(sample.quality),
            source: sample.source_ts,
        });
    }
    let reference: Arc<str> = match tag {
        // Modbus names the unit behind the address.
        Some(tag) if target.link.protocol.name == "modbus" => {
            format!("{}@{}", tag.address, tag.unit.0).into()
        }
        Some(tag) => tag.address.clone(),
        None => reference.into(),
    };
    let question = Ask::Read { refs: vec![reference], unit: tag.map(|tag| tag.unit) };
    match ask(deps, target, call, question, Some(0.0), None).await {
        Ok((reply, part)) => {
            provenance.join(&part);
            let Reply::Readings(readings) = reply.as_ref() else {
                return Err(crate::tools::ask::mismatched());
            };
            Ok(readings
                .first()
                .map_or_else(|| FlowRead::Failed("the device answers nothing".to_owned()), outcome))
        }
        Err(error) if error.code == Code::Busy => Err(error),
        Err(error) => {
            provenance.join(&Provenance::device(u64::from(error.device_requests)));
            Ok(match error.code {
                Code::Unsupported => FlowRead::NotSupported(error.message),
                _ => FlowRead::Failed(error.message),
            })
        }
    }
}

fn outcome(reading: &NodeReading) -> FlowRead {
    match &reading.error {
        Some(error) if error.kind == ErrorKind::Unsupported => {
            FlowRead::NotSupported(error.message.clone())
        }
        Some(error) => FlowRead::Failed(error.message.clone()),
        None if is_refused(reading.quality) => {
            FlowRead::Failed(format!("the device answers {}", reading.quality.name()))
        }
        None => FlowRead::Value {
            text: words(&reading.value),
            is_null: reading.value == Value::Null,
            grade: Grade::of(reading.quality),
            source: reading.source_ts,
        },
    }
}

/// Tells whether a quality says that there is no such point, rather than how its value is.
fn is_refused(quality: Quality) -> bool {
    [
        Quality::BAD_NODE_ID_UNKNOWN,
        Quality::BAD_NODE_ID_INVALID,
        Quality::BAD_CONFIGURATION_ERROR,
        Quality::BAD_OUT_OF_SERVICE,
    ]
    .iter()
    .any(|refused| refused.status() >> 16 == quality.status() >> 16)
}

/// Writes a value as the reference does: whole floats keep their point, truth is capitalised.
fn words(value: &Value) -> String {
    match value {
        Value::Bool(truth) => if *truth { "True" } else { "False" }.to_owned(),
        Value::F64(x) => format!("{x:?}"),
        Value::Text(text) => escape(text),
        other => serde_json::to_string(other).unwrap_or_default(),
    }
}

/// Gives the newest stretch of a tag that has moved before; one that never moves says nothing.
fn own_series(deps: &Deps, tag: &Tag) -> Option<Vec<Given>> {
    let window: Window = deps.cache.window_last(deps.resolve(&tag.name)?, WINDOW);
    if window.len() < WINDOW_MIN {
        return None;
    }
    let mut series = Given::of_window(&window);
    let recent = series.split_off(series.len() - RECENT);
    let first = series.iter().find_map(|sample| sample.number)?;
    let moves = series.windows(2).filter(|pair| match pair {
        [a, b] => a.number.is_some() && b.number.is_some() && a.number != b.number,
        _ => false,
    });
    // It must have moved about as often as once in the stretch that is judged, twice over.
    let has_moved = moves.count() * RECENT >= 2 * series.len();
    let moves_at_all = series.iter().filter_map(|s| s.number).any(|number| number != first);
    (has_moved && moves_at_all).then_some(recent)
}
