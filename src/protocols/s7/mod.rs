//! Siemens S7 communication over ISO transport on TCP, read side.
//!
//! Areas stand in `area`, types in `value`, addresses in `address`, requests in `plan`, bytes in
//! `frame`, the connection in `session`, one pass over a plan in `scan`, the CPU in `identity`.

mod address;
mod area;
#[cfg(test)]
mod damaged;
mod driver;
mod errors;
mod frame;
mod identity;
mod plan;
mod scan;
mod session;
mod settings;
#[cfg(test)]
mod tests;
mod value;
#[cfg(feature = "writes")]
mod write;

pub(crate) use address::{parse_point, point};
pub(crate) use area::{Area, Kind};
pub(crate) use identity::{RUN, STOP};
pub(crate) use scan::block_ref;
pub(crate) use settings::place;
pub(crate) use value::{Type, judged};

use crate::driver::{Discovery, Need, Prompt, Protocol};

/// S7 communication as the rest of the house sees it.
pub const PROTOCOL: Protocol = Protocol {
    name: "s7",
    title: "Siemens S7 communication",
    library: "own codec",
    transport: "TCP 102 (ISO transport)",
    auth: "none; a CPU password is not sent",
    keys: settings::KEYS,
    sample: include_str!("sample.toml"),
    readme: include_str!("README.md"),
    prompts: &[
        Prompt { key: "host", question: "IP address or name", default: "", need: Need::Required },
        Prompt { key: "port", question: "TCP port", default: "102", need: Need::Optional },
        Prompt { key: "rack", question: "Rack", default: "0", need: Need::Optional },
        Prompt {
            key: "slot",
            question: "Slot of the CPU (S7-1200/1500: 1, S7-300: 2)",
            default: "1",
            need: Need::Optional,
        },
    ],
    discovery: Discovery::ByHand(
        "S7 communication has no names to browse: take blocks and offsets from the STEP 7 or TIA \
         Portal project (a block's offset column; export the tag table as a file), and write them \
         as ref = \"DB1.DBD4:REAL\"",
    ),
    check: |settings| settings::Line::parse(settings).err().unwrap_or_default(),
    address: |tag| address::resolve(tag).map(|point| point.to_string()),
    block: |tag| {
        let point = address::resolve(tag).ok()?;
        (!matches!(point.kind, Type::Bit(_))).then(|| block_ref(&point.span))
    },
    requests: driver::requests,
    shared_as: settings::shared_as,
    driver: driver::driver,
};
