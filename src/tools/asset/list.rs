//! `asset_list`.

use serde::{Deserialize, Serialize};

use crate::actors::{AssetState, Deps};
use crate::diagnose::asset::LearntAsset;
use crate::model::Timestamp;
use crate::tools::provenance::Provenance;
use crate::tools::{Audience, Call, Tool, ToolError};

/// Lists the assets that were learnt, and how each stands.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListInput {}

/// One asset.
#[derive(Debug, Serialize, schemars::JsonSchema)]
struct AssetAnswer {
    name: String,
    /// Whether it is judged now.
    evaluated: bool,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// How far out it was at its newest row, and while an alarm fades at the last one beyond its
    /// limit, which is 1.
    limits: Option<f64>,
    /// The tag that explained most of it then.
    leading: Option<String>,
    /// When that was.
    judged_ts: Option<Timestamp>,
    /// Since when it has been beyond its limit.
    alarmed_since: Option<Timestamp>,
    limit: f64,
    /// Rows it was learnt from, and when the first and the last were.
    rows: usize,
    learnt_since: Timestamp,
    learnt_until: Timestamp,
    /// Its tags.
    tags: Vec<String>,
}

/// The assets.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct ListOutput {
    assets: Vec<AssetAnswer>,
    provenance: Provenance,
}

/// The tool.
pub(in crate::tools) struct List;

impl Tool for List {
    const NAME: &'static str = "asset_list";
    const TITLE: &'static str = "Learnt assets and how they stand";
    const AUDIENCE: Audience = Audience::OperatorsOnly;
    type Input = ListInput;
    type Output = ListOutput;

    async fn call(
        deps: &Deps,
        _call: Call,
        _input: Self::Input,
    ) -> Result<Self::Output, ToolError> {
        let states = deps.findings.published();
        let all = deps.findings.assets.all().into_iter();
        let assets = all.map(|(name, learnt)| answer(&name, &learnt, states.assets.get(&name)));
        Ok(ListOutput { assets: assets.collect(), provenance: Provenance::cache(None) })
    }
}

fn answer(name: &str, learnt: &LearntAsset, state: Option<&AssetState>) -> AssetAnswer {
    let now = state.and_then(|state| state.now);
    let why_not = state.and_then(|state| state.why_not.clone());
    let reason = why_not.or_else(|| now.is_none().then(|| "no row has come yet".to_owned()));
    let (learnt_since, learnt_until) = learnt.stretch();
    AssetAnswer {
        name: name.to_owned(),
        evaluated: reason.is_none(),
        reason,
        limits: now.map(|now| (now.limits * 1000.0).round() / 1000.0),
        leading: now.and_then(|now| learnt.tags.get(now.leading)).map(|tag| tag.name.clone()),
        judged_ts: now.map(|now| now.at),
        alarmed_since: now.and_then(|now| now.alarmed_since),
        limit: learnt.limit,
        rows: learnt.rows,
        learnt_since,
        learnt_until,
        tags: learnt.tags.iter().map(|tag| tag.name.clone()).collect(),
    }
}
