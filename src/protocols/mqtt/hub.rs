//! Where every message of the session arrives: kept, followed by tags, and waited for.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::address::Address;
use super::errors;
use super::filter::{TOPIC_BYTES_MAX, covers};
use super::payload::{self, Body, PAYLOAD_BYTES_MAX};
use super::sparkplug::names::{Names, shown};
use super::sparkplug::nodes::Nodes;
use super::sparkplug::topic::Topic;
use super::store::{Kept, Store};
use super::tags::{Bound, Tags, Told};
use crate::clock;
use crate::driver::{Content, DriverError, Message, Planned};
use crate::model::Timestamp;
use crate::net::mqtt::{Ear, Heard, MqttError};

/// Of a payload that is longer than is taken, and of one that is no text, so much is shown.
const HEAD_BYTES: usize = 32;

/// What is known of the broker's messages.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) store: Store,
    pub(super) nodes: Nodes,
    pub(super) tags: Tags,
    /// The tags that follow a topic.
    plain: HashMap<Arc<str>, Vec<usize>>,
    /// Filters that stand, with the uptime since when.
    standing: Vec<(Arc<str>, u64)>,
    /// Filters that stand for a call, with how many calls.
    lent: HashMap<Arc<str>, usize>,
}

/// The ear of a session, shared with the calls.
#[derive(Debug)]
pub(super) struct Hub {
    pub(super) known: Mutex<Known>,
    /// Told of each message.
    pub(super) heard: Notify,
    wake: Arc<Notify>,
    failure: Mutex<Option<DriverError>>,
}

impl Hub {
    pub(super) fn new(known: Known, wake: Arc<Notify>) -> Arc<Self> {
        let (heard, failure) = (Notify::new(), Mutex::default());
        Arc::new(Self { known: Mutex::new(known), heard, wake, failure })
    }

    /// Gives why the session ended, where it has.
    pub(super) fn failure(&self) -> Option<DriverError> {
        self.failure.lock().clone()
    }
}

impl Ear for Hub {
    fn hear(&self, message: Heard) {
        self.known.lock().hear(message, clock::now());
        self.heard.notify_waiters();
        self.wake.notify_one();
    }

    fn ended(&self, why: MqttError) {
        *self.failure.lock() = Some(errors::of_session(&why));
        self.heard.notify_waiters();
        self.wake.notify_one();
    }
}

impl Known {
    /// Begins a session with what was heard before it.
    pub(super) fn after(store: Store) -> Self {
        Self { store, ..Self::default() }
    }

    /// Lets the tags follow what they name; what was heard stays known.
    pub(super) fn follow(&mut self, tags: &[(Planned, Address)]) {
        self.nodes = Nodes::default();
        self.plain.clear();
        let mut bound = Vec::with_capacity(tags.len());
        for (at, (planned, address)) in tags.iter().enumerate() {
            let tag = &planned.tag;
            match address {
                Address::Plain { topic, path, .. } => {
                    self.plain.entry(topic.clone()).or_default().push(at);
                    bound.push(Bound::new(planned.id, path.clone(), tag.data_type));
                }
                Address::Metric { group, node, device, metric } => {
                    self.nodes.follow((group, node, device.as_deref()), metric, at);
                    bound.push(Bound::new(planned.id, tag.path.clone(), tag.data_type));
                }
            }
        }
        self.tags = Tags::of(bound);
    }

