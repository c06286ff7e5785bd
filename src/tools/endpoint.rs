//! Which endpoint a call is about.

use std::sync::Arc;

use super::{Code, ToolError};
use crate::actors::{Deps, Link};
use crate::config::Config;
use crate::driver::EndpointSpec;
use crate::model::EndpointName;

/// An endpoint with the connection that serves it.
pub(super) struct Target {
    pub(super) name: EndpointName,
    pub(super) link: Arc<Link>,
    config: Arc<Config>,
}

impl Target {
    /// Gives the endpoint's own part of the configuration.
    pub(super) fn spec(&self) -> &EndpointSpec {
        let own = self.config.endpoints.iter().find(|spec| spec.name == self.name);
        own.unwrap_or(&self.link.spec)
    }
}

/// Finds the endpoint that is meant; it may be left out where only one speaks the protocol.
pub(super) fn pick(
    deps: &Deps,
    endpoint: Option<&str>,
    protocol: &str,
) -> Result<Target, ToolError> {
    let config = deps.config.read().clone();
    let of_protocol: Vec<_> = deps
        .directory
        .endpoints()
        .into_iter()
        .filter(|(_, link)| link.protocol.name == protocol)
        .collect();
    let names = || of_protocol.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>();
    let Some(wanted) = endpoint else {
        let mut of_protocol = of_protocol.into_iter();
        return match (of_protocol.next(), of_protocol.next()) {
            (Some((name, link)), None) => Ok(Target { name, link, config }),
            (None, _) => Err(ToolError::new(
                Code::UnknownEndpoint,
                format!("no endpoint speaks {protocol}"),
                format!("add one with protocol = \"{protocol}\" to the configuration"),
            )),
            (Some((first, _)), Some((second, _))) => {
                let mut names = vec![first.to_string(), second.to_string()];
                names.extend(of_protocol.map(|(name, _)| name.to_string()));
                let hint = format!("name one of: {}", names.join(", "));
                let text = format!("several endpoints speak {protocol}: {}", names.join(", "));
                Err(ToolError::new(Code::AmbiguousEndpoint, text, hint).did_you_mean(names))
            }
        };
    };
    match deps.directory.find(wanted) {
        Some(link) if link.protocol.name == protocol => {
            Ok(Target { name: wanted.into(), link, config })
        }
        Some(link) => Err(ToolError::new(
            Code::WrongProtocol,
            format!("that endpoint speaks {}, not {protocol}", link.protocol.name),
            "use a tool of its own protocol, or name another endpoint",
        )
        .did_you_mean(names())),
        None => Err(unknown(deps, wanted)),
    }
}

/// Finds the endpoint that is meant, whatever it speaks; it may be left out where there is one.
pub(super) fn pick_any(deps: &Deps, endpoint: Option<&str>) -> Result<Target, ToolError> {
    let config = deps.config.read().clone();
    if let Some(wanted) = endpoint {
        let link = deps.directory.find(wanted).ok_or_else(|| unknown(deps, wanted))?;
        return Ok(Target { name: wanted.into(), link, config });
    }
    let mut all = deps.directory.endpoints();
    match (all.pop(), all.is_empty()) {
        (Some((name, link)), true) => Ok(Target { name, link, config }),
        (None, _) => Err(ToolError::new(
            Code::UnknownEndpoint,
            "no endpoint is configured",
            "add one to the configuration",
        )),
        (Some(_), false) => {
            let names = deps.endpoint_names();
            let text = format!("there are {} endpoints: name one", names.len());
            let hint = "see plant_overview for the endpoints there are";
            let some = names.into_iter().take(NEAREST_MAX).collect();
            Err(ToolError::new(Code::AmbiguousEndpoint, text, hint).did_you_mean(some))
        }
    }
}

/// Says that there is no such endpoint, and which are near.
pub(super) fn unknown(deps: &Deps, wanted: &str) -> ToolError {
    let near = nearest(wanted, deps.endpoint_names());
    ToolError::new(
        Code::UnknownEndpoint,
        "no endpoint of that name is configured",
        "see plant_overview for the endpoints there are",
    )
    .did_you_mean(near)
}

/// The most names offered for a mistyped one.
const NEAREST_MAX: usize = 5;
/// How alike two names must be to be offered (Jaro-Winkler, 1 is equal).
const ALIKE: f64 = 0.75;

/// Gives the names most like the one asked for.
pub(super) fn nearest(wanted: &str, names: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut near: Vec<(f64, String)> = names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(wanted, &name), name))
        .filter(|(alike, _)| *alike >= ALIKE)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.into_iter().take(NEAREST_MAX).map(|(_, name)| name).collect()
}
