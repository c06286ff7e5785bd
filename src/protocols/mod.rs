//! F2: the protocols, a folder and a line each.

pub mod mc;
pub mod modbus;
pub mod opcua;

use crate::driver::Protocol;

/// Every protocol this collector speaks.
pub const PROTOCOLS: &[Protocol] = &[opcua::PROTOCOL, modbus::PROTOCOL, mc::PROTOCOL];
