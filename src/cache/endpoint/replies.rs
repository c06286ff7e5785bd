//! The newest answers to demands, oldest out.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::clock;
use crate::driver::{
    Ask, Asset, BlockData, ModelComponent, ModelDevice, ModelItem, NodeReading, Observation,
    RawBlock, Reply,
};
use crate::model::{ConditionEvent, Timestamp, Value};

use super::super::cells::weight;

/// Different questions agents ask of one device in a working day.
const REPLIES_MAX: usize = 256;

/// A browse of ten thousand nodes takes two; a longer answer is given once and not kept.
const REPLY_BYTES_MAX: usize = 8 << 20;

/// An answer as it was kept.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundReply {
    /// The answer.
    pub reply: Arc<Reply>,
    /// When it came.
    pub received_ts: Timestamp,
    /// When it came, in [`crate::clock::uptime_ms`].
    pub seen_uptime_ms: Option<u64>,
}

struct Kept {
    found: FoundReply,
    bytes: usize,
    order: u64,
}

/// One endpoint's answers.
#[derive(Default)]
pub(super) struct Replies {
    kept: HashMap<Ask, Kept>,
    /// The questions, the one answered longest ago first.
    order: BTreeMap<u64, Ask>,
    next_order: u64,
    bytes: usize,
}

