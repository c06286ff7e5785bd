//! The keeper of the ledger: owns the one thread that writes the audit file, and the one that
//! sends its checkpoints out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use crate::ledger::{Event, Ledger, What};

/// What the keeper is told.
#[derive(Debug)]
pub(crate) enum LedgerMsg {
    /// One of its threads has panicked.
    Ended,
    /// Write what waits, end, and say so.
    Close(RpcReplyPort<()>),
}

/// The actor.
pub(crate) struct LedgerKeeper;

/// What it knows.
pub(crate) struct LedgerState {
    ledger: Arc<Ledger>,
    threads: Vec<JoinHandle<()>>,
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
        let keep = thread("ledger", &me, &ledger, Ledger::keep)?;
        let send = thread("checkpoints", &me, &ledger, Ledger::send_out)?;
        Ok(LedgerState { ledger, threads: vec![keep, send] })
    }

    async fn handle(
        &self,
        me: ActorRef<LedgerMsg>,
        message: LedgerMsg,
        state: &mut LedgerState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            // An error here is a supervision event: the root starts the keeper again.
            LedgerMsg::Ended => Err("a thread of the audit has panicked".into()),
            LedgerMsg::Close(done) => {
                state.ledger.append_soon(Event::new(What::Ended));
                state.ledger.close();
                for thread in state.threads.drain(..) {
                    let joined = tokio::task::spawn_blocking(move || thread.join()).await;
                    if !matches!(joined, Ok(Ok(()))) {
                        tracing::error!("a thread of the ledger did not end properly");
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

/// Starts one of the ledger's threads, which tells the keeper of a panic.
fn thread(
    name: &str,
    me: &ActorRef<LedgerMsg>,
    ledger: &Arc<Ledger>,
    work: fn(&Ledger),
) -> std::io::Result<JoinHandle<()>> {
    let (me, ledger) = (me.clone(), ledger.clone());
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let ended = catch_unwind(AssertUnwindSafe(|| work(&ledger)));
        if ended.is_err() && me.send_message(LedgerMsg::Ended).is_err() {
            tracing::error!("a thread of the ledger ended after its keeper");
        }
    })
}
