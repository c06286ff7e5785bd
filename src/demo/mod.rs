//! F3: a simulated bottling line behind real sockets, to try the collector on.
//!
//! [`start`] spawns the line with a server for each protocol on ephemeral loopback
//! ports, and [`DemoPlant::config_toml`] is the configuration an ordinary collector reads it
//! with. The line is computed, never random: what its tags show follows from mass, heat and
//! bottles, with sensors' noise on top and scripted [`Fault`]s to find.

mod alarms;
mod config;
#[cfg(test)]
mod detected;
mod faults;
mod frame;
#[cfg(test)]
mod learnt;
mod mc;
mod modbus;
mod mqtt;
mod mtconnect;
mod mtconnect_xml;
mod opcua;
mod plant;
mod points;
mod process;
mod rng;
mod s7;
#[cfg(test)]
mod simulated;

pub use faults::{Fault, by_name, list};
pub use plant::{DemoError, DemoPlant, start};
pub use points::ranges;

/// The policy of writes that the demo's collector runs with.
pub const POLICY: &str = include_str!("policy.toml");
