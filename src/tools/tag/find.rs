//! `tag_find`.

use serde::{Deserialize, Serialize};

use crate::actors::Deps;
use crate::model::{EndpointName, Tag, TagName};
use crate::tools::{Call, Tool, ToolError};

/// Tags in one answer; about 150 bytes each.
const TAGS_MAX: u32 = 200;

fn fifty() -> u32 {
    50
}

/// Finds configured tags by words of their name, description or reference.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct FindInput {
    /// Words that must all occur in name, description or reference, case apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Only tags of this endpoint.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Only tags of this area.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area: Option<String>,
    /// Tags per answer, 1 to 200.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
    #[serde(default = "fifty")]
    pub limit: u32,
    /// Where the answer before ended.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// One tag.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct Found {
    tag: TagName,
    description: String,
    unit: String,
    endpoint: EndpointName,
    #[serde(rename = "ref")]
    reference: String,
    /// As it goes on the wire.
    address: String,
    #[serde(rename = "type")]
    data_type: String,
}

/// The tags, sorted by name.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct FindOutput {
    tags: Vec<Found>,
    /// How many match in all.
    total: usize,
    /// Where the next answer begins; null at the end.
    cursor: Option<String>,
}

/// The tool.
pub(in crate::tools) struct Find;

impl Tool for Find {
    const NAME: &'static str = "tag_find";
    const TITLE: &'static str = "Find tags";
    const CORE: bool = true;
    type Input = FindInput;
    type Output = FindOutput;

    async fn call(deps: &Deps, _call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        if !(1..=TAGS_MAX).contains(&input.limit) {
            return Err(ToolError::argument(format!("limit is outside 1..{TAGS_MAX}")));
        }
        if let Some(endpoint) = &input.endpoint
            && deps.directory.find(endpoint).is_none()
        {
            return Err(crate::tools::endpoint::unknown(deps, endpoint));
        }
        let words: Vec<String> = input
            .text
            .as_deref()
            .unwrap_or_default()
            .split_whitespace()
            .take(16)
            .map(str::to_lowercase)
            .collect();
        let fits = |tag: &Tag| {
            let text = format!("{} {} {}", tag.name, tag.description, tag.address).to_lowercase();
            input.endpoint.as_deref().is_none_or(|e| tag.endpoint.as_ref() == e)
                && input.area.as_deref().is_none_or(|a| tag.area.as_ref() == a)
                && words.iter().all(|word| text.contains(word.as_str()))
        };
        let all: Vec<_> = deps.tags().into_iter().filter(|(_, tag)| fits(tag)).collect();
        let after = input.cursor.as_deref();
        let mut rest = all.iter().filter(|(_, tag)| after.is_none_or(|c| tag.name.as_ref() > c));
        let limit = usize::try_from(input.limit).unwrap_or(50);
        let tags: Vec<Found> = rest.by_ref().take(limit).map(|(_, tag)| found(deps, tag)).collect();
        let cursor = rest.next().and_then(|_| tags.last()).map(|last| last.tag.to_string());
        Ok(FindOutput { tags, total: all.len(), cursor })
    }
}

fn found(deps: &Deps, tag: &Tag) -> Found {
    let link = deps.directory.find(&tag.endpoint);
    let address = link.and_then(|link| (link.protocol.address)(tag).ok());
    Found {
        tag: tag.name.clone(),
        description: tag.description.to_string(),
        unit: tag.unit_text.to_string(),
        endpoint: tag.endpoint.clone(),
        reference: tag.address.to_string(),
        address: address.unwrap_or_else(|| tag.address.to_string()),
        data_type: tag.data_type.to_string(),
    }
}
