//! Listens for the time of one call: to one item, or to the conditions as they stand.

use std::sync::Arc;
use std::time::Duration;

use opcua::client::{MonitoredItemMap, OnSubscriptionNotificationCore};
use opcua::types::{
    AttributeId, DataChangeNotification, DataValue, EventNotificationList, ExtensionObject,
    MonitoredItemCreateRequest, MonitoringMode, MonitoringParameters, NotificationMessage,
    ReadValueId, Variant,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::address::Address;
use super::errors;
use super::events::Event;
use super::instances;
use super::plan::pace;
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
/// The shortest interval asked for; servers revise it upwards as they need.
const INTERVAL_MS_MIN: u32 = 20;
/// Notifications that wait between the session and the call.
const QUEUE: usize = 1024;
/// Conditions of one answer.
const CONDITIONS_MAX: usize = 10_000;
/// A server that sends no end mark is done when nothing has come for this long.
const QUIET: Duration = Duration::from_millis(1500);

/// One thing heard.
enum Heard {
    Data(DataValue, Timestamp),
    Event(Vec<Variant>, Timestamp),
}

/// Passes on what a subscription brings; never waits.
struct Relay(mpsc::Sender<Heard>);

impl Relay {
    fn pass(&self, heard: Heard) {
        if self.0.try_send(heard).is_err() {
            tracing::debug!("a call hears more than it takes");
        }
    }

    fn take(&self, object: ExtensionObject, received_ts: Timestamp) {
        if object.inner_is::<DataChangeNotification>() {
            let changes = object.into_inner_as::<DataChangeNotification>();
            for change in changes.into_iter().flat_map(|c| c.monitored_items).flatten() {
                self.pass(Heard::Data(change.value, received_ts));
            }
        } else {
            let list = object.into_inner_as::<EventNotificationList>();
            for event in list.into_iter().flat_map(|list| list.events).flatten() {
                let row = event.event_fields.unwrap_or_default();
                self.pass(Heard::Event(row, received_ts));
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

/// Listens to one item until enough came or the time is up.
pub(super) async fn listen(
    caller: Caller,
    item: Arc<str>,
    samples: u32,
    interval_ms: u32,
    cancel: CancellationToken,
) -> Result<Reply, DriverError> {
    let node = Address::parse(&item)?.resolve(&caller.live.namespaces)?;
    let wanted = usize::try_from(samples.clamp(1, SAMPLES_MAX)).unwrap_or(1);
    let interval_ms = interval_ms.max(INTERVAL_MS_MIN);
    let (sender, mut heard) = mpsc::channel(QUEUE);
    let subscribed = caller.subscribe(pace(interval_ms), 0, Relay(sender)).await;
    let subscription = match subscribed {
        Ok((id, _keep_alive)) => id,
        Err(error) if caller.live.link.health.failure().is_none() => {
            tracing::debug!(%error, "the server does not subscribe: polling instead");
            return poll(&caller, &item, wanted, interval_ms, &cancel).await;
        }
        Err(error) => return Err(error),
    };
    let request = MonitoredItemCreateRequest {
        item_to_monitor: ReadValueId::new(node, AttributeId::Value),
        monitoring_mode: MonitoringMode::Reporting,
        requested_parameters: MonitoringParameters {
            client_handle: 1,
            sampling_interval: f64::from(interval_ms),
            filter: ExtensionObject::null(),
            queue_size: samples.clamp(1, SAMPLES_MAX),
            discard_oldest: false,
        },
    };
    let made = caller.monitor(subscription, &[request]).await;
    let made = made.map(|results| results.first().map(|result| result.status_code));
    let answer = match made {
        Err(error) => Err(error),
        Ok(Some(status)) if status.is_bad() => Err(errors::from_item(status)),
        Ok(_) => Ok(gather(&caller, &item, wanted, &mut heard, &cancel).await),
    };
    caller.unsubscribe(subscription).await;
    answer.map(Reply::Readings)
}

fn end_of(caller: &Caller) -> Instant {
    caller.deadline.checked_sub(MARGIN).unwrap_or(caller.deadline)
}

async fn gather(
    caller: &Caller,
    item: &Arc<str>,
    wanted: usize,
    heard: &mut mpsc::Receiver<Heard>,
    cancel: &CancellationToken,
) -> Vec<NodeReading> {
    let mut readings = Vec::new();
    while readings.len() < wanted {
        let next = tokio::select! {
            () = cancel.cancelled() => break,
            next = timeout_at(end_of(caller), heard.recv()) => next,
        };
        match next {
            Ok(Some(Heard::Data(value, received_ts))) => {
                read::learn(caller, value.value.iter()).await;
                readings.push(read::reading(caller, item, &value, received_ts));
                caller.toll.report_progress(u32::try_from(readings.len()).unwrap_or(u32::MAX));
            }
            Ok(Some(Heard::Event(..))) => {}
            Ok(None) | Err(_) => break,
        }
    }
    readings
}

/// Reads the item again and again, where a server does not subscribe.
async fn poll(
    caller: &Caller,
    item: &Arc<str>,
    wanted: usize,
    interval_ms: u32,
    cancel: &CancellationToken,
) -> Result<Reply, DriverError> {
    let refs = [item.clone()];
    let mut readings = Vec::new();
    loop {
        let next = Instant::now() + Duration::from_millis(u64::from(interval_ms));
        readings.extend(read::readings(caller, &refs).await?);
        caller.toll.report_progress(u32::try_from(readings.len()).unwrap_or(u32::MAX));
        let is_over = readings.len() >= wanted || next > end_of(caller);
        if is_over || timeout_at(next, cancel.cancelled()).await.is_ok() {
            return Ok(Reply::Readings(readings));
        }
    }
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
    if let Some(answer) = answer? {
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
    heard: &mut mpsc::Receiver<Heard>,
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
            Ok(Some(Heard::Event(row, received_ts))) => (row, received_ts),
            Ok(Some(Heard::Data(..))) => continue,
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
