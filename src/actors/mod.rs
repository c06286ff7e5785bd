//! F3: the only floor that wires rooms together.

mod deps;

pub use deps::Deps;
