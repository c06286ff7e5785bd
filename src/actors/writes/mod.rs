//! Writes: from a wish to its outcome. Select, approve, operate, verify, undo.

mod book;
mod budgets;
mod desk;
mod execute;
mod freeze;
mod people;
mod rulebook;
mod select;
mod settle;
mod tickets;

pub use budgets::Budgets;
pub use desk::{Desk, DeskError};
pub(crate) use execute::{execute, watch_audit};
pub use freeze::{Cause, Freeze};
pub use people::Statement;
pub use select::{Selected, Wish};
pub(crate) use settle::{approved, expire, settle};
pub use tickets::{is_relaxed, raw_name};
