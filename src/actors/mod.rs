//! F3: the only floor that wires rooms together. `actors.md` has the tree and the tables.

mod backoff;
mod collector;
mod connections;
mod demand;
mod deps;
mod directory;
mod doors;
mod endpoints;
mod findings;
mod historian;
mod link;
mod observed;
mod poller;
mod root;
#[cfg(test)]
pub(crate) mod tests;

pub use collector::{Collector, Plant, Reloaded, Setup, SetupError};
pub use deps::{Deps, Inner, age_ms};
pub use directory::Directory;
pub use doors::ServeDoors;
pub use findings::{
    About, FindingsFace, Judged, Loss, OPEN_MAX, Open, Published, Round, Seen, Shelf, Turn,
};
pub(crate) use findings::{WINDOW, confirmed, is_silence, neighbours_of, present_fault};
pub use historian::HistorianFace;
pub use link::{Answer, AskError, Link};
pub use observed::{Fault, HistorianReport, LinkReport, SliceReport, UnitReport};
