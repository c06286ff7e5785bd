//! `tag_why`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::resolve;
use crate::actors::{Deps, Fault, LinkReport, Loss, age_ms, present_fault};
use crate::actors::{WINDOW, beside, confirmed, is_silence};
use crate::cache::Latest;
use crate::clock;
use crate::diagnose::detect::{DETECTORS, Neighbours, Signal, Subject};
use crate::diagnose::{
    Skew, Trace, TraceFacts, TraceFault, TraceLink, TraceSample, TraceStop, TraceStore, Verdict,
    fresh_offsets_ms, skew, trace,
};
use crate::model::{EndpointName, LinkState, Tag, TagId, TagName, Timestamp, Window};
use crate::tools::provenance::Provenance;
use crate::tools::{Call, Tool, ToolError};

/// Says why a tag has no present value: every step from device to disk, and the first broken one.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhyInput {
    /// The tag's name.
    pub tag: String,
}

/// Why.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct WhyOutput {
    tag: TagName,
    endpoint: EndpointName,
    #[serde(flatten)]
    trace: Trace,
    provenance: Provenance,
}

/// The tool.
pub(in crate::tools) struct Why;

impl Tool for Why {
    const NAME: &'static str = "tag_why";
    const TITLE: &'static str = "Why a tag is as it is";
    const CORE: bool = true;
    type Input = WhyInput;
    type Output = WhyOutput;

    async fn call(deps: &Deps, _call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let (id, tag) = resolve(deps, &input.tag)?;
        let now = clock::now();
        let latest = deps.cache.latest(id);
        let window = deps.cache.window_last(id, WINDOW);
        let link = deps.directory.find(&tag.endpoint);
        let report = link.as_ref().map(|link| link.report());
        let age = latest.as_ref().and_then(age_ms);
        let mut provenance = Provenance::cache(age);
        provenance.clock_skew = latest.is_some() && age.is_none();
        let facts = TraceFacts {
            tag: &tag,
            protocol: link.as_ref().map_or("?", |link| link.protocol.name),
            link: link.as_ref().zip(report.as_ref()).map(|(link, report)| {
                let is_by_address = is_by_address(&link.spec.settings);
                link_facts(deps, &tag, report, is_by_address, now)
            }),
            item_fault: report.as_ref().and_then(|report| refused(report, id, now)),
            sample: latest.as_ref().map(|latest| TraceSample {
                quality: latest.sample.quality,
                source: latest.sample.source_ts,
                received: latest.sample.received_ts,
                age_ms: age,
            }),
            last_good: last_good(&window, latest.as_ref(), now),
            stopped: report
                .as_ref()
                .filter(|report| report.state == LinkState::Up)
                .and_then(|_| stopped(deps, (id, &tag), &window, latest.as_ref(), now)),
            skew: own_skew(deps, &tag, &window),
            store: store(deps, now),
        };
        let trace = trace(&facts);
        Ok(WhyOutput { tag: tag.name.clone(), endpoint: tag.endpoint.clone(), trace, provenance })
    }
}

/// Tells whether a host is given as a number, or is no host at all.
fn is_by_address(settings: &crate::driver::Settings) -> bool {
    let text = |key: &str| settings.get(key).and_then(serde_json::Value::as_str);
    let of_url = || {
        let rest = text("endpoint_url")?.split_once("://")?.1;
        let rest = rest.split('/').next()?;
        Some(rest.rsplit_once(':').map_or(rest, |(host, _)| host).trim_matches(['[', ']']))
    };
    match text("host").or_else(of_url) {
        Some(host) => host.parse::<IpAddr>().is_ok(),
        None => true,
    }
}

fn fault(fault: &Fault) -> TraceFault {
    let error = &fault.error;
    let (message, hint) = (error.message.clone(), error.hint.clone());
    TraceFault { kind: error.kind, message, hint, at: fault.at }
}

