//! F5: the doors, the protocol spoken through them, and the two command lines.

pub mod door;
mod mcp;
mod nearest;
pub mod state;
#[cfg(test)]
mod testing;
mod text;
mod wire;
