//! F5: the doors, the protocol spoken through them, and the two command lines.

mod bridge;
pub mod door;
pub mod log;
mod mcp;
mod nearest;
mod notify;
pub mod run;
pub mod state;
#[cfg(test)]
mod testing;
mod text;
mod wire;
