//! `tag_read`.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::resolve;
use crate::actors::{Deps, age_ms};
use crate::cache::Latest;
use crate::model::{EndpointName, Quality, Tag, TagName, Timestamp, sanitize};
use crate::tools::provenance::Provenance;
use crate::tools::values::json;
use crate::tools::{Call, Tool, ToolError};

/// Tags in one call; about 150 bytes of answer each.
const TAGS_MAX: usize = 200;

/// Reads the newest value of configured tags from the cache. Costs the device nothing.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadInput {
    /// Tag names, at most 200; one that is missing among others is an item with its error.
    #[arg(required = true)]
    pub tags: Vec<String>,
}

/// One tag's newest value.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct Item {
    tag: TagName,
    /// Null where nothing usable was read.
    value: Json,
    unit: String,
    /// The quality's standard name; only Good is good.
    #[schemars(with = "String")]
    quality: Quality,
    /// Milliseconds since it was last read; null where it never was, or where the wall clock
    /// has gone back.
    age_ms: Option<u64>,
    /// The device's own time; null where the protocol gives none.
    source_ts: Option<String>,
    received_ts: Option<Timestamp>,
    endpoint: EndpointName,
    /// Why there is no such tag, where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ToolError>,
}

/// The newest values, in the order asked.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct ReadOutput {
    items: Vec<Item>,
    provenance: Provenance,
}

/// The tool.
pub(in crate::tools) struct Read;

impl Tool for Read {
    const NAME: &'static str = "tag_read";
    const TITLE: &'static str = "Read tags";
    const CORE: bool = true;
    type Input = ReadInput;
    type Output = ReadOutput;

    async fn call(deps: &Deps, _call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        if input.tags.is_empty() || input.tags.len() > TAGS_MAX {
            let text = format!("{} tags, 1 to {TAGS_MAX} at once", input.tags.len());
            return Err(ToolError::argument(text));
        }
        let mut provenance = Provenance::cache(None);
        let mut items = Vec::with_capacity(input.tags.len());
        for name in &input.tags {
            let (id, tag) = match resolve(deps, name) {
                Ok(found) => found,
                // One that is missing among others is an item; alone it is a failed call.
                Err(error) if input.tags.len() > 1 => {
                    items.push(missing(name, error));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let latest = deps.cache.latest(id);
            let age = latest.as_ref().and_then(age_ms);
            provenance.age_ms = provenance.age_ms.max(age);
            provenance.clock_skew |= latest.is_some() && age.is_none();
            items.push(item(&tag, latest.as_ref(), age));
        }
        Ok(ReadOutput { items, provenance })
    }
}

fn item(tag: &Tag, latest: Option<&Latest>, age_ms: Option<u64>) -> Item {
    let sample = latest.map(|latest| &latest.sample);
    Item {
        tag: tag.name.clone(),
        value: sample.map_or(Json::Null, |s| json(&s.value)),
        unit: tag.unit_text.to_string(),
        quality: sample.map_or(Quality::BAD_WAITING_FOR_INITIAL_DATA, |s| s.quality),
        age_ms,
        source_ts: sample.and_then(|s| s.source_ts).map(Timestamp::to_rfc3339),
        received_ts: sample.map(|s| s.received_ts),
        endpoint: tag.endpoint.clone(),
        error: None,
    }
}

fn missing(name: &str, error: ToolError) -> Item {
    Item {
        tag: sanitize(name, 200).into(),
        value: Json::Null,
        unit: String::new(),
        quality: Quality::BAD_CONFIGURATION_ERROR,
        age_ms: None,
        source_ts: None,
        received_ts: None,
        endpoint: "".into(),
        error: Some(error),
    }
}
