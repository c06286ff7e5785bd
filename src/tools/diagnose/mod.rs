//! The diagnostics: where data stops, and what is wrong with series, alarms and tags.

mod alarms;
mod backtest;
mod dataflow;
mod historian;
mod limit_events;
mod list;
mod tags;

pub(super) use alarms::BadActors;
pub(super) use backtest::Backtested;
pub(super) use dataflow::DataFlow;
pub(super) use historian::Historian;
pub(super) use tags::Tags;

use super::Tool;

/// The tools that judge rather than read.
pub(super) const NAMES: [&str; 4] = [DataFlow::NAME, Historian::NAME, BadActors::NAME, Tags::NAME];

fn an_hour() -> String {
    "-1h".to_owned()
}

fn flat_eps() -> f64 {
    1e-9
}

fn a_minute() -> f64 {
    60.0
}
