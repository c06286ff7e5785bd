//! The two command lines: `ot-aiops` runs a collector, `otctl` asks one.

mod certificate;
mod client;
pub mod collector;
#[cfg(feature = "demo")]
pub mod demo;
mod exit;
mod nouns;
pub mod otctl;
mod refused;
mod replay;
mod tail;
