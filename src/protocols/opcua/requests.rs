//! Requests on a live session, each paid for and cut to the server's limits.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use opcua::client::{HistoryReadAction, OnSubscriptionNotificationCore};
use opcua::types::{
    AttributeId, BrowseDescription, BrowsePath, BrowsePathResult, BrowseResult, ByteString,
    CallMethodRequest, DataValue, Error, HistoryReadResult, HistoryReadValueId,
    MonitoredItemCreateRequest, MonitoredItemCreateResult, NodeId, ReadValueId, StatusCode,
    TimestampsToReturn, Variant,
};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::errors;
use super::kinds::Kinds;
use super::limits::{Limit, Limits, Terms, in_chunks};
use super::link::Link;
use super::structures::Structures;
use crate::driver::{DriverError, ErrorKind, Reaction, Reply, Toll};

/// How long tidying up may take after the work itself is over.
const TIDYING: Duration = Duration::from_secs(2);

/// A live session with everything learnt about its server.
pub(super) struct Live {
    pub(super) link: Link,
    pub(super) limits: Arc<Limits>,
    pub(super) structures: Arc<Structures>,
    pub(super) kinds: Kinds,
    /// The NamespaceArray as this session read it.
    pub(super) namespaces: Vec<Arc<str>>,
}

/// Somebody who asks over a live session: who pays, and until when.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) live: Arc<Live>,
    pub(super) toll: Toll,
    pub(super) deadline: Instant,
}

/// The parameters a subscription is asked for with (Part 4, 5.14.2).
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) publishing: Duration,
    pub(super) keep_alive_count: u32,
    pub(super) lifetime_count: u32,
}

/// Asks for one attribute.
pub(super) fn attribute(node_id: NodeId, attribute: AttributeId) -> ReadValueId {
    ReadValueId::new(node_id, attribute)
}

