//! `endpoint_discover`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::found::{FoundTag, Standard, found_tags};
use crate::actors::Deps;
use crate::driver::{Ask, Discovery, Reply};
use crate::model::EndpointName;
use crate::tools::ask::{ask, mismatched};
use crate::tools::endpoint::pick_any;
use crate::tools::provenance::Provenance;
use crate::tools::{Audience, Call, Code, Tool, ToolError};

/// Nodes of one walk.
const NODES_MAX: u32 = 10_000;
/// Tags of one answer: one of 500 takes some 100 KiB.
const LIMIT_MAX: u32 = 500;
/// Later pages come from the walk of the first, as long as it is this new.
const WALK_AGE_S_MAX: f64 = 600.0;
/// At the calls' share of a default budget a big walk takes this long.
const WITHIN: Duration = Duration::from_secs(115);

fn hundred() -> u32 {
    100
}

/// Lists what could be read on an endpoint and is not configured yet, with its present values.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(in crate::tools) struct DiscoverInput {
    /// The endpoint; may be left out where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Where to start; where the protocol starts by itself otherwise.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// Lists the nodes that the protocol's standard defines too.
    #[arg(long)]
    #[serde(default)]
    pub standard: bool,
    /// The most tags of one answer, up to 500.
    #[arg(long, default_value_t = 100)]
    #[serde(default = "hundred")]
    pub limit: u32,
    /// Goes on where the answer before ended.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<u32>,
}

/// What could be read.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(in crate::tools) struct DiscoverOutput {
    endpoint: EndpointName,
    /// The configuration takes `name` and `ref` as they stand.
    tags: Vec<FoundTag>,
    /// How many there are in all.
    total: usize,
    /// Variables that the standard defines and that are left out.
    standard_left_out: usize,
    /// Variables whose address no configuration could carry.
    unusable: usize,
    /// Where the next answer begins; null after the last.
    cursor: Option<u32>,
    provenance: Provenance,
}

/// The tool.
pub(in crate::tools) struct Discover;

impl Tool for Discover {
    const NAME: &'static str = "endpoint_discover";
    const TITLE: &'static str = "Find tags";
    const AUDIENCE: Audience = Audience::OperatorsOnly;
    type Input = DiscoverInput;
    type Output = DiscoverOutput;

    fn allowance(_input: &Self::Input) -> Duration {
        WITHIN
    }

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        if !(1..=LIMIT_MAX).contains(&input.limit) {
            return Err(ToolError::argument(format!("limit must be from 1 to {LIMIT_MAX}")));
        }
        let target = pick_any(deps, input.endpoint.as_deref())?;
        let (root, depth) = match target.link.protocol.discovery {
            Discovery::Browse { root, depth } => (input.root.as_deref().unwrap_or(root), depth),
            Discovery::ByHand(instead) => {
                let text = format!("{} can't be browsed", target.link.protocol.title);
                return Err(ToolError::new(Code::Unsupported, text, instead));
            }
        };
        let (root, values) = (root.into(), true);
        let question = Ask::Browse { root, depth, nodes_max: NODES_MAX, values };
        let from = input.cursor.unwrap_or_default();
        let max_age_s = if from == 0 { 0.0 } else { WALK_AGE_S_MAX };
        let (reply, mut provenance) =
            ask(deps, &target, &call, question, Some(max_age_s), None).await?;
        let Reply::Browse { nodes, truncated } = reply.as_ref() else { return Err(mismatched()) };
        provenance.truncated = *truncated;
        let standard = if input.standard { Standard::With } else { Standard::Without };
        let found = found_tags(&target.name, nodes, standard);
        let total = found.tags.len();
        let end = from.saturating_add(input.limit);
        let at = |n: u32| usize::try_from(n).unwrap_or(usize::MAX).min(total);
        Ok(DiscoverOutput {
            cursor: (at(end) < total).then_some(end),
            tags: found.tags.get(at(from)..at(end)).unwrap_or_default().to_vec(),
            total,
            standard_left_out: found.standard,
            unusable: found.unusable,
            provenance,
            endpoint: target.name,
        })
    }
}
