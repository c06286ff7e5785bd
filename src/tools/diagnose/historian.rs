//! `historian_health`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::list::{List, list_from_file};
use super::{a_minute, an_hour, flat_eps};
use crate::actors::Deps;
use crate::clock;
use crate::diagnose::{Given, SeriesHealth, series_health};
use crate::model::{EndpointName, TagName};
use crate::tools::provenance::Provenance;
use crate::tools::tag::{Span, recorded, resolve};
use crate::tools::{Call, Code, Tool, ToolError};

/// Judges a recorded series: quality, gaps, flatline. A given one, or a tag's own history.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistorianInput {
    /// Numbers, or {value, timestamp, quality or good}; the first 2000 count.
    #[arg(long = "input", value_name = "FILE", value_parser = list_from_file)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<List>,
    /// Longer without a sample is a gap.
    #[arg(long = "gap-s", default_value_t = 60.0)]
    #[serde(default = "a_minute")]
    pub gap_threshold_s: f64,
    /// The widest range that is flat.
    #[arg(long, default_value_t = 1e-9)]
    #[serde(default = "flat_eps")]
    pub flatline_eps: f64,
    /// Without a series: the tag whose history is judged.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// From when its history counts: `-15m`, `-1h`, `-7d`, or RFC 3339.
    #[arg(long, default_value = "-1h", allow_hyphen_values = true)]
    #[serde(default = "an_hour")]
    pub since: String,
}

/// The series' health.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct HistorianOutput {
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<TagName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<EndpointName>,
    #[serde(flatten)]
    health: SeriesHealth,
    /// Where a tag's own history comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    provenance: Option<Provenance>,
}

/// The tool.
pub(in crate::tools) struct Historian;

impl Tool for Historian {
    const NAME: &'static str = "historian_health";
    const TITLE: &'static str = "Judge a recorded series";
    const COMMAND: Option<[&'static str; 2]> = Some(["diag", "historian"]);
    type Input = HistorianInput;
    type Output = HistorianOutput;

    fn allowance(_input: &Self::Input) -> Duration {
        Duration::from_secs(20)
    }

    async fn call(deps: &Deps, _call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let judge = |series: &[Given]| {
            series_health(series, input.gap_threshold_s, input.flatline_eps).ok_or_else(|| {
                ToolError::argument(
                    "Empty series. Pass a list of samples to evaluate, or a tag with recorded \
                     history.",
                )
            })
        };
        match (&input.series, &input.tag) {
            (Some(_), Some(_)) => Err(ToolError::argument("a series or a tag, not both")),
            (None, Some(name)) => {
                let (id, tag) = resolve(deps, name)?;
                let span = Span::parse(&input.since, None)?;
                let found = recorded(deps, id, span).await?;
                if found.window.is_empty() {
                    let text = format!("nothing of {} was recorded since then", tag.name);
                    let hint = format!("see otctl why {}, or go further back", tag.name);
                    return Err(ToolError::new(Code::NotFound, text, hint));
                }
                let health = judge(&Given::of_window(&found.window))?;
                let first = found.window.received.first();
                let age = first.map(|first| clock::now().millis_since(*first));
                let mut provenance = Provenance::cache(age.and_then(|ms| u64::try_from(ms).ok()));
                provenance.truncated =
                    found.truncated || found.window.lost > 0 || health.samples_not_looked_at > 0;
                Ok(HistorianOutput {
                    tag: Some(tag.name.clone()),
                    endpoint: Some(tag.endpoint.clone()),
                    health,
                    provenance: Some(provenance),
                })
            }
            (series, None) => {
                let series = series.as_ref().map(|list| Given::series(&list.0));
                let health = judge(&series.unwrap_or_default())?;
                Ok(HistorianOutput { tag: None, endpoint: None, health, provenance: None })
            }
        }
    }
}
