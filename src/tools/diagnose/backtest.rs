//! `diagnose_backtest`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::actors::{Deps, neighbours_of};
use crate::diagnose::Verdict;
use crate::diagnose::detect::{Backtest, DETECTORS, backtest, detector};
use crate::model::{TagId, TagName, Timestamp, Window};
use crate::tools::provenance::Provenance;
use crate::tools::tag::{Span, recorded, select};
use crate::tools::{Audience, Call, Code, Tool, ToolError};

/// Tags in one call; each may read a week of history.
const TAGS_MAX: usize = 50;

fn a_day() -> String {
    "-1d".to_owned()
}

fn everything() -> String {
    "**".to_owned()
}

/// Shows what a detector with a setting would have found in this collector's own history, and
/// how often. Costs the device nothing.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct BacktestInput {
    /// The detector, such as flatline; a wrong name is answered with all of them.
    pub detector: String,
    /// Its setting; the usual one where left out.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setting: Option<f64>,
    /// The tags, such as `line1/**`; at most 50 are looked at.
    #[arg(long, default_value = "**")]
    #[serde(default = "everything")]
    pub pattern: String,
    /// From: `7d`, `-1h`, or RFC 3339.
    #[arg(long, default_value = "-1d", allow_hyphen_values = true)]
    #[serde(default = "a_day")]
    pub since: String,
    /// To, in the same forms; now where left out.
    #[arg(long, allow_hyphen_values = true)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// One finding that would have been opened.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct WouldFind {
    opened: Timestamp,
    last: Timestamp,
    verdict: Verdict,
    measured: &'static str,
    value: f64,
    bound: f64,
}

/// Windows that were not evaluated.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct WithoutEvidence {
    reason: &'static str,
    windows: usize,
}

/// What would have been found of one tag.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct TagBacktest {
    tag: TagName,
    samples: usize,
    /// Whether any window had evidence enough.
    evaluated: bool,
    windows_evaluated: usize,
    /// How often a finding would have been opened.
    count: usize,
    /// The first 50 of them.
    findings: Vec<WouldFind>,
    not_evaluated: Vec<WithoutEvidence>,
}

/// What would have been found.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct BacktestOutput {
    detector: &'static str,
    /// What the setting is.
    setting_is: &'static str,
    setting: f64,
    usual_setting: f64,
    since: Timestamp,
    until: Timestamp,
    /// Findings of all tags.
    count: usize,
    tags: Vec<TagBacktest>,
    provenance: Provenance,
}

/// The tool.
pub(in crate::tools) struct Backtested;

impl Tool for Backtested {
    const NAME: &'static str = "diagnose_backtest";
    const TITLE: &'static str = "What a detector would have found";
    const AUDIENCE: Audience = Audience::OperatorsOnly;
    type Input = BacktestInput;
    type Output = BacktestOutput;

    fn allowance(_input: &Self::Input) -> Duration {
        Duration::from_secs(60)
    }

    async fn call(deps: &Deps, _call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let detector = detector(&input.detector).ok_or_else(|| {
            let names: Vec<&str> = DETECTORS.iter().map(|detector| detector.name).collect();
            ToolError::argument(format!("no such detector; there are {}", names.join(", ")))
        })?;
        let setting = input.setting.unwrap_or(detector.usual);
        if !setting.is_finite() || setting <= 0.0 {
            return Err(ToolError::argument("setting is no positive number"));
        }
        // A stretch is as often written 7d as -7d.
        let since = match input.since.trim() {
            text if text.ends_with(['d', 'h', 'm', 's']) => {
                format!("-{}", text.trim_start_matches('-'))
            }
            text => text.to_owned(),
        };
        let span = Span::parse(&since, input.until.as_deref())?;
        let selected = select(deps, &input.pattern)?;
        let mut provenance = Provenance::cache(None);
        provenance.truncated = selected.len() > TAGS_MAX;
        let mut tags = Vec::new();
        for (id, tag) in selected.into_iter().take(TAGS_MAX) {
            let recorded = recorded(deps, id, span).await?;
            provenance.truncated |= recorded.truncated;
            let samples = recorded.window.len();
            let name = tag.name.clone();
            let beside = match detector.is_beside_others {
                true => histories(deps, id, span).await?,
                false => Vec::new(),
            };
            let judged = tokio::task::spawn_blocking(move || {
                backtest(detector, setting, Some(&tag), &recorded.window, &beside, span.until)
            });
            let shown = judged.await.map_err(|error| {
                ToolError::new(Code::Internal, error.to_string(), "see the collector's log")
            })?;
            tags.push(of_tag(name, samples, shown));
        }
        Ok(BacktestOutput {
            detector: detector.name,
            setting_is: detector.setting,
            setting,
            usual_setting: detector.usual,
            since: span.since,
            until: span.until,
            count: tags.iter().map(|tag| tag.count).sum(),
            tags,
            provenance,
        })
    }
}

/// Gives what was recorded of the tags that are judged with this one.
async fn histories(deps: &Deps, id: TagId, span: Span) -> Result<Vec<Window>, ToolError> {
    let mut histories = Vec::new();
    for other in neighbours_of(&deps.cache, id) {
        histories.push(recorded(deps, other, span).await?.window);
    }
    Ok(histories)
}

fn of_tag(tag: TagName, samples: usize, shown: Backtest) -> TagBacktest {
    let findings = shown.episodes.into_iter().map(|episode| WouldFind {
        opened: episode.opened,
        last: episode.last,
        verdict: episode.finding.verdict,
        measured: episode.finding.evidence.measured,
        value: episode.finding.evidence.value,
        bound: episode.finding.evidence.bound,
    });
    let reasons = shown.not_evaluated.into_iter();
    TagBacktest {
        tag,
        samples,
        evaluated: shown.evaluated > 0,
        windows_evaluated: shown.evaluated,
        count: shown.count,
        findings: findings.collect(),
        not_evaluated: reasons
            .map(|(reason, windows)| WithoutEvidence { reason, windows })
            .collect(),
    }
}
