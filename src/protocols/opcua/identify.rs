//! Who the server is, what it allows, and how its namespaces are numbered today.

use std::sync::Arc;

use opcua::types::{
    AttributeId, DataValue, ReadValueId, ServerStatusDataType, VariableId, Variant,
};

use super::limits::LIMIT_NODES;
use super::requests::{Caller, attribute};
use super::values;
use crate::driver::{DriverError, Identity};
use crate::model::Value;

/// Namespaces kept of one server; real ones have a few dozen.
const NAMESPACES_MAX: usize = 1000;

fn nodes() -> Vec<ReadValueId> {
    // Some servers hand out the status as it was at their start: the time is asked for itself.
    [
        VariableId::Server_ServerStatus,
        VariableId::Server_NamespaceArray,
        VariableId::Server_ServerStatus_CurrentTime,
    ]
    .into_iter()
    .map(|id| attribute(id.into(), AttributeId::Value))
    .collect()
}

/// Reads the identity.
pub(super) async fn identify(caller: &Caller) -> Result<Identity, DriverError> {
    let values = caller.read(&nodes()).await?;
    Ok(identity(&values))
}

/// Reads the identity and, in the same request, the limits; keeps the limits.
pub(super) async fn introduce(caller: &Caller) -> Result<Identity, DriverError> {
    let mut ids = nodes();
    ids.extend(LIMIT_NODES.into_iter().map(|id| attribute(id.into(), AttributeId::Value)));
    let values = caller.read(&ids).await?;
    caller.live.limits.announce(values.get(nodes().len()..).unwrap_or_default());
    Ok(identity(&values))
}

fn identity(values: &[DataValue]) -> Identity {
    let mut identity = Identity::default();
    if let Some(Variant::ExtensionObject(object)) = values.first().and_then(|v| v.value.as_ref())
        && let Some(status) = object.inner_as::<ServerStatusDataType>()
    {
        let build = &status.build_info;
        identity.product = cut(build.product_name.as_ref());
        identity.manufacturer = cut(build.manufacturer_name.as_ref());
        identity.version = cut(build.software_version.as_ref());
        identity.state = Some(i64::from(status.state as i32));
        identity.started = values::instant(&status.start_time);
        identity.device_time = values::instant(&status.current_time);
    }
    if let Some(Variant::DateTime(time)) = values.get(2).and_then(|v| v.value.as_ref()) {
        identity.device_time = values::instant(time).or(identity.device_time);
    }
    if let Some(Variant::Array(array)) = values.get(1).and_then(|v| v.value.as_ref()) {
        let uris = array.values.iter().take(NAMESPACES_MAX);
        identity.namespaces = uris.map(|uri| values::text(Some(uri))).collect();
    }
    identity
}

fn cut(text: &str) -> Arc<str> {
    match Value::text(text) {
        Value::Text(text) => text,
        _ => Arc::from(""),
    }
}
