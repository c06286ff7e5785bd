//! Modbus: TCP, RTU on a serial line, and RTU over TCP; function codes 1 to 4, and 5, 6,
//! 15 and 16 in builds that write.
//!
//! Addresses and their types stand in `address`, requests in `plan`, bytes in `frame`, the
//! connection in `session`, one pass over a plan in `scan`, and calls for scattered addresses in
//! `call`.

mod address;
mod call;
#[cfg(test)]
mod damaged;
mod driver;
mod frame;
mod plan;
mod quality;
mod scan;
mod session;
mod settings;
#[cfg(test)]
mod tests;
#[cfg(feature = "writes")]
mod write;

use crate::driver::{Discovery, Need, Prompt, Protocol};

/// Modbus as the rest of the house sees it.
pub const PROTOCOL: Protocol = Protocol {
    name: "modbus",
    title: "Modbus TCP / RTU",
    library: "own framing on tokio and tokio-serial",
    transport: "TCP 502, RS-485 / RS-232",
    auth: "none",
    keys: settings::KEYS,
    sample: include_str!("sample.toml"),
    readme: include_str!("README.md"),
    prompts: &[
        Prompt { key: "host", question: "IP address or name", default: "", need: Need::Required },
        Prompt { key: "port", question: "TCP port", default: "502", need: Need::Optional },
        Prompt { key: "unit_id", question: "Unit id", default: "1", need: Need::Optional },
    ],
    discovery: Discovery::ByHand(
        "Modbus has registers without names: take their addresses from the device's manual, and \
         write them as ref = \"holding:100\"",
    ),
    check: |settings| settings::Line::parse(settings).err().unwrap_or_default(),
    address: |tag| address::resolve(tag).map(|point| point.to_string()),
    block: |tag| address::resolve(tag).ok()?.block(),
    requests: driver::requests,
    shared_as: settings::shared_as,
    driver: driver::driver,
};
