//! OPC UA over TCP: subscriptions first, polling where a server won't.
//!
//! The page for people is `README.md`; `certificates` is what the tools see of the trust store.

mod address;
mod browse;
pub mod certificates;
mod definitions;
mod driver;
mod errors;
mod events;
mod facts;
mod history;
mod identify;
mod inbox;
mod instances;
mod judge;
mod kinds;
mod limits;
mod link;
mod listen;
mod offers;
mod plan;
mod read;
mod requests;
mod settings;
mod structures;
mod subscribe;
#[cfg(test)]
mod testing;
#[cfg(test)]
#[cfg(feature = "demo")]
mod tests;
mod values;
mod wire;
#[cfg(feature = "writes")]
mod write;

use address::Address;
use plan::{Plan, Way};
use settings::{Events, OpcuaSettings, Subscribe};

use crate::driver::{
    Discovery, DriverError, EndpointSpec, Need, Planned, Prompt, Protocol, ScanCost, SettingError,
    Settings, WireAddress,
};
use crate::model::{Tag, TagId};

/// OPC UA, as the rest of the house sees it.
pub const PROTOCOL: Protocol = Protocol {
    name: "opcua",
    title: "OPC UA",
    library: "async-opcua",
    transport: "TCP 4840",
    auth: "anonymous, or user name and password; certificates with Sign and SignAndEncrypt",
    keys: settings::KEYS,
    sample: include_str!("sample.toml"),
    readme: include_str!("README.md"),
    prompts: PROMPTS,
    // From the Objects folder (Part 5, 8.2.4).
    discovery: Discovery::Browse { root: "i=85", depth: 6 },
    check,
    address,
    block: |_tag| None,
    requests,
    shared_as: |_settings| None,
    driver: driver::make,
};

const PROMPTS: &[Prompt] = &[
    Prompt {
        key: "endpoint_url",
        question: "Address, such as opc.tcp://10.0.0.5:4840",
        default: "",
        need: Need::Required,
    },
    Prompt {
        key: "security_mode",
        question: "Security mode: None, Sign or SignAndEncrypt",
        default: "SignAndEncrypt",
        need: Need::Optional,
    },
    Prompt {
        key: "security_policy",
        question: "Security policy: None, Basic256Sha256 or Aes256_Sha256_RsaPss",
        default: "Basic256Sha256",
        need: Need::Optional,
    },
    Prompt {
        key: "username",
        question: "User name, empty for anonymous",
        default: "",
        need: Need::Optional,
    },
];

fn check(settings: &Settings) -> Vec<SettingError> {
    OpcuaSettings::read(settings).err().unwrap_or_default()
}

fn address(tag: &Tag) -> Result<WireAddress, DriverError> {
    Ok(match Address::parse(&tag.address)? {
        Address::Indexed(id) => format!("node {id}"),
        Address::Named { uri, id } => format!("node {id} of namespace {uri}"),
    })
}

fn requests(spec: &EndpointSpec) -> Vec<ScanCost> {
    let Ok(settings) = OpcuaSettings::read(&spec.settings) else { return Vec::new() };
    let tags: Vec<Planned> = (0u32..)
        .zip(&spec.tags)
        .map(|(number, tag)| Planned { id: TagId(number), tag: tag.clone() })
        .collect();
    let (plan, _) = Plan::arrange(&tags, None, settings.events == Events::On);
    let way = match settings.subscribe {
        Subscribe::Auto => Way::Pushed,
        Subscribe::Never => Way::Polled,
    };
    let slices = plan.slices(way, limits::Limits::default().read.get());
    let costs = slices.into_iter().zip(&plan.scans).map(|(slice, scan_ms)| ScanCost {
        scan_ms: *scan_ms,
        requests: slice.requests,
        tags: u32::try_from(slice.tags.len()).unwrap_or(u32::MAX),
    });
    costs.collect()
}
