//! `finding_list`.

use serde::{Deserialize, Serialize};

use super::{FindingAnswer, State, answer, state};
use crate::actors::Deps;
use crate::clock;
use crate::model::{Timestamp, sanitize};
use crate::tools::provenance::Provenance;
use crate::tools::{Call, Tool, ToolError};

/// Findings in one answer, about 350 bytes each.
const FINDINGS_MAX: u32 = 80;

fn fifty() -> u32 {
    50
}

/// Lists what is wrong now, worst first: dead endpoints and units, refused addresses, tags that
/// stopped, stand still, jump or drift, wrong clocks, alarm floods.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListInput {
    /// Only of this tag or endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Only in this state; open ones where left out.
    #[arg(long = "in", value_enum, value_name = "STATE")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// 1 to 80.
    #[arg(long, default_value_t = 50)]
    #[serde(default = "fifty")]
    pub limit: u32,
    /// The answer before's.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// When all tags were last judged.
#[derive(Debug, Serialize, schemars::JsonSchema)]
struct RoundAnswer {
    tags: usize,
    took_ms: u64,
    ended: Timestamp,
}

/// What is wrong.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct ListOutput {
    findings: Vec<FindingAnswer>,
    total: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    shelved: usize,
    /// Explained by another finding.
    suppressed: usize,
    /// Null until all tags have been judged once.
    round: Option<RoundAnswer>,
    provenance: Provenance,
}

/// The tool.
pub(in crate::tools) struct List;

impl Tool for List {
    const NAME: &'static str = "finding_list";
    const TITLE: &'static str = "What is wrong now";
    const CORE: bool = true;
    type Input = ListInput;
    type Output = ListOutput;

    async fn call(deps: &Deps, _call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        if !(1..=FINDINGS_MAX).contains(&input.limit) {
            return Err(ToolError::argument(format!("limit is outside 1..{FINDINGS_MAX}")));
        }
        let from: usize = match &input.cursor {
            None => 0,
            Some(text) => text.parse().map_err(|_| {
                let text = sanitize(text, 40);
                ToolError::argument(format!("cursor {text:?} is not one that finding_list gave"))
            })?,
        };
        let now = clock::now();
        let published = deps.findings.published();
        let states: Vec<State> = published.open.iter().map(|o| state(deps, o, now)).collect();
        let count = |wanted: State| states.iter().filter(|state| **state == wanted).count();
        let wanted = input.state.unwrap_or(State::Open);
        let is_about = |open: &crate::actors::Open| match &input.about {
            _ if open.seen.tag.as_ref().is_some_and(|tag| !deps.shows(tag)) => false,
            None => true,
            Some(name) => [&open.seen.tag, &open.seen.endpoint]
                .into_iter()
                .flatten()
                .any(|known| known.as_ref() == name),
        };
        let chosen: Vec<_> = published
            .open
            .iter()
            .zip(&states)
            .filter(|(open, state)| **state == wanted && is_about(open))
            .collect();
        let limit = usize::try_from(input.limit).unwrap_or(1);
        let findings: Vec<FindingAnswer> = chosen
            .iter()
            .skip(from)
            .take(limit)
            .map(|(open, state)| answer(open, **state, 0))
            .collect();
        let end = from.saturating_add(findings.len());
        let mut provenance = Provenance::cache(None);
        provenance.truncated = end < chosen.len() || published.left_out > 0;
        Ok(ListOutput {
            total: chosen.len(),
            cursor: (end < chosen.len()).then(|| end.to_string()),
            findings,
            shelved: count(State::Shelved),
            suppressed: count(State::Suppressed),
            round: published.round.map(|round| RoundAnswer {
                tags: round.tags,
                took_ms: round.took_ms,
                ended: round.ended,
            }),
            provenance,
        })
    }
}
