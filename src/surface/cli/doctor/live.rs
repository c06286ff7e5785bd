//! Each endpoint live: through the collector where one runs, by a connection of our own else.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Map, json};

use super::{Facts, Row};
use crate::driver::{EndpointSpec, Protocol};
use crate::surface::cli::client::Session;
use crate::surface::cli::direct::Direct;
use crate::surface::cli::exit::{Exit, Failure};
use crate::tools::Audience;
use crate::tools::setup::{Check, Verdict, check_line};

/// The tool's own allowance, and what its answer may take.
const WITHIN: Duration = Duration::from_secs(25);
/// Devices asked at once.
const AT_ONCE: usize = 8;

/// Probes every endpoint that runs.
pub(super) fn probe(facts: &Facts) -> Result<Vec<Row>, Failure> {
    let Ok(config) = &facts.config else { return Ok(Vec::new()) };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Unreachable, error.to_string()))?;
    let rows = runtime.block_on(async {
        match Session::open(&facts.state, Audience::OperatorsOnly).await {
            Ok(session) => through_collector(&session, &config.endpoints).await,
            Err(failure) if facts.state.operator_socket().exists() && !is_stale(&failure) => {
                let check = Check::new("door", Verdict::Fault, failure.message);
                vec![Row::new("collector", check.fix(failure.hint.unwrap_or_default()))]
            }
            Err(_) => {
                let text = "no collector runs here; each device is asked directly";
                let check = Check::new("running", Verdict::Skipped, text).fix("ot-aiops run");
                let mut rows = vec![Row::new("collector", check)];
                rows.extend(directly(&config.endpoints, facts.protocols).await);
                rows
            }
        }
    });
    runtime.shutdown_background();
    Ok(rows)
}

/// Tells whether a socket is one that a collector has left behind.
fn is_stale(failure: &Failure) -> bool {
    failure.exit == Exit::Unreachable && failure.message.contains("nobody listens")
}

async fn through_collector(session: &Session, endpoints: &[EndpointSpec]) -> Vec<Row> {
    let mut rows = vec![Row::new(
        "collector",
        Check::new("running", Verdict::Ok, "each device is asked through it"),
    )];
    for some in endpoints.chunks(AT_ONCE) {
        let asked = some.iter().map(|spec| async move {
            let mut arguments = Map::new();
            arguments.insert("endpoint".into(), json!(spec.name));
            (spec, session.call("endpoint_probe", arguments, WITHIN).await)
        });
        for (spec, answer) in join_all(asked).await {
            let checks = match answer {
                Ok(answer) => answer.get("checks").cloned().unwrap_or_default(),
                Err(failure) => {
                    let check = Check::new("probe", Verdict::Fault, failure.message);
                    rows.push(Row::new(&spec.name, check.fix(unknown_fix(failure.hint))));
                    continue;
                }
            };
            match serde_json::from_value::<Vec<Check>>(checks) {
                Ok(checks) => rows.extend(checks.into_iter().map(|c| Row::new(&spec.name, c))),
                Err(error) => {
                    let text = format!("the collector's answer is of another version: {error}");
                    let check = Check::new("probe", Verdict::Fault, text);
                    rows.push(Row::new(&spec.name, check.fix("restart the collector")));
                }
            }
        }
    }
    rows
}

fn unknown_fix(hint: Option<String>) -> String {
    let reload = "if it is new in the configuration: otctl collector reload";
    hint.map_or_else(|| reload.to_owned(), |hint| format!("{hint}; {reload}"))
}

/// Asks the devices, those on one connection one after the other.
async fn directly(endpoints: &[EndpointSpec], protocols: &'static [Protocol]) -> Vec<Row> {
    let mut connections: BTreeMap<(&str, String), Vec<(&EndpointSpec, &Protocol)>> =
        BTreeMap::new();
    for spec in endpoints {
        let Some(protocol) = protocols.iter().find(|p| p.name == spec.protocol) else { continue };
        let key = match (protocol.shared_as)(&spec.settings) {
            Some(shared) => (protocol.name, shared),
            None => ("", spec.name.to_string()),
        };
        connections.entry(key).or_default().push((spec, protocol));
    }
    let connections: Vec<_> = connections.into_values().collect();
    let mut rows = Vec::new();
    for some in connections.chunks(AT_ONCE) {
        let asked = some.iter().map(|sharing| async move {
            let mut rows = Vec::new();
            for (spec, protocol) in sharing {
                let checks = one(spec, protocol).await;
                rows.extend(checks.into_iter().map(|check| Row::new(&spec.name, check)));
            }
            rows
        });
        rows.extend(join_all(asked).await.into_iter().flatten());
    }
    rows
}

async fn one(spec: &EndpointSpec, protocol: &Protocol) -> Vec<Check> {
    match Direct::new(spec, protocol) {
        Ok(mut line) => {
            let checks = check_line(&mut line, spec, protocol).await;
            line.close().await;
            checks
        }
        Err(error) => vec![Check::new("settings", Verdict::Fault, error.message).fix(error.hint)],
    }
}
