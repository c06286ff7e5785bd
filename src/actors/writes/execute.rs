//! From an approved ticket to its outcome: one write message at most, whatever happens.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::desk::DeskError;
use super::freeze::Cause;
use super::select::{Wish, in_units};
use crate::actors::deps::Deps;
use crate::actors::errand::{Decide, Operated};
use crate::actors::link::Link;
use crate::driver::DriverError;
use crate::gate::{self, Authorized, Refusal, Rule};
use crate::ledger::What;
use crate::model::{Dossier, MocState, Selection, Setpoint, Value, within};

/// The fresh read, the decision and the write together; a serial line takes seconds.
const OPERATE_MAX: Duration = Duration::from_secs(10);
/// One read-back.
const READ_MAX: Duration = Duration::from_secs(5);
/// Read-backs that came to nothing are tried again so often, then later by the settling.
const READ_TRIES: u32 = 3;
/// Between two of them.
const READ_AGAIN: Duration = Duration::from_millis(500);

/// What the read-backs say.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Finding {
    /// Twice the value that was written.
    Written,
    /// Twice the value before.
    Before,
    /// Something else.
    Other,
    /// It could not be read.
    Unread,
    /// The device is another one now.
    Elsewhere(String),
}

/// Carries a ticket out. Ends early, in doubt, where the collector closes: the next run settles
/// it by reading.
pub(crate) async fn execute(deps: &Deps, id: &str, closing: &CancellationToken) {
    let Ok(dossier) = deps.dossier(id).await else { return };
    let turn = deps.desk.turn_of(deps, &dossier.ticket.endpoint);
    let _turn = turn.lock().await;
    // Another task may have had the turn, and the ticket, before.
    let Ok(dossier) = deps.dossier(id).await else { return };
    if dossier.state != MocState::Approved {
        return;
    }
    if let Err(refusal) = deps.as_signed(&dossier, &dossier.approvals).await {
        return end(deps, id, What::Denied, MocState::Refused, &refusal).await;
    }
    let (wish, link) = match deps.wish_of(&dossier) {
        Ok(found) => found,
        Err(refusal) => return end(deps, id, What::Denied, MocState::Refused, &refusal).await,
    };
    let intent = deps
        .advance(id, What::WriteIntent, None, |d| {
            if d.state != MocState::Approved {
                return Err(super::desk::used(d));
            }
            d.state = MocState::Executing;
            d.executed_ms = Some(deps.desk.moment().wall_ms);
            Ok(())
        })
        .await;
    let dossier = match intent {
        Ok(dossier) => dossier,
        // No audit, no write.
        Err(error) => return not_recorded(id, &error),
    };
    let decide = decision(deps, &wish, &link, &dossier).await;
    let operated = link.operate(&wish.tag, decide, Instant::now() + OPERATE_MAX).await;
    let device_said = match after_operate(deps, id, &wish, operated).await {
        Some(said) => said,
        None => return,
    };
    conclude(deps, id, &wish, &link, device_said, closing).await;
}

/// Makes the decision on the fresh value: compare, conditions, and the gate, with nothing to wait
/// for.
async fn decision(deps: &Deps, wish: &Wish, link: &Arc<Link>, dossier: &Dossier) -> Decide {
    let done = deps.desk.book.lock().await.writes_of(&wish.tag.name);
    let (deps, wish, link, dossier) = (deps.clone(), wish.clone(), link.clone(), dossier.clone());
    Box::new(move |fresh| {
        let mismatch = |what: String| Refusal::new(Rule::TicketMismatch, what);
        let value = crate::model::wish(&wish.value)
            .ok_or_else(|| mismatch("the ticket has no value".to_owned()))?;
        let setpoint = Setpoint::fit(&wish.tag, fresh.data_type, value.clone())
            .map_err(|misfit| mismatch(misfit.to_string()))?;
        let before = in_units(&wish.tag, &fresh.value);
        let verdict = deps.judge_with(&wish, Some(fresh.data_type), &value, &before, &done);
        let ticket = &dossier.ticket;
        let identity = deps.identity_of(&ticket.endpoint, &link);
        let selection = Selection { setpoint, identity, before, quality: fresh.quality };
        let (facts, clocks) = (deps.facts(), deps.clocks(&dossier));
        gate::authorize(selection, ticket, &dossier.approvals, &verdict, &facts, clocks)
    })
}

