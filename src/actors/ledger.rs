//! The keeper of the ledger: owns the one thread that writes the audit file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use crate::ledger::{Event, Ledger, What};

/// What the keeper is told.
#[derive(Debug)]
pub(crate) enum LedgerMsg {
    /// The thread has ended by itself.
    Ended,
    /// Write what waits, end, and say so.
    Close(RpcReplyPort<()>),
}

/// The actor.
pub(crate) struct LedgerKeeper;

/// What it knows.
pub(crate) struct LedgerState {
    ledger: Arc<Ledger>,
    thread: Option<JoinHandle<()>>,
}

#[async_trait]
impl Actor for LedgerKeeper {
    type Msg = LedgerMsg;
    type State = LedgerState;
    type Arguments = Arc<Ledger>;

    async fn pre_start(
        &self,
        me: ActorRef<LedgerMsg>,
        ledger: Arc<Ledger>,
    ) -> Result<LedgerState, ActorProcessingErr> {
        let kept = ledger.clone();
        let thread = std::thread::Builder::new().name("ledger".to_owned()).spawn(move || {
            let ended = catch_unwind(AssertUnwindSafe(|| kept.keep()));
            if ended.is_err() && me.send_message(LedgerMsg::Ended).is_err() {
                tracing::error!("the ledger's thread ended after its keeper");
            }
        })?;
        Ok(LedgerState { ledger, thread: Some(thread) })
    }

    async fn handle(
        &self,
        me: ActorRef<LedgerMsg>,
        message: LedgerMsg,
        state: &mut LedgerState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            // An error here is a supervision event: the root starts the keeper again.
            LedgerMsg::Ended => Err("the thread that writes the audit has panicked".into()),
            LedgerMsg::Close(done) => {
                state.ledger.append_soon(Event::new(What::Ended));
                state.ledger.close();
                if let Some(thread) = state.thread.take() {
                    let joined = tokio::task::spawn_blocking(move || thread.join()).await;
                    if !matches!(joined, Ok(Ok(()))) {
                        tracing::error!("the ledger's thread did not end properly");
                    }
                }
                if done.send(()).is_err() {
                    tracing::debug!("nobody waits for the ledger's end");
                }
                me.stop(None);
                Ok(())
            }
        }
    }
}
