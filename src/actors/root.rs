//! The root: starts the others, brings them back, and ends them in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ractor::rpc::CallResult;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use tokio::time::Instant;

use super::command::{Command, CommandMsg};
use super::connections::Connection;
use super::deps::Deps;
use super::doors::{Doors, DoorsMsg, ServeDoors};
use super::endpoints::{Endpoints, EndpointsArgs, EndpointsMsg};
use super::findings::{Findings, FindingsArgs, FindingsMsg};
use super::historian::{Historian, HistorianArgs, HistorianMsg};
use super::ledger::{LedgerKeeper, LedgerMsg};
use crate::ledger::Ledger;

/// The pause before a child is started again.
const RESTART_AFTER: Duration = Duration::from_millis(100);
/// What each step of the shutdown may take; together they stay under 5 s.
const STEP_MAX: Duration = Duration::from_millis(2600);
/// Closing the doors waits for nothing but their sockets.
const DOORS_MAX: Duration = Duration::from_millis(700);
/// The last commits, of the history and of the audit.
const STORES_MAX: Duration = Duration::from_millis(1200);
/// A write under way may end within this; else the next start settles it.
const COMMAND_MAX: Duration = Duration::from_millis(300);
/// The ledger is started again this often within [`LEDGER_WITHIN`]; then writes freeze.
const LEDGER_RESTARTS_MAX: usize = 3;
const LEDGER_WITHIN: Duration = Duration::from_secs(60);

/// One child of the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Child {
    Ledger,
    Historian,
    Endpoints,
    Command,
    Findings,
    Doors,
}

/// What the root is told.
#[derive(Debug)]
pub(crate) enum RootMsg {
    /// Make the pollers match these connections.
    Reconcile(Vec<Connection>, RpcReplyPort<()>),
    /// Say that it lives.
    Ping(RpcReplyPort<()>),
    /// Open the doors.
    OpenDoors,
    /// Start a child again.
    Restart(Child),
    /// End everything in order, then say so.
    Shutdown(RpcReplyPort<()>),
}

/// The actor.
pub(crate) struct Root;

/// What it starts from.
#[derive(Clone)]
pub(crate) struct RootArgs {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) historian: HistorianArgs,
    pub(crate) endpoints: EndpointsArgs,
    pub(crate) command: Deps,
    pub(crate) findings: FindingsArgs,
    pub(crate) doors: ServeDoors,
}

/// What it knows.
pub(crate) struct RootState {
    args: RootArgs,
    ledger: Option<ActorRef<LedgerMsg>>,
    /// When the ledger failed, of late.
    ledger_failed: VecDeque<Instant>,
    historian: Option<ActorRef<HistorianMsg>>,
    endpoints: Option<ActorRef<EndpointsMsg>>,
    command: Option<ActorRef<CommandMsg>>,
    findings: Option<ActorRef<FindingsMsg>>,
    doors: Option<ActorRef<DoorsMsg>>,
    /// What the pollers were last made to match: a restarted supervisor starts from it.
    connections: Vec<Connection>,
    is_closing: bool,
}

#[async_trait]
impl Actor for Root {
    type Msg = RootMsg;
    type State = RootState;
    type Arguments = RootArgs;

    async fn pre_start(
        &self,
        me: ActorRef<RootMsg>,
        args: RootArgs,
    ) -> Result<RootState, ActorProcessingErr> {
        let mut state = RootState {
            args,
            ledger: None,
            ledger_failed: VecDeque::new(),
            historian: None,
            endpoints: None,
            command: None,
            findings: None,
            doors: None,
            connections: Vec::new(),
            is_closing: false,
        };
        state.start(Child::Ledger, &me).await;
        state.start(Child::Historian, &me).await;
        state.start(Child::Endpoints, &me).await;
        state.start(Child::Command, &me).await;
        state.start(Child::Findings, &me).await;
        Ok(state)
    }

    async fn handle(
        &self,
        me: ActorRef<RootMsg>,
        message: RootMsg,
        state: &mut RootState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RootMsg::Reconcile(connections, done) => {
                state.connections = connections;
                state.reconcile(Some(done));
            }
            RootMsg::Ping(alive) => {
                if alive.send(()).is_err() {
                    tracing::debug!("nobody waits for the pulse");
                }
            }
            RootMsg::OpenDoors => state.start(Child::Doors, &me).await,
            RootMsg::Restart(child) => state.start(child, &me).await,
            RootMsg::Shutdown(done) => {
                state.is_closing = true;
                state.shut_down().await;
                if done.send(()).is_err() {
                    tracing::debug!("nobody waits for the end");
                }
                me.stop(None);
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<RootMsg>,
        event: SupervisionEvent,
        state: &mut RootState,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, text) = match event {
            SupervisionEvent::ActorFailed(cell, error) => (cell, error.to_string()),
            SupervisionEvent::ActorTerminated(cell, _, reason) => {
                (cell, reason.unwrap_or_else(|| "it ended by itself".to_owned()))
            }
            _ => return Ok(()),
        };
        if let Some(child) = state.which(&cell).filter(|_| !state.is_closing) {
            if child == Child::Ledger && state.is_ledger_beyond_help() {
                tracing::error!("the ledger has failed too often: writes are frozen: {text}");
                state.args.ledger.give_up(&text);
                return Ok(());
            }
            tracing::error!(?child, "failed and is started again: {text}");
            me.send_after(RESTART_AFTER, move || RootMsg::Restart(child));
        }
        Ok(())
    }
}

