//! `tag_stats`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::history::an_hour;
use super::resolve;
use super::span::{Recorded, Span, recorded};
use crate::actors::Deps;
use crate::model::{TagName, Timestamp, Window};
use crate::tools::provenance::Provenance;
use crate::tools::values::json;
use crate::tools::{Call, Tool, ToolError};

/// Tags in one call; each may read a day of history.
const TAGS_MAX: usize = 50;

/// Gives statistics of tags over a stretch of recorded history. Costs the device nothing.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatsInput {
    /// Tag names, at most 50.
    #[arg(required = true)]
    pub tags: Vec<String>,
    /// From: `-15m`, `-1h`, `-7d`, or RFC 3339.
    #[arg(long, default_value = "-1h", allow_hyphen_values = true)]
    #[serde(default = "an_hour")]
    pub since: String,
    /// To, in the same forms; now where left out.
    #[arg(long, allow_hyphen_values = true)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// One tag's statistics. Mean, deviation, minimum and maximum are of finite numbers that are not
/// Bad: what was restored after a restart is Uncertain, and was read all the same.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct Item {
    tag: TagName,
    unit: String,
    /// Samples of any quality.
    count: usize,
    /// Samples of Good quality.
    good: usize,
    mean: Option<f64>,
    /// Population standard deviation.
    stdev: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    first: Json,
    last: Json,
    first_ts: Option<Timestamp>,
    last_ts: Option<Timestamp>,
    /// Stretches in which samples are known to be lost.
    gaps: usize,
}

/// The statistics, in the order asked.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct StatsOutput {
    since: Timestamp,
    until: Timestamp,
    items: Vec<Item>,
    provenance: Provenance,
}

/// The tool.
pub(in crate::tools) struct Stats;

impl Tool for Stats {
    const NAME: &'static str = "tag_stats";
    const TITLE: &'static str = "Statistics of tags";
    const CORE: bool = true;
    type Input = StatsInput;
    type Output = StatsOutput;

    fn allowance(_input: &Self::Input) -> Duration {
        Duration::from_secs(20)
    }

    async fn call(deps: &Deps, _call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        if input.tags.is_empty() || input.tags.len() > TAGS_MAX {
            let text = format!("{} tags, 1 to {TAGS_MAX} at once", input.tags.len());
            return Err(ToolError::argument(text));
        }
        let span = Span::parse(&input.since, input.until.as_deref())?;
        let mut provenance = Provenance::cache(None);
        let mut items = Vec::with_capacity(input.tags.len());
        for name in &input.tags {
            let (id, tag) = resolve(deps, name)?;
            let recorded = recorded(deps, id, span).await?;
            provenance.truncated |= recorded.truncated || recorded.window.lost > 0;
            items.push(item(&tag.name, &tag.unit_text, &recorded));
        }
        let oldest = items.iter().filter_map(|item| item.first_ts).min();
        provenance.age_ms =
            oldest.and_then(|first| u64::try_from(crate::clock::now().millis_since(first)).ok());
        Ok(StatsOutput { since: span.since, until: span.until, items, provenance })
    }
}

fn item(tag: &TagName, unit: &str, recorded: &Recorded) -> Item {
    let window = &recorded.window;
    let numbers = numbers(window);
    let spread = crate::diagnose::outliers(&numbers, f64::INFINITY);
    let single = numbers.first().copied().filter(|_| numbers.len() == 1);
    Item {
        tag: tag.clone(),
        unit: unit.to_owned(),
        count: window.len(),
        good: window.qualities.iter().filter(|quality| quality.is_good()).count(),
        mean: spread.as_ref().map(|s| s.mean).or(single),
        stdev: spread.as_ref().map(|s| s.stddev).or(single.map(|_| 0.0)),
        min: spread.as_ref().map(|s| s.min).or(single),
        max: spread.as_ref().map(|s| s.max).or(single),
        first: window.values.first().map_or(Json::Null, json),
        last: window.values.last().map_or(Json::Null, json),
        first_ts: window.received.first().copied(),
        last_ts: window.received.last().copied(),
        gaps: recorded.gaps.len(),
    }
}

fn numbers(window: &Window) -> Vec<f64> {
    let pairs = window.values.iter().zip(&window.qualities);
    pairs.filter(|(_, quality)| !quality.is_bad()).filter_map(|(value, _)| value.as_f64()).collect()
}
