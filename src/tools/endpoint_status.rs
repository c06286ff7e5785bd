//! `endpoint_status`.

use serde::{Deserialize, Serialize};

use super::endpoint::unknown;
use super::{Call, Tool, ToolError};
use crate::actors::{Deps, Fault, Link, LinkReport};
use crate::clock;
use crate::diagnose::Skew;
use crate::model::{EndpointName, LinkState, TagName, Timestamp};

/// Quarantined tags shown of one endpoint.
const QUARANTINED_MAX: usize = 20;
/// Endpoints in one answer without a name.
const ENDPOINTS_MAX: usize = 20;

/// Says how endpoints are: link, units, budget used, scan plan, stretched scans, quarantined tags.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(super) struct StatusInput {
    /// The endpoint; all of them where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// A failure.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct FaultAnswer {
    message: String,
    /// What to do next.
    hint: String,
    at: Timestamp,
}

/// A unit behind the endpoint that is left alone.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct UnitAnswer {
    unit_id: u8,
    /// Failures in a row.
    failures: u32,
    fault: Option<FaultAnswer>,
}

/// One slice of the scan plan.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct SliceAnswer {
    unit_id: u8,
    /// The period asked for; null where the device sends by itself.
    scan_ms: Option<u32>,
    /// The period it really gets.
    real_scan_ms: Option<u32>,
    tags: usize,
    /// Messages one scan needs.
    requests: u32,
    scans: u64,
    /// Scans that came a whole period late or more.
    stretched: u64,
}

/// What the device may be asked, and was.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct BudgetAnswer {
    requests_per_s: f64,
    burst: u32,
    on_demand_share: f64,
    /// What the scan plan needs.
    scans_need_per_s: f64,
    /// Messages sent since the collector started.
    requests: u64,
    /// Those among them that calls caused.
    requests_on_demand: u64,
}

/// A tag that can't be read.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct QuarantinedAnswer {
    tag: TagName,
    reason: String,
}

/// The clock that the samples' times come from.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct ClockAnswer {
    #[serde(flatten)]
    skew: Skew,
    says: String,
}

/// One endpoint.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct EndpointAnswer {
    endpoint: EndpointName,
    protocol: &'static str,
    /// What the connection is doing; health is the age of the data, not this.
    link: LinkState,
    since: Timestamp,
    /// Milliseconds since data last came in; null where none ever did.
    last_data_age_ms: Option<u64>,
    last_error: Option<FaultAnswer>,
    /// The device's clock against ours; null where too few of its samples carry a time.
    clock: Option<ClockAnswer>,
    /// Other endpoints on the same connection.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shares_connection_with: Vec<EndpointName>,
    units: Vec<UnitAnswer>,
    budget: BudgetAnswer,
    plan: Vec<SliceAnswer>,
    stretched_scans: u64,
    quarantined: Vec<QuarantinedAnswer>,
    quarantined_count: usize,
    /// Times the session was opened.
    sessions_opened: u64,
    /// Times the poller was brought back after a panic.
    restarts: u64,
    /// Samples known to be lost on the way in.
    samples_lost: u64,
}

/// The endpoints.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct StatusOutput {
    endpoints: Vec<EndpointAnswer>,
    /// There are more; name one.
    truncated: bool,
}

/// The tool.
pub(super) struct Status;

impl Tool for Status {
    const NAME: &'static str = "endpoint_status";
    const TITLE: &'static str = "How endpoints are";
    const CORE: bool = true;
    type Input = StatusInput;
    type Output = StatusOutput;

    async fn call(deps: &Deps, _call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let all = deps.directory.endpoints();
        let chosen: Vec<_> = match &input.endpoint {
            None => all,
            Some(name) => {
                let found = all.into_iter().find(|(known, _)| known.as_ref() == name);
                vec![found.ok_or_else(|| unknown(deps, name))?]
            }
        };
        let truncated = chosen.len() > ENDPOINTS_MAX;
        let chosen = chosen.into_iter().take(ENDPOINTS_MAX);
        let endpoints = chosen.map(|(name, link)| answer(deps, name, &link)).collect();
        Ok(StatusOutput { endpoints, truncated })
    }
}

fn fault(fault: &Fault) -> FaultAnswer {
    FaultAnswer {
        message: fault.error.message.clone(),
        hint: fault.error.hint.clone(),
        at: fault.at,
    }
}

/// Gives the messages a second that the scan plan needs.
pub(super) fn needed_per_s(report: &LinkReport) -> f64 {
    let polled = report.slices.iter().filter_map(|s| Some((s.scan_ms?, s.requests)));
    // A sum of nothing is -0.0.
    polled.fold(0.0, |sum, (scan_ms, requests)| {
        sum + f64::from(requests) * 1000.0 / f64::from(scan_ms)
    })
}

fn answer(deps: &Deps, name: EndpointName, link: &Link) -> EndpointAnswer {
    let report = link.report();
    let meter = link.meter.report();
    let age = report.last_good_uptime_ms.map(|ms| clock::uptime_ms().saturating_sub(ms));
    let quarantined = report.quarantined.iter().filter_map(|(id, error)| {
        let tag = deps.cache.tag(*id)?.name.clone();
        let reason = error.to_string();
        deps.resolve(&tag).map(|_| QuarantinedAnswer { tag, reason })
    });
    EndpointAnswer {
        protocol: link.protocol.name,
        link: report.state,
        since: report.since,
        last_data_age_ms: age,
        last_error: report.last_error.as_ref().map(fault),
        clock: deps
            .findings
            .published()
            .skews
            .get(&name)
            .map(|skew| ClockAnswer { skew: *skew, says: skew.words() }),
        shares_connection_with: link.names.iter().filter(|n| **n != name).cloned().collect(),
        units: report
            .units
            .iter()
            .map(|u| UnitAnswer {
                unit_id: u.unit.0,
                failures: u.failures,
                fault: u.fault.as_ref().map(fault),
            })
            .collect(),
        budget: BudgetAnswer {
            requests_per_s: meter.budget.requests_per_s,
            burst: meter.budget.burst,
            on_demand_share: meter.budget.on_demand_share,
            scans_need_per_s: (needed_per_s(&report) * 100.0).round() / 100.0,
            requests: meter.sent,
            requests_on_demand: meter.sent_on_demand,
        },
        plan: report
            .slices
            .iter()
            .map(|s| SliceAnswer {
                unit_id: s.unit.0,
                scan_ms: s.scan_ms,
                real_scan_ms: s.real_scan_ms,
                tags: s.tags,
                requests: s.requests,
                scans: s.scans,
                stretched: s.stretched,
            })
            .collect(),
        stretched_scans: report.slices.iter().map(|s| s.stretched).sum(),
        quarantined: quarantined.take(QUARANTINED_MAX).collect(),
        quarantined_count: report.quarantined.len(),
        sessions_opened: report.opened,
        restarts: report.restarts,
        samples_lost: report.lost,
        endpoint: name,
    }
}
