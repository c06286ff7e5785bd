//! One call of a tool, behind its barrier: it ends in time and hurts nobody else.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use futures::FutureExt;
use rmcp::model::{CallToolResult, JsonObject, ProgressNotificationParam, ProgressToken};
use rmcp::{Peer, RoleServer};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::catalog::Catalog;
use super::record::{CallRecord, unrecorded};
use crate::actors::{Deps, allowance};
use crate::clock::uptime_ms;
use crate::ledger::repeat_key;
use crate::model::{Door, Principal};
use crate::surface::nearest::nearest;
use crate::surface::text::bounded;
use crate::tools::{Call, Code, Progress, ToolDef, ToolError};

/// Calls under way in one session: enough for any agent, too few to starve the others.
pub(super) const CALLS_MAX: usize = 32;
/// What a call is granted past its own allowance, to answer instead of being cut.
const GRACE: Duration = Duration::from_secs(2);
/// No call takes longer, whatever it says of itself.
const ALLOWANCE_MAX: Duration = Duration::from_secs(120);
/// Progress is told this often and no oftener: twice a second looks alive.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);
/// An answer above this is refused: it goes out twice, as structure and as text, and clients
/// stop reading at some MiB.
const ANSWER_BYTES_MAX: usize = 900 * 1024;
/// The longest message or hint: a sentence with a name in it.
const MESSAGE_CHARS_MAX: usize = 600;

/// A call as it came through a door.
pub(super) struct Asked<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) deps: &'a Deps,
    pub(super) principal: Principal,
    pub(super) name: &'a str,
    pub(super) arguments: JsonObject,
    /// Cancelled by the caller, or with the session.
    pub(super) cancelled: CancellationToken,
    /// Cancelled when the collector stops.
    pub(super) stopping: &'a CancellationToken,
    pub(super) watcher: Option<(Peer<RoleServer>, ProgressToken)>,
    /// The session has as many calls under way as it may have.
    pub(super) is_one_too_many: bool,
}

/// Answers a call, whatever happens to it.
pub(super) async fn answer(asked: Asked<'_>) -> CallToolResult {
    let (deps, catalog) = (asked.deps, asked.catalog);
    let (door, name) = (asked.principal.door, asked.name);
    let record = CallRecord::begin(deps, &asked.principal, name, &asked.arguments);
    let answer = run(asked).await;
    let tool = catalog.find(door, name).ok().map(|(tool, _)| tool);
    let answer = match record.end(tool, &answer).await {
        Ok(()) => answer,
        Err(error) => Err(unrecorded(name, &error)),
    };
    match answer {
        Ok(value) => CallToolResult::structured(value),
        Err(error) => failure(error),
    }
}

/// Writes a failure as an answer.
pub(super) fn failure(mut error: ToolError) -> CallToolResult {
    error.message = bounded(&error.message, MESSAGE_CHARS_MAX);
    error.hint = bounded(&error.hint, MESSAGE_CHARS_MAX);
    CallToolResult::structured_error(json!({ "error": error }))
}

async fn run(asked: Asked<'_>) -> Result<Value, ToolError> {
    if asked.is_one_too_many {
        let message = format!("{CALLS_MAX} calls of this session are under way");
        let hint = "wait for an answer before the next call";
        return Err(ToolError::new(Code::Busy, message, hint));
    }
    let (tool, schema) = asked.catalog.find(asked.principal.door, asked.name)?;
    known_arguments(&asked.arguments, schema)?;
    if asked.principal.door == Door::Agent {
        within_sight(&asked, tool, schema)?;
    }
    let uid = asked.principal.uid;
    let key = repeat_key(u64::from(uid), asked.name, &json!(asked.arguments).to_string());
    let spares_device =
        asked.principal.door == Door::Agent && asked.deps.breaker.is_runaway(uid, uptime_ms(), key);
    let (deps, door) = (asked.deps, asked.principal.door);
    let arguments = Value::Object(asked.arguments);
    let progress = Progress::default();
    let work = AssertUnwindSafe(async {
        let allowance = (tool.allowance)(&arguments).min(ALLOWANCE_MAX);
        let deadline = Instant::now() + allowance;
        let progress = progress.clone();
        let call = Call { principal: asked.principal, deadline, progress, spares_device };
        tokio::select! {
            biased;
            answer = (tool.run)(asked.deps, call, arguments) => answer,
            () = sleep_until(deadline + GRACE) => Err(too_late(tool, allowance + GRACE)),
        }
    });
    let work = told(work.catch_unwind(), &progress, asked.watcher);
    let answer = tokio::select! {
        biased;
        () = asked.cancelled.cancelled() => Err(ended(tool, asked.stopping)),
        answer = work => answer.unwrap_or_else(|_| Err(panicked(tool))),
    }?;
    let (answer, bytes) = checked(tool, answer)?;
    if door == Door::Agent {
        deps.breaker.answered(uid, uptime_ms(), bytes);
    }
    let spent = answer.get("provenance").and_then(|p| p.get("device_requests")?.as_u64());
    if spent.is_some_and(|spent| spent > 0) {
        deps.breaker.cost(uid, uptime_ms(), key);
    }
    Ok(answer)
}

