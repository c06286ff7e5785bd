//! F2: the protocols, a folder and a line each.

pub mod mc;
pub mod modbus;
pub mod mqtt;
pub mod mtconnect;
pub mod opcua;
pub mod s7;

use crate::driver::Protocol;

/// Every protocol this collector speaks.
pub const PROTOCOLS: &[Protocol] = &[
    opcua::PROTOCOL,
    modbus::PROTOCOL,
    s7::PROTOCOL,
    mc::PROTOCOL,
    mtconnect::PROTOCOL,
    mqtt::PROTOCOL,
];
