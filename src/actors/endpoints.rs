//! The supervisor of the pollers: one per connection, brought back after a panic.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ractor::rpc::CallResult;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connections::Connection;
use super::directory::Directory;
use super::link::Link;
use super::observed::Fault;
use super::poller::{Poller, PollerArgs, PollerMsg, closing};
use crate::cache::{LastValue, TagCache};
use crate::clock;
use crate::driver::{DriverError, ErrorKind};
use crate::model::{EndpointName, LinkState, Quality};

/// Panics within [`PANIC_WINDOW`] after which an endpoint is left alone.
const PANICS_MAX: usize = 5;
/// See [`PANICS_MAX`].
const PANIC_WINDOW: Duration = Duration::from_secs(600);
/// The pause before the first restart; it doubles with each panic in the window.
const RESTART_FIRST: Duration = Duration::from_millis(50);
/// Closing all sessions may take this long: shutdown as a whole has 5 s.
const CLOSE_MAX: Duration = Duration::from_millis(2500);

/// What the supervisor is told.
#[derive(Debug)]
pub(crate) enum EndpointsMsg {
    /// Make the pollers match these connections; unchanged ones miss nothing.
    Reconcile(Vec<Connection>, RpcReplyPort<()>),
    /// Start the poller of that connection again.
    Restart(EndpointName),
    /// Close every session, then say so.
    Shutdown(RpcReplyPort<()>),
}

struct Child {
    connection: Connection,
    link: Arc<Link>,
    cancel: CancellationToken,
    poller: Option<ActorId>,
    panics: VecDeque<Instant>,
}

/// The actor.
pub(crate) struct Endpoints;

/// What it starts from.
#[derive(Clone)]
pub(crate) struct EndpointsArgs {
    pub(crate) cache: Arc<TagCache>,
    pub(crate) directory: Arc<Directory>,
}

/// What it knows.
pub(crate) struct EndpointsState {
    cache: Arc<TagCache>,
    directory: Arc<Directory>,
    children: HashMap<EndpointName, Child>,
}

#[async_trait]
impl Actor for Endpoints {
    type Msg = EndpointsMsg;
    type State = EndpointsState;
    type Arguments = EndpointsArgs;

    async fn pre_start(
        &self,
        _me: ActorRef<EndpointsMsg>,
        args: EndpointsArgs,
    ) -> Result<EndpointsState, ActorProcessingErr> {
        let EndpointsArgs { cache, directory } = args;
        directory.clear();
        Ok(EndpointsState { cache, directory, children: HashMap::new() })
    }

    async fn handle(
        &self,
        me: ActorRef<EndpointsMsg>,
        message: EndpointsMsg,
        state: &mut EndpointsState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            EndpointsMsg::Reconcile(connections, done) => {
                state.reconcile(&me, connections).await;
                if done.send(()).is_err() {
                    tracing::debug!("nobody waits for the reconciliation");
                }
            }
            EndpointsMsg::Restart(name) => state.start_again(&me, &name).await,
            EndpointsMsg::Shutdown(done) => {
                let names: Vec<EndpointName> = state.children.keys().cloned().collect();
                futures::future::join_all(state.children.values_mut().map(Child::close)).await;
                names.iter().for_each(|name| drop(state.children.remove(name)));
                if done.send(()).is_err() {
                    tracing::debug!("nobody waits for the pollers' end");
                }
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<EndpointsMsg>,
        event: SupervisionEvent,
        state: &mut EndpointsState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(cell, error) => {
                state.panicked(&me, cell.get_id(), &error.to_string());
            }
            // One that was told to end is no child any more.
            SupervisionEvent::ActorTerminated(cell, _, reason) => {
                let text = reason.unwrap_or_else(|| "it ended by itself".to_owned());
                state.panicked(&me, cell.get_id(), &text);
            }
            _ => (),
        }
        Ok(())
    }
}

impl EndpointsState {
    async fn reconcile(&mut self, me: &ActorRef<EndpointsMsg>, wanted: Vec<Connection>) {
        let stays = |child: &Child| wanted.iter().any(|c| child.connection.is_same(c));
        let gone: Vec<EndpointName> = self
            .children
            .iter()
            .filter(|(_, child)| !stays(child))
            .map(|(name, _)| name.clone())
            .collect();
        // All at once, and before anything starts: a device that hangs holds nobody up, and one
        // that takes a single connection has it free for the endpoint that is to have it now.
        let mut ending: Vec<Child> =
            gone.iter().filter_map(|name| self.children.remove(name)).collect();
        futures::future::join_all(ending.iter_mut().map(Child::close)).await;
        for child in ending {
            self.directory.forget(&child.link);
            // What was read of another device, or in another plan, answers nobody any more.
            self.cache.forget_endpoint(child.link.name());
        }
        for connection in wanted {
            let name = connection.spec.name.clone();
            if !self.children.contains_key(&name) {
                self.adopt(connection);
                self.start(me, &name).await;
            }
        }
    }

