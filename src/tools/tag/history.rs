//! `tag_history`.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::resolve;
use super::span::{Recorded, Span, recorded};
use crate::actors::Deps;
use crate::driver::{Ask, Reply};
use crate::model::{EndpointName, Limits, Quality, Sample, Tag, TagName, Timestamp, Value, Window};
use crate::store::{Gap, GapCause};
use crate::tools::ask::{ask_device, mismatched};
use crate::tools::endpoint::pick;
use crate::tools::opcua::reported;
use crate::tools::provenance::Provenance;
use crate::tools::values::json;
use crate::tools::{Call, Tool, ToolError};

/// Points in one answer; about 60 bytes each, so that the answer stays within 32 KiB.
const POINTS_MAX: u32 = 400;
/// Gaps in one answer.
const GAPS_MAX: usize = 50;
/// Samples asked of a device's own historian in one call.
const DEVICE_SAMPLES_MAX: u32 = 10_000;

fn two_hundred() -> u32 {
    200
}

/// Where history is taken from.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum From {
    /// What this collector recorded. Costs the device nothing.
    #[default]
    Collector,
    /// The device's own historian (OPC UA HistoryRead).
    Device,
}

/// Gives a tag's recorded history, thinned so that minima, maxima and gaps stay.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryInput {
    /// The tag's name.
    pub tag: String,
    /// From: `-15m`, `-1h`, `-7d`, or RFC 3339.
    #[arg(long, default_value = "-1h", allow_hyphen_values = true)]
    #[serde(default = "an_hour")]
    pub since: String,
    /// To, in the same forms; now where left out.
    #[arg(long, allow_hyphen_values = true)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Points in the answer, 3 to 400.
    #[arg(long, default_value_t = 200)]
    #[serde(default = "two_hundred")]
    pub max_points: u32,
    /// Where history is taken from.
    #[arg(long, value_enum, default_value_t)]
    #[serde(default)]
    pub from: From,
}

pub(super) fn an_hour() -> String {
    "-1h".to_owned()
}

/// One point.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(in crate::tools) struct Point {
    /// When it was received.
    ts: Timestamp,
    value: Json,
    #[schemars(with = "String")]
    quality: Quality,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_ts: Option<String>,
}

/// A stretch in which samples are known to be lost.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct GapAnswer {
    since: Timestamp,
    until: Timestamp,
    /// How many; null where nobody knows.
    lost: Option<u64>,
    cause: &'static str,
}

/// The tag's limits, those that are set.
#[derive(Debug, Serialize, schemars::JsonSchema)]
struct LimitsAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    alarm_high: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warn_high: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warn_low: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alarm_low: Option<f64>,
}

impl LimitsAnswer {
    fn of(limits: Limits) -> Option<Self> {
        let Limits { warn_low, warn_high, alarm_low, alarm_high } = limits;
        let any = limits != Limits::default();
        any.then_some(Self { alarm_high, warn_high, warn_low, alarm_low })
    }
}

/// A tag's history.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct HistoryOutput {
    tag: TagName,
    endpoint: EndpointName,
    unit: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<LimitsAnswer>,
    since: Timestamp,
    until: Timestamp,
    points: Vec<Point>,
    /// Samples recorded in the stretch.
    samples: usize,
    /// How the points were chosen among the samples.
    thinned: &'static str,
    gaps: Vec<GapAnswer>,
    provenance: Provenance,
}

/// The tool.
pub(in crate::tools) struct History;

impl Tool for History {
    const NAME: &'static str = "tag_history";
    const TITLE: &'static str = "Read a tag's history";
    const CORE: bool = true;
    type Input = HistoryInput;
    type Output = HistoryOutput;

    fn allowance(_input: &Self::Input) -> Duration {
        Duration::from_secs(20)
    }

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        if !(3..=POINTS_MAX).contains(&input.max_points) {
            return Err(ToolError::argument(format!("max_points is outside 3..{POINTS_MAX}")));
        }
        let span = Span::parse(&input.since, input.until.as_deref())?;
        let (id, tag) = resolve(deps, &input.tag)?;
        let (recorded, mut provenance) = match input.from {
            From::Collector => (recorded(deps, id, span).await?, Provenance::cache(None)),
            From::Device => from_device(deps, &call, &tag, span).await?,
        };
        let points_max = usize::try_from(input.max_points).unwrap_or(200);
        let kept = thin(&recorded.window, points_max);
        // Samples whose memory was wanted elsewhere are missing as well.
        provenance.truncated =
            recorded.truncated || recorded.window.lost > 0 || recorded.gaps.len() > GAPS_MAX;
        provenance.age_ms = recorded
            .window
            .received
            .first()
            .and_then(|first| u64::try_from(crate::clock::now().millis_since(*first)).ok());
        let is_thinned = kept.len() < recorded.window.len();
        Ok(HistoryOutput {
            tag: tag.name.clone(),
            endpoint: tag.endpoint.clone(),
            unit: tag.unit_text.to_string(),
            limits: LimitsAnswer::of(tag.limits),
            since: span.since,
            until: span.until,
            samples: recorded.window.len(),
            points: kept.iter().map(point).collect(),
            thinned: if is_thinned {
                "first and last, changes of quality, and the minimum and maximum of each of equal \
                 stretches; nothing averaged"
            } else {
                "not thinned"
            },
            gaps: recorded.gaps.iter().map(gap).take(GAPS_MAX).collect(),
            provenance,
        })
    }
}

