//! The actor that keeps the doors open.
//!
//! What a door is belongs to the surface: this floor only holds the function that serves them.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Serves the doors until the token is cancelled; an error or a panic brings them back.
pub type ServeDoors =
    Arc<dyn Fn(CancellationToken) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What the doors are told.
#[derive(Debug)]
pub(crate) enum DoorsMsg {
    /// Serving ended by itself.
    Ended(String),
    /// Close the doors, then say so.
    Close(RpcReplyPort<()>),
}

/// The actor.
pub(crate) struct Doors;

/// What it knows.
pub(crate) struct DoorsState {
    cancel: CancellationToken,
    serving: Option<JoinHandle<()>>,
}

#[async_trait]
impl Actor for Doors {
    type Msg = DoorsMsg;
    type State = DoorsState;
    type Arguments = ServeDoors;

    async fn pre_start(
        &self,
        me: ActorRef<DoorsMsg>,
        serve: ServeDoors,
    ) -> Result<DoorsState, ActorProcessingErr> {
        let cancel = CancellationToken::new();
        let token = cancel.clone();
        let asked = cancel.clone();
        let serving = tokio::spawn(async move {
            let ended = match tokio::spawn(serve(token)).await {
                Ok(Ok(())) if asked.is_cancelled() => return,
                Ok(Ok(())) => "serving ended by itself".to_owned(),
                Ok(Err(error)) => error,
                Err(panic) => panic.to_string(),
            };
            if me.send_message(DoorsMsg::Ended(ended)).is_err() {
                tracing::debug!("the doors have closed already");
            }
        });
        Ok(DoorsState { cancel, serving: Some(serving) })
    }

    async fn handle(
        &self,
        me: ActorRef<DoorsMsg>,
        message: DoorsMsg,
        state: &mut DoorsState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            // An error here is a supervision event: the root opens the doors again.
            DoorsMsg::Ended(error) => Err(error.into()),
            DoorsMsg::Close(done) => {
                state.cancel.cancel();
                if let Some(serving) = state.serving.take()
                    && let Err(error) = serving.await
                {
                    tracing::warn!("the doors did not close properly: {error}");
                }
                if done.send(()).is_err() {
                    tracing::debug!("nobody waits for the doors");
                }
                me.stop(None);
                Ok(())
            }
        }
    }

    async fn post_stop(
        &self,
        _me: ActorRef<DoorsMsg>,
        state: &mut DoorsState,
    ) -> Result<(), ActorProcessingErr> {
        state.cancel.cancel();
        Ok(())
    }
}
