//! What the server pushes, kept in bounded queues until the poller comes for it.

use std::collections::VecDeque;
use std::sync::Arc;

use opcua::client::{MonitoredItemMap, OnSubscriptionNotificationCore};
use opcua::types::{
    DataChangeNotification, DataValue, EventNotificationList, ExtensionObject, NotificationMessage,
    StatusChangeNotification, StatusCode, Variant,
};
use parking_lot::Mutex;

use super::link::Health;
use super::structures::Structures;
use super::values::{self, Converter};
use crate::clock;
use crate::model::{Quality, Timestamp, Value};

/// Elements kept per slice: scalars count one, lists their length. About 30 MB at the worst.
const WEIGHT_MAX: usize = 200_000;
/// Octets of a value that count as one element.
const WEIGHT_OCTETS: usize = 32;
/// Events kept; an alarm flood beyond this is counted as lost.
const EVENTS_MAX: usize = 5000;
/// The bits that say the server's queue for an item ran over (Part 4, 7.39.1, table 177).
const OVERFLOW_BITS: u32 = 0x0480;

/// The client handle of the event item; data items follow.
pub(super) const EVENT_HANDLE: u32 = 1;
/// The client handle of the first data item.
pub(super) const FIRST_HANDLE: u32 = 2;

/// One sample that came.
#[derive(Debug)]
pub(super) struct Arrived {
    /// The item, by position.
    pub(super) item: usize,
    pub(super) value: Value,
    pub(super) quality: Quality,
    /// Empty where the value is null.
    pub(super) type_name: &'static str,
    pub(super) source_ts: Option<Timestamp>,
    pub(super) received_ts: Timestamp,
    /// The variant, where it holds structures whose definition is still to be learnt.
    pub(super) raw: Option<Variant>,
}

#[derive(Debug, Default)]
struct Queue {
    samples: VecDeque<Arrived>,
    weight: usize,
    lost: u64,
}

/// A bounded queue of samples: the oldest go first, and are counted.
#[derive(Debug, Default)]
pub(super) struct Inbox(Mutex<Queue>);

/// One event's columns with the time it came.
pub(super) type EventRow = (Vec<Variant>, Timestamp);

/// Everything a subscription brings in.
#[derive(Debug)]
pub(super) struct Inboxes {
    /// One per slice.
    pub(super) slices: Vec<Inbox>,
    events: Mutex<(VecDeque<EventRow>, u64)>,
    /// The slice of each item.
    routes: Vec<usize>,
}

