//! Setting up: is an endpoint alive as it is configured, and what is there to read on it?
//!
//! The same checks run through a collector's connection and through one of a command's own;
//! [`Line`] is what both are.

mod check;
mod discover;
mod found;
mod line;
mod probe;

pub use check::{Check, Verdict, check_line};
pub(super) use discover::Discover;
pub use found::{Found, FoundTag, Standard, found_tags};
pub use line::{Line, Live};
pub(super) use probe::Probe;