/// Notes what came of the one message. `None` where the ticket has ended; else what the device
/// said to it, where it said anything.
async fn after_operate(
    deps: &Deps,
    id: &str,
    wish: &Wish,
    operated: Option<Operated>,
) -> Option<Result<(), String>> {
    let json = |value: &Value| serde_json::to_value(in_units(&wish.tag, value)).ok();
    let text = |error: &DriverError| error.with_hint();
    match operated {
        Some(Operated::NotRead(error)) => {
            let what = format!("the value before could not be read: {}", text(&error));
            let refusal = Refusal::new(Rule::BeforeUnusable, what);
            end(deps, id, What::WriteOutcome, MocState::Refused, &refusal).await;
            None
        }
        Some(Operated::Refused(refusal, fresh)) => {
            let found = json(&fresh.value);
            close(deps, id, What::WriteOutcome, |d| {
                d.state = MocState::Refused;
                d.rule = refusal.rule.word().to_owned();
                d.why.clone_from(&refusal.message);
                d.found = found;
            })
            .await;
            None
        }
        Some(Operated::NotSent(error, fresh)) => {
            let found = json(&fresh.value);
            close(deps, id, What::WriteOutcome, |d| {
                d.state = MocState::NotApplied;
                d.why = format!("nothing was sent: {}", text(&error));
                d.found = found;
            })
            .await;
            None
        }
        Some(Operated::Sent { before, result, window_us }) => {
            let found = json(&before.value);
            note(deps, id, |d| {
                d.writes = 1;
                d.found = found;
                d.window_us = Some(window_us);
            })
            .await;
            Some(result.map_err(|error| text(&error)))
        }
        None => {
            // The connection's actor went down with it, so one message may have gone out.
            note(deps, id, |d| d.writes = 1).await;
            Some(Err("the connection failed in the middle of the write".to_owned()))
        }
    }
}

/// Reads back twice and says what became of the write.
async fn conclude(
    deps: &Deps,
    id: &str,
    wish: &Wish,
    link: &Arc<Link>,
    said: Result<(), String>,
    closing: &CancellationToken,
) {
    let Ok(dossier) = deps.dossier(id).await else { return };
    let target = dossier.ticket.setpoint().map(|s| s.expected()).unwrap_or(Value::Null);
    let Some((finding, reads)) = find(deps, &dossier, &target, closing).await else { return };
    let readbacks: Vec<serde_json::Value> =
        reads.iter().filter_map(|value| serde_json::to_value(value).ok()).collect();
    let doubt = said.err().map(|error| format!("the device did not confirm it: {error}"));
    let (state, why) = match finding {
        Finding::Written => (MocState::Verified, doubt.unwrap_or_default()),
        Finding::Before => (
            if doubt.is_some() { MocState::NotApplied } else { MocState::VerifyFailed },
            doubt.unwrap_or_else(|| "the device took the message and kept its value".to_owned()),
        ),
        Finding::Other => {
            (MocState::VerifyFailed, "the device has another value than was written".to_owned())
        }
        Finding::Unread => {
            (MocState::Unknown, doubt.unwrap_or_else(|| "it can't be read back now".to_owned()))
        }
        Finding::Elsewhere(why) => (MocState::Indeterminate, why),
    };
    if state == MocState::VerifyFailed
        && dossier.ticket.revert
        && let [first, .., last] = reads.as_slice()
        && finding_is_ours(&dossier, last)
    {
        note(deps, id, |d| d.readbacks.clone_from(&readbacks)).await;
        // What was read straight after the write is the device's answer to it; what came since
        // may be somebody else's.
        return revert(deps, id, wish, link, first.clone(), closing).await;
    }
    finish(deps, id, What::WriteOutcome, state, why, readbacks).await;
}

/// Ends a ticket, and marks the one that it undid.
pub(super) async fn finish(
    deps: &Deps,
    id: &str,
    event: What,
    state: MocState,
    why: String,
    readbacks: Vec<serde_json::Value>,
) {
    close(deps, id, event, |d| {
        d.state = state;
        d.why = why;
        d.readbacks = readbacks;
        if state.is_written() {
            // A crash may have lost the count, and it was written.
            d.writes = d.writes.max(1);
        }
    })
    .await;
    let Ok(dossier) = deps.dossier(id).await else { return };
    if let Some(undone) = dossier.ticket.undo_of.clone().filter(|_| dossier.state.is_written()) {
        close(deps, &undone, What::WriteOutcome, |d| {
            d.state = MocState::Undone;
            d.undone_by = Some(id.to_owned());
        })
        .await;
    }
    if dossier.state.is_alarm() {
        tracing::error!(id, state = dossier.state.word(), "a write needs somebody to look");
    }
}

/// A value that is still the one before is nobody's to take back.
fn finding_is_ours(dossier: &Dossier, read: &Value) -> bool {
    !within(read, &dossier.ticket.before(), dossier.ticket.before_tolerance)
}

