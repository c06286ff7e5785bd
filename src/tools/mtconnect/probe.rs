//! `mtconnect_probe`.

use serde::{Deserialize, Serialize};

use crate::actors::Deps;
use crate::driver::{Ask, ModelDevice, Reply};
use crate::model::{EndpointName, sanitize};
use crate::tools::ask::{MaxAge, ask, mismatched};
use crate::tools::endpoint::pick;
use crate::tools::provenance::Provenance;
use crate::tools::{Call, Tool, ToolError};

/// Data items shown unless asked for more: about what a machine has.
const ITEMS: i64 = 250;
/// Data items shown at the most.
const ITEMS_MAX: i64 = 5000;

/// Lists machines, their components and data items.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProbeInput {
    /// The endpoint; may be left out where only one speaks MTConnect.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Only this device.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Data items shown at the most, 1 to 5000.
    #[arg(long, default_value_t = ITEMS)]
    #[serde(default = "items")]
    pub limit: i64,
    /// Takes a cached answer no older than this many seconds; 0 asks the agent now.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<f64>,
}

fn items() -> i64 {
    ITEMS
}

/// One data item.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct ItemAnswer {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    category: String,
    name: String,
    units: String,
    sub_type: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    representation: String,
}

/// A component that has data items of its own; the device counts as one.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct ComponentAnswer {
    component: String,
    id: String,
    name: String,
    /// The components from the device down to it, such as `Axes/Linear[X]`.
    path: String,
    data_items: Vec<ItemAnswer>,
}

/// One device.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct DeviceAnswer {
    name: String,
    uuid: String,
    component_count: usize,
    components: Vec<ComponentAnswer>,
}

/// The model.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct ProbeOutput {
    endpoint: EndpointName,
    device_count: usize,
    devices: Vec<DeviceAnswer>,
    provenance: Provenance,
}

/// The tool.
pub(in crate::tools) struct Probe;

impl Tool for Probe {
    const NAME: &'static str = "mtconnect_probe";
    const TITLE: &'static str = "List machines and data items";
    const PROTOCOL: Option<&'static str> = Some("mtconnect");
    type Input = ProbeInput;
    type Output = ProbeOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let target = pick(deps, input.endpoint.as_deref(), "mtconnect")?;
        let max_age_s = MaxAge { max_age_s: input.max_age_s }.checked()?;
        if !(1..=ITEMS_MAX).contains(&input.limit) {
            let text = format!("limit {} is outside 1..{ITEMS_MAX}", input.limit);
            return Err(ToolError::argument(text));
        }
        let mut room = usize::try_from(input.limit).unwrap_or_default();
        let (reply, mut provenance) =
            ask(deps, &target, &call, Ask::Model, max_age_s, None).await?;
        let Reply::Model(model) = reply.as_ref() else { return Err(mismatched()) };
        let wanted = |device: &&ModelDevice| {
            input
                .device
                .as_deref()
                .is_none_or(|name| *device.name == *name || *device.uuid == *name)
        };
        let devices: Vec<DeviceAnswer> =
            model.iter().filter(wanted).map(|device| answer(device, &mut room)).collect();
        let all = model.iter().filter(wanted).flat_map(|device| &device.components);
        let there: usize = all.map(|component| component.items.len()).sum();
        provenance.truncated = there > usize::try_from(input.limit).unwrap_or_default();
        Ok(ProbeOutput { endpoint: target.name, device_count: devices.len(), devices, provenance })
    }
}

/// Shows a device as far as there is room.
fn answer(device: &ModelDevice, room: &mut usize) -> DeviceAnswer {
    let having = || device.components.iter().filter(|component| !component.items.is_empty());
    let mut answers = Vec::new();
    for component in having() {
        if *room == 0 {
            break;
        }
        let items = component.items.iter().take(*room);
        let data_items: Vec<ItemAnswer> = items
            .map(|item| ItemAnswer {
                id: sanitize(&item.id, 64),
                kind: sanitize(&item.kind, 64),
                category: sanitize(&item.category, 32),
                name: sanitize(&item.name, 64),
                units: sanitize(&item.units, 64),
                sub_type: sanitize(&item.sub_type, 64),
                representation: sanitize(&item.representation, 32),
            })
            .collect();
        *room -= data_items.len();
        answers.push(ComponentAnswer {
            component: sanitize(&component.kind, 64),
            id: sanitize(&component.id, 64),
            name: sanitize(&component.name, 64),
            path: sanitize(&component.path, 256),
            data_items,
        });
    }
    DeviceAnswer {
        name: sanitize(&device.name, 64),
        uuid: sanitize(&device.uuid, 128),
        component_count: having().count(),
        components: answers,
    }
}
