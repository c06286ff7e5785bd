//! A governed, vendor-neutral tap into industrial control systems.
//!
//! # Floors: who may import whom
//! A test reads every `use crate::` and holds it against this table: a floor imports only
//! floors below it, and rooms of one floor never import each other. `driver` stands on a
//! mezzanine: it can't write without what `gate` alone can mint.
//!
//! | floor | rooms |
//! |---|---|
//! | F6 | `bin` |
//! | F5 | `surface` |
//! | F4 | `tools` |
//! | F3 | `actors`, `demo`, `replay` |
//! | F2 | `protocols`, `cache`, `store`, `diagnose`, `config`, `govern`, `ledger` |
//! | F1.5 | `driver` |
//! | F1 | `gate`, `clock`, `net`, `plan`, `dbfile` |
//! | F0 | `model` |

pub mod actors;
pub mod cache;
pub mod clock;
pub mod config;
mod dbfile;
#[cfg(feature = "demo")]
pub mod demo;
pub mod diagnose;
pub mod driver;
pub mod gate;
pub mod govern;
pub mod ledger;
pub mod model;
pub mod net;
pub mod plan;
pub mod protocols;
pub mod replay;
pub mod store;
pub mod surface;
pub mod tools;
