//! `finding_shelve`.

use serde::{Deserialize, Serialize};

use super::{FindingAnswer, State, answer, find};
use crate::actors::{Deps, Shelf, ShelveError};
use crate::clock;
use crate::model::{Timestamp, sanitize};
use crate::tools::tag::span_ms;
use crate::tools::{Audience, Call, Code, Effect, Tool, ToolError};

/// Nothing is laid aside for longer: a shelf is no way to forget (ISA-18.2, 11.7).
const SHELVED_MAX_MS: i64 = 7 * 86_400_000;
/// The longest reason.
const REASON_CHARS_MAX: usize = 200;

/// Lays a finding aside for a while, with a reason. It comes back by itself.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShelveInput {
    /// The finding, such as F-1a2b3c4d.
    pub id: String,
    /// For how long: `30m`, `8h`, `2d`; at most 7d.
    #[arg(long = "for", value_name = "SPAN")]
    #[serde(rename = "for")]
    pub span: String,
    /// Why.
    #[arg(long)]
    pub reason: String,
}

/// What was laid aside.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct ShelveOutput {
    shelved: FindingAnswer,
    until: Timestamp,
    reason: String,
}

/// The tool.
pub(in crate::tools) struct Shelve;

impl Tool for Shelve {
    const NAME: &'static str = "finding_shelve";
    const TITLE: &'static str = "Lay a finding aside";
    const EFFECT: Effect = Effect::Administer;
    const AUDIENCE: Audience = Audience::OperatorsOnly;
    type Input = ShelveInput;
    type Output = ShelveOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let span_ms = span_ms(&input.span).filter(|ms| (1..=SHELVED_MAX_MS).contains(ms));
        let span_ms = span_ms
            .ok_or_else(|| ToolError::argument("for is not a span like 30m, 8h or 2d, up to 7d"))?;
        let reason = sanitize(input.reason.trim(), REASON_CHARS_MAX);
        if reason.is_empty() {
            return Err(ToolError::argument("a reason is needed"));
        }
        let open = find(deps, &input.id)?;
        let now = clock::now();
        let until = now.plus_millis(span_ms);
        let shelf = Shelf { until, reason: reason.clone(), uid: call.principal.uid };
        deps.shelve(&open, shelf, &call.principal, now).await.map_err(refused)?;
        let (uid, until_text) = (call.principal.uid, until.to_rfc3339_millis());
        tracing::info!(finding = %open.id, uid, until = %until_text, "shelved: {reason}");
        Ok(ShelveOutput { shelved: answer(&open, State::Shelved, 0), until, reason })
    }
}

fn refused(error: ShelveError) -> ToolError {
    let message = error.to_string();
    match error {
        ShelveError::Full => {
            let hint = "wait until some come back, or mend what they tell of";
            ToolError::new(Code::Busy, message, hint)
        }
        ShelveError::Audit(_) => {
            let hint =
                "it is not laid aside, as nobody could tell who did: see the collector's log";
            ToolError::new(Code::Storage, message, hint)
        }
    }
}
