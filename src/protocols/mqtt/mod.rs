//! MQTT 3.1.1 and 5, with Sparkplug B: standing subscriptions into the cache.
//!
//! The session is the ground's (`net::mqtt`). Every message arrives in `hub`: kept in `store`,
//! followed by `tags`, taken apart by `payload` and `sparkplug`. Calls beside it are `collect` and
//! `browse`.

mod address;
mod browse;
mod collect;
mod driver;
mod errors;
mod filter;
mod hub;
mod payload;
mod settings;
mod sparkplug;
mod store;
mod tags;
#[cfg(feature = "writes")]
mod write;

pub use address::publish_ref;
#[cfg(feature = "demo")]
pub(crate) use filter::matches;
#[cfg(feature = "demo")]
pub(crate) use sparkplug::proto;
pub(crate) use sparkplug::topic::{Kind, Topic};

use crate::driver::{Discovery, EndpointSpec, Need, Prompt, Protocol, ScanCost};

/// MQTT as the rest of the house sees it.
pub const PROTOCOL: Protocol = Protocol {
    name: "mqtt",
    title: "MQTT and Sparkplug B",
    library: "rumqttc",
    transport: "TCP 1883, TLS 8883",
    auth: "anonymous, or user name and password; client certificates",
    keys: settings::KEYS,
    sample: include_str!("sample.toml"),
    readme: include_str!("README.md"),
    prompts: PROMPTS,
    discovery: Discovery::Browse { root: "#", depth: 32 },
    check: |settings| settings::Broker::parse(settings).err().unwrap_or_default(),
    address: |tag| address::Address::of(tag).map(|address| address.to_string()),
    block: |_tag| None,
    requests,
    shared_as: |_settings| None,
    driver: driver::driver,
};

const PROMPTS: &[Prompt] = &[
    Prompt {
        key: "host",
        question: "Broker's name or IP address",
        default: "",
        need: Need::Required,
    },
    Prompt { key: "use_tls", question: "TLS (yes or no)", default: "no", need: Need::Optional },
    Prompt {
        key: "port",
        question: "TCP port, empty for 1883 (8883 with TLS)",
        default: "",
        need: Need::Optional,
    },
    Prompt {
        key: "topic",
        question: "Topics to listen to, such as spBv1.0/# (empty: only what tags follow)",
        default: "",
        need: Need::Optional,
    },
    Prompt {
        key: "username",
        question: "User name, empty for anonymous",
        default: "",
        need: Need::Optional,
    },
];

/// Nothing is polled: what is published costs the broker no request.
fn requests(_spec: &EndpointSpec) -> Vec<ScanCost> {
    Vec::new()
}