impl RootState {
    async fn start(&mut self, child: Child, me: &ActorRef<RootMsg>) {
        let failed = match child {
            Child::Ledger => {
                let args = self.args.ledger.clone();
                let started = Actor::spawn_linked(None, LedgerKeeper, args, me.get_cell()).await;
                started.map(|(actor, _)| self.ledger = Some(actor)).err()
            }
            Child::Historian => {
                let args = self.args.historian.clone();
                let started = Actor::spawn_linked(None, Historian, args, me.get_cell()).await;
                started.map(|(actor, _)| self.historian = Some(actor)).err()
            }
            Child::Endpoints => {
                let args = self.args.endpoints.clone();
                let started = Actor::spawn_linked(None, Endpoints, args, me.get_cell()).await;
                let failed = started.map(|(actor, _)| self.endpoints = Some(actor)).err();
                if !self.connections.is_empty() {
                    self.reconcile(None);
                }
                failed
            }
            Child::Command => {
                let args = self.args.command.clone();
                let started = Actor::spawn_linked(None, Command, args, me.get_cell()).await;
                started.map(|(actor, _)| self.command = Some(actor)).err()
            }
            Child::Findings => {
                let args = self.args.findings.clone();
                let started = Actor::spawn_linked(None, Findings, args, me.get_cell()).await;
                started.map(|(actor, _)| self.findings = Some(actor)).err()
            }
            Child::Doors => {
                let serve = self.args.doors.clone();
                let started = Actor::spawn_linked(None, Doors, serve, me.get_cell()).await;
                started.map(|(actor, _)| self.doors = Some(actor)).err()
            }
        };
        // An error before the start raises no supervision event.
        if let Some(error) = failed {
            tracing::error!(?child, "did not start: {error}");
            me.send_after(RESTART_AFTER, move || RootMsg::Restart(child));
        }
    }

    /// Counts a failure of the ledger, and tells whether there were too many.
    fn is_ledger_beyond_help(&mut self) -> bool {
        let now = Instant::now();
        self.ledger_failed.retain(|at| now.duration_since(*at) < LEDGER_WITHIN);
        self.ledger_failed.push_back(now);
        self.ledger_failed.len() > LEDGER_RESTARTS_MAX
    }

    fn reconcile(&self, done: Option<RpcReplyPort<()>>) {
        let Some(endpoints) = &self.endpoints else { return };
        // The reply port goes along, so that the root never waits for a device.
        let done = done.unwrap_or_else(|| ractor::concurrency::oneshot().0.into());
        let message = EndpointsMsg::Reconcile(self.connections.clone(), done);
        if let Err(error) = endpoints.send_message(message) {
            tracing::error!("the endpoints' supervisor is gone: {error}");
        }
    }

    fn which(&self, cell: &ActorCell) -> Option<Child> {
        let id = Some(cell.get_id());
        if self.ledger.as_ref().map(|a| a.get_id()) == id {
            Some(Child::Ledger)
        } else if self.historian.as_ref().map(|a| a.get_id()) == id {
            Some(Child::Historian)
        } else if self.endpoints.as_ref().map(|a| a.get_id()) == id {
            Some(Child::Endpoints)
        } else if self.command.as_ref().map(|a| a.get_id()) == id {
            Some(Child::Command)
        } else if self.findings.as_ref().map(|a| a.get_id()) == id {
            Some(Child::Findings)
        } else if self.doors.as_ref().map(|a| a.get_id()) == id {
            Some(Child::Doors)
        } else {
            None
        }
    }

    /// Doors first, so that nobody asks; then a write under way; then the sessions; then what they
    /// brought is stored, history and audit side by side.
    async fn shut_down(&mut self) {
        if let Some(doors) = self.doors.take() {
            late("doors", doors.call(DoorsMsg::Close, Some(DOORS_MAX)).await);
        }
        if let Some(command) = self.command.take() {
            late("command", command.call(CommandMsg::Close, Some(COMMAND_MAX)).await);
        }
        // What ends on purpose is no finding. Nothing waits for it.
        if let Some(findings) = self.findings.take() {
            findings.stop(None);
        }
        if let Some(endpoints) = self.endpoints.take() {
            late("pollers", endpoints.call(EndpointsMsg::Shutdown, Some(STEP_MAX)).await);
        }
        let (historian, ledger) = (self.historian.take(), self.ledger.take());
        let history = async {
            if let Some(actor) = historian {
                late("historian", actor.call(HistorianMsg::Close, Some(STORES_MAX)).await);
            }
        };
        let audit = async {
            if let Some(actor) = ledger {
                late("ledger", actor.call(LedgerMsg::Close, Some(STORES_MAX)).await);
            }
        };
        tokio::join!(history, audit);
    }
}

fn late<M>(who: &str, ended: Result<CallResult<()>, ractor::MessagingErr<M>>) {
    if !matches!(ended, Ok(CallResult::Success(()))) {
        tracing::warn!("{who} did not end in time");
    }
}
