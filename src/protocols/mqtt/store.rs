//! The last messages of each topic, bounded in topics and bytes; the oldest go first.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::filter::matches;
use super::sparkplug::names::Names;
use crate::model::Timestamp;

/// What is kept of a topic.
pub(super) const PER_TOPIC_MAX: usize = 16;
/// Topics that are remembered.
const TOPICS_MAX: usize = 10_000;
/// Payloads and topics together.
const BYTES_MAX: usize = 32 << 20;
/// What a message takes beside its bytes.
const OVERHEAD_BYTES: usize = 160;

/// A message as it was heard.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    /// Its place among all that were heard.
    pub(super) order: u64,
    pub(super) topic: Arc<str>,
    /// What it holds; the beginning where it is longer than is taken.
    pub(super) payload: Bytes,
    /// How long it was.
    pub(super) length: usize,
    pub(super) qos: u8,
    pub(super) retain: bool,
    pub(super) received_ts: Timestamp,
    pub(super) seen_uptime_ms: u64,
    /// The names of its metrics, as they were then.
    pub(super) names: Option<Arc<Names>>,
}

impl Kept {
    fn bytes(&self) -> usize {
        self.payload.len() + self.topic.len() + OVERHEAD_BYTES
    }
}

/// Messages by topic.
#[derive(Debug, Default)]
pub(super) struct Store {
    topics: HashMap<Arc<str>, VecDeque<Kept>>,
    /// The newest of each topic, and the older ones, by order: these go first.
    newest: BTreeMap<u64, Arc<str>>,
    older: BTreeMap<u64, Arc<str>>,
    bytes: usize,
    next: u64,
}

impl Store {
    /// Gives the topic's name as it is kept, or a new one.
    pub(super) fn name(&self, topic: &str) -> Arc<str> {
        let known = self.topics.get_key_value(topic);
        known.map_or_else(|| topic.into(), |(name, _)| name.clone())
    }

    /// Keeps a message.
    pub(super) fn put(&mut self, mut message: Kept) {
        message.order = self.next;
        self.next += 1;
        self.bytes += message.bytes();
        let topic = message.topic.clone();
        let ring = self.topics.entry(topic.clone()).or_default();
        if let Some(before) = ring.back() {
            self.newest.remove(&before.order);
            self.older.insert(before.order, topic.clone());
        }
        self.newest.insert(message.order, topic.clone());
        ring.push_back(message);
        if ring.len() > PER_TOPIC_MAX
            && let Some(oldest) = ring.pop_front()
        {
            self.older.remove(&oldest.order);
            self.bytes = self.bytes.saturating_sub(oldest.bytes());
        }
        while self.bytes > BYTES_MAX || self.topics.len() > TOPICS_MAX {
            if !self.evict() {
                break;
            }
        }
    }

    /// Makes room; tells whether there was anything to drop.
    fn evict(&mut self) -> bool {
        if self.topics.len() > TOPICS_MAX {
            // The topic that was silent for longest goes whole.
            let Some((_, topic)) = self.newest.pop_first() else { return false };
            for message in self.topics.remove(&topic).into_iter().flatten() {
                self.older.remove(&message.order);
                self.bytes = self.bytes.saturating_sub(message.bytes());
            }
            return true;
        }
        let first = self.older.pop_first().or_else(|| self.newest.pop_first());
        let Some((_, topic)) = first else { return false };
        if let Some(ring) = self.topics.get_mut(&topic) {
            let oldest = ring.pop_front();
            self.bytes = self.bytes.saturating_sub(oldest.map_or(0, |message| message.bytes()));
            if ring.is_empty() {
                self.topics.remove(&topic);
            }
        }
        true
    }

    /// Gives the newest message of a topic.
    pub(super) fn newest(&self, topic: &str) -> Option<&Kept> {
        self.topics.get(topic)?.back()
    }

    /// Gives the newest messages that a filter asks for, as they came; with how many there are.
    pub(super) fn find(&self, filter: &str, per_topic: usize, count: usize) -> (Vec<Kept>, usize) {
        let mut found: Vec<&Kept> = if filter.contains(['+', '#']) {
            let asked = self.topics.iter().filter(|(topic, _)| matches(filter, topic));
            asked.flat_map(|(_, ring)| ring.iter().rev().take(per_topic)).collect()
        } else {
            self.topics
                .get(filter)
                .into_iter()
                .flat_map(|r| r.iter().rev().take(per_topic))
                .collect()
        };
        let all = found.len();
        found.sort_unstable_by_key(|message| message.order);
        let newest = found.get(all.saturating_sub(count)..).unwrap_or_default();
        (newest.iter().map(|kept| (*kept).clone()).collect(), all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topic: &str, bytes: usize) -> Kept {
        Kept {
            order: 0,
            topic: topic.into(),
            payload: vec![b'x'; bytes].into(),
            length: bytes,
            qos: 0,
            retain: false,
            received_ts: Timestamp::default(),
            seen_uptime_ms: 0,
            names: None,
        }
    }

    #[test]
    fn the_last_sixteen_of_a_topic_are_kept() {
        let mut store = Store::default();
        (0..40).for_each(|nth| store.put(message("a", nth)));
        store.put(message("b/c", 1));
        let (found, all) = store.find("a", 16, 100);
        assert_eq!((found.len(), all, found[0].length, found[15].length), (16, 16, 24, 39));
        assert_eq!(store.find("#", 1, 100).0.len(), 2);
        assert_eq!(store.find("#", 16, 3).1, 17);
        assert_eq!(store.newest("a").unwrap().length, 39);
    }

    #[test]
    fn topics_and_bytes_are_bounded_and_a_quiet_topic_keeps_its_newest_longest() {
        let mut store = Store::default();
        store.put(message("birth", 10));
        (0..3000).for_each(|_| store.put(message("busy", 200_000)));
        (0..200).for_each(|nth| store.put(message(&format!("t/{}", nth % 20), 200_000)));
        assert!(store.bytes <= BYTES_MAX);
        assert!(store.newest("birth").is_some());
        (0..=TOPICS_MAX).for_each(|nth| store.put(message(&format!("n/{nth}"), 1)));
        assert!(store.topics.len() <= TOPICS_MAX && store.newest("birth").is_none());
        let kept: usize = store.topics.values().map(VecDeque::len).sum();
        assert_eq!(store.newest.len() + store.older.len(), kept);
        let bytes: usize = store.topics.values().flatten().map(Kept::bytes).sum();
        assert_eq!(store.bytes, bytes);
    }
}