    /// Starts a poller that is down; a reload may have started another one meanwhile.
    async fn start_again(&mut self, me: &ActorRef<EndpointsMsg>, name: &EndpointName) {
        let is_down = |child: &Child| child.poller.is_none() && !child.is_quarantined();
        if self.children.get(name).is_some_and(is_down) {
            self.start(me, name).await;
        }
    }

    fn adopt(&mut self, connection: Connection) {
        let link =
            Link::new(connection.names.clone(), connection.spec.clone(), connection.protocol);
        self.directory.put(&link);
        let child = Child {
            link,
            cancel: CancellationToken::new(),
            poller: None,
            panics: VecDeque::new(),
            connection,
        };
        self.children.insert(child.link.name().clone(), child);
    }

    async fn start(&mut self, me: &ActorRef<EndpointsMsg>, name: &EndpointName) {
        let Some(child) = self.children.get_mut(name) else { return };
        let args = PollerArgs {
            link: child.link.clone(),
            cache: self.cache.clone(),
            tags: child.connection.tags.clone(),
            cancel: child.cancel.clone(),
        };
        match Actor::spawn_linked(None, Poller, args, me.get_cell()).await {
            Ok((poller, _)) => child.poller = Some(poller.get_id()),
            // An error before the start raises no supervision event.
            Err(error) => {
                let text = error.to_string();
                Self::count_panic(child, &self.cache, me, &text);
            }
        }
    }

    fn panicked(&mut self, me: &ActorRef<EndpointsMsg>, id: ActorId, text: &str) {
        if let Some(child) = self.children.values_mut().find(|c| c.poller == Some(id)) {
            Self::count_panic(child, &self.cache, me, text);
        }
    }

    fn count_panic(
        child: &mut Child,
        cache: &Arc<TagCache>,
        me: &ActorRef<EndpointsMsg>,
        text: &str,
    ) {
        child.poller = None;
        child.link.serve(None);
        // What the dead poller had spawned must end with it.
        child.cancel.cancel();
        child.cancel = CancellationToken::new();
        let now = Instant::now();
        child.panics.push_back(now);
        while child.panics.front().is_some_and(|at| now.duration_since(*at) > PANIC_WINDOW) {
            child.panics.pop_front();
        }
        let count = child.panics.len();
        tracing::error!(endpoint = %child.link.name(), count, "poller failed: {text}");
        child.link.publish(|report| report.restarts += 1);
        if count >= PANICS_MAX {
            return quarantine(child, cache);
        }
        let shift = u32::try_from(count.saturating_sub(1)).unwrap_or(8).min(8);
        let name = child.link.name().clone();
        me.send_after(RESTART_FIRST * (1 << shift), move || EndpointsMsg::Restart(name));
    }
}

/// Leaves an endpoint alone until its configuration changes or the collector restarts.
fn quarantine(child: &Child, cache: &Arc<TagCache>) {
    let error = DriverError::new(
        ErrorKind::Closed,
        format!("the poller panicked {PANICS_MAX} times within 10 minutes and was stopped"),
    )
    .hint("report the log of this endpoint; a reload with a changed configuration starts it again");
    let tags: Vec<_> = child.connection.tags.iter().map(|planned| planned.id).collect();
    cache.scan_group(&tags).append_outage(
        clock::now(),
        Quality::BAD_OUT_OF_SERVICE,
        LastValue::Dropped,
    );
    child.link.end(error.clone());
    child.link.publish(|report| {
        report.enter(LinkState::Quarantined);
        report.last_error = Some(Fault::now(error));
    });
}

impl Drop for Child {
    /// What its poller has spawned ends with it.
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Child {
    fn is_quarantined(&self) -> bool {
        self.panics.len() >= PANICS_MAX
    }

    /// Ends the poller: a call under way is cut off, the session is closed properly.
    async fn close(&mut self) {
        self.cancel.cancel();
        let poller = self.link.poller();
        self.link.end(closing());
        let Some(poller) = poller else { return };
        match poller.call(PollerMsg::Close, Some(CLOSE_MAX)).await {
            Ok(CallResult::Success(())) => (),
            Ok(CallResult::Timeout | CallResult::SenderError) | Err(_) => {
                tracing::warn!(endpoint = %self.link.name(), "the poller did not end in time");
                poller.kill();
            }
        }
        self.link.publish(|report| report.enter(LinkState::Closed));
    }
}
