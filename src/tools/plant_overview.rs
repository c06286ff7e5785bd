//! `plant_overview`: one screen, worst first.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{Call, Tool, ToolError};
use crate::actors::{Deps, Link, age_ms};
use crate::clock;
use crate::config::Severity;
use crate::diagnose::{Status, classify, number};
use crate::model::{EndpointName, LinkState, Quality, TagName, Timestamp};

/// Rows of each list: one screen.
const ROWS_MAX: usize = 25;

/// Shows the whole plant on one screen, worst first: endpoints, tags in trouble, the collector.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(super) struct OverviewInput {}

/// How an endpoint is, by the progress of its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Health {
    /// No data comes in.
    Down,
    /// Some units or tags fail, or scans are stretched.
    Degraded,
    /// Waiting for its first data.
    Starting,
    /// Not asked for anything: it has no tags.
    Idle,
    /// All tags come in.
    Ok,
}

/// One endpoint.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct EndpointRow {
    endpoint: EndpointName,
    protocol: &'static str,
    health: Health,
    link: LinkState,
    tags: usize,
    good: usize,
    uncertain: usize,
    bad: usize,
    last_data_age_ms: Option<u64>,
    /// What is wrong, and what to do next; empty where nothing is.
    problem: String,
    hint: String,
}

/// One tag in trouble.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct TagRow {
    tag: TagName,
    endpoint: EndpointName,
    #[schemars(with = "String")]
    quality: Quality,
    /// Against its limits.
    status: Status,
    value: serde_json::Value,
    unit: String,
    age_ms: Option<u64>,
}

/// The collector itself.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct CollectorRow {
    version: &'static str,
    started: Timestamp,
    tags: usize,
    samples_stored: u64,
    samples_lost: u64,
    last_commit_age_ms: Option<i64>,
    /// Why history is not being stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    store_fault: Option<String>,
    /// A damaged history file that was set aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    store_quarantined: Option<String>,
    /// Why nothing can be written now.
    #[serde(skip_serializing_if = "Option::is_none")]
    writes_frozen: Option<String>,
}

/// The plant.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct OverviewOutput {
    /// What is wrong with the configuration; what it names runs on as it was before, or is
    /// left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    config_problems: Vec<String>,
    endpoints: Vec<EndpointRow>,
    /// Tags that are not Good, or beyond a limit, worst first.
    tags_in_trouble: Vec<TagRow>,
    tags_in_trouble_count: usize,
    collector: CollectorRow,
    /// There are more rows than shown.
    truncated: bool,
}

#[derive(Default)]
struct Tally {
    good: usize,
    uncertain: usize,
    bad: usize,
}

/// The tool.
pub(super) struct Overview;

impl Tool for Overview {
    const NAME: &'static str = "plant_overview";
    const TITLE: &'static str = "The plant on one screen";
    const CORE: bool = true;
    type Input = OverviewInput;
    type Output = OverviewOutput;

    async fn call(
        deps: &Deps,
        _call: Call,
        _input: Self::Input,
    ) -> Result<Self::Output, ToolError> {
        let mut tallies: HashMap<EndpointName, Tally> = HashMap::new();
        let mut trouble = Vec::new();
        let tags = deps.tags();
        for (id, tag) in &tags {
            let latest = deps.cache.latest(*id);
            let quality = latest
                .as_ref()
                .map_or(Quality::BAD_WAITING_FOR_INITIAL_DATA, |latest| latest.sample.quality);
            let tally = tallies.entry(tag.endpoint.clone()).or_default();
            match (quality.is_good(), quality.is_bad()) {
                (true, _) => tally.good += 1,
                (_, true) => tally.bad += 1,
                _ => tally.uncertain += 1,
            }
            let value = latest.as_ref().filter(|_| !quality.is_bad()).map(|l| &l.sample.value);
            let status = classify(&tag.limits, value.and_then(number));
            let is_beyond = matches!(status, Status::Warn | Status::Alarm);
            if !quality.is_good() || is_beyond {
                trouble.push(TagRow {
                    tag: tag.name.clone(),
                    endpoint: tag.endpoint.clone(),
                    quality,
                    status,
                    value: value.map_or(serde_json::Value::Null, super::values::json),
                    unit: tag.unit_text.to_string(),
                    age_ms: latest.as_ref().and_then(age_ms),
                });
            }
        }
        trouble.sort_by_key(rank);
        let mut endpoints: Vec<EndpointRow> = deps
            .directory
            .endpoints()
            .into_iter()
            .map(|(name, link)| {
                let tally = tallies.remove(&name).unwrap_or_default();
                endpoint(name, &link, &tally)
            })
            .collect();
        endpoints.sort_by(|a, b| (a.health, &a.endpoint).cmp(&(b.health, &b.endpoint)));
        let truncated = endpoints.len() > ROWS_MAX || trouble.len() > ROWS_MAX;
        let tags_in_trouble_count = trouble.len();
        trouble.truncate(ROWS_MAX);
        endpoints.truncate(ROWS_MAX);
        Ok(OverviewOutput {
            config_problems: config_problems(deps),
            endpoints,
            tags_in_trouble: trouble,
            tags_in_trouble_count,
            collector: collector(deps, tags.len()),
            truncated,
        })
    }
}

