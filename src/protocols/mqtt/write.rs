//! Writes: one message, published once; a command to a Sparkplug node or device, or plain text.

use std::time::Duration;

use prost::Message as _;

use super::address::Address;
use super::driver::newest;
use super::hub::Known;
use super::sparkplug::metric::type_name;
use super::sparkplug::proto::{Held, Metric, Payload};
use crate::clock;
use crate::driver::{DriverError, ErrorKind, Inspected};
use crate::model::{
    DataType, Quality, Scalar, Setpoint, Tag, TagId, VALUE_BYTES_MAX, Value, integer,
};
use crate::net::mqtt::Publish;
use crate::net::registers::single;

/// A node that is asked for its birth sends everything it has: it is not asked again sooner.
pub(super) const REBIRTH_EVERY: Duration = Duration::from_secs(10);
/// Nodes that are asked within that time: more at once would be a storm.
pub(super) const REBIRTHS_MAX: usize = 10;

/// The types a host may command, by Sparkplug's number.
const WRITTEN: [(u32, Scalar); 11] = [
    (1, Scalar::Int8),
    (2, Scalar::Int16),
    (3, Scalar::Int32),
    (4, Scalar::Int64),
    (5, Scalar::UInt8),
    (6, Scalar::UInt16),
    (7, Scalar::UInt32),
    (8, Scalar::UInt64),
    (9, Scalar::Float32),
    (10, Scalar::Float64),
    (11, Scalar::Bool),
];

fn text_type() -> DataType {
    DataType::Text(u16::try_from(VALUE_BYTES_MAX).unwrap_or(u16::MAX))
}

/// Gives the newest known value of a tag, with the type that is written.
pub(super) fn inspect(
    known: &Known,
    tag: &Tag,
    id: Option<TagId>,
) -> Result<Inspected, DriverError> {
    let address = Address::of(tag)?;
    let read = newest(known, &address);
    let data_type = match &address {
        // A part of a document can't be written without the rest.
        Address::Plain { path: Some(_), .. } => DataType::Native,
        Address::Plain { path: None, .. } if tag.data_type == DataType::Native => text_type(),
        Address::Plain { path: None, .. } => tag.data_type,
        Address::Metric { group, node, device, metric } => {
            let names = known.nodes.names((group, node, device.as_deref()));
            let kind = names.kind(metric);
            kind.map_or(DataType::Native, written)
        }
    };
    match read {
        Ok(reading) => {
            let value = match (&address, data_type, &reading.value) {
                // What is written as text is compared as text.
                (Address::Plain { .. }, DataType::Text(_), value) => spelt(value),
                (_, _, value) => value.clone(),
            };
            let quality = match id.and_then(|id| known.tags.shown(id)) {
                // A tag that is stale says so here too.
                Some((_, shown)) if !shown.is_good() => shown,
                _ => reading.quality,
            };
            Ok(Inspected { value, quality, received_ts: reading.received_ts, data_type })
        }
        // Nothing was ever heard there, which is no reason not to publish there.
        Err(error) if error.kind == ErrorKind::Decode => Ok(Inspected {
            value: Value::Null,
            quality: Quality::BAD_WAITING_FOR_INITIAL_DATA,
            received_ts: clock::now(),
            data_type,
        }),
        Err(error) => Err(error),
    }
}

fn written(kind: u32) -> DataType {
    match kind {
        12 | 14 => text_type(),
        kind => WRITTEN
            .iter()
            .find(|(number, _)| *number == kind)
            .map_or(DataType::Native, |(_, scalar)| DataType::One(*scalar)),
    }
}