/// Holds an agent to its budget, and to the addresses it may read.
fn within_sight(asked: &Asked<'_>, tool: &ToolDef, schema: &JsonObject) -> Result<(), ToolError> {
    let allowed = allowance(&asked.deps.config.read(), &asked.principal);
    let counted = asked.deps.breaker.call(asked.principal.uid, uptime_ms(), &allowed);
    counted.map_err(|tripped| {
        let hint = "the next minute begins anew; the limits stand in [[agents]]";
        ToolError::new(Code::BudgetExhausted, tripped.to_string(), hint)
    })?;
    let takes: Vec<&str> = match schema.get("properties") {
        Some(Value::Object(properties)) => properties.keys().map(String::as_str).collect(),
        _ => Vec::new(),
    };
    if tool.reads_blocks {
        return Ok(());
    }
    let is_of_protocol = tool.protocol.is_some();
    match asked.deps.address_refused(&takes, is_of_protocol, &asked.arguments) {
        None => Ok(()),
        Some(key) => {
            let message = format!("free_reads: {key} is no address of this user's tags");
            let hint = "tag_find lists the tags, tag_read reads them";
            Err(ToolError::new(Code::Denied, message, hint))
        }
    }
}

/// Refuses arguments that the tool doesn't know, and says which it has.
fn known_arguments(arguments: &JsonObject, schema: &JsonObject) -> Result<(), ToolError> {
    let known: Vec<&str> = match schema.get("properties") {
        Some(Value::Object(properties)) => properties.keys().map(String::as_str).collect(),
        _ => Vec::new(),
    };
    match arguments.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(unknown) => {
            let near = nearest(unknown, known.iter().copied());
            let message = format!("unknown argument {unknown:?}");
            let hint = match known.as_slice() {
                [] => "the tool takes no arguments".to_owned(),
                known => format!("the arguments are: {}", known.join(", ")),
            };
            Err(ToolError::new(Code::BadArguments, message, hint).did_you_mean(near))
        }
    }
}

/// Runs the work and tells the watcher how far it has come.
async fn told<T>(
    work: impl Future<Output = T>,
    progress: &Progress,
    watcher: Option<(Peer<RoleServer>, ProgressToken)>,
) -> T {
    let mut work = pin!(work);
    let Some((peer, token)) = watcher else { return work.await };
    let mut told = 0;
    loop {
        tokio::select! {
            biased;
            answer = &mut work => return answer,
            () = sleep(PROGRESS_EVERY) => {}
        }
        let items = progress.get();
        if items == told {
            continue;
        }
        told = items;
        let param = ProgressNotificationParam::new(token.clone(), f64::from(items));
        let mut telling = pin!(peer.notify_progress(param));
        // A peer that reads nothing holds up the telling, never the work.
        tokio::select! {
            biased;
            answer = &mut work => {
                // Progress already handed over must not follow the answer.
                if timeout(PROGRESS_EVERY, telling).await.is_err() {
                    tracing::debug!("progress was not read");
                }
                return answer;
            }
            sent = &mut telling => {
                if let Err(error) = sent {
                    tracing::debug!(%error, "progress was not sent");
                }
            }
        }
    }
}

/// Checks an answer, and gives it with its bytes.
fn checked(tool: &ToolDef, answer: Value) -> Result<(Value, u64), ToolError> {
    let report = "report this with the tool's name and arguments";
    if !answer.is_object() {
        let message = format!("{} gave no object", tool.name);
        return Err(ToolError::new(Code::Internal, message, report));
    }
    let bytes = answer.to_string().len();
    if bytes > ANSWER_BYTES_MAX {
        let message = format!("the answer has {bytes} bytes, above {ANSWER_BYTES_MAX}");
        let hint = "ask for less: a smaller limit or count, or fewer names";
        return Err(ToolError::new(Code::BadArguments, message, hint));
    }
    Ok((answer, u64::try_from(bytes).unwrap_or(u64::MAX)))
}

fn too_late(tool: &ToolDef, after: Duration) -> ToolError {
    let message = format!("{} did not finish within {} s", tool.name, after.as_secs());
    ToolError::new(Code::DeadlineExceeded, message, "endpoint_status says how the device does")
}

fn ended(tool: &ToolDef, stopping: &CancellationToken) -> ToolError {
    if stopping.is_cancelled() {
        let message = format!("the collector stopped while {} was under way", tool.name);
        return ToolError::new(Code::CollectorRestarted, message, "call again in a few seconds");
    }
    let message = format!("{} was cancelled", tool.name);
    ToolError::new(Code::Cancelled, message, "call again if the answer is still wanted")
}

fn panicked(tool: &ToolDef) -> ToolError {
    let message = format!("{} failed inside; nothing else is affected", tool.name);
    ToolError::new(Code::Internal, message, "report this; the collector's log has the place")
}
