//! The standing subscription: every tag of the endpoint, and its condition events.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use opcua::types::{
    AttributeId, ExtensionObject, MethodId, MonitoredItemCreateRequest, MonitoringMode,
    MonitoringParameters, NodeId, ObjectTypeId, ReadValueId, StatusCode, Variant,
};
use parking_lot::Mutex;

use super::errors;
use super::events::{self, Columns, Event, Where};
use super::inbox::{Arrived, Ear, FIRST_HANDLE, Inboxes};
use super::instances;
use super::plan::{Plan, pace};
use super::read;
use super::requests::Caller;
use super::values::Converter;
use crate::clock;
use crate::driver::{Batch, DriverError, ErrorKind, Hearing, Reading};
use crate::model::{ConditionEvent, ConditionId, Quality, Value};

/// Samples the server keeps of an item between two publishes: rides out a late publish.
const QUEUE_SIZE: u32 = 10;
/// Notifications in one message; the rest follows at once.
const NOTIFICATIONS_MAX: u32 = 1000;
/// A server that takes few items per subscription is given that many subscriptions.
const SUBSCRIPTIONS_MAX: usize = 16;
/// Keep-alive intervals without a word after which a subscription is dead.
const SILENT_INTERVALS: u32 = 3;
/// Conditions remembered of one server.
const CONDITIONS_MAX: usize = 10_000;

/// Whether the events are wanted too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Data,
    DataAndEvents,
}

/// A subscription that stands.
pub(super) struct Standing {
    subscriptions: Vec<u32>,
    inboxes: Arc<Inboxes>,
    columns: Columns,
    /// Conditions found at the start, where the server does not refresh them.
    present: Mutex<Option<Vec<ConditionEvent>>>,
    /// What is known of the server's conditions.
    known: Mutex<HashMap<ConditionId, ConditionEvent>>,
}

/// What came of asking for a subscription.
pub(super) enum Answer {
    Granted(Box<Standing>),
    /// The server won't; polling is the way.
    Refused(DriverError),
}

/// Tells a server that does not subscribe from a session that is in trouble.
fn is_refusal(error: &DriverError) -> bool {
    !matches!(
        error.kind,
        ErrorKind::Timeout
            | ErrorKind::LinkLost
            | ErrorKind::Unreachable
            | ErrorKind::BudgetExhausted
            | ErrorKind::Closed
    )
}

fn data_item(item: usize, node: NodeId, scan_ms: u32) -> MonitoredItemCreateRequest {
    let handle = u32::try_from(item).unwrap_or(u32::MAX).saturating_add(FIRST_HANDLE);
    MonitoredItemCreateRequest {
        item_to_monitor: ReadValueId::new(node, AttributeId::Value),
        monitoring_mode: MonitoringMode::Reporting,
        requested_parameters: MonitoringParameters {
            client_handle: handle,
            sampling_interval: f64::from(scan_ms),
            filter: ExtensionObject::null(),
            queue_size: QUEUE_SIZE,
            discard_oldest: true,
        },
    }
}

/// Asks for a subscription of everything in the plan.
pub(super) async fn establish(
    caller: &Caller,
    plan: &Plan,
    scope: Scope,
) -> Result<Answer, DriverError> {
    let routes = plan.items.iter().map(|item| item.slice).collect();
    let mut standing = Standing {
        subscriptions: Vec::new(),
        inboxes: Inboxes::new(plan.scans.len(), routes),
        columns: Columns::whole(),
        present: Mutex::default(),
        known: Mutex::default(),
    };
    match standing.fill(caller, plan, scope).await {
        Ok(()) => Ok(Answer::Granted(Box::new(standing))),
        Err(error) if is_refusal(&error) => {
            standing.end(caller).await;
            Ok(Answer::Refused(error))
        }
        Err(error) => Err(error),
    }
}