/// Makes the message that writes a setpoint.
pub(super) fn publish(known: &Known, setpoint: &Setpoint) -> Result<Publish, DriverError> {
    let Setpoint { tag, raw, data_type, .. } = setpoint;
    match Address::of(tag)? {
        Address::Plain { path: Some(_), .. } => {
            Err(DriverError::new(ErrorKind::Unsupported, "a part of a document is never written")
                .hint("publish the whole document"))
        }
        Address::Plain { topic, path: None, publish } => {
            let Value::Text(text) = spelt(raw) else { return Err(misfit()) };
            Ok(Publish {
                topic: topic.to_string(),
                payload: text.as_bytes().to_vec(),
                qos: publish.qos,
                retain: publish.retain,
            })
        }
        Address::Metric { group, node, device, metric } => {
            let names = known.nodes.names((&group, &node, device.as_deref()));
            let kind = names.kind(&metric).ok_or_else(unborn)?;
            if written(kind) != *data_type {
                return Err(misfit());
            }
            let topic = match &device {
                None => format!("spBv1.0/{group}/NCMD/{node}"),
                Some(device) => format!("spBv1.0/{group}/DCMD/{node}/{device}"),
            };
            Ok(command(topic, &metric, kind, held(kind, raw).ok_or_else(misfit)?))
        }
    }
}

/// Makes the command that asks a node for its birth (Sparkplug 3.0, 6.4.22).
pub(super) fn rebirth(group: &str, node: &str) -> Publish {
    let topic = format!("spBv1.0/{group}/NCMD/{node}");
    command(topic, "Node Control/Rebirth", 11, Held::Truth(true))
}

/// A command carries the metric's name and no sequence number, at most once (6.4.21).
fn command(topic: String, metric: &str, kind: u32, value: Held) -> Publish {
    let timestamp = u64::try_from(clock::now().millis()).ok();
    let metric = Metric {
        name: Some(metric.to_owned()),
        timestamp,
        datatype: Some(kind),
        value: Some(value),
        ..Metric::default()
    };
    let payload = Payload { timestamp, metrics: vec![metric], seq: None };
    Publish { topic, payload: payload.encode_to_vec(), qos: 0, retain: false }
}

/// Gives a value in Sparkplug's form: whole numbers in two's complement of 32 or 64 bits.
fn held(kind: u32, value: &Value) -> Option<Held> {
    let whole = || integer(value);
    let int = |value: i32| Held::Int(value.cast_unsigned());
    Some(match (kind, value) {
        (1, _) => int(i8::try_from(whole()?).ok()?.into()),
        (2, _) => int(i16::try_from(whole()?).ok()?.into()),
        (3, _) => int(i32::try_from(whole()?).ok()?),
        (4, _) => Held::Long(i64::try_from(whole()?).ok()?.cast_unsigned()),
        (5, _) => Held::Int(u8::try_from(whole()?).ok()?.into()),
        (6, _) => Held::Int(u16::try_from(whole()?).ok()?.into()),
        (7, _) => Held::Int(u32::try_from(whole()?).ok()?),
        (8, _) => Held::Long(u64::try_from(whole()?).ok()?),
        (9, value) => Held::Float(single(value)?),
        (10, Value::F64(value)) if value.is_finite() => Held::Double(*value),
        (11, Value::Bool(on)) => Held::Truth(*on),
        (12 | 14, Value::Text(text)) => Held::Text(text.to_string()),
        _ => return None,
    })
}

/// Spells a value as a plain topic's text.
fn spelt(value: &Value) -> Value {
    match value {
        Value::Text(_) | Value::Null => value.clone(),
        other => serde_json::to_string(other).map_or(Value::Null, |text| Value::text(&text)),
    }
}

fn misfit() -> DriverError {
    DriverError::new(ErrorKind::Settings, "the value is none of the tag's type")
        .hint("request it again with a value of the type that the dry run shows")
}

