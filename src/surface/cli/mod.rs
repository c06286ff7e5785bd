//! The two command lines: `ot-aiops` runs a collector, `otctl` asks one.

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
mod new_file;
mod nouns;
pub mod otctl;
mod plot;
mod refused;
mod replay;
mod secret;
mod tail;
mod talk;
