//! `asset_learn`.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::measured::measured;
use crate::actors::{AssetError, Deps};
use crate::diagnose::asset::{ASSET_STANDING, LearntAsset, Member, SIGNALS_MAX};
use crate::model::{Tag, TagName, Timestamp};
use crate::tools::tag::{Span, select};
use crate::tools::{Audience, Call, Code, Effect, Tool, ToolError};

/// Bytes of a name.
const NAME_BYTES_MAX: usize = 64;

/// Learns what an asset's tags look like together, from a stretch that you know to be sound, and
/// judges them by it from now on: the finding is asset_deviation. Costs the device nothing.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct LearnInput {
    /// What the asset is called, such as loop1; one of that name is learnt anew.
    pub name: String,
    /// Its tags, such as `loop1/**`; the measured ones among them count, 2 to 64.
    #[arg(long)]
    pub pattern: String,
    /// The sound stretch begins: `8h`, `-30m`, or RFC 3339.
    #[arg(long, allow_hyphen_values = true)]
    pub since: String,
    /// It ends, in the same forms; now where left out.
    #[arg(long, allow_hyphen_values = true)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// How far out is too far: 1 is what a hundredth of sound rows pass, 3 is usual here.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
}

/// What was learnt.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct LearnOutput {
    asset: String,
    /// The tags that are judged together.
    tags: Vec<LearntTag>,
    /// Tags of the pattern that are no measured numbers, never moved, or are explained by others.
    left_out: Vec<TagName>,
    /// Rows that were learnt from, and when the first and the last were.
    rows: usize,
    since: Timestamp,
    until: Timestamp,
    /// Whether the stretch held more than is read of one tag, 100 000 samples: what is oldest of
    /// it was left out.
    truncated: bool,
    limit: f64,
    /// The command to run next.
    next: String,
}

/// A tag of the asset.
#[derive(Debug, Serialize, schemars::JsonSchema)]
struct LearntTag {
    tag: TagName,
    /// What it showed on the average, in its unit.
    mean: Option<f64>,
    /// How far off it alone must be over fifteen rows to be told, in its unit: a fault that is
    /// smaller, and moves nothing else, is not seen.
    told_from: Option<f64>,
    unit: Arc<str>,
}

/// The tool.
pub(in crate::tools) struct Learn;

impl Tool for Learn {
    const NAME: &'static str = "asset_learn";
    const TITLE: &'static str = "Learn what an asset is like while sound";
    const EFFECT: Effect = Effect::Administer;
    const AUDIENCE: Audience = Audience::OperatorsOnly;
    type Input = LearnInput;
    type Output = LearnOutput;

    fn allowance(_input: &Self::Input) -> Duration {
        Duration::from_secs(60)
    }

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let name = name(&input.name)?;
        let limit = input.limit.unwrap_or(ASSET_STANDING);
        if !limit.is_finite() || limit <= 0.0 {
            return Err(ToolError::argument("limit is no positive number"));
        }
        let span = Span::parse(&input.since, input.until.as_deref())?;
        let selected = select(deps, &input.pattern)?;
        if selected.len() > 4 * SIGNALS_MAX {
            let (found, most) = (selected.len(), 4 * SIGNALS_MAX);
            let text = format!("the pattern names {found} tags, at most {most} are looked at");
            return Err(ToolError::argument(text));
        }
        let found = measured(deps, selected, span).await?;
        let members: Vec<Member> = found.tags.iter().map(|tag| Member::of(tag)).collect();
        let histories = found.histories;
        let learnt =
            tokio::task::spawn_blocking(move || LearntAsset::learn(members, &histories, limit))
                .await
                .map_err(|error| {
                    ToolError::new(Code::Internal, error.to_string(), "see the collector's log")
                })?
                .map_err(|why| {
                    ToolError::argument(format!("nothing can be learnt from it: {why}"))
                })?;
        let (since, until) = learnt.stretch();
        let rows = learnt.rows;
        let is_judged = |tag: &Arc<Tag>| learnt.tags.iter().any(|judged| *judged.name == *tag.name);
        let (judged, explained): (Vec<_>, Vec<_>) = found.tags.into_iter().partition(is_judged);
        let explained = explained.iter().map(|tag| tag.name.clone());
        let left_out = found.others.into_iter().chain(explained).collect();
        let tags = judged.iter().zip(learnt.reach()).map(learnt_tag).collect();
        deps.put_asset(&name, learnt, &call.principal).await.map_err(refused)?;
        let uid = call.principal.uid;
        tracing::info!(asset = %name, uid, rows, "learnt, and judged from now on");
        Ok(LearnOutput {
            asset: name,
            tags,
            left_out,
            rows,
            since,
            until,
            truncated: found.truncated,
            limit,
            next: "otctl asset list".to_owned(),
        })
    }
}

fn learnt_tag((tag, reach): (&Arc<Tag>, Option<(f64, f64)>)) -> LearntTag {
    let (mean, told_from) = reach.unzip();
    LearntTag { tag: tag.name.clone(), mean, told_from, unit: tag.unit_text.clone() }
}

fn name(text: &str) -> Result<String, ToolError> {
    let is_plain = |c: char| c.is_ascii_graphic();
    let is_fit = (1..=NAME_BYTES_MAX).contains(&text.len()) && text.chars().all(is_plain);
    is_fit.then(|| text.to_owned()).ok_or_else(|| {
        ToolError::argument("name is no word of 1 to 64 letters, digits and signs, without spaces")
    })
}

fn refused(error: AssetError) -> ToolError {
    let message = error.to_string();
    match error {
        AssetError::Full => {
            ToolError::new(Code::Busy, message, "forget one: otctl asset list, otctl asset forget")
        }
        AssetError::Audit(_) => {
            let hint = "it is not judged, as nobody could tell who had it learnt: see the \
                        collector's log";
            ToolError::new(Code::Storage, message, hint)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_plain_word() {
        assert!(name("line1/loop-2").is_ok());
        for wrong in ["", "a b", "a\nb", "\u{fc}ber", &"x".repeat(65)] {
            assert!(name(wrong).is_err(), "{wrong:?}");
        }
    }
}
