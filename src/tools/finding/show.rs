//! `finding_show`.

use serde::{Deserialize, Serialize};

use super::{FindingAnswer, answer, find, state};
use crate::actors::{About, Deps, Judged, Open, WINDOW};
use crate::clock;
use crate::diagnose::EVIDENCE_SAMPLES_MAX;
use crate::diagnose::detect::{Course, CourseExtent, Neighbours, Signal, Subject, detector};
use crate::model::{TagId, Timestamp};
use crate::tools::provenance::Provenance;
use crate::tools::tag::{Point, Span, points, recorded};
use crate::tools::{Call, Tool, ToolError};

/// Points of the evidence: what a plot of a terminal shows.
const POINTS_MAX: usize = 200;
/// Scans of a long run that are read at once: fewer than a signal takes.
const PIECE_SCANS: i64 = 10_000;

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
    /// Null where it rests on no window, or the window is whole neither in the cache nor on disk.
    replay: Option<Replay>,
    /// The window, thinned as tag_history does; of an asset the newest of the tag that explains
    /// most.
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
        let (replay, points) = match (&open.about, &open.seen.window) {
            (About::Tag(id), Some(judged)) => again(deps, &open, *id, judged).await?,
            (About::Tag(id), None) => {
                (None, points(&deps.cache.window_last(*id, WINDOW), POINTS_MAX))
            }
            (About::Asset(_), _) => (None, leading(deps, &open)),
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

/// Gives what the cache has of the tag that explains most of an asset.
fn leading(deps: &Deps, open: &Open) -> Vec<Point> {
    let leading = open.seen.tag.as_deref().and_then(|tag| deps.resolve(tag));
    leading.map_or_else(Vec::new, |id| points(&deps.cache.window_last(id, WINDOW), POINTS_MAX))
}

/// Judges the same window again, beside the same neighbours and by the same instant.
async fn again(
    deps: &Deps,
    open: &Open,
    id: TagId,
    judged: &Judged,
) -> Result<(Option<Replay>, Vec<Point>), ToolError> {
    let until = |last: Timestamp| Timestamp::from_nanos(last.nanos().saturating_add(1));
    let own = Span { since: judged.first, until: until(judged.last) };
    let window = recorded(deps, id, own).await?.window;
    // As much again as the fault has lasted shows what was before.
    let lasted_ms = judged.last.millis_since(open.seen.since).max(0);
    let since = judged.first.min(open.seen.since.plus_millis(-lasted_ms));
    let shown = recorded(deps, id, Span { since, ..own }).await?.window;
    let shown = points(&shown, POINTS_MAX);
    let (Some(tag), Some(detector)) = (deps.cache.tag(id), detector(judged.detector)) else {
        return Ok((None, shown));
    };
    if window.received.first() != Some(&judged.first) {
        return Ok((None, shown));
    }
    let meanwhile = Span { since: judged.first, until: until(judged.now) };
    let mut beside = Vec::with_capacity(judged.neighbours.len());
    for other in &judged.neighbours {
        let (id, course) = *other;
        let signal = Signal::of(&recorded(deps, id, meanwhile).await?.window);
        beside.push(along(deps, id, signal, course, meanwhile.until).await?);
    }
    let signal = along(deps, id, Signal::of(&window), judged.course, own.until).await?;
    let beside: Vec<&Signal> = beside.iter().collect();
    let subject = Subject {
        signal: &signal,
        tag: Some(&tag),
        neighbours: Neighbours::Ready(&beside),
        seen: judged.seen,
        from: judged.from,
        now: judged.now,
    };
    let judgement = detector.judge(&subject);
    let same = judgement.finding().is_some_and(|found| found.verdict == open.verdict);
    let (since, until) = (judged.first, judged.last);
    let samples = window.len();
    Ok((Some(Replay { detector: detector.name, since, until, samples, same }), shown))
}

/// Makes the long run of a signal again, piece by piece.
async fn along(
    deps: &Deps,
    id: TagId,
    signal: Signal,
    extent: Option<CourseExtent>,
    until: Timestamp,
) -> Result<Signal, ToolError> {
    let Some(extent) = extent else { return Ok(signal) };
    let mut course = Course::of_step(extent.step_s);
    let scan_ms = deps.cache.tag(id).map_or(1000, |tag| tag.scan.scan_ms.max(1));
    let piece_ms = PIECE_SCANS * i64::from(scan_ms);
    let mut since = extent.since;
    while since < until {
        let piece = Span { since, until: since.plus_millis(piece_ms).min(until) };
        course.take(&Signal::of(&recorded(deps, id, piece).await?.window));
        since = piece.until;
    }
    Ok(signal.along(&course))
}
