//! `mtconnect_assets`.

use serde::{Deserialize, Serialize};

use crate::actors::Deps;
use crate::driver::{Ask, Reply};
use crate::model::{EndpointName, sanitize};
use crate::tools::ask::{MaxAge, ask, mismatched};
use crate::tools::endpoint::pick;
use crate::tools::provenance::Provenance;
use crate::tools::{Call, Tool, ToolError};

/// The reference's cap on assets in one answer.
const ASSETS_MAX: usize = 500;

/// Lists the agent's assets: cutting tools, files, fixtures.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssetsInput {
    /// The endpoint; may be left out where only one speaks MTConnect.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Takes a cached answer no older than this many seconds; 0 asks the agent now.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<f64>,
}

/// One asset.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct AssetAnswer {
    asset_type: String,
    asset_id: String,
    timestamp: String,
    /// It has been taken away.
    removed: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    device_uuid: String,
}

/// The assets.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct AssetsOutput {
    endpoint: EndpointName,
    asset_count: usize,
    assets: Vec<AssetAnswer>,
    provenance: Provenance,
}

/// The tool.
pub(in crate::tools) struct Assets;

impl Tool for Assets {
    const NAME: &'static str = "mtconnect_assets";
    const TITLE: &'static str = "List assets";
    const PROTOCOL: Option<&'static str> = Some("mtconnect");
    type Input = AssetsInput;
    type Output = AssetsOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let target = pick(deps, input.endpoint.as_deref(), "mtconnect")?;
        let max_age_s = MaxAge { max_age_s: input.max_age_s }.checked()?;
        let (reply, mut provenance) =
            ask(deps, &target, &call, Ask::Assets, max_age_s, None).await?;
        let Reply::Assets(found) = reply.as_ref() else { return Err(mismatched()) };
        provenance.truncated = found.len() > ASSETS_MAX;
        let shown = found.iter().take(ASSETS_MAX).map(|asset| AssetAnswer {
            asset_type: sanitize(&asset.kind, 64),
            asset_id: sanitize(&asset.id, 128),
            timestamp: sanitize(&asset.timestamp, 40),
            removed: asset.is_removed,
            device_uuid: sanitize(&asset.device_uuid, 128),
        });
        let assets: Vec<AssetAnswer> = shown.collect();
        Ok(AssetsOutput { endpoint: target.name, asset_count: assets.len(), assets, provenance })
    }
}
