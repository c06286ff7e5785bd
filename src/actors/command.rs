//! The command actor: carries approved tickets out, one write at a time for each connection, and
//! settles what a crash left in doubt before it does anything else.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::deps::Deps;
use super::writes;

/// Tickets expire, and what is in doubt is looked at, this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A write under way may end within this when the collector does; what is left of it is settled
/// by the next run.
const FINISH_MAX: Duration = Duration::from_millis(250);

/// What the command actor is told.
#[derive(Debug)]
pub(crate) enum CommandMsg {
    /// Look for what is in doubt, has expired, or was approved while nobody listened.
    Look,
    /// Carry a ticket out.
    Execute(String),
    /// End what can be ended, then say so.
    Close(RpcReplyPort<()>),
}

/// The actor.
pub(crate) struct Command;

/// What it knows.
pub(crate) struct CommandState {
    deps: Deps,
    closing: CancellationToken,
    /// Writes under way; a panic in one is no panic here.
    tasks: JoinSet<String>,
    running: HashSet<String>,
    settling: JoinSet<()>,
}

#[async_trait]
impl Actor for Command {
    type Msg = CommandMsg;
    type State = CommandState;
    type Arguments = Deps;

    async fn pre_start(
        &self,
        me: ActorRef<CommandMsg>,
        deps: Deps,
    ) -> Result<CommandState, ActorProcessingErr> {
        deps.desk.serve(Some(me.clone()));
        me.send_message(CommandMsg::Look)?;
        Ok(CommandState {
            deps,
            closing: CancellationToken::new(),
            tasks: JoinSet::new(),
            running: HashSet::new(),
            settling: JoinSet::new(),
        })
    }

    async fn handle(
        &self,
        me: ActorRef<CommandMsg>,
        message: CommandMsg,
        state: &mut CommandState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            CommandMsg::Look => {
                state.look().await;
                me.send_after(LOOK_EVERY, || CommandMsg::Look);
            }
            CommandMsg::Execute(id) => state.execute(id),
            CommandMsg::Close(done) => {
                state.close().await;
                if done.send(()).is_err() {
                    tracing::debug!("nobody waits for the command actor's end");
                }
                me.stop(None);
            }
        }
        Ok(())
    }
}

impl CommandState {
    async fn look(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            match ended {
                Ok(id) => drop(self.running.remove(&id)),
                // It is in doubt now, and settled below.
                Err(error) => {
                    tracing::error!("a write failed inside: {error}");
                    self.running.clear();
                }
            }
        }
        writes::watch_audit(&self.deps);
        writes::expire(&self.deps).await;
        while self.settling.try_join_next().is_some() {}
        if self.settling.is_empty() {
            let (deps, closing) = (self.deps.clone(), self.closing.clone());
            self.settling.spawn(async move { writes::settle(&deps, &closing).await });
        }
        for id in writes::approved(&self.deps).await {
            self.execute(id);
        }
    }

    fn execute(&mut self, id: String) {
        // Told twice, it is carried out once: the ticket's state and the turn see to it as well.
        if self.closing.is_cancelled() || !self.running.insert(id.clone()) {
            return;
        }
        let (deps, closing) = (self.deps.clone(), self.closing.clone());
        self.tasks.spawn(async move {
            writes::execute(&deps, &id, &closing).await;
            id
        });
    }

    async fn close(&mut self) {
        self.deps.desk.serve(None);
        self.closing.cancel();
        let ended = timeout(FINISH_MAX, async {
            while self.tasks.join_next().await.is_some() {}
            while self.settling.join_next().await.is_some() {}
        });
        if ended.await.is_err() {
            tracing::warn!("a write is left in doubt; the next start settles it by reading back");
        }
    }
}