/// Alarms first, then what can't be read, then warnings.
fn rank(row: &TagRow) -> u8 {
    match (row.status, row.quality.is_bad()) {
        (Status::Alarm, _) => 0,
        (_, true) => 1,
        (Status::Warn, _) => 2,
        _ => 3,
    }
}

fn config_problems(deps: &Deps) -> Vec<String> {
    let config = deps.config.read();
    let errors = config.problems.iter().filter(|p| p.severity == Severity::Error);
    errors.take(ROWS_MAX).map(ToString::to_string).collect()
}

fn endpoint(name: EndpointName, link: &Link, tally: &Tally) -> EndpointRow {
    let report = link.report();
    let tags = tally.good + tally.uncertain + tally.bad;
    let unit_fault = report.units.iter().find_map(|unit| unit.fault.clone());
    let stretched = report.slices.iter().any(|s| match (s.scan_ms, s.real_scan_ms) {
        (Some(asked), Some(real)) => real > asked.saturating_mul(2),
        _ => false,
    });
    let health = match (tags, tally.good, report.last_good) {
        (0, ..) => Health::Idle,
        (_, 0, None) if report.last_error.is_none() => Health::Starting,
        (_, 0, _) => Health::Down,
        (tags, good, _) if good < tags || stretched => Health::Degraded,
        _ => Health::Ok,
    };
    let fault = match health {
        Health::Ok | Health::Idle | Health::Starting => None,
        // What has been overcome since is no problem of now.
        _ => unit_fault.or_else(|| {
            let last = report.last_error.clone()?;
            let is_overcome = report.state == LinkState::Up
                && report.last_good.is_some_and(|good| good > last.at);
            (!is_overcome).then_some(last)
        }),
    };
    let refused = report.quarantined.first().map(|(_, error)| error.clone());
    let error = fault.map(|fault| fault.error).or(refused);
    let (problem, hint) = match error {
        Some(error) => (error.message, error.hint),
        None if stretched => (
            "scans take longer than their period".to_owned(),
            "scan less often, or raise budget.requests_per_s of this endpoint".to_owned(),
        ),
        None if tally.bad > 0 => (
            format!("{} of {tags} tags are Bad", tally.bad),
            "see their qualities with tag_read".to_owned(),
        ),
        None => Default::default(),
    };
    EndpointRow {
        endpoint: name,
        protocol: link.protocol.name,
        health,
        link: report.state,
        tags,
        good: tally.good,
        uncertain: tally.uncertain,
        bad: tally.bad,
        last_data_age_ms: report
            .last_good_uptime_ms
            .map(|seen| clock::uptime_ms().saturating_sub(seen)),
        problem,
        hint,
    }
}

fn collector(deps: &Deps, tags: usize) -> CollectorRow {
    let historian = deps.historian.report.lock().clone();
    CollectorRow {
        version: env!("CARGO_PKG_VERSION"),
        started: deps.started,
        tags,
        samples_stored: historian.samples,
        samples_lost: historian.lost,
        last_commit_age_ms: historian.last_commit.map(|at| clock::now().millis_since(at)),
        store_fault: historian.fault,
        store_quarantined: historian.quarantined,
        writes_frozen: deps.frozen(),
    }
}