fn weight(value: &Value) -> usize {
    match value {
        Value::Text(text) => 1 + text.len() / WEIGHT_OCTETS,
        Value::Bytes(octets) => 1 + octets.len() / WEIGHT_OCTETS,
        Value::List(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Map(fields) => 1 + fields.iter().map(|(_, value)| 1 + weight(value)).sum::<usize>(),
        _ => 1,
    }
}

impl Inbox {
    /// Adds a sample, and makes room where there is none.
    pub(super) fn push(&self, sample: Arrived) {
        let mut queue = self.0.lock();
        queue.weight += weight(&sample.value);
        queue.samples.push_back(sample);
        while queue.weight > WEIGHT_MAX && queue.samples.len() > 1 {
            if let Some(oldest) = queue.samples.pop_front() {
                queue.weight = queue.weight.saturating_sub(weight(&oldest.value));
                queue.lost += 1;
            }
        }
    }

    fn lose(&self, samples: u64) {
        self.0.lock().lost += samples;
    }

    /// Takes everything, and how many were lost since.
    pub(super) fn take(&self) -> (VecDeque<Arrived>, u64) {
        let queue = std::mem::take(&mut *self.0.lock());
        (queue.samples, queue.lost)
    }
}

impl Inboxes {
    pub(super) fn new(slices: usize, routes: Vec<usize>) -> Arc<Self> {
        let slices = std::iter::repeat_with(Inbox::default).take(slices.max(1)).collect();
        Arc::new(Self { slices, events: Mutex::default(), routes })
    }

    /// Gives the inbox of an item.
    pub(super) fn of_item(&self, item: usize) -> Option<&Inbox> {
        self.slices.get(*self.routes.get(item)?)
    }

    /// Takes the events, and how many were lost since.
    pub(super) fn take_events(&self) -> (VecDeque<EventRow>, u64) {
        std::mem::take(&mut *self.events.lock())
    }

    fn push_event(&self, row: EventRow) {
        let mut events = self.events.lock();
        events.0.push_back(row);
        if events.0.len() > EVENTS_MAX {
            events.0.pop_front();
            events.1 += 1;
        }
    }
}

/// Listens to one subscription. Runs on the session's loop: it only converts and queues.
pub(super) struct Ear {
    pub(super) inboxes: Arc<Inboxes>,
    pub(super) structures: Arc<Structures>,
    pub(super) health: Arc<Health>,
    /// The sequence number of the next message with data (Part 4, 5.14.1.1); 0 before the first.
    expected: u32,
}

impl Ear {
    pub(super) fn new(
        inboxes: Arc<Inboxes>,
        structures: Arc<Structures>,
        health: Arc<Health>,
    ) -> Self {
        Self { inboxes, structures, health, expected: 0 }
    }

    /// Counts messages that never came; what they held is at least one sample each.
    fn count_gap(&mut self, number: u32, has_data: bool) {
        let missed = number.wrapping_sub(self.expected);
        // A large step is a server that starts over, not a loss of millions.
        if self.expected != 0 && missed > 0 && missed < 1000 {
            tracing::warn!(missed, "messages of a subscription were lost");
            if let Some(inbox) = self.inboxes.slices.first() {
                inbox.lose(u64::from(missed));
            }
        }
        // A keep-alive carries the number of the next message, and takes none.
        let next = if has_data { number.wrapping_add(1).max(1) } else { number };
        self.expected = next;
    }

    fn data(&self, handle: u32, data: DataValue, received_ts: Timestamp) {
        let item = handle.checked_sub(FIRST_HANDLE).and_then(|item| usize::try_from(item).ok());
        let Some((item, inbox)) = item.and_then(|item| Some((item, self.inboxes.of_item(item)?)))
        else {
            return;
        };
        if data.status.is_some_and(|status| status.bits() & OVERFLOW_BITS == OVERFLOW_BITS) {
            inbox.lose(1);
        }
        let mut converter = Converter::new(&self.structures);
        let value = data.value.as_ref().map_or(Value::Null, |value| converter.value(value));
        inbox.push(Arrived {
            item,
            value,
            quality: values::quality(&data),
            type_name: data.value.as_ref().map_or("", values::type_name),
            source_ts: data.source_timestamp.as_ref().and_then(values::instant),
            received_ts,
            raw: data.value.filter(|_| !converter.missing.is_empty()),
        });
    }

    fn take(&self, object: ExtensionObject, received_ts: Timestamp) {
        if object.inner_is::<DataChangeNotification>() {
            let changes = object.into_inner_as::<DataChangeNotification>();
            for change in changes.into_iter().flat_map(|c| c.monitored_items).flatten() {
                self.data(change.client_handle, change.value, received_ts);
            }
        } else if object.inner_is::<EventNotificationList>() {
            let list = object.into_inner_as::<EventNotificationList>();
            for event in list.into_iter().flat_map(|list| list.events).flatten() {
                if event.client_handle == EVENT_HANDLE {
                    let row = event.event_fields.unwrap_or_default();
                    self.inboxes.push_event((row, received_ts));
                }
            }
        } else if let Some(change) = object.inner_as::<StatusChangeNotification>()
            && change.status != StatusCode::GoodSubscriptionTransferred
        {
            // BadTimeout: the server has given the subscription up.
            self.health.end(change.status);
        }
    }
}

impl OnSubscriptionNotificationCore for Ear {
    fn on_subscription_notification(
        &mut self,
        notification: NotificationMessage,
        _items: MonitoredItemMap<'_>,
    ) {
        self.health.heard();
        let data = notification.notification_data.unwrap_or_default();
        self.count_gap(notification.sequence_number, !data.is_empty());
        if data.is_empty() {
            // What has not come has not changed: that is news as well.
            return self.health.wake();
        }
        let received_ts = clock::now();
        for object in data {
            self.take(object, received_ts);
        }
        self.health.wake();
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;

    fn arrived(item: usize, value: Value) -> Arrived {
        let received_ts = Timestamp::from_millis(0);
        let quality = Quality::GOOD;
        Arrived { item, value, quality, type_name: "", source_ts: None, received_ts, raw: None }
    }

    #[test]
    fn a_full_inbox_drops_the_oldest_and_counts_them() {
        let inbox = Inbox::default();
        let list = Value::list((0..999).map(Value::I64));
        for item in 0..203 {
            inbox.push(arrived(item, list.clone()));
        }
        let (samples, lost) = inbox.take();
        assert_eq!((samples.len(), lost), (200, 3));
        assert_eq!(samples.front().unwrap().item, 3);
        assert_eq!(inbox.take().1, 0);
    }

    #[test]
    fn a_gap_in_the_sequence_is_counted_and_a_keep_alive_is_none() {
        let inboxes = Inboxes::new(1, vec![0]);
        let health = Arc::new(Health::new(Arc::new(Notify::new())));
        let mut ear = Ear::new(inboxes.clone(), Arc::default(), health);
        for (number, has_data) in [(1, true), (2, true), (3, false), (3, true), (6, true)] {
            ear.count_gap(number, has_data);
        }
        assert_eq!(inboxes.slices[0].take().1, 2);
    }
}
