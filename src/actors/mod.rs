//! F3: the only floor that wires rooms together. `actors.md` has the tree and the tables.

mod backoff;
mod collector;
mod command;
mod connections;
mod demand;
mod deps;
mod directory;
mod doors;
mod endpoints;
mod errand;
mod findings;
mod historian;
mod ledger;
mod link;
mod observed;
mod poller;
mod root;
mod sight;
#[cfg(test)]
pub(crate) mod tests;
mod writes;

pub use collector::{Collector, Plant, Pulse, Reloaded, Setup, SetupError, Stay};
pub use deps::{Deps, Inner, age_ms};
pub use directory::Directory;
pub use doors::ServeDoors;
pub use findings::{
    About, AssetError, AssetState, Assets, FindingsFace, Judged, Loss, OPEN_MAX, Open, Published,
    Round, Seen, Shelf, ShelveError, Turn,
};
pub(crate) use findings::{WINDOW, beside, confirmed, is_silence, neighbours_of, present_fault};
pub use historian::HistorianFace;
pub use link::{Answer, AskError, Link};
pub use observed::{Fault, HistorianReport, LinkReport, SliceReport, UnitReport};
pub use sight::allowance;
pub use writes::{
    Budgets, Cause, Desk, DeskError, Freeze, Selected, Statement, Wish, is_relaxed, raw_name,
};