fn link_facts(
    deps: &Deps,
    tag: &Tag,
    report: &LinkReport,
    is_by_address: bool,
    now: Timestamp,
) -> TraceLink {
    let published = deps.findings.published();
    let unit = report.units.iter().find(|unit| unit.unit == tag.unit);
    TraceLink {
        state: report.state,
        since: report.since,
        opened: report.opened,
        last_good: report.last_good,
        is_by_address,
        fault: present_fault(report).map(fault),
        unit_fault: unit.and_then(|unit| Some((fault(unit.fault.as_ref()?), unit.failures))),
        lost: recent(published.losses.get(&tag.endpoint).copied(), now),
    }
}

/// A loss is what is wrong now for a minute.
fn recent(loss: Option<Loss>, now: Timestamp) -> Option<(Timestamp, u64)> {
    let loss = loss.filter(|loss| now.millis_since(loss.at) < 60_000)?;
    Some((loss.at, loss.samples))
}

fn refused(report: &LinkReport, id: TagId, now: Timestamp) -> Option<TraceFault> {
    let (_, error) = report.quarantined.iter().find(|(known, _)| *known == id)?;
    Some(fault(&Fault { error: error.clone(), at: now }))
}

fn store(deps: &Deps, now: Timestamp) -> TraceStore {
    let report = deps.historian.report.lock().clone();
    TraceStore {
        last_commit: report.last_commit,
        fault: report.fault,
        lost: recent(deps.findings.published().store_loss, now),
    }
}

/// Gives when its newest Good sample was last confirmed.
fn last_good(window: &Window, latest: Option<&Latest>, now: Timestamp) -> Option<Timestamp> {
    match latest {
        Some(latest) if latest.sample.quality.is_good() => {
            confirmed(latest, now).or(Some(latest.sample.received_ts))
        }
        _ => {
            let mut newest = window.received.iter().zip(&window.qualities).rev();
            newest.find(|(_, quality)| quality.is_good()).map(|(at, _)| *at)
        }
    }
}

/// Judges the tag's own times, or those of its endpoint where it has too few.
fn own_skew(deps: &Deps, tag: &Tag, window: &Window) -> Option<Skew> {
    let own = skew(&fresh_offsets_ms(window), tag.scan.scan_ms);
    own.or_else(|| deps.findings.published().skews.get(&tag.endpoint).copied())
}

/// Judges whether its source has stopped, as the findings do.
fn stopped(
    deps: &Deps,
    (id, tag): (TagId, &Tag),
    window: &Window,
    latest: Option<&Latest>,
    now: Timestamp,
) -> Option<TraceStop> {
    let signal = Signal::of(window);
    let beside = beside(&deps.cache, id);
    let neighbours = Neighbours::Later(&beside);
    let seen = latest.and_then(|latest| confirmed(latest, now));
    let subject = Subject { signal: &signal, tag: Some(tag), neighbours, seen, from: None, now };
    let silent = DETECTORS.iter().filter(|detector| {
        detector.verdicts.iter().any(|v| is_silence(*v) && *v != Verdict::NeverRead)
    });
    let found = silent.filter_map(|detector| detector.judge(&subject).finding().cloned());
    let is_stop = |verdict: Verdict| is_silence(verdict) && verdict != Verdict::NeverRead;
    let finding = found.into_iter().find(|finding| is_stop(finding.verdict))?;
    let evidence = finding.evidence;
    Some(TraceStop {
        since: finding.since,
        evidence: format!(
            "{}: {:.1} {}, at most {:.1} are usual",
            finding.verdict.word(),
            evidence.value,
            evidence.measured,
            evidence.bound
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_host_is_an_address_or_a_name() {
        let settings = |json: serde_json::Value| json.as_object().unwrap().clone();
        for (json, by_address) in [
            (json!({"host": "10.0.0.5"}), true),
            (json!({"host": "plc2"}), false),
            (json!({"endpoint_url": "opc.tcp://127.0.0.1:4840/a"}), true),
            (json!({"endpoint_url": "opc.tcp://[::1]:4840"}), true),
            (json!({"endpoint_url": "opc.tcp://srv:4840"}), false),
            (json!({"serial": "/dev/ttyS0"}), true),
        ] {
            assert_eq!(is_by_address(&settings(json.clone())), by_address, "{json}");
        }
    }
}
