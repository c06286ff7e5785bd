//! MTConnect over HTTP: agents of machine tools, by stream where they have one.
//!
//! `xml` walks a document, `streams` and `devices` read its kinds, `values` and `conditions` give
//! them meaning, `follow` keeps the present state, `http` and `multipart` carry it all, `stream`
//! and `scan` follow the sequence, and `heard` is where they put what came.

mod answers;
mod conditions;
mod devices;
mod driver;
mod element;
mod errors;
mod follow;
mod heard;
mod http;
mod items;
mod multipart;
mod scan;
mod settings;
mod stream;
mod streams;
#[cfg(test)]
mod tests;
mod times;
mod values;
mod xml;

use crate::driver::{Discovery, DriverError, Need, Planned, Prompt, Protocol, Reading};

/// MTConnect as the rest of the house sees it.
pub const PROTOCOL: Protocol = Protocol {
    name: "mtconnect",
    title: "MTConnect",
    library: "reqwest, quick-xml",
    transport: "HTTP 5000",
    auth: "none; https where the agent stands behind one",
    keys: settings::KEYS,
    sample: include_str!("sample.toml"),
    readme: include_str!("README.md"),
    prompts: &[
        Prompt {
            key: "agent_url",
            question: "Address of the agent, such as http://10.0.0.7:5000",
            default: "http://localhost:5000",
            need: Need::Required,
        },
        Prompt {
            key: "device",
            question: "Name of one device, empty for all",
            default: "",
            need: Need::Optional,
        },
    ],
    discovery: Discovery::Browse { root: "devices", depth: 32 },
    check: |settings| settings::AgentSettings::read(settings).err().unwrap_or_default(),
    address: driver::address,
    block: |_tag| None,
    requests: driver::requests,
    shared_as: settings::shared_as,
    driver: driver::driver,
};

/// Turns an answer to current or sample into the readings of tags, whose addresses are ids of
/// data items.
///
/// # Errors
/// The document is damaged, or refused: nothing of it counts.
pub fn readings(document: &str, tags: &[Planned]) -> Result<Vec<Reading>, DriverError> {
    let (routes, _) = items::Routes::arrange(tags, None);
    let taken =
        follow::Follow::default().take(document, follow::Kind::Changes, &routes, |_| Ok(()));
    taken.map(|intake| intake.readings).map_err(|fault| errors::document("a file", fault))
}
