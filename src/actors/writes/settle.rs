//! What a crash left in doubt is settled by reading back, never by writing again.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::desk::{DeskError, used};
use super::execute::{Finding, find, finish, not_recorded};
use crate::actors::deps::Deps;
use crate::gate::Rule;
use crate::ledger::What;
use crate::model::{Dossier, MocState, Value};

/// A device that can't be asked for this long after the write leaves it to people.
const DOUBT_MAX: Duration = Duration::from_secs(600);

/// Ends what a restart has ended: tickets of another run have lost their monotonic clock.
pub(crate) async fn expire(deps: &Deps) {
    let open = deps.desk.book.lock().await.ids(MocState::is_open);
    for id in open {
        let Ok(dossier) = deps.dossier(&id).await else { continue };
        let Some(why) = expiry(deps, &dossier) else { continue };
        let ended = deps.advance(&id, What::TicketExpired, None, |d| {
            if d.state != dossier.state {
                return Err(used(d));
            }
            d.state = MocState::Expired;
            d.rule = Rule::TicketExpired.word().to_owned();
            d.why = why;
            Ok(())
        });
        match ended.await {
            // It was decided meanwhile, and nothing has expired.
            Ok(_) | Err(DeskError::Refused(_)) => {}
            Err(error) => not_recorded(&id, &error),
        }
    }
}

fn expiry(deps: &Deps, dossier: &Dossier) -> Option<String> {
    let now = deps.desk.moment();
    if dossier.boot != now.boot {
        return Some("the collector was started again since; request a new one".to_owned());
    }
    // One that is approved is being carried out: the gate looks at its time.
    if dossier.state != MocState::Requested {
        return None;
    }
    let life = dossier.ticket.not_after_ms.saturating_sub(dossier.ticket.created_ms);
    let ticked = now.uptime_ms.saturating_sub(dossier.opened_uptime_ms);
    let is_over = now.wall_ms > dossier.ticket.not_after_ms
        || i64::try_from(ticked).is_ok_and(|ticked| ticked > life);
    is_over.then(|| "nobody approved it in time; request a new one".to_owned())
}

/// Lists what is approved and waits for its write.
pub(crate) async fn approved(deps: &Deps) -> Vec<String> {
    deps.desk.book.lock().await.ids(|state| state == MocState::Approved)
}

/// Looks once at everything in doubt.
pub(crate) async fn settle(deps: &Deps, closing: &CancellationToken) {
    let doubtful = deps.desk.book.lock().await.ids(MocState::is_in_doubt);
    let each = doubtful.iter().map(|id| async move {
        let Ok(dossier) = deps.dossier(id).await else { return };
        let turn = deps.desk.turn_of(deps, &dossier.ticket.endpoint);
        let _turn = turn.lock().await;
        // Whoever had the turn may have ended it.
        let Ok(dossier) = deps.dossier(id).await else { return };
        if dossier.state.is_in_doubt() {
            settle_one(deps, id, &dossier, closing).await;
        }
    });
    futures::future::join_all(each).await;
}

async fn settle_one(deps: &Deps, id: &str, dossier: &Dossier, closing: &CancellationToken) {
    let is_reverting = dossier.state == MocState::Reverting;
    let target = match is_reverting {
        true => dossier.ticket.before(),
        false => dossier.ticket.setpoint().map(|s| s.expected()).unwrap_or(Value::Null),
    };
    let Some((finding, reads)) = find(deps, dossier, &target, closing).await else { return };
    let is_restart = dossier.boot != deps.desk.moment().boot;
    let (state, why) = match (finding, is_reverting) {
        (Finding::Written, true) => (MocState::Reverted, "found taken back"),
        (_, true) if reads.len() >= 2 => (MocState::RevertFailed, "found not taken back"),
        (Finding::Written, false) if is_restart => {
            (MocState::VerifiedAfterRestart, "the collector ended in the middle; found written")
        }
        (Finding::Written, false) => (MocState::Verified, "found written later"),
        (Finding::Before, false) => (MocState::NotApplied, "the device has the value before"),
        (Finding::Other, _) => (MocState::Indeterminate, "the device has a third value"),
        (Finding::Unread | Finding::Before, _) => {
            if !is_over(deps, dossier) {
                return;
            }
            (MocState::Indeterminate, "the device can't be read: somebody has to look")
        }
        (Finding::Elsewhere(why), _) => {
            finish(deps, id, What::WriteSettled, MocState::Indeterminate, why, Vec::new()).await;
            return;
        }
    };
    let reads = reads.iter().filter_map(|value| serde_json::to_value(value).ok()).collect();
    finish(deps, id, What::WriteSettled, state, why.to_owned(), reads).await;
}

fn is_over(deps: &Deps, dossier: &Dossier) -> bool {
    let since = dossier.executed_ms.unwrap_or(dossier.ticket.created_ms);
    let waited = deps.desk.moment().wall_ms.saturating_sub(since);
    u64::try_from(waited).is_ok_and(|ms| Duration::from_millis(ms) > DOUBT_MAX)
}
