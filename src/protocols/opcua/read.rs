//! Reads on demand: each node answers for itself.

use std::sync::Arc;

use opcua::types::{AttributeId, DataValue, NodeId, Variant};

use super::address::Address;
use super::definitions;
use super::errors;
use super::requests::{Caller, attribute};
use super::values::{self, Converter};
use crate::clock;
use crate::driver::{DriverError, NodeReading};
use crate::model::{Quality, Timestamp, Value};

/// Reads the values of nodes, in the order asked.
pub(super) async fn readings(
    caller: &Caller,
    refs: &[Arc<str>],
) -> Result<Vec<NodeReading>, DriverError> {
    let namespaces = &caller.live.namespaces;
    let resolve = |item: &Arc<str>| Address::parse(item).and_then(|a| a.resolve(namespaces));
    let resolved: Vec<Result<NodeId, DriverError>> = refs.iter().map(resolve).collect();
    let ids: Vec<_> =
        resolved.iter().flatten().map(|id| attribute(id.clone(), AttributeId::Value)).collect();
    let answers = caller.read(&ids).await?;
    learn(caller, answers.iter().filter_map(|answer| answer.value.as_ref())).await;
    let received_ts = clock::now();
    let mut answers = answers.into_iter();
    let pairs = refs.iter().zip(resolved);
    Ok(pairs
        .map(|(item, id)| match id {
            Err(error) => refused(item, error, received_ts),
            Ok(_) => {
                let answer = answers.next().unwrap_or_default();
                reading(caller, item, &answer, received_ts)
            }
        })
        .collect())
}

/// Learns the definitions of structures in these values that are not known yet.
pub(super) async fn learn(caller: &Caller, variants: impl Iterator<Item = &Variant>) {
    let mut converter = Converter::new(&caller.live.structures);
    for variant in variants {
        if holds_structures(variant) {
            converter.value(variant);
        }
    }
    definitions::learn(caller, converter.missing).await;
}

fn holds_structures(variant: &Variant) -> bool {
    match variant {
        Variant::ExtensionObject(_) | Variant::Variant(_) | Variant::DataValue(_) => true,
        Variant::Array(array) => array.values.first().is_some_and(holds_structures),
        _ => false,
    }
}

fn refused(item: &Arc<str>, error: DriverError, received_ts: Timestamp) -> NodeReading {
    NodeReading {
        item: item.clone(),
        value: Value::Null,
        data_type: Arc::from(""),
        quality: error.status.map_or_else(|| error.quality(), Quality::from_status),
        source_ts: None,
        received_ts,
        error: Some(error),
    }
}

/// Makes a reading of an answer; the status passes through as it came.
pub(super) fn reading(
    caller: &Caller,
    item: &Arc<str>,
    answer: &DataValue,
    received_ts: Timestamp,
) -> NodeReading {
    let is_empty = answer.value.as_ref().is_none_or(Variant::is_empty);
    if let Some(status) = answer.status.filter(|_| is_empty)
        && errors::is_bad_address(status)
    {
        return refused(item, errors::from_item(status), received_ts);
    }
    let mut converter = Converter::new(&caller.live.structures);
    let variant = answer.value.as_ref();
    let value = variant.map_or(Value::Null, |variant| converter.value(variant));
    let quality = values::quality(answer);
    NodeReading {
        item: item.clone(),
        // A number that is none is shown as null, and null is never Good.
        quality: if value.is_non_finite() && !quality.is_bad() {
            Quality::BAD_DECODING_ERROR
        } else {
            quality
        },
        value,
        data_type: Arc::from(variant.map_or("", values::type_name)),
        source_ts: answer.source_timestamp.as_ref().and_then(values::instant),
        received_ts,
        error: None,
    }
}
