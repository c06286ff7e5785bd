//! `diagnose_backtest`.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::actors::{Deps, neighbours_of};
use crate::diagnose::asset::{ASSET, ASSET_USUAL};
use crate::diagnose::detect::{Backtest, DETECTORS, Detector, backtest, detector};
use crate::diagnose::trained::{TRAINED, TrainedKind, trained};
use crate::diagnose::{Learned, learned, learned_together};
use crate::model::{Tag, TagId, TagName, Timestamp, Window};
use crate::tools::asset::{Measured, measured};
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

const fn four_hundred() -> usize {
    400
}

/// Shows what a detector with a setting would have found in this collector's own history, and
/// how often. Costs the device nothing.
///
/// Those that run in operation (flatline, drift and others) judge each tag beside its neighbours.
/// Those that learn (level, cusum and others) learn from each tag's first values, and asset from
/// all the tags of the pattern together.
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
    /// Samples that a detector which learns takes as sound, from the beginning on.
    #[arg(long, default_value_t = 400)]
    #[serde(default = "four_hundred")]
    pub train: usize,
}

/// One finding that would have been opened.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct WouldFind {
    opened: Timestamp,
    last: Timestamp,
    verdict: &'static str,
    measured: &'static str,
    value: f64,
    bound: f64,
    /// Of an asset, the tag that explained most of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    leading: Option<TagName>,
}

/// Windows that were not evaluated.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct WithoutEvidence {
    reason: &'static str,
    windows: usize,
}

/// What would have been found of one tag, or of an asset.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct TagBacktest {
    /// The tag; of an asset its pattern.
    tag: TagName,
    samples: usize,
    /// Whether anything had evidence enough.
    evaluated: bool,
    /// Windows, or values of a detector that learns.
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

/// A detector of one of the three kinds.
#[derive(Clone, Copy)]
enum Asked {
    /// Over the newest window, as in operation.
    Running(&'static Detector),
    /// After it has learnt from the tag.
    Learning(&'static TrainedKind),
    /// After it has learnt from all tags together.
    Together,
}

impl Asked {
    fn find(name: &str) -> Option<Self> {
        let running = detector(name).map(Self::Running);
        let learning = || trained(name).map(Self::Learning);
        running.or_else(learning).or((name == ASSET).then_some(Self::Together))
    }

    /// Gives its name, what its setting is, and the usual one.
    const fn about(self) -> (&'static str, &'static str, f64) {
        match self {
            Self::Running(detector) => (detector.name, detector.setting, detector.usual),
            Self::Learning(kind) => (kind.name, "times its limit, or deviations", kind.usual),
            Self::Together => (ASSET, "times what a hundredth of sound rows pass", ASSET_USUAL),
        }
    }
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
        let asked = Asked::find(&input.detector).ok_or_else(no_such)?;
        let (detector, setting_is, usual_setting) = asked.about();
        let setting = input.setting.unwrap_or(usual_setting);
        if !setting.is_finite() || setting <= 0.0 {
            return Err(ToolError::argument("setting is no positive number"));
        }
        let span = Span::parse(&input.since, input.until.as_deref())?;
        let mut selected = select(deps, &input.pattern)?;
        let mut provenance = Provenance::cache(None);
        provenance.truncated = selected.len() > TAGS_MAX;
        selected.truncate(TAGS_MAX);
        let question = Question { asked, setting, span, train: input.train };
        let tags = match asked {
            Asked::Together => {
                vec![together(deps, selected, &input.pattern, question, &mut provenance).await?]
            }
            _ => one_by_one(deps, selected, question, &mut provenance).await?,
        };
        Ok(BacktestOutput {
            detector,
            setting_is,
            setting,
            usual_setting,
            since: span.since,
            until: span.until,
            count: tags.iter().map(|tag| tag.count).sum(),
            tags,
            provenance,
        })
    }
}

fn no_such() -> ToolError {
    let running = DETECTORS.iter().map(|detector| detector.name);
    let learning = TRAINED.iter().map(|kind| kind.name);
    let names: Vec<&str> = running.chain(learning).chain([ASSET]).collect();
    ToolError::argument(format!("no such detector; there are {}", names.join(", ")))
}

#[derive(Clone, Copy)]
struct Question {
    asked: Asked,
    setting: f64,
    span: Span,
    train: usize,
}

/// Judges on a thread of its own.
async fn judge<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ToolError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        ToolError::new(Code::Internal, error.to_string(), "see the collector's log")
    })
}

async fn one_by_one(
    deps: &Deps,
    selected: Vec<(TagId, Arc<Tag>)>,
    question: Question,
    provenance: &mut Provenance,
) -> Result<Vec<TagBacktest>, ToolError> {
    let Question { asked, setting, span, train } = question;
    let mut tags = Vec::new();
    for (id, tag) in selected {
        let recorded = recorded(deps, id, span).await?;
        provenance.truncated |= recorded.truncated;
        let samples = recorded.window.len();
        let name = tag.name.clone();
        tags.push(match asked {
            Asked::Running(detector) => {
                let beside = match detector.is_beside_others {
                    true => histories(deps, id, span).await?,
                    false => Vec::new(),
                };
                let window = recorded.window;
                let judged = judge(move || {
                    backtest(detector, setting, Some(&tag), &window, &beside, span.until)
                });
                of_tag(name, samples, judged.await?)
            }
            Asked::Learning(kind) => {
                let judged = judge(move || learned(kind, setting, &recorded.window, train));
                of_learned(name, samples, judged.await?, kind.name, &[])
            }
            Asked::Together => continue,
        });
    }
    Ok(tags)
}

/// Judges the measured tags among those selected as one asset.
async fn together(
    deps: &Deps,
    selected: Vec<(TagId, Arc<Tag>)>,
    pattern: &str,
    question: Question,
    provenance: &mut Provenance,
) -> Result<TagBacktest, ToolError> {
    let found = measured(deps, selected, question.span).await?;
    let Measured { tags, histories, others, truncated } = found;
    provenance.truncated |= truncated;
    let samples = histories.iter().map(Window::len).sum();
    let Question { setting, train, .. } = question;
    let judged = judge(move || learned_together(setting, &histories, train)).await?;
    let names: Vec<TagName> = tags.iter().map(|tag| tag.name.clone()).collect();
    let mut shown = of_learned(pattern.into(), samples, judged, ASSET, &names);
    if !others.is_empty() {
        let reason = "tags that are no measured numbers are left out";
        shown.not_evaluated.push(WithoutEvidence { reason, windows: others.len() });
    }
    Ok(shown)
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
        verdict: episode.finding.verdict.word(),
        measured: episode.finding.evidence.measured,
        value: episode.finding.evidence.value,
        bound: episode.finding.evidence.bound,
        leading: None,
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

fn of_learned(
    tag: TagName,
    samples: usize,
    shown: Learned,
    detector: &'static str,
    signals: &[TagName],
) -> TagBacktest {
    let findings = shown.stretches.into_iter().map(|stretch| WouldFind {
        opened: stretch.opened,
        last: stretch.last,
        verdict: detector,
        measured: "how far out, in limits",
        value: stretch.furthest,
        bound: 1.0,
        leading: signals.get(stretch.leading).cloned(),
    });
    let why_not = shown.why_not.map(|reason| WithoutEvidence { reason, windows: 1 });
    TagBacktest {
        tag,
        samples,
        evaluated: shown.judged > 0,
        windows_evaluated: shown.judged,
        count: shown.count,
        findings: findings.collect(),
        not_evaluated: why_not.into_iter().collect(),
    }
}
