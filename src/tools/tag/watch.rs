//! `tag_watch`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::select;
use crate::actors::Deps;
use crate::cache::Positions;
use crate::model::{EndpointName, Quality, TagId, TagName, Timestamp, sanitize};
use crate::tools::provenance::Provenance;
use crate::tools::values::json;
use crate::tools::{Call, Code, Tool, ToolError};

/// A long poll holds a call this long at most.
const WAIT_MAX_MS: u32 = 10_000;
/// Samples in one answer; about 150 bytes each.
const SAMPLES_MAX: u32 = 1000;
/// Every append anywhere wakes a watch; it looks no oftener than this.
const LOOK_EVERY: Duration = Duration::from_millis(20);

fn everything() -> String {
    "**".to_owned()
}
fn a_second() -> u32 {
    1000
}
fn a_hundred() -> u32 {
    100
}

/// Waits for new samples of tags: a long poll that goes on from its cursor.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct WatchInput {
    /// Tag names: `*` within a segment, `**` across segments.
    #[arg(default_value = "**")]
    #[serde(default = "everything")]
    pub pattern: String,
    /// The answer before's; left out, only what comes from now on.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// How long to wait for a first sample, at most 10 000 ms.
    #[arg(long, default_value_t = 1000)]
    #[serde(default = "a_second")]
    pub wait_ms: u32,
    /// Samples in the answer, 1 to 1000.
    #[arg(long, default_value_t = 100)]
    #[serde(default = "a_hundred")]
    pub limit: u32,
}

/// One sample.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct Seen {
    tag: TagName,
    value: Json,
    unit: String,
    #[schemars(with = "String")]
    quality: Quality,
    source_ts: Option<String>,
    received_ts: Timestamp,
    endpoint: EndpointName,
}

/// What has come.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct WatchOutput {
    samples: Vec<Seen>,
    /// Goes into the next call.
    cursor: String,
    /// Samples missed since the cursor; -1 where the collector has restarted since and nobody
    /// can tell.
    gap: i64,
    /// Tags of the pattern that this watch does not follow, because they lie in too many scan
    /// groups: watch them by a pattern of their own.
    #[serde(skip_serializing_if = "is_none")]
    not_followed: usize,
    provenance: Provenance,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_none(tags: &usize) -> bool {
    *tags == 0
}

/// The tool.
pub(in crate::tools) struct Watch;

impl Tool for Watch {
    const NAME: &'static str = "tag_watch";
    const TITLE: &'static str = "Wait for new samples";
    type Input = WatchInput;
    type Output = WatchOutput;

    fn allowance(_input: &Self::Input) -> Duration {
        Duration::from_secs(10)
    }

    async fn call(deps: &Deps, _call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        if input.wait_ms > WAIT_MAX_MS {
            return Err(ToolError::argument(format!("wait_ms is over {WAIT_MAX_MS}")));
        }
        if !(1..=SAMPLES_MAX).contains(&input.limit) {
            return Err(ToolError::argument(format!("limit is outside 1..{SAMPLES_MAX}")));
        }
        let tags = select(deps, &input.pattern)?;
        if tags.is_empty() {
            let message = format!("no tag matches {:?}", sanitize(&input.pattern, 200));
            return Err(ToolError::new(Code::UnknownTag, message, "search with tag_find"));
        }
        let ids: Vec<TagId> = tags.iter().map(|(id, _)| *id).collect();
        let from = match &input.cursor {
            None => deps.cache.positions(&ids),
            Some(text) => text.parse::<Positions>().map_err(|error| {
                ToolError::argument(format!("cursor is not one that tag_watch gave: {error}"))
            })?,
        };
        let limit = usize::try_from(input.limit).unwrap_or(100);
        let deadline = Instant::now() + Duration::from_millis(u64::from(input.wait_ms));
        let since = loop {
            // Registered before the look, so that nothing can come in between unnoticed.
            let changed = deps.cache.changed().notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let since = deps.cache.read_since(&ids, &from, limit);
            if !since.samples.is_empty() || since.other_run {
                break since;
            }
            if timeout_at(deadline, changed).await.is_err() {
                break since;
            }
            sleep_until(deadline.min(Instant::now() + LOOK_EVERY)).await;
        };
        let gap = if since.other_run { -1 } else { i64::try_from(since.lost).unwrap_or(i64::MAX) };
        let seen = |(id, sample): (TagId, crate::model::Sample)| {
            let tag = deps.cache.tag(id)?;
            Some(Seen {
                tag: tag.name.clone(),
                value: json(&sample.value),
                unit: tag.unit_text.to_string(),
                quality: sample.quality,
                source_ts: sample.source_ts.map(Timestamp::to_rfc3339),
                received_ts: sample.received_ts,
                endpoint: tag.endpoint.clone(),
            })
        };
        let mut provenance = Provenance::cache(None);
        provenance.truncated = since.left_out > 0;
        Ok(WatchOutput {
            not_followed: since.left_out,
            samples: since.samples.into_iter().filter_map(seen).collect(),
            cursor: since.next.to_string(),
            gap,
            provenance,
        })
    }
}
