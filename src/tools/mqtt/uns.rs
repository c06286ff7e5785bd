//! `uns_browse`.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::listen::TOPIC_MAX;
use super::{Wish, allowance, collect, five_hundred, ten};
use crate::actors::Deps;
use crate::model::{EndpointName, sanitize};
use crate::tools::endpoint::pick;
use crate::tools::provenance::Provenance;
use crate::tools::{Call, Tool, ToolError};

/// The reference's cap on levels.
const LEVELS_MAX: usize = 12;
/// Topics stand in an answer twice, in the list and in the tree.
const TOPICS_BYTES: usize = 13 << 10;

fn everything() -> String {
    "#".to_owned()
}

/// Shows the topics of a unified namespace as a tree.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct BrowseInput {
    /// A filter such as site/#.
    #[arg(long, default_value = "#")]
    #[serde(default = "everything")]
    pub topic: String,
    /// The endpoint; may be left out where only one speaks MQTT.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Seconds until it ends in any case, 1 to 60.
    #[arg(long, default_value_t = 10)]
    #[serde(default = "ten")]
    pub timeout_s: i64,
    /// Topics after which it ends, 1 to 500.
    #[arg(long, default_value_t = 500)]
    #[serde(default = "five_hundred")]
    pub count: i64,
}

/// The topics that were heard.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct BrowseOutput {
    endpoint: EndpointName,
    filter: String,
    topic_count: usize,
    /// Sorted.
    topics: Vec<String>,
    /// The same, level by level; at most 12.
    tree: Json,
    provenance: Provenance,
}

/// The tool.
pub(in crate::tools) struct UnsBrowse;

impl Tool for UnsBrowse {
    const NAME: &'static str = "uns_browse";
    const TITLE: &'static str = "Browse MQTT topics";
    const PROTOCOL: Option<&'static str> = Some("mqtt");
    const COMMAND: Option<[&'static str; 2]> = Some(["mqtt", "browse"]);
    type Input = BrowseInput;
    type Output = BrowseOutput;

    fn allowance(input: &Self::Input) -> Duration {
        allowance(input.timeout_s)
    }

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let target = pick(deps, input.endpoint.as_deref(), "mqtt")?;
        let wish = Wish::checked(input.count, 1, input.timeout_s)?;
        let asked = if input.topic.trim().is_empty() { "#" } else { input.topic.trim() };
        let filters = [asked.to_owned()];
        let (found, mut provenance) = collect(&target, &call, &filters, wish).await?;
        let all: BTreeSet<String> = found.iter().map(|m| sanitize(&m.topic, TOPIC_MAX)).collect();
        let topic_count = all.len();
        let mut bytes = 0;
        let topics: Vec<String> = all
            .into_iter()
            .take_while(|topic| {
                bytes += topic.len() + 4;
                bytes <= TOPICS_BYTES
            })
            .collect();
        provenance.truncated |= topics.len() < topic_count;
        Ok(BrowseOutput {
            endpoint: target.name,
            filter: sanitize(asked, TOPIC_MAX),
            topic_count,
            tree: Json::Object(tree(&topics)),
            topics,
            provenance,
        })
    }
}

/// Nests topics level by level.
fn tree(topics: &[String]) -> Map<String, Json> {
    let mut root = Map::new();
    for topic in topics {
        let mut here = &mut root;
        for level in topic.split('/').take(LEVELS_MAX) {
            let next = here.entry(level).or_insert_with(|| Json::Object(Map::new()));
            let Json::Object(below) = next else { break };
            here = below;
        }
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_ends_at_twelve_levels_and_keeps_empty_ones() {
        let topics = ["/lead", "a/b", "a/b/c"].map(str::to_owned);
        let want = serde_json::json!({"": {"lead": {}}, "a": {"b": {"c": {}}}});
        assert_eq!(Json::Object(tree(&topics)), want);
        let deep = (0..30).map(|level| level.to_string()).collect::<Vec<_>>().join("/");
        let mut here = Json::Object(tree(&[deep]));
        for level in 0..12 {
            here = here[level.to_string()].clone();
        }
        assert_eq!(here, serde_json::json!({}));
    }
}
