//! F1: values to the fewest reads of a device's memory, and what was learnt of its holes. Pure.
//!
//! A device that is read by address has areas of numbered elements, and a value is a span of
//! one. Spans that lie near each other are read together; what the device refuses is halved
//! until the bad address stands alone, and the holes found on the way are remembered.

mod group;
mod memory;

pub use group::{Group, Holes, Span, Stretch, between, group, halves};
pub use memory::Memory;
