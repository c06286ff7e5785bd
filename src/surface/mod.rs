//! F5: the doors, the protocol spoken through them, and the two command lines.

mod bridge;
pub mod cli;
pub mod door;
pub mod log;
mod mcp;
mod nearest;
mod notify;
mod render;
pub mod run;
pub mod state;
#[cfg(test)]
mod testing;
mod text;
mod wire;
