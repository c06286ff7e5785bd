//! The finding tools: what is wrong now, what shows it, and what is laid aside.

mod list;
mod shelve;
mod show;

pub(super) use list::List;
pub(super) use shelve::Shelve;
pub(super) use show::Show;

use serde::Serialize;

use super::{Code, ToolError};
use crate::actors::{About, Deps, Open};
use crate::diagnose::{EvidenceSample, Severity, Verdict};
use crate::model::{EndpointName, TagName, Timestamp, sanitize};

/// How a finding stands.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// It lasts.
    Open,
    /// It lasts, and operators have laid it aside for a while.
    Shelved,
    /// It lasts, and another finding explains it.
    Suppressed,
}

/// What a finding rests on.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub(super) struct EvidenceAnswer {
    summary: String,
    /// The positions of the first and last sample in the window that show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    positions: Option<[usize; 2]>,
    /// Samples of the window that show it, the newest 50; with finding_show.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    samples: Vec<EvidenceSample>,
    #[serde(skip_serializing_if = "is_zero")]
    sample_count: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// One finding.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub(super) struct FindingAnswer {
    id: String,
    /// Null where it is about an endpoint or the collector.
    tag: Option<TagName>,
    verdict: Verdict,
    severity: Severity,
    since: Timestamp,
    state: State,
    evidence: EvidenceAnswer,
    /// The command to run next.
    next: String,
    endpoint: Option<EndpointName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit_id: Option<u8>,
    /// Tags that say nothing while it lasts.
    #[serde(skip_serializing_if = "is_zero")]
    suppresses: usize,
}

/// Writes a finding with at most so many samples of its evidence.
fn answer(open: &Open, state: State, samples_max: usize) -> FindingAnswer {
    let (samples, sample_count) = match &open.seen.evidence {
        Some(evidence) => {
            let first = evidence.samples.len().saturating_sub(samples_max);
            let newest = evidence.samples.get(first..).unwrap_or_default();
            (newest.to_vec(), evidence.sample_count)
        }
        None => (Vec::new(), 0),
    };
    let positions = open.seen.evidence.as_ref().and_then(|evidence| {
        let (first, last) = (evidence.samples.first()?, evidence.samples.last()?);
        Some([first.position, last.position])
    });
    FindingAnswer {
        id: open.id.clone(),
        tag: open.seen.tag.clone(),
        verdict: open.verdict,
        severity: open.seen.severity,
        since: open.seen.since,
        state,
        evidence: EvidenceAnswer {
            summary: open.seen.summary.clone(),
            positions,
            samples,
            sample_count,
        },
        next: open.seen.next.clone(),
        endpoint: open.seen.endpoint.clone(),
        unit_id: match &open.about {
            About::Unit(_, unit) => Some(unit.0),
            _ => None,
        },
        suppresses: open.seen.suppresses,
    }
}

/// Says how a finding stands.
fn state(deps: &Deps, open: &Open, now: Timestamp) -> State {
    match open.is_suppressed {
        true => State::Suppressed,
        false if deps.findings.shelf(open, now).is_some() => State::Shelved,
        false => State::Open,
    }
}

/// Finds an open finding by its name, or the worst of a tag or endpoint by theirs.
fn find(deps: &Deps, id: &str) -> Result<Open, ToolError> {
    let published = deps.findings.published();
    let by_name = published.open.iter().find(|open| open.id.eq_ignore_ascii_case(id));
    let is_about = |open: &&Open| {
        let names = [&open.seen.tag, &open.seen.endpoint];
        // What is about a tag is not about its endpoint.
        names.into_iter().flatten().next().is_some_and(|name| name.as_ref() == id)
    };
    let found = by_name.or_else(|| published.open.iter().find(is_about));
    let is_shown = |open: &&Open| open.seen.tag.as_ref().is_none_or(|tag| deps.shows(tag));
    found.filter(is_shown).cloned().ok_or_else(|| {
        ToolError::new(
            Code::NotFound,
            format!("no finding {:?} is open", sanitize(id, 40)),
            "it may have been closed since: see finding_list, and the system's log for the past",
        )
    })
}
