//! Mitsubishi MC protocol (SLMP): 3E frames in binary code over TCP, read side.
//!
//! Devices and their codes stand in `device`, addresses and types in `address`, requests in
//! `plan`, bytes in `frame`, the connection in `session`, one pass over a plan in `scan`.

mod address;
#[cfg(test)]
mod damaged;
mod device;
mod driver;
mod errors;
mod frame;
mod plan;
#[cfg(test)]
mod recorded;
mod scan;
mod session;
mod settings;
#[cfg(test)]
mod tests;
#[cfg(feature = "writes")]
mod write;

pub(crate) use device::{Device, Holds};

use crate::driver::{Discovery, DriverError, Need, Prompt, Protocol, WireAddress};
use crate::model::Tag;

/// Mitsubishi MC as the rest of the house sees it.
pub const PROTOCOL: Protocol = Protocol {
    name: "mc",
    title: "Mitsubishi MC (3E, binary)",
    library: "own codec",
    transport: "TCP, port as set in GX Works (often 5007)",
    auth: "none; a port may have a remote password, which is not supported",
    keys: settings::KEYS,
    sample: include_str!("sample.toml"),
    readme: include_str!("README.md"),
    prompts: &[
        Prompt { key: "host", question: "IP address or name", default: "", need: Need::Required },
        Prompt { key: "port", question: "TCP port", default: "5007", need: Need::Optional },
        Prompt {
            key: "plctype",
            question: "Series: Q, L, QnA, iQ-R, iQ-L or iQ-F",
            default: "Q",
            need: Need::Optional,
        },
    ],
    discovery: Discovery::ByHand(
        "a MELSEC controller names nothing: take devices and comments from the GX Works project \
         (export the device comments as CSV), and write them as ref = \"D100\"",
    ),
    check: |settings| settings::Line::parse(settings).err().unwrap_or_default(),
    address,
    block: |tag| address::resolve(tag, None).ok()?.block(),
    requests: driver::requests,
    shared_as: settings::shared_as,
    driver: driver::driver,
};

/// Checks a tag as far as that can be done without its endpoint: X and Y are held against
/// the model when the plan is made.
fn address(tag: &Tag) -> Result<WireAddress, DriverError> {
    match address::resolve(tag, None) {
        Ok(point) => Ok(point.to_string()),
        Err(_) if is_input_or_output(&tag.address) => {
            address::resolve(tag, Some(settings::Model::Q)).map(|point| {
                format!("bits of {}, numbered as plctype has it", point.span.area.name())
            })
        }
        Err(error) => Err(error),
    }
}

fn is_input_or_output(address: &str) -> bool {
    Device::split(address.trim()).is_some_and(|(device, _)| ["X", "Y"].contains(&device.name()))
}

/// Reads an address for a tool: the device and its number.
///
/// # Errors
/// `BadAddress`, with what would be right.
pub(crate) fn head(text: &str, plctype: Option<&str>) -> Result<(Device, u32), DriverError> {
    let head = address::parse(text, plctype.and_then(settings::Model::parse))?;
    head.whole().map(|head| (head.device, head.number))
}

/// Gives the name of the series that a CPU's own name tells, as `plctype` writes it.
pub(crate) fn series_of(cpu: &str) -> Option<&'static str> {
    settings::Model::of_cpu(cpu).map(settings::Model::word)
}