impl Caller {
    fn terms<'a>(&'a self, limit: &'a Limit, doing: &'a str) -> Terms<'a> {
        Terms {
            wire: &self.live.link.wire,
            limits: &self.live.limits,
            limit,
            toll: &self.toll,
            deadline: self.deadline,
            doing,
        }
    }

    /// Sends one request that holds one item.
    async fn one<T>(
        &self,
        doing: &str,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, DriverError> {
        self.live.link.wire.pay(&self.toll, self.deadline).await?;
        match timeout_at(self.deadline, request).await {
            Err(_elapsed) => Err(errors::timeout(doing)),
            Ok(answer) => answer.map_err(|error| errors::from_status(doing, error.status())),
        }
    }

    /// Sends one request that tidies up; a failure leaves the rest to the end of the session.
    async fn tidy<T>(&self, request: impl Future<Output = Result<T, Error>>) {
        self.live.link.wire.record(&self.toll);
        match timeout(TIDYING, request).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(status = %error.status(), "tidying up failed"),
            Err(_elapsed) => tracing::debug!("tidying up timed out"),
        }
    }

    /// Reads attributes, with the source's times.
    pub(super) async fn read(&self, ids: &[ReadValueId]) -> Result<Vec<DataValue>, DriverError> {
        let session = &self.live.link.session;
        let terms = self.terms(&self.live.limits.read, "reading");
        in_chunks(terms, ids, |ids: Vec<ReadValueId>| async move {
            session.read(&ids, TimestampsToReturn::Source, 0.0).await
        })
        .await
    }

    /// Browses nodes, `references_max` references of each.
    pub(super) async fn browse(
        &self,
        nodes: &[BrowseDescription],
        references_max: u32,
    ) -> Result<Vec<BrowseResult>, DriverError> {
        let session = &self.live.link.session;
        let terms = self.terms(&self.live.limits.browse, "browsing");
        in_chunks(terms, nodes, |nodes: Vec<BrowseDescription>| async move {
            session.browse(&nodes, references_max, None).await
        })
        .await
    }

    /// Goes on browsing.
    pub(super) async fn browse_next(
        &self,
        points: &[ByteString],
    ) -> Result<Vec<BrowseResult>, DriverError> {
        let session = &self.live.link.session;
        let terms = self.terms(&self.live.limits.browse, "browsing on");
        in_chunks(terms, points, |points: Vec<ByteString>| async move {
            session.browse_next(false, &points).await
        })
        .await
    }

    /// Gives continuation points back.
    pub(super) async fn release(&self, points: Vec<ByteString>) {
        if !points.is_empty() {
            self.tidy(self.live.link.session.browse_next(true, &points)).await;
        }
    }

    /// Finds the nodes at the end of paths.
    pub(super) async fn translate(
        &self,
        paths: &[BrowsePath],
    ) -> Result<Vec<BrowsePathResult>, DriverError> {
        let session = &self.live.link.session;
        let terms = self.terms(&self.live.limits.browse, "following paths");
        in_chunks(terms, paths, |paths: Vec<BrowsePath>| async move {
            session.translate_browse_paths_to_node_ids(&paths).await
        })
        .await
    }

    /// Reads history of one node.
    pub(super) async fn history(
        &self,
        action: HistoryReadAction,
        node: &HistoryReadValueId,
    ) -> Result<HistoryReadResult, DriverError> {
        let session = &self.live.link.session;
        let nodes = std::slice::from_ref(node);
        let request = session.history_read(action, TimestampsToReturn::Source, false, nodes);
        let mut results = self.one("reading history", request).await?;
        results.pop().ok_or_else(|| no_answer("reading history"))
    }

    /// Gives a history continuation point back.
    pub(super) async fn release_history(
        &self,
        action: HistoryReadAction,
        node: &HistoryReadValueId,
    ) {
        let nodes = std::slice::from_ref(node);
        let session = &self.live.link.session;
        self.tidy(session.history_read(action, TimestampsToReturn::Source, true, nodes)).await;
    }

    /// Calls a method, and gives its status.
    pub(super) async fn call(
        &self,
        object: NodeId,
        method: NodeId,
        arguments: Vec<Variant>,
    ) -> Result<StatusCode, DriverError> {
        let request = CallMethodRequest {
            object_id: object,
            method_id: method,
            input_arguments: Some(arguments),
        };
        let called = self.live.link.session.call(vec![request]);
        let results = self.one("calling a method", called).await?;
        results.first().map(|r| r.status_code).ok_or_else(|| no_answer("calling a method"))
    }

    /// Writes one attribute, and gives its status.
    #[cfg(feature = "writes")]
    pub(super) async fn write(
        &self,
        value: opcua::types::WriteValue,
    ) -> Result<StatusCode, DriverError> {
        let values = [value];
        let written = self.live.link.session.write(&values);
        let results = self.one("writing", written).await?;
        results.first().copied().ok_or_else(|| no_answer("writing"))
    }

    /// Makes a subscription, and gives its id and the keep-alive interval the server grants.
    pub(super) async fn subscribe(
        &self,
        pace: Pace,
        notifications_max: u32,
        callback: impl OnSubscriptionNotificationCore + 'static,
    ) -> Result<(u32, Duration), DriverError> {
        let session = &self.live.link.session;
        let (keep_alive, lifetime) = (pace.keep_alive_count, pace.lifetime_count);
        let request = session.create_subscription(
            pace.publishing,
            lifetime,
            keep_alive,
            notifications_max,
            0,
            true,
            callback,
        );
        let id = self.one("subscribing", request).await?;
        let state = session.subscription_state.lock();
        let granted = state.get(id).and_then(|subscription| {
            subscription.publishing_interval().checked_mul(subscription.max_keep_alive_count())
        });
        Ok((id, granted.unwrap_or(pace.publishing * keep_alive)))
    }

    /// Makes monitored items, and answers for each.
    pub(super) async fn monitor(
        &self,
        subscription: u32,
        items: &[MonitoredItemCreateRequest],
    ) -> Result<Vec<MonitoredItemCreateResult>, DriverError> {
        let session = &self.live.link.session;
        let terms = self.terms(&self.live.limits.monitor, "subscribing to items");
        let send = |items: Vec<MonitoredItemCreateRequest>| async move {
            let made =
                session.create_monitored_items(subscription, TimestampsToReturn::Source, items);
            Ok(made.await?.into_iter().map(|made| made.result).collect())
        };
        in_chunks(terms, items, send).await
    }

    /// Removes a subscription.
    pub(super) async fn unsubscribe(&self, subscription: u32) {
        self.tidy(self.live.link.session.delete_subscription(subscription)).await;
    }
}

fn no_answer(doing: &str) -> DriverError {
    DriverError::new(ErrorKind::Protocol, format!("{doing}: the server answered nothing"))
        .reacting(Reaction::FailUnit)
}

/// Runs work that must tidy up, so that dropping its future leaves nothing on the server.
///
/// The work runs on a task of its own and sees the token when nobody waits any longer.
pub(super) fn detached<F, Fut>(work: F) -> BoxFuture<'static, Result<Reply, DriverError>>
where
    F: FnOnce(CancellationToken) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Reply, DriverError>> + Send + 'static,
{
    Box::pin(async move {
        let cancel = CancellationToken::new();
        let _cancels_when_dropped = cancel.clone().drop_guard();
        tokio::spawn(work(cancel)).await.unwrap_or_else(|_panicked| {
            Err(DriverError::new(ErrorKind::Protocol, "the request failed inside this collector")
                .reacting(Reaction::FailUnit))
        })
    })
}
