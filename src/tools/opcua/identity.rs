//! `opcua_server_info`.

use serde::{Deserialize, Serialize};

use crate::actors::Deps;
use crate::driver::{Ask, Reply};
use crate::model::{EndpointName, Timestamp, sanitize};
use crate::tools::ask::{MaxAge, ask, mismatched};
use crate::tools::endpoint::pick;
use crate::tools::provenance::Provenance;
use crate::tools::{Call, Tool, ToolError};

/// Namespaces shown of one server; real ones have about ten.
const NAMESPACES_MAX: usize = 100;

/// Says what the OPC UA server is, since when it runs and what time it has.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerInfoInput {
    /// The endpoint; may be left out where only one speaks OPC UA.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Takes a cached answer no older than this many seconds; 0 asks the device now.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<f64>,
}

/// What the server says of itself.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct ServerInfoOutput {
    endpoint: EndpointName,
    /// The server's state; 0 is running (Part 5, 12.6).
    state: Option<i64>,
    start_time: String,
    current_time: String,
    product_name: String,
    manufacturer: String,
    software_version: String,
    namespace_count: usize,
    namespaces: Vec<String>,
    provenance: Provenance,
}

/// The tool.
pub(in crate::tools) struct ServerInfo;

impl Tool for ServerInfo {
    const NAME: &'static str = "opcua_server_info";
    const TITLE: &'static str = "Identify an OPC UA server";
    const PROTOCOL: Option<&'static str> = Some("opcua");
    const COMMAND: Option<[&'static str; 2]> = Some(["opcua", "info"]);
    type Input = ServerInfoInput;
    type Output = ServerInfoOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let target = pick(deps, input.endpoint.as_deref(), "opcua")?;
        let max_age_s = MaxAge { max_age_s: input.max_age_s }.checked()?;
        let (reply, mut provenance) =
            ask(deps, &target, &call, Ask::Identify, max_age_s, None).await?;
        let Reply::Identity(identity) = reply.as_ref() else { return Err(mismatched()) };
        provenance.truncated = identity.namespaces.len() > NAMESPACES_MAX;
        let time = |at: Option<Timestamp>| at.map(Timestamp::to_rfc3339).unwrap_or_default();
        Ok(ServerInfoOutput {
            endpoint: target.name,
            state: identity.state,
            start_time: time(identity.started),
            current_time: time(identity.device_time),
            product_name: sanitize(&identity.product, 128),
            manufacturer: sanitize(&identity.manufacturer, 128),
            software_version: sanitize(&identity.version, 64),
            namespace_count: identity.namespaces.len(),
            namespaces: identity
                .namespaces
                .iter()
                .take(NAMESPACES_MAX)
                .map(|uri| sanitize(uri, 200))
                .collect(),
            provenance,
        })
    }
}