/// Takes a write back, where the gate says that the value is still ours.
async fn revert(
    deps: &Deps,
    id: &str,
    wish: &Wish,
    link: &Arc<Link>,
    written: Value,
    closing: &CancellationToken,
) {
    let intent = deps
        .advance(id, What::WriteIntent, None, |d| {
            d.state = MocState::Reverting;
            Ok(())
        })
        .await;
    let dossier = match intent {
        Ok(dossier) => dossier,
        Err(error) => return not_recorded(id, &error),
    };
    let before = dossier.ticket.before();
    let decide: Decide = {
        let (deps, wish, dossier) = (deps.clone(), wish.clone(), dossier.clone());
        Box::new(move |fresh| -> Result<Authorized<Setpoint>, Refusal> {
            let now = in_units(&wish.tag, &fresh.value);
            let facts = deps.facts();
            gate::authorize_revert(&dossier.ticket, &wish.tag, &written, &now, &facts)
        })
    };
    let operated = link.operate(&wish.tag, decide, Instant::now() + OPERATE_MAX).await;
    let failed = |why: String| {
        finish(deps, id, What::WriteOutcome, MocState::VerifyFailed, why, dossier.readbacks.clone())
    };
    match operated {
        Some(Operated::NotRead(error) | Operated::NotSent(error, _)) => {
            return failed(format!("it was not taken back: {}", error.with_hint())).await;
        }
        Some(Operated::Refused(refusal, _)) => {
            return failed(format!("it was not taken back: {}", refusal.message)).await;
        }
        Some(Operated::Sent { .. }) | None => note(deps, id, |d| d.writes += 1).await,
    }
    let Some((finding, reads)) = find(deps, &dossier, &before, closing).await else { return };
    let readbacks = reads.iter().filter_map(|v| serde_json::to_value(v).ok()).collect();
    let (state, why) = match finding {
        Finding::Written => {
            (MocState::Reverted, "the device had another value, so the one before was written back")
        }
        Finding::Unread => (MocState::Reverting, "it can't be read back now"),
        _ => (MocState::RevertFailed, "the value before could not be written back"),
    };
    finish(deps, id, What::WriteOutcome, state, why.to_owned(), readbacks).await;
}

/// Reads back, waits as the policy says, and reads back again; once more where the value came in
/// between, as it does where a device answers by itself. `None` where the collector closes.
pub(super) async fn find(
    deps: &Deps,
    dossier: &Dossier,
    target: &Value,
    closing: &CancellationToken,
) -> Option<(Finding, Vec<Value>)> {
    let ticket = &dossier.ticket;
    let is_target = |value: &Value| within(value, target, ticket.readback_tolerance);
    let mut reads: Vec<Value> = Vec::new();
    for nth in 0..3 {
        if let [first, second] = reads.as_slice()
            && (is_target(first) || !is_target(second))
        {
            break;
        }
        if nth > 0 {
            let delay = Duration::from_millis(ticket.readback_delay_ms.into());
            closing.run_until_cancelled(sleep(delay)).await?;
        }
        match closing.run_until_cancelled(read_once(deps, dossier)).await? {
            Ok(Some(value)) => reads.push(value),
            Ok(None) => return Some((Finding::Unread, reads)),
            Err(refusal) => return Some((Finding::Elsewhere(refusal.message), reads)),
        }
    }
    let last_two = reads.iter().rev().take(2);
    let is_before = |value: &Value| within(value, &ticket.before(), ticket.before_tolerance);
    let finding = if last_two.clone().all(is_target) {
        Finding::Written
    } else if last_two.clone().all(is_before) {
        Finding::Before
    } else {
        Finding::Other
    };
    Some((finding, reads))
}

async fn read_once(deps: &Deps, dossier: &Dossier) -> Result<Option<Value>, Refusal> {
    for nth in 0..READ_TRIES {
        if nth > 0 {
            sleep(READ_AGAIN).await;
        }
        if let Some(value) = deps.read_back(dossier, Instant::now() + READ_MAX).await? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// Ends a ticket by a rule.
async fn end(deps: &Deps, id: &str, event: What, state: MocState, refusal: &Refusal) {
    close(deps, id, event, |d| {
        d.state = state;
        d.rule = refusal.rule.word().to_owned();
        d.why.clone_from(&refusal.message);
    })
    .await;
}

/// Makes a change durable. Where that fails, what the ledger has is in doubt, and the next run
/// settles it by reading.
async fn close(deps: &Deps, id: &str, event: What, change: impl FnOnce(&mut Dossier)) {
    let closed = deps
        .advance(id, event, None, |d| {
            change(d);
            Ok(())
        })
        .await;
    if let Err(error) = closed {
        not_recorded(id, &error);
    }
}

/// Keeps what is known until the outcome is recorded with it.
async fn note(deps: &Deps, id: &str, change: impl FnOnce(&mut Dossier)) {
    let mut book = deps.desk.book.lock().await;
    if let Some(mut dossier) = book.get(id).cloned() {
        change(&mut dossier);
        book.put(dossier);
    }
}

/// Tells the log what the audit could not take.
pub(super) fn not_recorded(id: &str, error: &DeskError) {
    tracing::error!(id, "a write's ticket could not be recorded: {error}");
}

/// Freezes writes while nothing can be recorded, and thaws them once it can again.
pub(crate) fn watch_audit(deps: &Deps) {
    if deps.desk.freeze.by(Cause::Audit).is_some() && deps.ledger.frozen().is_none() {
        deps.desk.freeze.set(Cause::Audit, None);
    }
}