impl Standing {
    async fn fill(
        &mut self,
        caller: &Caller,
        plan: &Plan,
        scope: Scope,
    ) -> Result<(), DriverError> {
        let mut rest: Vec<MonitoredItemCreateRequest> = plan
            .nodes(&caller.live.namespaces)
            .into_iter()
            .filter_map(|(at, node)| Some(data_item(at, node, plan.items.get(at)?.scan_ms)))
            .collect();
        let first = self.subscribe(caller, plan).await?;
        let mut subscription = first;
        while !rest.is_empty() {
            let results = caller.monitor(subscription, &rest).await?;
            let asked = rest.len();
            let pairs = rest.into_iter().zip(results);
            let is_full = |status: StatusCode| status == StatusCode::BadTooManyMonitoredItems;
            let (full, done): (Vec<_>, Vec<_>) = pairs.partition(|(_, r)| is_full(r.status_code));
            let is_stuck = full.len() == asked || self.subscriptions.len() >= SUBSCRIPTIONS_MAX;
            for (item, result) in &done {
                self.quarantine(item, result.status_code);
            }
            if is_stuck {
                full.iter().for_each(|(item, result)| self.quarantine(item, result.status_code));
                break;
            }
            rest = full.into_iter().map(|(item, _)| item).collect();
            if !rest.is_empty() {
                subscription = self.subscribe(caller, plan).await?;
            }
        }
        if scope == Scope::DataAndEvents {
            self.listen_to_events(caller, first).await?;
        }
        Ok(())
    }

    async fn subscribe(&mut self, caller: &Caller, plan: &Plan) -> Result<u32, DriverError> {
        let link = &caller.live.link;
        let structures = caller.live.structures.clone();
        let ear = Ear::new(self.inboxes.clone(), structures, link.health.clone());
        let (id, keep_alive) = caller.subscribe(plan.pace(), NOTIFICATIONS_MAX, ear).await?;
        self.subscriptions.push(id);
        link.health.expect_within(keep_alive * SILENT_INTERVALS + Duration::from_secs(1));
        Ok(id)
    }

    /// A refused item is Bad with the server's own word; its neighbours know nothing of it.
    fn quarantine(&self, item: &MonitoredItemCreateRequest, status: StatusCode) {
        let handle = item.requested_parameters.client_handle.checked_sub(FIRST_HANDLE);
        let item = handle.and_then(|item| usize::try_from(item).ok());
        if status.is_bad()
            && let Some(item) = item
            && let Some(inbox) = self.inboxes.of_item(item)
        {
            inbox.push(Arrived {
                item,
                value: Value::Null,
                quality: Quality::from_status(status.bits()),
                type_name: "",
                source_ts: None,
                received_ts: clock::now(),
                raw: None,
            });
        }
    }

