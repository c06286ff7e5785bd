//! `tag_health`.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::list::{List, list_from_file};
use crate::actors::{Deps, age_ms};
use crate::diagnose::{Given, SERIES_MAX, Status, TagHealth, tag_health, tags_overall};
use crate::model::sanitize;
use crate::tools::provenance::Provenance;
use crate::tools::tag::select;
use crate::tools::thresholds::{Bounds, Threshold, Thresholds, bounds};
use crate::tools::{Call, Tool, ToolError};

/// Tags in one answer, about 200 bytes each.
const TAGS_MAX: usize = 100;
/// Samples of the cache that a tag is judged by.
const WINDOW: usize = 600;

/// Judges tags by a run of samples each: quality, flatline, range, outliers. Given ones, or
/// configured tags from the cache.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct TagsInput {
    /// [{ref, samples: [...], warn_high?, alarm_high?, warn_low?, alarm_low?, label?}].
    #[arg(long = "input", value_name = "FILE", value_parser = list_from_file)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<List>,
    /// Limits by reference: {"ns=2;i=5": {"alarm_high": 90}}. They replace the tag's own.
    #[arg(skip)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<Thresholds>,
    /// Without tags: the configured tags that are judged, such as `line1/**`.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
}

/// The tags' health.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct TagsOutput {
    evaluated: usize,
    overall: Status,
    offender_count: usize,
    /// Worst first.
    offenders: Vec<TagHealth>,
    results: Vec<TagHealth>,
    /// Tags without anything to judge.
    unknown_count: usize,
    /// Bounds of the call that are no number and so don't hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored_bounds: Vec<String>,
    /// Where the samples of configured tags come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    provenance: Option<Provenance>,
}

/// The tool.
pub(in crate::tools) struct Tags;

impl Tool for Tags {
    const NAME: &'static str = "tag_health";
    const TITLE: &'static str = "Judge tags by their samples";
    const COMMAND: Option<[&'static str; 2]> = Some(["diag", "tags"]);
    type Input = TagsInput;
    type Output = TagsOutput;

    async fn call(deps: &Deps, _call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let mut ignored_bounds = Vec::new();
        let (results, provenance) = match (&input.tags, &input.pattern) {
            (Some(_), Some(_)) => {
                return Err(ToolError::argument("tags or a pattern, not both"));
            }
            (Some(List(items)), None) => {
                let given = given(items, input.thresholds.as_ref(), &mut ignored_bounds);
                (given, None)
            }
            (None, pattern) => {
                let pattern = pattern.as_deref().unwrap_or("**");
                let (found, provenance) =
                    cached(deps, pattern, input.thresholds.as_ref(), &mut ignored_bounds)?;
                (found, Some(provenance))
            }
        };
        if results.is_empty() {
            return Err(ToolError::argument(
                "No tags. Pass [{ref, samples:[...], warn_high?, ...}], or a pattern of \
                 configured tags.",
            ));
        }
        let mut offenders: Vec<_> =
            results.iter().filter(|tag| tag.severity > 0).cloned().collect();
        offenders.sort_by_key(|tag| std::cmp::Reverse(tag.severity));
        Ok(TagsOutput {
            evaluated: results.len(),
            overall: tags_overall(&results),
            offender_count: offenders.len(),
            offenders,
            unknown_count: results.iter().filter(|tag| tag.is_unknown()).count(),
            results,
            ignored_bounds,
            provenance,
        })
    }
}

/// Judges what the call carries; as the reference does, what is no object is passed over.
fn given(
    items: &[Json],
    thresholds: Option<&Thresholds>,
    ignored: &mut Vec<String>,
) -> Vec<TagHealth> {
    let judge = |item: &Json| {
        let fields = item.as_object()?;
        let name = match fields.get("ref").or_else(|| fields.get("tag")) {
            Some(Json::String(name)) => name.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        };
        let own = || {
            let field = |name: &str| fields.get(name).cloned().unwrap_or(Json::Null);
            let threshold = Threshold {
                label: field("label").as_str().unwrap_or_default().to_owned(),
                warn_high: field("warn_high"),
                alarm_high: field("alarm_high"),
                warn_low: field("warn_low"),
                alarm_low: field("alarm_low"),
            };
            threshold.bounds(&name)
        };
        let is_replaced = thresholds.is_some_and(|all| all.contains_key(&name));
        let Bounds { label, limits, ignored: bad } =
            if is_replaced { bounds(thresholds, &name, None) } else { own() };
        ignored.extend(bad);
        let samples = match fields.get("samples") {
            Some(Json::Array(items)) => Given::series(items),
            _ => Vec::new(),
        };
        Some(tag_health(sanitize(&name, 96), label, &limits, &samples))
    };
    items.iter().filter_map(judge).collect()
}

/// Judges configured tags by what the cache holds of them.
fn cached(
    deps: &Deps,
    pattern: &str,
    thresholds: Option<&Thresholds>,
    ignored: &mut Vec<String>,
) -> Result<(Vec<TagHealth>, Provenance), ToolError> {
    let selected = select(deps, pattern)?;
    let mut provenance = Provenance::cache(None);
    provenance.truncated = selected.len() > TAGS_MAX;
    let mut results = Vec::new();
    for (id, tag) in selected.into_iter().take(TAGS_MAX) {
        let window = deps.cache.window_last(id, WINDOW.min(SERIES_MAX));
        let age = deps.cache.latest(id).as_ref().and_then(age_ms);
        provenance.age_ms = provenance.age_ms.max(age);
        let bounds = bounds(thresholds, &tag.name, Some(&tag));
        ignored.extend(bounds.ignored);
        let samples = Given::of_window(&window);
        results.push(tag_health(tag.name.to_string(), bounds.label, &bounds.limits, &samples));
    }
    Ok((results, provenance))
}
