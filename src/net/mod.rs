//! F1: what several protocols need on their way to a device, and nothing about any one of them.

pub mod dial;
pub mod exchange;
pub mod journal;
pub mod mqtt;
#[cfg(feature = "writes")]
pub mod registers;
pub mod tls;
pub mod words;

pub use dial::UNRESOLVED;
