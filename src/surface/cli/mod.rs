//! The two command lines: `ot-aiops` runs a collector, `otctl` asks one.

mod asked;
mod audit;
mod certificate;
mod client;
pub mod collector;
#[cfg(feature = "demo")]
pub mod demo;
mod direct;
mod discover;
mod doctor;
mod exit;
mod finding;
mod import;
mod init;
mod keyfile;
mod names;
mod new_file;
mod nouns;
pub mod otctl;
mod people;
mod plot;
mod policy;
mod refused;
mod replay;
mod screen;
mod secret;
mod tail;
mod talk;
mod wording;

/// The version, and whether this build holds any encoder of a write.
#[cfg(feature = "writes")]
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (writes: by approval)");
#[cfg(not(feature = "writes"))]
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (writes: none, built read-only)");
