//! The poller: one actor per connection, the only one that talks to the device.
//!
//! Every message does one bounded piece of work, so that a demand waits for one slice at most.
//! A device's failure is a state of the poller; only a panic ends it, and its supervisor
//! brings it back.

mod condition;
mod demands;
mod errands;
mod session;
mod slices;
mod state;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::demand::Demand;
use super::errand::{Inspection, Operated, Operation};
use super::link::Link;
use crate::cache::TagCache;
use crate::driver::{DriverError, ErrorKind, Planned};
use state::PollerState;

/// A session is given this long to end properly.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// What a poller is told. Samples never come this way.
#[derive(Debug)]
pub(crate) enum PollerMsg {
    /// Do the most urgent piece of work.
    Work,
    /// The driver has received something.
    Woke,
    /// What the session rests on has changed: open it anew, at once.
    Reopen,
    /// A question for the device.
    Demand(Box<Demand>),
    /// Read one tag now, for a write's sake.
    Inspect(Box<Inspection>),
    /// Read one tag now, have the gate decide, and write it once.
    Operate(Box<Operation>),
    /// An answer that ran beside the scans has ended the session of that number.
    SessionFailed(u64, DriverError),
    /// End the session properly, then say so.
    Close(RpcReplyPort<()>),
}

/// The actor; its arguments make its state.
pub(crate) struct Poller;

/// What a poller starts from.
#[derive(Clone)]
pub(crate) struct PollerArgs {
    pub(crate) link: Arc<Link>,
    pub(crate) cache: Arc<TagCache>,
    pub(crate) tags: Vec<Planned>,
    pub(crate) cancel: CancellationToken,
}

#[async_trait]
impl Actor for Poller {
    type Msg = PollerMsg;
    type State = PollerState;
    type Arguments = PollerArgs;

    async fn pre_start(
        &self,
        me: ActorRef<PollerMsg>,
        args: PollerArgs,
    ) -> Result<PollerState, ActorProcessingErr> {
        // Nothing here may fail: an error before the start raises no supervision event.
        args.link.serve(Some(me.clone()));
        let state = PollerState::new(args);
        forward_wakes(&state, me.clone());
        me.send_message(PollerMsg::Work)?;
        Ok(state)
    }

    async fn handle(
        &self,
        me: ActorRef<PollerMsg>,
        message: PollerMsg,
        state: &mut PollerState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            PollerMsg::Close(done) => {
                state.end().await;
                if done.send(()).is_err() {
                    tracing::debug!("nobody waits for the poller's end");
                }
                me.stop(None);
                return Ok(());
            }
            // Only the end is worth working on now: anything else would hold it up.
            PollerMsg::Demand(demand) if state.cancel.is_cancelled() => {
                demand.answer(Err(closing()));
            }
            PollerMsg::Inspect(errand) if state.cancel.is_cancelled() => {
                errand.answer(Err(closing()));
            }
            PollerMsg::Operate(operation) if state.cancel.is_cancelled() => {
                operation.errand.answer(Operated::NotRead(closing()));
            }
            _ if state.cancel.is_cancelled() => (),
            PollerMsg::Work => {
                state.timer = None;
                state.work().await;
            }
            PollerMsg::Woke => {
                state.woke.store(false, Relaxed);
                state.drain_pushed().await;
            }
            PollerMsg::Reopen => {
                state.close_session().await;
                state.retry_now();
                state.work().await;
            }
            PollerMsg::Demand(demand) => state.queue(*demand),
            PollerMsg::Inspect(errand) => state.inspect(*errand).await,
            PollerMsg::Operate(operation) => state.operate(*operation).await,
            PollerMsg::SessionFailed(session, error) => state.session_failed(session, error).await,
        }
        if !state.cancel.is_cancelled() {
            state.work_waiting(&me).await;
            rearm(&me, state);
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _me: ActorRef<PollerMsg>,
        state: &mut PollerState,
    ) -> Result<(), ActorProcessingErr> {
        state.close_session().await;
        Ok(())
    }
}

/// Sends [`PollerMsg::Work`] when the next piece of work is due: after this one has ended, so
/// that nothing piles up behind a slow device.
///
/// A timer that comes soon enough stays: one that is set anew with each message would never come
/// in a stream of them.
fn rearm(me: &ActorRef<PollerMsg>, state: &mut PollerState) {
    let due = state.next_due();
    if let Some((at, timer)) = state.timer.take() {
        if due.is_some_and(|due| at <= due) {
            state.timer = Some((at, timer));
            return;
        }
        timer.abort();
    }
    if let Some(at) = due {
        let pause = at.saturating_duration_since(Instant::now());
        state.timer = Some((at, me.send_after(pause, || PollerMsg::Work)));
    }
}

/// What calls hear while their endpoint is being closed.
pub(super) fn closing() -> DriverError {
    DriverError::new(ErrorKind::Closed, "the endpoint is being closed or started anew")
        .hint("ask again in a moment")
}

/// Turns the driver's wakes into messages, one at a time.
fn forward_wakes(state: &PollerState, me: ActorRef<PollerMsg>) {
    let (wake, woke, cancel) = (state.wake.clone(), state.woke.clone(), state.cancel.clone());
    tokio::spawn(async move {
        while cancel.run_until_cancelled(wake.notified()).await.is_some() {
            // One message at most is under way: the mailbox has no bound of its own.
            if !woke.swap(true, Relaxed) && me.send_message(PollerMsg::Woke).is_err() {
                return;
            }
        }
    });
}

/// A flag that says whether a wake is on its way.
type Woke = Arc<AtomicBool>;
