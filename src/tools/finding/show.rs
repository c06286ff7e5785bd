//! `finding_show`.

use serde::{Deserialize, Serialize};

use super::{FindingAnswer, answer, find, state};
use crate::actors::{About, Deps, Judged, Open, WINDOW, neighbours_of};
use crate::clock;
use crate::diagnose::EVIDENCE_SAMPLES_MAX;
use crate::diagnose::detect::{Signal, Subject, detector};
use crate::model::{TagId, Timestamp};
use crate::tools::provenance::Provenance;
use crate::tools::tag::{Point, points};
use crate::tools::{Call, Tool, ToolError};

/// Points of the evidence: what a plot of a terminal shows.
const POINTS_MAX: usize = 200;

/// Shows one finding with all its evidence: the window it was judged by, and whether the same
/// window gives the same finding again.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShowInput {
    /// The finding, such as F-1a2b3c4d, or what it is about: a tag or an endpoint.
    pub id: String,
}

/// The window again, and what it says.
#[derive(Debug, Serialize, schemars::JsonSchema)]
struct Replay {
    detector: &'static str,
    /// Its first and last sample.
    since: Timestamp,
    until: Timestamp,
    samples: usize,
    /// Whether the detector finds the same in it again.
    same: bool,
}

/// A finding.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct ShowOutput {
    finding: FindingAnswer,
    #[serde(skip_serializing_if = "Option::is_none")]
    shelved_until: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shelved_because: Option<String>,
    /// Null where it rests on no window, or the window is no longer whole.
    replay: Option<Replay>,
    /// The window, thinned as tag_history does.
    points: Vec<Point>,
    provenance: Provenance,
}

/// The tool.
pub(in crate::tools) struct Show;

impl Tool for Show {
    const NAME: &'static str = "finding_show";
    const TITLE: &'static str = "A finding with its evidence";
    type Input = ShowInput;
    type Output = ShowOutput;

    async fn call(deps: &Deps, _call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let open = find(deps, &input.id)?;
        let now = clock::now();
        let shelf = deps.findings.shelf(&open, now);
        let (replay, points) = match (&open.about, open.seen.window) {
            (About::Tag(id), Some(judged)) => again(deps, &open, *id, judged),
            (About::Tag(id), None) => {
                (None, points(&deps.cache.window_last(*id, WINDOW), POINTS_MAX))
            }
            _ => (None, Vec::new()),
        };
        Ok(ShowOutput {
            finding: answer(&open, state(deps, &open, now), EVIDENCE_SAMPLES_MAX),
            shelved_until: shelf.as_ref().map(|shelf| shelf.until),
            shelved_because: shelf.map(|shelf| shelf.reason),
            replay,
            points,
            provenance: Provenance::cache(None),
        })
    }
}

/// Judges the same window again, by the same instant.
fn again(deps: &Deps, open: &Open, id: TagId, judged: Judged) -> (Option<Replay>, Vec<Point>) {
    let just_after = |at: Timestamp| Timestamp::from_nanos(at.nanos().saturating_add(1));
    let window_of = |id| deps.cache.window(id, judged.first, just_after(judged.last));
    let window = window_of(id);
    let shown = points(&window, POINTS_MAX);
    let (Some(tag), Some(detector)) = (deps.cache.tag(id), detector(judged.detector)) else {
        return (None, shown);
    };
    if window.received.first() != Some(&judged.first) {
        // The ring has come round since: the beginning is on disk alone.
        return (None, shown);
    }
    let signal = Signal::of(&window);
    let beside: Vec<Signal> = neighbours_of(&deps.cache, id)
        .into_iter()
        .map(|(other, _)| {
            Signal::of(&deps.cache.window(other, judged.first, just_after(judged.now)))
        })
        .collect();
    let neighbours: Vec<&Signal> = beside.iter().collect();
    let subject = Subject {
        signal: &signal,
        tag: Some(&tag),
        neighbours: &neighbours,
        seen: Some(judged.now),
        now: judged.now,
    };
    let judgement = detector.judge(&subject);
    let same = judgement.finding().is_some_and(|found| found.verdict == open.verdict);
    let (since, until) = (judged.first, judged.last);
    let samples = window.len();
    (Some(Replay { detector: detector.name, since, until, samples, same }), shown)
}