    /// Listens to conditions and asks for their present state; a server without any is no fault.
    async fn listen_to_events(
        &mut self,
        caller: &Caller,
        subscription: u32,
    ) -> Result<(), DriverError> {
        match listen(caller, subscription).await {
            Ok(Some(columns)) => {
                self.columns = columns;
                if !refresh(caller, subscription).await? {
                    self.present = Mutex::new(Some(instances::read(caller).await?));
                }
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(error) if is_refusal(&error) => {
                tracing::debug!(%error, "the server has no condition events");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Moves what has come for a slice, and all events, into the batch.
    pub(super) async fn drain(
        &self,
        caller: &Caller,
        plan: &Plan,
        slice: usize,
        out: &mut Batch,
    ) -> Result<(), DriverError> {
        if let Some(inbox) = self.inboxes.slices.get(slice) {
            let (samples, lost) = inbox.take();
            out.lost += lost;
            let unread = samples.iter().filter_map(|sample| sample.raw.as_ref());
            read::learn(caller, unread).await;
            for sample in samples {
                let Some(item) = plan.items.get(sample.item) else { continue };
                caller.live.kinds.tell(item.tag, sample.type_name, out);
                let value = match &sample.raw {
                    Some(raw) => Converter::new(&caller.live.structures).value(raw),
                    None => sample.value,
                };
                let (value, quality) = pick(value, item.path.as_deref(), sample.quality);
                out.readings.push(Reading {
                    tag: item.tag,
                    value,
                    quality,
                    source_ts: sample.source_ts,
                    received_ts: sample.received_ts,
                });
            }
        }
        self.drain_events(caller, out).await
    }

    async fn drain_events(&self, caller: &Caller, out: &mut Batch) -> Result<(), DriverError> {
        let (rows, lost) = self.inboxes.take_events();
        out.lost += lost;
        // What was lost may have been a condition's end.
        let mut refresh_wanted = lost > 0;
        if let Some(present) = self.present.lock().take() {
            present.iter().for_each(|event| self.remember(event));
            out.hearing = Some(Hearing::Whole);
        }
        for (row, received_ts) in rows {
            match self.columns.read(&row, received_ts) {
                Some(Event::Condition(event)) => {
                    self.remember(&event);
                    out.conditions.push(event);
                }
                Some(Event::RefreshRequired) => refresh_wanted = true,
                Some(Event::RefreshEnd) => {
                    self.look_where_none_was_named(caller).await?;
                    out.hearing = Some(Hearing::Whole);
                }
                Some(Event::Other) => {}
                None => {
                    out.lost += 1;
                    refresh_wanted = true;
                }
            }
        }
        if let Some(subscription) = self.subscriptions.first().filter(|_| refresh_wanted) {
            out.hearing = Some(Hearing::Partial);
            if refresh(caller, *subscription).await? {
                // It names every one there is: what it doesn't name is over.
                self.known.lock().clear();
            }
        }
        if out.hearing == Some(Hearing::Whole) {
            out.conditions = self.known();
        }
        Ok(())
    }

    /// Some servers take a refresh and name no condition, whatever its state (node-opcua 2.182
    /// does): only their nodes can say that there is none.
    async fn look_where_none_was_named(&self, caller: &Caller) -> Result<(), DriverError> {
        if self.known.lock().is_empty() {
            instances::read(caller).await?.iter().for_each(|event| self.remember(event));
        }
        Ok(())
    }

    fn remember(&self, event: &ConditionEvent) {
        let mut known = self.known.lock();
        if !event.retain {
            known.remove(&event.id);
        } else if known.len() < CONDITIONS_MAX || known.contains_key(&event.id) {
            known.insert(event.id.clone(), event.clone());
        }
    }

    /// Gives the conditions that still want attention, as far as they were heard of.
    pub(super) fn known(&self) -> Vec<ConditionEvent> {
        let mut known: Vec<_> = self.known.lock().values().cloned().collect();
        known.sort_by(|a, b| a.id.condition.cmp(&b.id.condition));
        known
    }

    /// Gives it all back to the server.
    pub(super) async fn end(&self, caller: &Caller) {
        for subscription in &self.subscriptions {
            caller.unsubscribe(*subscription).await;
        }
    }
}

/// Picks a part of a structure; one that is not there is Bad (there is no such value).
pub(super) fn pick(value: Value, path: Option<&str>, quality: Quality) -> (Value, Quality) {
    match path {
        None => (value, quality),
        // Nothing came, so nothing is missing in it.
        Some(_) if value == Value::Null => (Value::Null, quality),
        Some(path) => match value.pick(path) {
            Some(part) => (part.clone(), quality),
            None => (Value::Null, Quality::BAD_DECODING_ERROR),
        },
    }
}

/// Makes the event item, with the best filter that the server takes; `None` where it takes none.
pub(super) async fn listen(
    caller: &Caller,
    subscription: u32,
) -> Result<Option<Columns>, DriverError> {
    for wanted in Where::ALL {
        let results = caller.monitor(subscription, &[events::item(wanted)]).await?;
        let Some(result) = results.first() else { continue };
        if !result.status_code.is_bad() {
            return Ok(Some(Columns::from_result(&result.filter_result, wanted)));
        }
        let status = errors::name(result.status_code);
        tracing::debug!(?wanted, status, "the server refuses this filter of events");
    }
    Ok(None)
}

/// Asks for the present state of every condition; tells whether the server does that at all.
pub(super) async fn refresh(caller: &Caller, subscription: u32) -> Result<bool, DriverError> {
    let (object, method) = (ObjectTypeId::ConditionType, MethodId::ConditionType_ConditionRefresh);
    let arguments = vec![Variant::UInt32(subscription)];
    match caller.call(object.into(), method.into(), arguments).await {
        Ok(status) => Ok(!status.is_bad()),
        Err(error) if is_refusal(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives the pace of a subscription made for one call.
pub(super) fn brisk() -> super::requests::Pace {
    pace(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_is_not_there_is_bad_and_nothing_stays_nothing() {
        let whole = Value::map([("a".into(), Value::I64(1))]);
        let pick = |path| pick(whole.clone(), path, Quality::GOOD);
        assert_eq!(pick(Some("a")), (Value::I64(1), Quality::GOOD));
        assert_eq!(pick(Some("b")), (Value::Null, Quality::BAD_DECODING_ERROR));
        assert_eq!(pick(None).0, whole);
        let bad = Quality::BAD_DEVICE_FAILURE;
        assert_eq!(super::pick(Value::Null, Some("a"), bad), (Value::Null, bad));
    }
}
