//! F3: the only floor that wires rooms together.

mod collector;
mod deps;
mod doors;

pub use collector::{Collector, Plant, Reloaded, Setup, SetupError};
pub use deps::Deps;
pub use doors::ServeDoors;
