//! Listens for the time of one call: to one item, or to the conditions as they stand.

use std::sync::Arc;
use std::time::Duration;

use opcua::client::{MonitoredItemMap, OnSubscriptionNotificationCore};
use opcua::types::{EventNotificationList, ExtensionObject, NotificationMessage, Variant};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::events::Event;
use super::instances;
use super::read;
use super::requests::Caller;
use super::subscribe;
use crate::clock;
use crate::driver::{DriverError, NodeReading, Reply};
use crate::model::{ConditionEvent, Timestamp};

/// Time kept at the end of a call for giving everything back and answering.
const MARGIN: Duration = Duration::from_millis(300);
/// Samples of one call.
const SAMPLES_MAX: u32 = 1000;
/// The shortest interval; the budget stretches it where it must.
const INTERVAL_MS_MIN: u32 = 20;
/// Notifications that wait between the session and the call.
const QUEUE: usize = 1024;
/// Conditions of one answer.
const CONDITIONS_MAX: usize = 10_000;
/// A server that sends no end mark is done when nothing has come for this long.
const QUIET: Duration = Duration::from_millis(1500);

/// The fields of one event, and when it came.
type Row = (Vec<Variant>, Timestamp);

/// Passes on what a subscription brings; never waits.
struct Relay(mpsc::Sender<Row>);

impl Relay {
    fn take(&self, object: ExtensionObject, received_ts: Timestamp) {
        let list = object.into_inner_as::<EventNotificationList>();
        for event in list.into_iter().flat_map(|list| list.events).flatten() {
            let row = event.event_fields.unwrap_or_default();
            if self.0.try_send((row, received_ts)).is_err() {
                tracing::debug!("a call hears more than it takes");
            }
        }
    }
}

impl OnSubscriptionNotificationCore for Relay {
    fn on_subscription_notification(
        &mut self,
        notification: NotificationMessage,
        _items: MonitoredItemMap<'_>,
    ) {
        let received_ts = clock::now();
        for object in notification.notification_data.into_iter().flatten() {
            self.take(object, received_ts);
        }
    }
}

/// Reads one item at each interval until enough came or the time is up.
///
/// A subscription would tell changes alone, and a value that stands still is samples too.
pub(super) async fn listen(
    caller: Caller,
    item: Arc<str>,
    samples: u32,
    interval_ms: u32,
    cancel: CancellationToken,
) -> Result<Reply, DriverError> {
    let wanted = usize::try_from(samples.clamp(1, SAMPLES_MAX)).unwrap_or(1);
    let interval = Duration::from_millis(u64::from(interval_ms.max(INTERVAL_MS_MIN)));
    let refs = [item];
    let mut readings: Vec<NodeReading> = Vec::new();
    loop {
        let next = Instant::now() + interval;
        match read::readings(&caller, &refs).await {
            Ok(read) => readings.extend(read),
            Err(error) if readings.is_empty() => return Err(error),
            Err(error) => {
                tracing::debug!(%error, "what was heard until now is the answer");
                return Ok(Reply::Readings(readings));
            }
        }
        caller.toll.report_progress(u32::try_from(readings.len()).unwrap_or(u32::MAX));
        let is_refused = readings.last().is_some_and(|reading| reading.error.is_some());
        let is_over = is_refused || readings.len() >= wanted || next > end_of(&caller);
        if is_over || timeout_at(next, cancel.cancelled()).await.is_ok() {
            return Ok(Reply::Readings(readings));
        }
    }
}

fn end_of(caller: &Caller) -> Instant {
    caller.deadline.checked_sub(MARGIN).unwrap_or(caller.deadline)
}

/// Asks for the present state of every condition, on a subscription of its own.
///
/// `known` is what the standing subscription has heard: the answer of a server without refresh.
pub(super) async fn conditions(
    caller: Caller,
    known: Vec<ConditionEvent>,
    cancel: CancellationToken,
) -> Result<Reply, DriverError> {
    let (sender, mut heard) = mpsc::channel(QUEUE);
    let (subscription, _) = match caller.subscribe(subscribe::brisk(), 0, Relay(sender)).await {
        Ok(subscribed) => subscribed,
        Err(error) if caller.live.link.health.failure().is_none() => {
            tracing::debug!(%error, "the server does not subscribe: no conditions");
            return Ok(Reply::Conditions(known));
        }
        Err(error) => return Err(error),
    };
    let answer = refreshed(&caller, subscription, &mut heard, &cancel).await;
    caller.unsubscribe(subscription).await;
    // Where a refresh names none, the server may have none, or name none (node-opcua 2.182).
    if let Some(answer) = answer?.filter(|named| !named.is_empty()) {
        return Ok(Reply::Conditions(answer));
    }
    // What a node says now supersedes what an event said once; branches are no nodes.
    let mut found = instances::read(&caller).await?;
    let missing = known.into_iter().filter(|k| !found.iter().any(|f| f.id == k.id));
    let missing: Vec<ConditionEvent> = missing.collect();
    found.extend(missing);
    Ok(Reply::Conditions(found))
}

/// Gathers until the end mark; `None` where the server has no refresh.
async fn refreshed(
    caller: &Caller,
    subscription: u32,
    heard: &mut mpsc::Receiver<Row>,
    cancel: &CancellationToken,
) -> Result<Option<Vec<ConditionEvent>>, DriverError> {
    let Some(columns) = subscribe::listen(caller, subscription).await? else { return Ok(None) };
    if !subscribe::refresh(caller, subscription).await? {
        return Ok(None);
    }
    let mut found: Vec<ConditionEvent> = Vec::new();
    while found.len() < CONDITIONS_MAX {
        let quiet = (Instant::now() + QUIET).min(end_of(caller));
        let next = tokio::select! {
            () = cancel.cancelled() => break,
            next = timeout_at(quiet, heard.recv()) => next,
        };
        let (row, received_ts) = match next {
            Ok(Some(row)) => row,
            Ok(None) | Err(_) => break,
        };
        match columns.read(&row, received_ts) {
            Some(Event::RefreshEnd) => break,
            Some(Event::Condition(event)) => {
                // A change during the refresh supersedes what the refresh said.
                found.retain(|known| known.id != event.id);
                found.push(event);
                caller.toll.report_progress(u32::try_from(found.len()).unwrap_or(u32::MAX));
            }
            _ => {}
        }
    }
    found.retain(|event| event.retain);
    Ok(Some(found))
}