async fn from_device(
    deps: &Deps,
    call: &Call,
    tag: &Tag,
    span: Span,
) -> Result<(Recorded, Provenance), ToolError> {
    let link = deps.directory.find(&tag.endpoint);
    let protocol = link.map_or("opcua", |link| link.protocol.name);
    let target = pick(deps, Some(&tag.endpoint), protocol)?;
    let question = Ask::History {
        item: tag.address.clone(),
        since: span.since,
        until: span.until,
        samples_max: DEVICE_SAMPLES_MAX,
    };
    let (reply, provenance) = ask_device(&target, call, question).await?;
    let Reply::History(page) = reply.as_ref() else { return Err(mismatched()) };
    let mut window = Window::default();
    for sample in page.window.iter() {
        window.push(as_tag(tag, sample));
    }
    let recorded = Recorded { window, gaps: Vec::new(), truncated: page.truncated };
    Ok((recorded, provenance))
}

/// Makes of a device's sample what the tag would have reported.
fn as_tag(tag: &Tag, sample: Sample) -> Sample {
    match reported(tag, &sample.value) {
        _ if sample.quality.is_bad() => sample,
        Some(value) => Sample { value, ..sample },
        None => Sample { value: Value::Null, quality: Quality::BAD_DECODING_ERROR, ..sample },
    }
}

/// Thins a window to points, as its history is shown.
pub(in crate::tools) fn points(window: &Window, points_max: usize) -> Vec<Point> {
    thin(window, points_max).iter().map(point).collect()
}

fn point(sample: &Sample) -> Point {
    Point {
        ts: sample.received_ts,
        value: json(&sample.value),
        quality: sample.quality,
        source_ts: sample.source_ts.map(Timestamp::to_rfc3339),
    }
}

fn gap(gap: &Gap) -> GapAnswer {
    GapAnswer {
        since: gap.from,
        until: gap.until,
        lost: gap.lost,
        cause: match gap.cause {
            GapCause::Overrun => "samples came faster than they could be stored",
            GapCause::Stopped => "the collector did not end properly",
            GapCause::Damaged => "a stored record is damaged",
        },
    }
}

/// Chooses at most `points_max` samples: the ends, changes of quality up to a quarter of the
/// room, and of each of equal stretches the smallest and the largest.
fn thin(window: &Window, points_max: usize) -> Vec<Sample> {
    let n = window.len();
    if n <= points_max {
        return window.iter().collect();
    }
    let mut keep: BTreeSet<usize> = [0, n - 1].into();
    let changes = (1..n).filter(|at| window.qualities.get(*at) != window.qualities.get(at - 1));
    keep.extend(changes.take(points_max / 4));
    let stretches = (points_max.saturating_sub(keep.len()) / 2).max(1);
    for stretch in 0..stretches {
        let (from, to) = (stretch * n / stretches, (stretch + 1) * n / stretches);
        let numbers = || {
            (from..to).filter_map(|at| Some((at, window.values.get(at).and_then(Value::as_f64)?)))
        };
        let by = |a: &(usize, f64), b: &(usize, f64)| a.1.total_cmp(&b.1);
        keep.extend(numbers().min_by(by).map(|(at, _)| at));
        keep.extend(numbers().max_by(by).map(|(at, _)| at));
    }
    // What room is left shows the course between them.
    let spare = points_max.saturating_sub(keep.len());
    keep.extend((1..=spare).map(|nth| nth * n / (spare + 1)));
    keep.into_iter().take(points_max).filter_map(|at| window.get(at)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(values: impl Iterator<Item = f64>) -> Window {
        let mut window = Window::default();
        for (at, value) in values.enumerate() {
            window.push(Sample {
                value: Value::F64(value),
                quality: Quality::GOOD,
                source_ts: None,
                received_ts: Timestamp::from_millis(i64::try_from(at).unwrap()),
            });
        }
        window
    }

    #[test]
    fn thinning_keeps_the_ends_the_extremes_and_its_limit() {
        let mut values: Vec<f64> = (0..5000).map(|i| f64::from(i % 7)).collect();
        values[1234] = 99.0;
        values[4321] = -99.0;
        let kept = thin(&window(values.iter().copied()), 100);
        assert!(kept.len() <= 100);
        let has = |x: f64| kept.iter().any(|s| s.value == Value::F64(x));
        assert!(has(99.0) && has(-99.0));
        assert_eq!(kept.first().unwrap().received_ts.millis(), 0);
        assert_eq!(kept.last().unwrap().received_ts.millis(), 4999);
    }

    #[test]
    fn a_moment_of_bad_quality_is_not_thinned_away() {
        let mut w = window((0..1000).map(f64::from));
        w.qualities[500] = Quality::BAD_NO_COMMUNICATION;
        assert!(thin(&w, 50).iter().any(|s| s.quality.is_bad()));
    }

    #[test]
    fn few_samples_stay_as_they_are() {
        assert_eq!(thin(&window((0..10).map(f64::from)), 10).len(), 10);
    }
}