fn unborn() -> DriverError {
    let names: Vec<&str> = WRITTEN.iter().map(|(kind, _)| type_name(*kind)).collect();
    DriverError::new(ErrorKind::Unsupported, "no birth has told the type of this metric")
        .hint(format!("wait for the node's birth; String, Text, {} are written", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::address::publish_ref;
    use super::super::sparkplug::metric::RawPayload;
    use super::*;
    use crate::driver::Planned;
    use crate::model::Timestamp;
    use crate::net::mqtt::Heard;

    fn tag(address: &str) -> Arc<Tag> {
        Arc::new(Tag::new("t", "e", address))
    }

    fn hear(known: &mut Known, topic: &str, payload: Vec<u8>) {
        let (topic, payload) = (topic.to_owned().into(), payload.into());
        known.hear(Heard { topic, payload, qos: 0, retain: false }, Timestamp::from_millis(1));
    }

    /// A broker on which node G/E was born with one metric.
    fn born(address: &str, kind: u32, value: Held) -> (Known, Arc<Tag>) {
        let tag = tag(address);
        let mut known = Known::default();
        let planned = Planned { id: TagId(0), tag: tag.clone() };
        known.follow(&[(planned, Address::of(&tag).unwrap())]);
        let metric = Metric {
            name: Some("Outputs/SP".to_owned()),
            datatype: Some(kind),
            value: Some(value),
            ..Metric::default()
        };
        let birth = Payload { metrics: vec![metric], seq: Some(0), ..Payload::default() };
        hear(&mut known, "spBv1.0/G/DBIRTH/E/D", birth.encode_to_vec());
        (known, tag)
    }

    #[test]
    fn a_command_names_the_metric_and_carries_its_type_exactly() {
        let address = "spBv1.0/G/E/D:Outputs/SP";
        for (kind, held, value, back) in [
            (3, Held::Int(7), Value::I64(-5), Value::I64(-5)),
            (1, Held::Int(7), Value::I64(-128), Value::I64(-128)),
            (9, Held::Float(1.5), Value::F64(2.5), Value::F64(2.5)),
            (11, Held::Truth(false), Value::Bool(true), Value::Bool(true)),
            (8, Held::Long(1), Value::U64(u64::MAX), Value::U64(u64::MAX)),
        ] {
            let (known, tag) = born(address, kind, held);
            let inspected = inspect(&known, &tag, Some(TagId(0))).unwrap();
            assert_eq!((inspected.quality, inspected.data_type), (Quality::GOOD, written(kind)));
            let setpoint = Setpoint::fit(&tag, inspected.data_type, value).unwrap();
            let publish = publish(&known, &setpoint).unwrap();
            let place = (publish.topic.as_str(), publish.qos, publish.retain);
            assert_eq!(place, ("spBv1.0/G/DCMD/E/D", 0, false));
            let payload = RawPayload::read(&publish.payload).unwrap();
            assert_eq!((payload.seq, payload.metrics[0].name), (None, Some("Outputs/SP")));
            assert_eq!(payload.metrics[0].value(kind).unwrap().0, back);
        }
    }

    #[test]
    fn a_metric_that_no_birth_has_named_is_never_commanded() {
        let (known, _) = born("spBv1.0/G/E/D:Outputs/SP", 3, Held::Int(7));
        let other = tag("spBv1.0/G/E/D:Other");
        let inspected = inspect(&known, &other, None).unwrap();
        assert_eq!(inspected.data_type, DataType::Native, "which no setpoint fits");
        let setpoint = Setpoint {
            endpoint: "e".into(),
            tag: other,
            data_type: DataType::One(Scalar::Int32),
            value: Value::I64(1),
            raw: Value::I64(1),
        };
        assert_eq!(publish(&known, &setpoint).unwrap_err().kind, ErrorKind::Unsupported);
    }

    #[test]
    fn text_is_published_as_it_is_and_a_part_of_a_document_never() {
        let mut known = Known::default();
        let command = tag(&publish_ref("f/cmd", 2, true));
        let inspected = inspect(&known, &command, None).unwrap();
        assert_eq!(inspected.quality, Quality::BAD_WAITING_FOR_INITIAL_DATA);
        hear(&mut known, "f/cmd", b"{\"setpoint\":40}".to_vec());
        let inspected = inspect(&known, &command, None).unwrap();
        assert!(inspected.quality.is_good());
        let wish = Value::text("{\"setpoint\":50}");
        let setpoint = Setpoint::fit(&command, inspected.data_type, wish).unwrap();
        let sent = publish(&known, &setpoint).unwrap();
        assert_eq!((sent.topic.as_str(), sent.qos, sent.retain), ("f/cmd", 2, true));
        assert_eq!(sent.payload, b"{\"setpoint\":50}");
        let part = inspect(&known, &tag("f/cmd#setpoint"), None).unwrap();
        assert_eq!((part.value, part.data_type), (Value::I64(40), DataType::Native));
        let asks = rebirth("G", "E");
        assert_eq!(asks.topic, "spBv1.0/G/NCMD/E");
    }
}
