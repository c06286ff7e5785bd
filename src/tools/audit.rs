//! `audit_tail`, `audit_verify`, `audit_export`: the record of what was done, for operators.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Audience, Call, Code, Effect, Tool, ToolError};
use crate::actors::Deps;
use crate::ledger::{Ledger, LedgerError, Wanted, What, Who};

/// Bytes of records in one answer.
const TAIL_BYTES_MAX: usize = 24 * 1024;
/// Checking and exporting read the whole file.
const ALLOWANCE: Duration = Duration::from_secs(110);

fn twenty() -> u32 {
    20
}

/// Shows the newest records of the audit, oldest first.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(super) struct TailInput {
    /// Records per answer, 1 to 200.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
    #[serde(default = "twenty")]
    limit: u32,
    /// Only records older than this number: where the answer before ended.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<u64>,
    /// Only calls of this tool.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tool: Option<String>,
    /// Only what belongs to this ticket.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ticket: Option<String>,
    /// Only what this user did.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    /// Only records of this kind, such as `tool_call` or `ticket_opened`.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    what: Option<String>,
}

/// The records.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct TailOutput {
    /// Oldest first. One without a number still counts its repeats.
    records: Vec<Map<String, Value>>,
    /// Where older ones go on; null at the beginning of the audit.
    before: Option<u64>,
    /// The number of the newest record.
    newest: u64,
    /// Records lost because they could not be written in time, not counted in a record yet.
    lost: u64,
    /// Why no write may happen now; null where the audit is in order.
    frozen: Option<String>,
}

/// The tool.
pub(super) struct AuditTail;

impl Tool for AuditTail {
    const NAME: &'static str = "audit_tail";
    const TITLE: &'static str = "The newest audit records";
    const AUDIENCE: Audience = Audience::OperatorsOnly;
    type Input = TailInput;
    type Output = TailOutput;

    async fn call(deps: &Deps, _call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        if !(1..=200).contains(&input.limit) {
            return Err(ToolError::argument("limit is outside 1..200"));
        }
        let what = input.what.map(kind).transpose()?;
        let wanted = Wanted {
            limit: usize::try_from(input.limit).unwrap_or(20),
            bytes_max: TAIL_BYTES_MAX,
            before: input.before,
            tool: input.tool,
            ticket: input.ticket,
            uid: input.uid,
            what,
        };
        deps.ledger.flush().await;
        let tail = blocking(deps, move |ledger| ledger.tail(&wanted)).await?;
        let report = deps.ledger.report();
        Ok(TailOutput {
            records: tail.records,
            before: tail.before,
            newest: report.newest,
            lost: report.lost,
            frozen: report.frozen(),
        })
    }
}

/// Reads a kind of record.
fn kind(text: String) -> Result<What, ToolError> {
    serde_json::from_value(Value::String(text))
        .map_err(|error| ToolError::argument(format!("what is no kind of record: {error}")))
}

/// Checks every audit record against the one before it, every document and every checkpoint.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(super) struct VerifyInput {}

/// What was found.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct VerifyOutput {
    /// Everything is as it was written.
    ok: bool,
    /// Records in the audit.
    records: u64,
    /// The first record that is not what was written, or is missing.
    first_bad: Option<u64>,
    /// Why this audit was begun although there was one before, until an operator has seen it.
    #[serde(skip_serializing_if = "Option::is_none")]
    begun_anew: Option<String>,
    /// Where checkpoints go, and how far each place has them.
    checkpoints: Vec<CheckpointRow>,
}

/// One place that gets checkpoints.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct CheckpointRow {
    outlet: String,
    sent: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

/// The tool.
pub(super) struct AuditVerify;

impl Tool for AuditVerify {
    const NAME: &'static str = "audit_verify";
    const TITLE: &'static str = "Check the audit";
    const AUDIENCE: Audience = Audience::OperatorsOnly;
    type Input = VerifyInput;
    type Output = VerifyOutput;

    fn allowance(_input: &Self::Input) -> Duration {
        ALLOWANCE
    }

    async fn call(deps: &Deps, _call: Call, _: Self::Input) -> Result<Self::Output, ToolError> {
        deps.ledger.flush().await;
        let found = blocking(deps, Ledger::verify).await?;
        let outlets = deps.ledger.report().outlets.into_iter();
        Ok(VerifyOutput {
            ok: found.is_good(),
            records: found.records,
            first_bad: found.first_bad,
            begun_anew: found.anew,
            checkpoints: outlets
                .map(|o| CheckpointRow { outlet: o.name, sent: o.sent, fault: o.fault })
                .collect(),
        })
    }
}

/// Writes the audit to a file in the state directory, signed; or, with the digest of that file,
/// removes what was exported.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportInput {
    /// The sha256sum of the newest export, once its copy is safe: removes what it holds from
    /// the audit.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    release: Option<String>,
}

/// What was exported or released.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct ExportOutput {
    /// The file: a record a line, the signature in the last one.
    file: String,
    first: u64,
    last: u64,
    records: u64,
    bytes: u64,
    /// Its digest.
    sha256: String,
    /// What it holds is no longer in the audit.
    released: bool,
}

/// The tool.
pub(super) struct AuditExport;

impl Tool for AuditExport {
    const NAME: &'static str = "audit_export";
    const TITLE: &'static str = "Export the audit";
    const EFFECT: Effect = Effect::Administer;
    const AUDIENCE: Audience = Audience::OperatorsOnly;
    type Input = ExportInput;
    type Output = ExportOutput;

    fn allowance(_input: &Self::Input) -> Duration {
        ALLOWANCE
    }

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let who = Who::of(&call.principal);
        let released = input.release.is_some();
        let done = match input.release {
            None => deps.ledger.clone().export(who).await.map_err(fault)?,
            Some(sha256) => blocking(deps, move |ledger| ledger.release(&sha256, who)).await?,
        };
        Ok(ExportOutput {
            file: done.file,
            first: done.first,
            last: done.last,
            records: done.records,
            bytes: done.bytes,
            sha256: done.sha256,
            released,
        })
    }
}

/// Runs work on the ledger where it may wait for the disk.
async fn blocking<T: Send + 'static>(
    deps: &Deps,
    work: impl FnOnce(&Ledger) -> Result<T, LedgerError> + Send + 'static,
) -> Result<T, ToolError> {
    let ledger: Arc<Ledger> = deps.ledger.clone();
    match tokio::task::spawn_blocking(move || work(&ledger)).await {
        Ok(done) => done.map_err(fault),
        Err(error) => Err(ToolError::new(Code::Internal, error.to_string(), "report this")),
    }
}

fn fault(error: LedgerError) -> ToolError {
    match error {
        LedgerError::Unfit(what) => ToolError::argument(what),
        error => ToolError::new(
            Code::Storage,
            error.to_string(),
            "reads go on; writes are frozen until the audit can be kept again",
        ),
    }
}