    /// Takes a message in.
    pub(super) fn hear(&mut self, message: Heard, received_ts: Timestamp) {
        self.tags.hear();
        let Heard { topic, payload, qos, retain } = message;
        let Some(topic) = std::str::from_utf8(&topic).ok().filter(|t| t.len() <= TOPIC_BYTES_MAX)
        else {
            return self.tags.lose(1);
        };
        let names = match Topic::parse(topic).filter(Topic::is_protobuf) {
            Some(sparkplug) => {
                let heard = self.nodes.hear(&sparkplug, &payload, &mut self.tags, received_ts);
                if let Err(error) = &heard {
                    tracing::debug!(%error, "a Sparkplug message can't be read");
                }
                Some(heard.unwrap_or_default())
            }
            None => {
                self.tell(topic, &payload, received_ts);
                None
            }
        };
        let length = payload.len();
        let taken = if length > PAYLOAD_BYTES_MAX { HEAD_BYTES } else { length };
        // A slice of the packet's buffer would keep all of it alive.
        let payload = Bytes::copy_from_slice(payload.get(..taken).unwrap_or_default());
        self.store.put(Kept {
            order: 0,
            topic: self.store.name(topic),
            payload,
            length,
            qos,
            retain,
            received_ts,
            seen_uptime_ms: clock::uptime_ms(),
            names,
        });
    }

    /// Tells the tags that follow a plain topic.
    fn tell(&mut self, topic: &str, bytes: &[u8], received_ts: Timestamp) {
        let Some(followers) = self.plain.get(topic) else { return };
        let body = payload::read(bytes);
        for at in followers {
            let Some(bound) = self.tags.get(*at) else { continue };
            let (path, data_type) = (bound.path.clone(), bound.data_type);
            let (value, quality) = payload::value(&body, bytes, path.as_deref(), data_type);
            // MQTT has no times of its own, and none is invented.
            self.tags.tell(*at, value, quality, Told { source_ts: None, received_ts });
        }
    }

    /// Notes that a filter stands.
    pub(super) fn stand(&mut self, filter: Arc<str>) {
        self.standing.push((filter, clock::uptime_ms()));
    }

    /// Gives since when everything that a filter asks for is listened to.
    pub(super) fn standing_since(&self, filter: &str) -> Option<u64> {
        let standing = self.standing.iter().filter(|(own, _)| covers(own, filter));
        standing.map(|(_, since)| *since).min()
    }

    /// Tells whether a filter stands already, or stands for a call, and counts one call more.
    pub(super) fn lend(&mut self, filter: &Arc<str>) -> bool {
        let calls = self.lent.entry(filter.clone()).or_default();
        *calls += 1;
        *calls > 1
    }

    /// Counts one call less; tells whether it was the last.
    pub(super) fn give_back(&mut self, filter: &Arc<str>) -> bool {
        let Some(calls) = self.lent.get_mut(filter) else { return false };
        *calls = calls.saturating_sub(1);
        if *calls > 0 {
            return false;
        }
        self.lent.remove(filter);
        !self.standing.iter().any(|(standing, _)| standing == filter)
    }
}

/// Shows a message as it reads now.
pub(super) fn message(kept: &Kept) -> Message {
    Message {
        topic: kept.topic.clone(),
        content: content(&kept.payload, kept.length, kept.names.as_deref()),
        bytes: u32::try_from(kept.length).unwrap_or(u32::MAX),
        qos: kept.qos,
        retain: kept.retain,
        received_ts: kept.received_ts,
        seen_uptime_ms: kept.seen_uptime_ms,
    }
}

fn content(bytes: &[u8], length: usize, names: Option<&Names>) -> Content {
    let binary = |why| {
        let head = bytes.get(..bytes.len().min(HEAD_BYTES)).unwrap_or_default();
        Content::Binary { head: head.into(), why }
    };
    if length > bytes.len() {
        let text = format!("the payload has {length} bytes; {PAYLOAD_BYTES_MAX} are taken");
        return binary(Some(errors::decode(text)));
    }
    match names {
        // An empty payload is a message without metrics.
        Some(_) if bytes.is_empty() => Content::Empty,
        Some(names) => shown(bytes, names).unwrap_or_else(|error| binary(Some(error))),
        None => match payload::read(bytes) {
            Ok(Body::Empty) => Content::Empty,
            Ok(Body::Json(json)) => Content::Json(Arc::new(json)),
            Ok(Body::Text(text)) => Content::Text(text.into()),
            Ok(Body::Binary) => binary(None),
            Err(error) => binary(Some(error)),
        },
    }
}