impl Replies {
    pub(super) fn put(&mut self, ask: Ask, reply: Reply) {
        self.remove(&ask);
        let bytes = reply_bytes(&reply);
        if bytes > REPLY_BYTES_MAX {
            return;
        }
        let found = FoundReply {
            reply: Arc::new(reply),
            received_ts: clock::now(),
            seen_uptime_ms: Some(clock::uptime_ms()),
        };
        let order = self.next_order;
        self.next_order += 1;
        self.bytes += bytes;
        self.order.insert(order, ask.clone());
        self.kept.insert(ask, Kept { found, bytes, order });
        while self.kept.len() > REPLIES_MAX || self.bytes > REPLY_BYTES_MAX {
            let Some((_, oldest)) = self.order.first_key_value() else { break };
            let oldest = oldest.clone();
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, ask: &Ask) {
        if let Some(kept) = self.kept.remove(ask) {
            self.order.remove(&kept.order);
            self.bytes -= kept.bytes;
        }
    }

    pub(super) fn find(&self, ask: &Ask) -> Option<FoundReply> {
        self.kept.get(ask).map(|kept| kept.found.clone())
    }
}

fn value_bytes(value: &Value) -> usize {
    size_of::<Value>() + usize::try_from(weight(value)).unwrap_or(usize::MAX)
}

fn reading_bytes(reading: &NodeReading) -> usize {
    size_of::<NodeReading>()
        + reading.item.len()
        + reading.data_type.len()
        + value_bytes(&reading.value)
}

fn condition_bytes(event: &ConditionEvent) -> usize {
    let texts = [&event.id.condition, &event.id.branch, &event.name, &event.source, &event.message];
    size_of::<ConditionEvent>() + texts.iter().map(|text| text.len()).sum::<usize>()
}

fn device_bytes(device: &ModelDevice) -> usize {
    let of_item = |item: &ModelItem| {
        let texts = [&item.id, &item.name, &item.kind, &item.sub_type, &item.units];
        size_of::<ModelItem>() + 64 + texts.iter().map(|text| text.len()).sum::<usize>()
    };
    let of_component = |component: &ModelComponent| {
        let texts = [&component.id, &component.name, &component.kind, &component.path];
        size_of::<ModelComponent>()
            + texts.iter().map(|text| text.len()).sum::<usize>()
            + component.items.iter().map(of_item).sum::<usize>()
    };
    size_of::<ModelDevice>() + device.components.iter().map(of_component).sum::<usize>()
}

fn observation_bytes(row: &Observation) -> usize {
    let texts = [&row.item, &row.name, &row.kind, &row.sub_type, &row.timestamp];
    size_of::<Observation>()
        + texts.iter().map(|text| 16 + text.len()).sum::<usize>()
        + value_bytes(&row.value)
}

/// Estimates the bytes of an answer.
fn reply_bytes(reply: &Reply) -> usize {
    match reply {
        Reply::Connected => 0,
        Reply::Block(RawBlock { data: BlockData::Registers(registers), .. }) => {
            registers.len() * size_of::<u16>()
        }
        Reply::Block(RawBlock { data: BlockData::Bits(bits), .. }) => bits.len(),
        Reply::Block(RawBlock { data: BlockData::Bytes(bytes), .. }) => bytes.len(),
        Reply::Readings(readings) => readings.iter().map(reading_bytes).sum(),
        Reply::Identity(identity) => {
            let texts = [&identity.product, &identity.manufacturer, &identity.version];
            let details = identity.details.iter().map(|(_, text)| text);
            let names = identity.namespaces.iter().chain(details);
            texts.into_iter().chain(names).map(|text| 16 + text.len()).sum()
        }
        Reply::Browse { nodes, .. } => nodes
            .iter()
            .map(|node| {
                let texts = [&node.node_id, &node.browse_name, &node.node_class, &node.parent];
                size_of_val(node)
                    + texts.iter().map(|text| text.len()).sum::<usize>()
                    + node.value.as_ref().map_or(0, value_bytes)
            })
            .sum(),
        Reply::History(page) => {
            page.window.values.iter().map(|value| 40 + value_bytes(value)).sum()
        }
        Reply::Conditions(events) => events.iter().map(condition_bytes).sum(),
        Reply::Model(devices) => devices.iter().map(device_bytes).sum(),
        Reply::Observations(found) => found.rows.iter().map(|row| observation_bytes(row)).sum(),
        Reply::Assets(assets) => assets
            .iter()
            .map(|asset| size_of::<Asset>() + asset.id.len() + asset.kind.len() + 64)
            .sum(),
        // What is made of a message takes several times its bytes.
        Reply::Messages { messages, .. } => messages
            .iter()
            .map(|m| size_of_val(m) + m.topic.len() + 8 * usize::try_from(m.bytes).unwrap_or(0))
            .sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::HistoryPage;
    use crate::model::{Quality, Sample, Window};

    fn ask(item: usize) -> Ask {
        Ask::Read { refs: vec![item.to_string().into()], unit: None }
    }

    fn history(samples: usize) -> Reply {
        let mut window = Window::default();
        for _ in 0..samples {
            window.push(Sample {
                value: Value::text(&"x".repeat(1000)),
                quality: Quality::GOOD,
                source_ts: None,
                received_ts: Timestamp::default(),
            });
        }
        Reply::History(HistoryPage { window, truncated: false })
    }

    #[test]
    fn the_table_is_bounded_in_answers_and_the_oldest_goes() {
        let mut replies = Replies::default();
        (0..=REPLIES_MAX).for_each(|n| replies.put(ask(n), Reply::Connected));
        assert_eq!(replies.find(&ask(0)), None);
        assert!(replies.find(&ask(1)).is_some());
        replies.put(ask(1), Reply::Connected);
        replies.put(ask(REPLIES_MAX + 1), Reply::Connected);
        assert!(replies.find(&ask(1)).is_some(), "an answer given anew is young");
        assert_eq!(replies.find(&ask(2)), None);
    }

    #[test]
    fn the_table_is_bounded_in_bytes() {
        let mut replies = Replies::default();
        (0..20).for_each(|n| replies.put(ask(n), history(1000)));
        assert!(replies.bytes <= REPLY_BYTES_MAX);
        assert!(replies.find(&ask(0)).is_none() && replies.find(&ask(19)).is_some());
        replies.put(ask(19), history(20_000));
        assert!(replies.find(&ask(19)).is_none(), "what was true before is no answer now");
        (0..20).for_each(|n| replies.remove(&ask(n)));
        assert_eq!((replies.bytes, replies.order.len()), (0, 0));
    }
}
