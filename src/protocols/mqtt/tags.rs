//! The endpoint's tags, and what has come for them since the poller was here last.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::driver::{Batch, Reading};
use crate::model::{DataType, Quality, TagId, Timestamp, Value};

/// Readings that wait for the poller: ten seconds of ten thousand metrics a second.
const READINGS_MAX: usize = 100_000;
/// Their texts and lists together.
const READINGS_BYTES_MAX: usize = 32 << 20;

/// One tag that follows a topic or a metric.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) id: TagId,
    pub(super) path: Option<Arc<str>>,
    pub(super) data_type: DataType,
    /// What it showed last in this session.
    last: Option<(Value, Quality)>,
    kind: &'static str,
}

impl Bound {
    pub(super) fn new(id: TagId, path: Option<Arc<str>>, data_type: DataType) -> Self {
        Self { id, path, data_type, last: None, kind: "" }
    }
}

/// When and by whom a value was told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    pub(super) source_ts: Option<Timestamp>,
    pub(super) received_ts: Timestamp,
}

/// Every tag of the endpoint, with a bounded queue: the oldest readings go first, counted.
#[derive(Debug, Default)]
pub(super) struct Tags {
    bound: Vec<Bound>,
    queue: VecDeque<Reading>,
    bytes: usize,
    types: Vec<(TagId, Arc<str>)>,
    lost: u64,
    heard: u64,
}

fn size(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(items) => items.iter().map(|item| 24 + size(item)).sum(),
        Value::Map(fields) => fields.iter().map(|(name, v)| 40 + name.len() + size(v)).sum(),
        _ => 0,
    }
}

impl Tags {
    pub(super) fn of(bound: Vec<Bound>) -> Self {
        Self { bound, ..Self::default() }
    }

    pub(super) fn get(&self, at: usize) -> Option<&Bound> {
        self.bound.get(at)
    }

    /// Queues a reading of a tag.
    pub(super) fn tell(&mut self, at: usize, value: Value, quality: Quality, told: Told) {
        let Some(bound) = self.bound.get_mut(at) else { return };
        bound.last = Some((value.clone(), quality));
        let Told { source_ts, received_ts } = told;
        self.bytes += size(&value);
        self.queue.push_back(Reading { tag: bound.id, value, quality, source_ts, received_ts });
        while self.queue.len() > READINGS_MAX || self.bytes > READINGS_BYTES_MAX {
            let Some(oldest) = self.queue.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(size(&oldest.value));
            self.lost += 1;
        }
    }

    /// Learns the protocol's name of a tag's type.
    pub(super) fn learn(&mut self, at: usize, kind: &'static str) {
        if let Some(bound) = self.bound.get_mut(at).filter(|bound| bound.kind != kind) {
            bound.kind = kind;
            self.types.push((bound.id, kind.into()));
        }
    }

    /// Marks a tag's last value as no present one; what is worse already stays.
    pub(super) fn stale(&mut self, at: usize, received_ts: Timestamp) {
        let last = self.bound.get(at).and_then(|bound| bound.last.clone());
        if let Some((value, _)) = last.filter(|(_, quality)| quality.is_good()) {
            let told = Told { source_ts: None, received_ts };
            self.tell(at, value, Quality::UNCERTAIN_LAST_USABLE, told);
        }
    }

    /// Gives what a tag shows.
    #[cfg(feature = "writes")]
    pub(super) fn shown(&self, id: TagId) -> Option<(Value, Quality)> {
        self.bound.iter().find(|bound| bound.id == id)?.last.clone()
    }

    /// Counts what is known to be lost.
    pub(super) fn lose(&mut self, messages: u64) {
        self.lost += messages;
    }

    /// Counts a message.
    pub(super) fn hear(&mut self) {
        self.heard += 1;
    }

    /// Moves everything into a batch.
    pub(super) fn drain(&mut self, out: &mut Batch) {
        out.readings.extend(self.queue.drain(..));
        self.bytes = 0;
        out.types.append(&mut self.types);
        out.lost += std::mem::take(&mut self.lost);
        out.heard += std::mem::take(&mut self.heard);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: Told = Told { source_ts: None, received_ts: Timestamp::from_millis(0) };

    #[test]
    fn a_full_queue_drops_the_oldest_and_counts_them() {
        let mut tags = Tags::of(vec![Bound::new(TagId(1), None, DataType::Native)]);
        for nth in 0..i64::try_from(READINGS_MAX).unwrap() + 7 {
            tags.tell(0, Value::I64(nth), Quality::GOOD, TOLD);
        }
        let mut out = Batch::default();
        tags.drain(&mut out);
        assert_eq!((out.readings.len(), out.lost), (READINGS_MAX, 7));
        assert_eq!(out.readings[0].value, Value::I64(7));
        let long = Value::text(&"x".repeat(16 * 1024));
        (0..3000).for_each(|_| tags.tell(0, long.clone(), Quality::GOOD, TOLD));
        assert!(tags.bytes <= READINGS_BYTES_MAX);
    }

    #[test]
    fn a_tag_turns_stale_once_and_what_is_bad_stays_bad() {
        let mut tags = Tags::of(vec![Bound::new(TagId(1), None, DataType::Native)]);
        tags.stale(0, Timestamp::default());
        tags.tell(0, Value::I64(7), Quality::GOOD, TOLD);
        tags.stale(0, Timestamp::default());
        tags.stale(0, Timestamp::default());
        let mut out = Batch::default();
        tags.drain(&mut out);
        let shown: Vec<Quality> = out.readings.iter().map(|r| r.quality).collect();
        assert_eq!(shown, [Quality::GOOD, Quality::UNCERTAIN_LAST_USABLE]);
        assert_eq!(out.readings[1].value, Value::I64(7));
    }
}
